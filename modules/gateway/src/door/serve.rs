//! Accept loops: from an open port to requests in front of the first layer.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{Service, ServiceExt};

use super::bind::{BACKLOG, Listening};
use super::connection::{Limits, Protocol, Stream, speak};
use super::shutdown::Shutdown;
use super::tls::TlsDoor;

/// Connections open at a time unless configured otherwise.
pub const MAX_CONNECTIONS: usize = 10_000;
/// How long the accept loop rests when the system is out of file descriptors or memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// At most one line about that in this time.
const EXHAUSTED_LOG_EVERY: Duration = Duration::from_secs(5);

/// The address at the other end of the connection: a balancer's, where one stands in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// The name of the port a request came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener(pub &'static str);

/// Whether the connection is TLS that ends here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secure(pub bool);

/// What is spoken below HTTP.
#[derive(Clone, Debug)]
pub enum Mode {
    /// HTTP/1.1, and HTTP/2 by prior knowledge.
    Plain,
    /// HTTP/2 or HTTP/1.1 by ALPN.
    Tls(TlsDoor),
}

/// The limits of connections and how many may be open. Clones share the number; a port that must answer while others
/// are flooded (health) takes one of its own.
#[derive(Clone, Debug)]
pub struct Connections {
    limits: Limits,
    permits: Arc<Semaphore>,
}

impl Connections {
    /// At most `max` connections at a time (at least one), each within `limits`. Beyond that, accepting waits.
    pub fn new(max: usize, limits: Limits) -> Self {
        Self { limits, permits: Arc::new(Semaphore::new(max.clamp(1, Semaphore::MAX_PERMITS))) }
    }

    /// How many more connections can be taken in now.
    pub fn free(&self) -> usize {
        self.permits.available_permits()
    }
}

impl Default for Connections {
    fn default() -> Self {
        Self::new(MAX_CONNECTIONS, Limits::default())
    }
}

/// Serves all sockets of a port in tasks of their own, until `shutdown` drains; must be called inside a runtime.
///
/// Each request carries the extensions [`PeerAddr`], [`Listener`] and [`Secure`].
pub fn serve<S>(listening: Listening, mode: Mode, service: S, connections: &Connections, shutdown: &Shutdown)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    for socket in listening.sockets {
        let port = Port {
            name: listening.name,
            mode: mode.clone(),
            service: service.clone(),
            connections: connections.clone(),
            shutdown: shutdown.clone(),
        };
        shutdown.spawn(port.accept_all(socket));
    }
}

struct Port<S> {
    name: &'static str,
    mode: Mode,
    service: S,
    connections: Connections,
    shutdown: Shutdown,
}

impl<S> Port<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    async fn accept_all(self, socket: TcpListener) {
        let mut complained: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.shutdown.draining() => break,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let permit = tokio::select! {
                        biased;
                        permit = Arc::clone(&self.connections.permits).acquire_owned() => permit,
                        () = self.shutdown.draining() => break,
                    };
                    let Ok(permit) = permit else { break };
                    self.welcome(stream, peer, permit);
                }
                Err(e) if is_of_one_connection(&e) => {
                    tracing::debug!(listener = self.name, error = %e, "a connection ended before it was accepted");
                }
                Err(e) => {
                    if complained.is_none_or(|at| at.elapsed() >= EXHAUSTED_LOG_EVERY) {
                        tracing::error!(
                            listener = self.name,
                            error = %e,
                            "cannot accept connections; if files have run out, raise the limit (ulimit -n)"
                        );
                        complained = Some(Instant::now());
                    }
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
        self.accept_waiting(socket);
    }

    /// Takes in what the system has already completed: closing the socket would reset it. Asks the system itself,
    /// because the runtime may not have heard of the last ones yet.
    fn accept_waiting(&self, socket: TcpListener) {
        let Ok(socket) = socket.into_std() else { return };
        for _ in 0..BACKLOG {
            let Ok((stream, peer)) = socket.accept() else { return };
            let Ok(permit) = Arc::clone(&self.connections.permits).try_acquire_owned() else { return };
            let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) else {
                return;
            };
            self.welcome(stream, peer, permit);
        }
    }

    fn welcome(&self, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let call = Call {
            service: self.service.clone(),
            peer: PeerAddr(peer),
            listener: Listener(self.name),
            secure: Secure(matches!(self.mode, Mode::Tls(_))),
            shutdown: self.shutdown.clone(),
            max_headers: self.connections.limits.headers,
        };
        let limits = self.connections.limits;
        match &self.mode {
            Mode::Plain => self.shutdown.spawn(plain(stream, call, limits, permit)),
            Mode::Tls(door) => self.shutdown.spawn(secure(stream, door.clone(), call, limits, permit)),
        }
    }
}

/// Errors that say something about one caller only. All others (no descriptors, no memory) would come again at once.
fn is_of_one_connection(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(e.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn plain<S>(stream: TcpStream, call: Call<S>, limits: Limits, permit: OwnedSemaphorePermit)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let mut stream = Stream::new(stream, &limits, permit);
    let Some(protocol) = stream.protocol(&limits, &call.shutdown).await else {
        tracing::debug!(peer = %call.peer.0, listener = call.listener.0, "no request came");
        return;
    };
    converse(stream, protocol, call, limits).await;
}

async fn secure<S>(
    stream: TcpStream,
    door: TlsDoor,
    call: Call<S>,
    limits: Limits,
    permit: OwnedSemaphorePermit,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    match tokio::time::timeout(limits.handshake, door.accept(stream)).await {
        Ok(Ok((stream, protocol))) => {
            converse(Stream::new(stream, &limits, permit), protocol, call, limits).await;
        }
        Ok(Err(e)) => {
            tracing::debug!(peer = %call.peer.0, listener = call.listener.0, error = %e, "no TLS connection");
        }
        Err(_) => {
            tracing::debug!(peer = %call.peer.0, listener = call.listener.0, "the TLS handshake took too long")
        }
    }
}

async fn converse<T, S>(stream: Stream<T>, protocol: Protocol, call: Call<S>, limits: Limits)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let (peer, listener, shutdown) = (call.peer.0, call.listener.0, call.shutdown.clone());
    let service = service_fn(move |request| call.clone().answer(request));
    if let Err(e) = speak(stream, protocol, service, limits, &shutdown).await {
        tracing::debug!(%peer, listener, error = %e, "a connection ended early");
    }
}

/// The service, and what is known about the connection.
#[derive(Clone)]
struct Call<S> {
    service: S,
    peer: PeerAddr,
    listener: Listener,
    secure: Secure,
    shutdown: Shutdown,
    max_headers: usize,
}

impl<S> Call<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    async fn answer(self, mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        // HTTP/1.1 is checked while it is parsed; HTTP/2 limits the bytes only.
        if request.headers().len() > self.max_headers {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Ok(response);
        }
        let keeps_alive_by_header = request.version() < Version::HTTP_2;
        let extensions = request.extensions_mut();
        extensions.insert(self.peer);
        extensions.insert(self.listener);
        extensions.insert(self.secure);
        let mut response = self.service.oneshot(request.map(Body::new)).await?;
        let headers = response.headers_mut();
        headers.remove(header::SERVER);
        if keeps_alive_by_header
            && self.shutdown.is_announced()
            && response.status() != StatusCode::SWITCHING_PROTOCOLS
        {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests;

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use http::Uri;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    address,
    destination::{Destination, Host, LOCALHOST},
    error::{Carried, DialError},
    options::DiallerOptions,
};

/// Names that are asked for at the same time; the system's resolver holds a thread for each.
const MOST_LOOKUPS: usize = 32;

/// Addresses of one name that are tried.
const MOST_ADDRESSES: usize = 8;

/// How long an address is alone before the next one is tried beside it (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);

/// Answers what addresses a name has.
pub trait Resolve: Send + Sync + 'static {
    /// All addresses of `name`, best first.
    fn addresses(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The system's own resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn addresses(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Makes connections to addresses that were checked, and to no others.
#[derive(Clone)]
pub(super) struct Connector(Arc<Shared>);

struct Shared {
    options: DiallerOptions,
    tls: TlsConnector,
    lookups: Arc<Semaphore>,
}

impl Connector {
    pub(super) fn new(options: DiallerOptions, tls: TlsConnector) -> Self {
        Self(Arc::new(Shared { options, tls, lookups: Arc::new(Semaphore::new(MOST_LOOKUPS)) }))
    }

    /// See [`super::Dialler::check`].
    pub(super) fn check(&self, uri: &Uri) -> Result<(), DialError> {
        let destination = Destination::of(uri)?;
        let known = match &destination.host {
            Host::Address(address) => [*address; 2],
            host if host.is_localhost() => LOCALHOST,
            Host::Name(_) => return Ok(()),
        };
        if known.iter().any(|address| destination.admits(*address, &self.0.options)) {
            return Ok(());
        }
        Err(DialError::Refused { host: destination.host.text(), address: known[0] })
    }

    /// Resolves once, checks what was found, and dials exactly that.
    pub(super) async fn connect(&self, uri: &Uri) -> Result<Dialled, DialError> {
        let destination = Destination::of(uri)?;
        let limit = self.0.options.connect_timeout;
        let until = Instant::now() + limit;
        let host = destination.host.text();
        let late = |_| DialError::Late { host: host.clone(), limit };
        let admitted = timeout_at(until, self.admitted(&destination)).await.map_err(late)??;
        let stream =
            timeout_at(until, first_to_answer(&host, destination.port, admitted)).await.map_err(late)??;
        if !destination.tls {
            return Ok(Dialled(Stream::Plain(stream)));
        }
        let name = match &destination.host {
            Host::Address(address) => ServerName::IpAddress((*address).into()),
            Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| DialError::BadAddress {
                address: host.clone(),
                reason: "no certificate can name it",
            })?,
        };
        let handshake = timeout_at(until, self.0.tls.connect(name, stream)).await.map_err(late)?;
        match handshake {
            Ok(stream) => Ok(Dialled(Stream::Tls(Box::new(stream)))),
            Err(source) => Err(DialError::Tls { host, source }),
        }
    }

    async fn admitted(&self, destination: &Destination) -> Result<Vec<IpAddr>, DialError> {
        let found = match &destination.host {
            Host::Address(address) => vec![*address],
            host if host.is_localhost() => LOCALHOST.to_vec(),
            Host::Name(name) => self.look_up(name).await?,
        };
        let refused = found.first().copied();
        let mut admitted: Vec<IpAddr> = Vec::new();
        for address in found.into_iter().map(address::canonical) {
            if destination.admits(address, &self.0.options) && !admitted.contains(&address) {
                admitted.push(address);
            }
        }
        admitted.truncate(MOST_ADDRESSES);
        match (admitted.is_empty(), refused) {
            (false, _) => Ok(admitted),
            (true, Some(address)) => Err(DialError::Refused { host: destination.host.text(), address }),
            (true, None) => {
                let source = io::Error::new(io::ErrorKind::NotFound, "the name server knows no address");
                Err(DialError::Unresolved { host: destination.host.text(), source })
            }
        }
    }

    async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, DialError> {
        let unresolved = |source| DialError::Unresolved { host: name.to_owned(), source };
        let turn = Arc::clone(&self.0.lookups).acquire_owned().await;
        let turn = turn.map_err(|error| unresolved(io::Error::other(error)))?;
        let (resolver, asked) = (Arc::clone(&self.0.options.resolver), name.to_owned());
        // A task of its own: the system's resolver keeps its thread until it has an answer, whether anybody still waits for
        // it or not, and so long the turn is taken.
        let looked = tokio::spawn(async move {
            let _turn = turn;
            resolver.addresses(asked).await
        });
        looked.await.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(unresolved)
    }
}

/// Tries one address after the other, each a moment after the one before, and keeps the first that answers.
async fn first_to_answer(host: &str, port: u16, addresses: Vec<IpAddr>) -> Result<TcpStream, DialError> {
    let mut waiting = addresses.into_iter().map(|address| SocketAddr::new(address, port));
    let mut trying = FuturesUnordered::new();
    let mut last = io::Error::other("there is no address to try");
    loop {
        if let Some(address) = waiting.next() {
            trying.push(TcpStream::connect(address));
        }
        let answer = if waiting.len() == 0 {
            trying.next().await
        } else {
            match tokio::time::timeout(STAGGER, trying.next()).await {
                Ok(answer) => answer,
                Err(_) => continue,
            }
        };
        match answer {
            Some(Ok(stream)) => {
                // Small requests must not wait for an acknowledgement; a failure costs only speed.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Some(Err(error)) => last = error,
            None => {
                return Err(DialError::Unreachable { host: format!("{host}:{port}"), source: last });
            }
        }
    }
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Dialled>;
    type Error = Carried;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Dialled>, Carried>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Carried>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect(&uri).await.map(TokioIo::new).map_err(Carried::new) })
    }
}

/// A connection to a checked address: bytes both ways, encrypted where the address says so.
#[derive(Debug)]
pub struct Dialled(Stream);

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Dialled {
    /// The address at the other end.
    ///
    /// # Errors
    /// What the system says when the connection is gone.
    pub fn peer(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Stream::Plain(stream) => stream.peer_addr(),
            Stream::Tls(stream) => stream.get_ref().0.peer_addr(),
        }
    }
}

impl Connection for Dialled {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Dialled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Dialled {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

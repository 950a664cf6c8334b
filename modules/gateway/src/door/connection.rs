//! One connection: its byte stream with limits, and hyper on top of it.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep, timeout};

use super::head_timer::{FirstByte, HeadTimer};
use super::shutdown::Shutdown;

/// What every HTTP/2 connection begins with (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a connection taken in while draining may take for its first byte.
const LATE_FIRST_BYTE: Duration = Duration::from_secs(1);

/// The limits of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of all headers of a request, with the request line.
    pub header_bytes: u32,
    /// Number of headers of a request.
    pub headers: usize,
    /// From the first byte of a request's head to its last.
    pub head: Duration,
    /// From the start of a connection to its first request.
    pub first_request: Duration,
    /// Between two requests of an HTTP/1.1 connection. Longer than balancers keep theirs (the longest fixed one known
    /// is 600 s): the side that sends must be the side that closes, else requests on their way are lost.
    pub idle: Duration,
    /// The TLS handshake.
    pub handshake: Duration,
    /// A peer that takes nothing of an answer for this long is gone.
    pub stalled_write: Duration,
    /// Requests at a time on one HTTP/2 connection.
    pub streams: u32,
    /// How often an HTTP/2 peer is pinged, and how long it may take to answer.
    pub ping: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 16 * 1024,
            headers: 100,
            head: Duration::from_secs(10),
            first_request: Duration::from_secs(30),
            idle: Duration::from_secs(650),
            handshake: Duration::from_secs(10),
            stalled_write: Duration::from_secs(30),
            streams: 200,
            ping: Duration::from_secs(20),
        }
    }
}

/// A byte stream that counts as an open connection for as long as it lives, also after an upgrade.
pub(super) struct Stream<T> {
    io: T,
    /// Bytes read while finding out which protocol is spoken, and how many of them hyper has taken.
    prefix: [u8; HTTP2_PREFACE.len()],
    prefix_read: usize,
    prefix_taken: usize,
    first_byte: FirstByte,
    stalled_write: Duration,
    stall: Option<Pin<Box<Sleep>>>,
    _permit: OwnedSemaphorePermit,
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream<T> {
    pub(super) fn new(io: T, limits: &Limits, permit: OwnedSemaphorePermit) -> Self {
        Self {
            io,
            prefix: [0; HTTP2_PREFACE.len()],
            prefix_read: 0,
            prefix_taken: 0,
            first_byte: FirstByte::new(),
            stalled_write: limits.stalled_write,
            stall: None,
            _permit: permit,
        }
    }

    /// Reads as many bytes as tell HTTP/2 by prior knowledge from HTTP/1.1. `None`: the peer closed, failed or was
    /// too slow.
    pub(super) async fn protocol(&mut self, limits: &Limits, shutdown: &Shutdown) -> Option<Protocol> {
        let first = async {
            tokio::select! {
                biased;
                more = self.read_prefix() => more,
                () = late(shutdown) => None,
            }
        };
        let mut so_far = timeout(limits.first_request, first).await.ok()??;
        let rest = async {
            loop {
                if !HTTP2_PREFACE.starts_with(&self.prefix[..so_far]) {
                    return Some(Protocol::Http1);
                }
                if so_far == HTTP2_PREFACE.len() {
                    return Some(Protocol::Http2);
                }
                so_far = self.read_prefix().await?;
            }
        };
        timeout(limits.head, rest).await.ok()?
    }

    async fn read_prefix(&mut self) -> Option<usize> {
        let n = self.io.read(&mut self.prefix[self.prefix_read..]).await.ok().filter(|n| *n > 0)?;
        self.prefix_read += n;
        Some(self.prefix_read)
    }

    /// A write that cannot go on starts the stall clock; one that can stops it.
    fn watch<R>(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if progress.is_ready() {
            self.stall = None;
            return progress;
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(self.stalled_write)));
        match stall.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

async fn late(shutdown: &Shutdown) {
    shutdown.draining().await;
    sleep(LATE_FIRST_BYTE).await;
}

impl<T: AsyncRead + Unpin> AsyncRead for Stream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let waiting = &this.prefix[this.prefix_taken..this.prefix_read];
        if !waiting.is_empty() {
            let n = waiting.len().min(buf.remaining());
            buf.put_slice(&waiting[..n]);
            this.prefix_taken += n;
            this.first_byte.seen();
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let progress = Pin::new(&mut this.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            this.first_byte.seen();
        }
        progress
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.io).poll_write(cx, buf);
        self.watch(cx, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.watch(cx, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.io).poll_flush(cx);
        self.watch(cx, progress)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.io).poll_shutdown(cx);
        self.watch(cx, progress)
    }
}

/// Speaks HTTP on a stream until it ends or the door is closed.
pub(super) async fn speak<T, S, F>(
    stream: Stream<T>,
    protocol: Protocol,
    service: S,
    limits: Limits,
    shutdown: &Shutdown,
) -> hyper::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: hyper::service::Service<
            http::Request<hyper::body::Incoming>,
            Response = http::Response<axum::body::Body>,
            Error = std::convert::Infallible,
            Future = F,
        > + Send
        + 'static,
    F: Future<Output = Result<http::Response<axum::body::Body>, std::convert::Infallible>> + Send + 'static,
{
    match protocol {
        Protocol::Http1 => {
            let timer = HeadTimer::new(stream.first_byte.clone(), limits);
            let connection = http1::Builder::new()
                .half_close(false)
                .keep_alive(true)
                .max_headers(limits.headers)
                .max_header_size(limits.header_bytes as usize)
                .timer(timer)
                .header_read_timeout(limits.head) // switches it on; how long it is the timer knows
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            drive(connection, |connection| connection.graceful_shutdown(), shutdown).await
        }
        Protocol::Http2 => {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(limits.streams)
                .max_header_list_size(limits.header_bytes)
                .keep_alive_interval(limits.ping)
                .keep_alive_timeout(limits.ping)
                .serve_connection(TokioIo::new(stream), service);
            drive(connection, |connection| connection.graceful_shutdown(), shutdown).await
        }
    }
}

/// Runs a connection to its end. When the door drains, it is asked to finish what it has begun.
async fn drive<C>(connection: C, finish: fn(Pin<&mut C>), shutdown: &Shutdown) -> hyper::Result<()>
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = pin!(connection);
    tokio::select! {
        // The connection first: a request whose bytes are here already is answered, not closed upon.
        biased;
        end = connection.as_mut() => return end,
        () = shutdown.draining() => finish(connection.as_mut()),
    }
    connection.await
}

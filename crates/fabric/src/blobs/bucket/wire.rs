//! HTTP for the bucket: object_store makes the requests, hyper carries them.

use std::{
    error::Error as StdError,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, Response, Uri, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector as Tcp},
    rt::{TokioExecutor, TokioTimer},
};
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
        HttpResponseBody, HttpService,
    },
};
use rustls::ClientConfig;
use tokio::time::{Instant, Sleep};

/// The time for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// The time from a request's beginning to the head of its answer: a part of a slow upload lies between.
const HEAD: Duration = Duration::from_secs(60);

/// How long the next piece of an answer may let wait.
const PIECE: Duration = Duration::from_secs(30);

/// Idle connections that are kept, and for how long: less than the stores' own limits, so that few die in use.
const IDLE_CONNECTIONS: usize = 32;
const IDLE: Duration = Duration::from_secs(15);

/// Carries requests to the store over connections that are used again. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Wire(Client<HttpsConnector<Tcp>, HttpRequestBody>);

impl Wire {
    pub(super) fn new(tls: ClientConfig) -> Self {
        let mut tcp = Tcp::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(connector);
        Self(client)
    }

    /// A request without a signature; what matters is whether there is an answer, and its `Date`.
    pub(super) async fn knock(&self, at: &Uri) -> Result<Response<Incoming>, HttpError> {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = at.clone();
        self.send(request).await
    }

    async fn send(&self, request: HttpRequest) -> Result<Response<Incoming>, HttpError> {
        match tokio::time::timeout(HEAD, self.0.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_connect() => Err(HttpError::new(HttpErrorKind::Connect, error)),
            Ok(Err(error)) => Err(HttpError::new(kind(&error), error)),
            Err(_) => Err(late(HEAD)),
        }
    }
}

impl HttpConnector for Wire {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Wire {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if completes_an_upload(request.method(), request.uri()) {
            request.headers_mut().insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        let response = self.send(request).await?;
        Ok(response.map(|body| HttpResponseBody::new(Patient::new(body))))
    }
}

/// Whether this puts the parts of an upload together under its key: the store does it for the first one only, as with
/// every other write here. object_store has no word for that; the header needs no signature.
fn completes_an_upload(method: &Method, uri: &Uri) -> bool {
    let has_upload = |query: &str| query.split('&').any(|pair| pair.starts_with("uploadId="));
    method == Method::POST && uri.query().is_some_and(has_upload)
}

/// What object_store may do about an error: repeat it always, only what changes nothing, or never.
fn kind(error: &(dyn StdError + 'static)) -> HttpErrorKind {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(error) = cause.downcast_ref::<hyper::Error>() {
            // The connection was closed before an answer began, as an idle one is; what was written once stays written.
            if error.is_canceled() || error.is_closed() || error.is_incomplete_message() {
                return HttpErrorKind::Request;
            }
            if error.is_timeout() {
                return HttpErrorKind::Timeout;
            }
        }
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return match error.kind() {
                io::ErrorKind::TimedOut => HttpErrorKind::Timeout,
                io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof => HttpErrorKind::Interrupted,
                _ => HttpErrorKind::Unknown,
            };
        }
        next = cause.source();
    }
    HttpErrorKind::Unknown
}

fn late(limit: Duration) -> HttpError {
    let told = format!("no answer within {} s", limit.as_secs());
    HttpError::new(HttpErrorKind::Timeout, io::Error::new(io::ErrorKind::TimedOut, told))
}

/// The body of an answer whose next piece must come in time. The time runs while somebody waits for it: a slow reader of
/// ours is not the store's fault.
struct Patient {
    body: Incoming,
    until: Pin<Box<Sleep>>,
    is_waiting: bool,
}

impl Patient {
    fn new(body: Incoming) -> Self {
        Self { body, until: Box::pin(tokio::time::sleep(PIECE)), is_waiting: false }
    }
}

impl Body for Patient {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let me = &mut *self;
        if let Poll::Ready(piece) = Pin::new(&mut me.body).poll_frame(cx) {
            me.is_waiting = false;
            return Poll::Ready(
                piece.map(|piece| piece.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error))),
            );
        }
        if !std::mem::replace(&mut me.is_waiting, true) {
            me.until.as_mut().reset(Instant::now() + PIECE);
        }
        ready!(me.until.as_mut().poll(cx));
        Poll::Ready(Some(Err(late(PIECE))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_putting_parts_together_completes_an_upload() {
        for (method, uri, completes) in [
            (Method::POST, "http://s3/b/k?uploadId=x", true),
            (Method::POST, "http://s3/b/k?x=y&uploadId=x", true),
            (Method::POST, "http://s3/b/k?uploads=", false),
            (Method::POST, "http://s3/b?delete", false),
            (Method::PUT, "http://s3/b/k?partNumber=1&uploadId=x", false),
            (Method::DELETE, "http://s3/b/k?uploadId=x", false),
        ] {
            assert_eq!(completes_an_upload(&method, &uri.parse().unwrap()), completes, "{method} {uri}");
        }
    }
}

//! The guarded way out: whatever the kernel calls because somebody gave it an address (back-ends of modules, hooks,
//! webhooks, integrations, health checks) is called through a [`Dialler`].
//!
//! It resolves a name once, checks every address found, and connects to exactly the checked address, so that a name
//! can't mean one host when it is checked and another when it is dialled. It knows no proxy and follows no redirect of
//! its own accord.

mod address;
mod connect;
mod destination;
mod error;
mod options;
mod redirect;
#[cfg(test)]
mod tests;

use std::{
    error::Error as StdError,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response, Uri, Version, header};
use http_body::Body;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_rustls::ConfigBuilderExt as _;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

pub use address::is_public;
pub use connect::{Dialled, Resolve, SystemResolver};
pub use error::DialError;
pub use options::{DiallerOptions, Trust};

use connect::Connector;
use destination::Destination;

/// Most redirects that [`Dialler::request_following`] follows.
pub const MOST_REDIRECTS: u8 = 3;

/// Idle connections that are kept to one host, and for how long.
const IDLE_PER_HOST: usize = 16;
const IDLE: Duration = Duration::from_secs(30);

/// Most bytes and entries of a response's head.
const HEAD_BYTES: usize = 64 * 1024;
const HEAD_ENTRIES: usize = 128;

type AnyError = Box<dyn StdError + Send + Sync>;
type AnyBody = UnsyncBoxBody<Bytes, AnyError>;

/// Makes outgoing requests. Cheap to clone; clones share connections.
///
/// Speaks HTTP/1.1, encrypted for `https`. A response of 101 can be upgraded: `hyper::upgrade::on(response)`.
#[derive(Clone)]
pub struct Dialler {
    connector: Connector,
    client: Client<Connector, AnyBody>,
}

impl Dialler {
    /// A dialler; nothing is opened yet.
    ///
    /// # Errors
    /// [`rustls::Error`] when an authority of [`Trust::Only`] is not a certificate.
    pub fn new(options: DiallerOptions) -> Result<Self, rustls::Error> {
        let mut tls = client_tls(&options.trust)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let connector = Connector::new(options, TlsConnector::from(Arc::new(tls)));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .http1_max_buf_size(HEAD_BYTES)
            .http1_max_headers(HEAD_ENTRIES)
            .build(connector.clone());
        Ok(Self { connector, client })
    }

    /// Checks what can be checked of an address without asking a name server: scheme, host, port, and an IP address
    /// that stands in it. For the moment at which somebody enters one.
    ///
    /// # Errors
    /// [`DialError::BadAddress`] or [`DialError::Refused`].
    pub fn check(&self, uri: &Uri) -> Result<(), DialError> {
        self.connector.check(uri)
    }

    /// A connection to the host and port of `uri` (http, https, ws, wss), for protocols of their own.
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn dial(&self, uri: &Uri) -> Result<Dialled, DialError> {
        self.connector.connect(uri).await
    }

    /// Sends a request and waits at most `limit` for the head of its response. Redirects come back as they are.
    ///
    /// The address must be whole (`https://host/path`). `Host` is set unless it is there. The response's body has no
    /// limit: see [`read_body`].
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn request<B>(
        &self,
        request: Request<B>,
        limit: Duration,
    ) -> Result<Response<Incoming>, DialError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<AnyError>,
    {
        let (mut head, body) = request.into_parts();
        let host = Destination::of(&head.uri)?.host.text();
        head.uri = as_http(head.uri);
        head.version = Version::HTTP_11;
        let body = body.map_err(Into::into).boxed_unsync();
        let sent = self.client.request(Request::from_parts(head, body));
        match tokio::time::timeout(limit, sent).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(DialError::within(&host, error)),
            Err(_) => Err(DialError::Late { host, limit }),
        }
    }

    /// As [`Dialler::request`], and goes where the answer redirects to, at most `most` times ([`MOST_REDIRECTS`] at
    /// the utmost). Each address is checked like the first; none leads from https to http; credentials stay with the
    /// first host. `limit` is for all of it.
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn request_following(
        &self,
        request: Request<Bytes>,
        most: u8,
        limit: Duration,
    ) -> Result<Response<Incoming>, DialError> {
        let most = most.min(MOST_REDIRECTS);
        let until = Instant::now() + limit;
        let (mut head, mut body) = request.into_parts();
        for _ in 0..=most {
            let left = until.saturating_duration_since(Instant::now());
            let mut next = Request::new(Full::new(body.clone()));
            *next.method_mut() = head.method.clone();
            *next.uri_mut() = head.uri.clone();
            *next.headers_mut() = head.headers.clone();
            let response = self.request(next, left).await?;
            let Some(to) = redirect::target(&head.uri, &response) else { return Ok(response) };
            let from = Destination::of(&head.uri)?;
            if from.tls && !Destination::of(&to)?.tls {
                let reason = "a redirect leads from https to http";
                return Err(DialError::BadAddress { address: from.host.text(), reason });
            }
            if !redirect::keeps_body(response.status(), &head.method) {
                head.method = Method::GET;
                body = Bytes::new();
                for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CONTENT_ENCODING] {
                    head.headers.remove(name);
                }
            }
            redirect::strip_for_another_host(&head.uri, &to, &mut head.headers);
            head.uri = to;
        }
        Err(DialError::TooManyRedirects { host: Destination::of(&head.uri)?.host.text(), most })
    }
}

/// Reads a body of at most `most` bytes, whose next piece never lets wait longer than `idle`.
///
/// # Errors
/// [`DialError::TooLong`], [`DialError::Late`], [`DialError::Broken`].
pub async fn read_body<B>(body: B, most: usize, idle: Duration) -> Result<Bytes, DialError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<AnyError>,
{
    let host = || "the other end".to_owned();
    if usize::try_from(body.size_hint().lower()).map_or(true, |least| least > most) {
        return Err(DialError::TooLong { most });
    }
    let mut body = std::pin::pin!(body);
    let mut whole = BytesMut::new();
    loop {
        let piece = tokio::time::timeout(idle, body.frame()).await;
        let piece = piece.map_err(|_| DialError::Late { host: host(), limit: idle })?;
        let Some(piece) = piece else { return Ok(whole.freeze()) };
        let piece = piece.map_err(|error| DialError::Broken { host: host(), source: error.into() })?;
        let Ok(bytes) = piece.into_data() else { continue };
        if whole.len() + bytes.len() > most {
            return Err(DialError::TooLong { most });
        }
        whole.extend_from_slice(&bytes);
    }
}

/// The same address for hyper's client, which knows no `ws`.
fn as_http(uri: Uri) -> Uri {
    let scheme = match uri.scheme_str() {
        Some("ws") => "http",
        Some("wss") => "https",
        _ => return uri,
    };
    let mut parts = uri.clone().into_parts();
    parts.scheme = scheme.parse().ok();
    if parts.path_and_query.is_none() {
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
    }
    Uri::from_parts(parts).unwrap_or(uri)
}

/// TLS of a client that trusts as said.
pub(crate) fn client_tls(trust: &Trust) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let (public, authorities) = match trust {
        Trust::PublicAuthorities => return Ok(builder.with_webpki_roots().with_no_client_auth()),
        Trust::And(authorities) => (true, authorities),
        Trust::Only(authorities) => (false, authorities),
    };
    let mut roots = RootCertStore::empty();
    if public {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for authority in authorities {
        roots.add(authority.clone())?;
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

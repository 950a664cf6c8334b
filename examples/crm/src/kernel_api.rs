//! What the back-end asks of the kernel, over HTTP.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, HOST, HeaderName, HeaderValue, IF_MATCH, RETRY_AFTER};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jsonwebtoken::jwk::JwkSet;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::caller::Caller;
use crate::issuer::Issuer;
use crate::pipeline::{Amount, Stage};
use crate::{CrmError, SLUG};

/// One call, from connecting to the last byte. Less than the manifest's `timeoutMs`, so that
/// the caller hears from us and not from the gateway's clock.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const IDLE_CONNECTION: Duration = Duration::from_secs(30);
const MAX_IDLE_CONNECTIONS: usize = 32;
/// A hundred deals in the selected columns are some 10 KB.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// Why the kernel gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KernelError {
    #[error("the kernel could not be reached: {0}")]
    Unreachable(#[source] hyper_util::client::legacy::Error),
    #[error("the kernel did not answer within {CALL_TIMEOUT:?}")]
    TimedOut,
    #[error("the kernel refused: {} {}: {}", .0.status, .0.slug, .0.detail)]
    Refused(Box<Refused>),
    #[error("the kernel's answer could not be read: {0}")]
    NotUnderstood(String),
}

/// The kernel's own problem, to be passed on.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) slug: String,
    pub(crate) title: String,
    pub(crate) detail: String,
    pub(crate) retry_after_seconds: Option<u32>,
}

/// A deal in the columns this back-end works with.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Deal {
    pub(crate) id: Uuid,
    pub(crate) company_id: Uuid,
    pub(crate) reference: String,
    pub(crate) title: String,
    pub(crate) stage: Stage,
    pub(crate) amount: i64,
    pub(crate) currency: String,
}

const DEAL_COLUMNS: &str = "id,company_id,reference,title,stage,amount,currency";

/// A page of a list, as every list of the kernel has it.
#[derive(Debug, Deserialize)]
pub(crate) struct Page<T> {
    pub(crate) data: Vec<T>,
    pub(crate) meta: PageMeta,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PageMeta {
    pub(crate) cursor: Option<String>,
    pub(crate) has_more: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Published {
    pub(crate) event_id: Uuid,
}

/// The kernel, at its one address.
#[derive(Clone)]
pub(crate) struct KernelApi {
    http: Client<HttpConnector, Full<Bytes>>,
    authority: String,
}

impl fmt::Debug for KernelApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelApi").field("authority", &self.authority).finish_non_exhaustive()
    }
}

impl KernelApi {
    pub(crate) fn at(url: &str) -> Result<Self, CrmError> {
        let wrong = |reason| CrmError::KernelUrl { url: url.to_owned(), reason };
        let uri: Uri = url.parse().map_err(|_| wrong("is not a URL"))?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong("does not begin with http:// (give the kernel's plain port)"));
        }
        let authority = uri.authority().filter(|a| !a.as_str().contains('@'));
        let authority = authority.ok_or_else(|| wrong("has no host, or a user in it"))?.as_str().to_owned();
        if !matches!(uri.path_and_query().map_or("/", |p| p.as_str()), "/") {
            return Err(wrong("has a path"));
        }
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_CONNECTION)
            .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
            .build(connector);
        Ok(KernelApi { http, authority })
    }

    /// The public keys of one sandbox.
    pub(crate) async fn signing_keys(&self, issuer: &Issuer) -> Result<JwkSet, KernelError> {
        let request = self.request(Method::GET, "/.well-known/jwks.json", issuer)?;
        Ok(self.send(request).await?.value)
    }

    /// The kernel, spoken to on behalf of a user and with that user's rights.
    pub(crate) fn on_behalf<'a>(&'a self, caller: &'a Caller) -> OnBehalf<'a> {
        OnBehalf { kernel: self, caller, bearer: caller.token() }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        issuer: &Issuer,
    ) -> Result<Request<Full<Bytes>>, KernelError> {
        Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.authority))
            .header(HOST, issuer.host_header())
            .body(Full::default())
            .map_err(|error| KernelError::NotUnderstood(format!("no request for {path}: {error}")))
    }

    async fn send<T: DeserializeOwned>(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer<T>, KernelError> {
        tokio::time::timeout(CALL_TIMEOUT, self.exchange(request)).await.map_err(|_| KernelError::TimedOut)?
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer<T>, KernelError> {
        let response = self.http.request(request).await.map_err(KernelError::Unreachable)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| KernelError::NotUnderstood(error.to_string()))?.to_bytes();
        if !head.status.is_success() {
            return Err(KernelError::Refused(Box::new(Refused::read(&head, &body))));
        }
        let value =
            serde_json::from_slice(&body).map_err(|error| KernelError::NotUnderstood(error.to_string()))?;
        Ok(Answer { value, etag: head.headers.get(ETAG).cloned() })
    }
}

impl Refused {
    fn read(head: &http::response::Parts, body: &[u8]) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct ProblemIn {
            r#type: String,
            title: String,
            detail: String,
        }
        let problem: ProblemIn = serde_json::from_slice(body).unwrap_or_default();
        let slug = problem.r#type.rsplit('/').next().unwrap_or_default().to_owned();
        let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after_seconds = retry_after.and_then(|seconds| seconds.parse().ok());
        Refused {
            status: head.status,
            slug,
            title: problem.title,
            detail: problem.detail,
            retry_after_seconds,
        }
    }
}

/// An answer and the version it is of.
pub(crate) struct Answer<T> {
    pub(crate) value: T,
    pub(crate) etag: Option<HeaderValue>,
}

/// Calls with the rights of one caller, in the caller's sandbox and tenant.
pub(crate) struct OnBehalf<'a> {
    kernel: &'a KernelApi,
    caller: &'a Caller,
    bearer: &'a str,
}

impl<'a> OnBehalf<'a> {
    /// The same sandbox, but in the module's own name.
    pub(crate) fn with_module_key(self, key: &'a str) -> Self {
        OnBehalf { bearer: key, ..self }
    }

    /// A page of the tenant's deals, a hundred at most.
    pub(crate) async fn deals(&self, cursor: Option<&str>) -> Result<Page<Amount>, KernelError> {
        let mut query = vec![("select", "stage,amount,currency"), ("limit", "100")];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let query =
            serde_urlencoded::to_string(query).map_err(|e| KernelError::NotUnderstood(e.to_string()))?;
        self.call(Method::GET, &format!("/api/v1/data/{SLUG}/deals?{query}"), None::<&()>, [])
            .await
            .map(|a| a.value)
    }

    pub(crate) async fn deal(&self, id: Uuid) -> Result<Answer<Deal>, KernelError> {
        let path = format!("/api/v1/data/{SLUG}/deals/{id}?select={DEAL_COLUMNS}");
        self.call(Method::GET, &path, None::<&()>, []).await
    }

    /// Moves a deal to `stage`, unless it is no longer the one `etag` was read from.
    pub(crate) async fn move_deal(
        &self,
        id: Uuid,
        stage: Stage,
        etag: Option<HeaderValue>,
    ) -> Result<Deal, KernelError> {
        let path = format!("/api/v1/data/{SLUG}/deals/{id}");
        let change = serde_json::json!({ "stage": stage });
        self.call(Method::PATCH, &path, Some(&change), etag.map(|etag| (IF_MATCH, etag)))
            .await
            .map(|a| a.value)
    }

    /// Publishes an event about the entity `key`. The same data about it is one event, however
    /// often this is called within a day: the idempotency key is made from both.
    pub(crate) async fn publish(
        &self,
        kind: &str,
        key: Uuid,
        data: &impl Serialize,
    ) -> Result<Published, KernelError> {
        let body = serde_json::json!({ "type": kind, "key": key, "data": data });
        let repeat = Uuid::new_v5(&key, body.to_string().as_bytes());
        let repeat = HeaderValue::from_str(&repeat.to_string())
            .map_err(|e| KernelError::NotUnderstood(e.to_string()))?;
        let headers = [(HeaderName::from_static("idempotency-key"), repeat)];
        self.call(Method::POST, "/api/v1/events/publish", Some(&body), headers).await.map(|a| a.value)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    ) -> Result<Answer<T>, KernelError> {
        let mut request = self.kernel.request(method, path, self.caller.issuer())?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", self.bearer))
            .map_err(|_| KernelError::NotUnderstood("a credential that fits no header".to_owned()))?;
        bearer.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, bearer);
        request.headers_mut().extend(headers);
        for (name, value) in self.caller.trace() {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        if let Some(body) = body {
            let json = serde_json::to_vec(body).map_err(|e| KernelError::NotUnderstood(e.to_string()))?;
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Full::from(json);
        }
        self.kernel.send(request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_address_is_checked_before_anything_starts() {
        assert!(KernelApi::at("http://127.0.0.1:8080").is_ok());
        assert!(KernelApi::at("http://kernel:8080/").is_ok());
        for wrong in
            ["", "localhost:8080", "https://localhost:8443", "http://a/path", "http://u:p@a", "http://a/?q"]
        {
            let said = KernelApi::at(wrong).err().map(|error| error.to_string());
            assert!(said.is_some_and(|said| said.contains("http://127.0.0.1:8080")), "{wrong:?}");
        }
    }
}

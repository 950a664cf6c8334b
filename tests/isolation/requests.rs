//! Asking, and holding answers against each other.

use axum::http::Method;
use futures::{StreamExt as _, stream};
use ports::http::Repeat;
use serde_json::Value;
use testkit::{Answer, Api};
use uuid::Uuid;

use crate::routes::Address;

/// How many requests are under way at the same time.
const AT_ONCE: usize = 8;

/// A request.
#[derive(Clone)]
pub struct Request {
    pub method: Method,
    pub path: String,
    pub body: Option<Value>,
    /// The body is no JSON.
    pub streams: bool,
    /// It is a gRPC call.
    pub rpc: bool,
    /// Money moves: without an Idempotency-Key the request would not reach its service.
    keyed: bool,
}

impl Request {
    /// For an address with its ids filled in, with what the operation needs at least.
    pub fn to<T: ToString>(address: &Address, ids: &[T]) -> Self {
        let needed = address.needed();
        Self::with_query(address, ids, &needed)
    }

    /// The same with a query.
    pub fn with_query<T: ToString>(address: &Address, ids: &[T], query: &str) -> Self {
        let path = address.filled(ids);
        let mark = if query.is_empty() { "" } else { "?" };
        Self {
            method: address.operation.method.clone(),
            path: format!("{path}{mark}{query}"),
            body: address.body.clone(),
            streams: address.operation.streams,
            rpc: address.is_rpc(),
            keyed: address.operation.repeat == Repeat::Required,
        }
    }

    /// The same with another body.
    pub fn saying(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    pub async fn send(&self, api: &Api) -> Answer {
        if self.rpc {
            return api.rpc(&self.path, self.body.as_ref().unwrap_or(&Value::Null)).await;
        }
        let key = Uuid::now_v7().to_string();
        let mut headers = Vec::new();
        if self.keyed {
            headers.push(("idempotency-key", key.as_str()));
        }
        if let Some(body) = self.body.as_ref().filter(|body| self.streams && is_form(body)) {
            return send_form(api, &self.path, body, &headers).await;
        }
        if self.streams {
            headers.push(("content-type", "application/x-ndjson"));
        }
        let body = self.body.clone().filter(|_| !self.streams);
        api.send(self.method.clone(), &self.path, body, &headers).await
    }
}

/// Whether a body is the fields of an upload: then one of them is the file.
pub fn is_form(body: &Value) -> bool {
    body.get("file").is_some_and(Value::is_string)
}

/// Posts fields as `multipart/form-data`, the file as the last one.
pub async fn send_form(api: &Api, path: &str, fields: &Value, headers: &[(&str, &str)]) -> Answer {
    const BOUNDARY: &str = "isolation";
    let mut body = String::new();
    let mut add = |name: &str, more: &str, value: &Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        body.push_str(&format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n{text}\r\n"
        ));
    };
    let fields = fields.as_object().expect("fields");
    for (name, value) in fields.iter().filter(|(name, _)| *name != "file") {
        add(name, "", value);
    }
    add("file", "; filename=\"planted.txt\"", &fields["file"]);
    body.push_str(&format!("--{BOUNDARY}--\r\n"));
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let mut request = api.raw(Method::POST, path).header("content-type", kind).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let asked = format!("POST {path} as a form");
    let response = request.send().await.unwrap_or_else(|error| panic!("{asked}: {error:?}"));
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap_or_else(|error| panic!("{asked}: {error:?}"));
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer { asked, status, headers, body, text }
}

/// Posts a body as what it is.
pub async fn post(api: &Api, path: &str, body: &Value, key: &str) -> Answer {
    let headers = [("idempotency-key", key)];
    match is_form(body) {
        true => send_form(api, path, body, &headers).await,
        false => api.send(Method::POST, path, Some(body.clone()), &headers).await,
    }
}

/// Does something with each, several at a time.
pub async fn each<T, R, F: Future<Output = R>>(
    items: impl IntoIterator<Item = T>,
    work: impl FnMut(T) -> F,
) -> Vec<R> {
    stream::iter(items.into_iter().map(work)).buffer_unordered(AT_ONCE).collect().await
}

/// An answer without what differs from request to request: what was sent is written `SENT`, times and traces go.
pub fn normal(answer: &Answer, sent: &str) -> String {
    let status = answer.status.as_u16();
    // Of a success only the status is held against another: it tells of new things with new ids.
    if answer.status.is_success() {
        return status.to_string();
    }
    let mut body = answer.body.clone();
    if let Some(members) = body.as_object_mut() {
        for own in ["traceId", "requestId", "instance"] {
            members.remove(own);
        }
    }
    format!("{status} {}", body.to_string().replace(sent, "SENT"))
}

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
        if self.streams {
            headers.push(("content-type", "application/x-ndjson"));
        }
        if self.keyed {
            headers.push(("idempotency-key", key.as_str()));
        }
        let body = self.body.clone().filter(|_| !self.streams);
        api.send(self.method.clone(), &self.path, body, &headers).await
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

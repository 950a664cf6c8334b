use std::sync::Arc;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use kernel::Error;
use schemars::JsonSchema;
use serde::Serialize;

/// An error on its way to the wire. The gateway writes the body: it knows the trace, the address and who may see what.
#[derive(Debug)]
pub struct Problem(Arc<Error>);

/// What a handler answers.
pub type Result<T> = std::result::Result<T, Problem>;

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self(Arc::new(error))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.0.slug().status().into_response();
        response.extensions_mut().insert(Failure(self.0));
        response
    }
}

/// The error behind an answer, as an extension of the response.
#[derive(Debug, Clone)]
pub struct Failure(pub Arc<Error>);

fn json(status: StatusCode, value: &impl Serialize) -> (Response, Bytes) {
    match serde_json::to_vec(value) {
        Ok(text) => {
            let text = Bytes::from(text);
            (json_bytes(status, text.clone()), text)
        }
        Err(error) => (Problem::from(Error::internal(error)).into_response(), Bytes::new()),
    }
}

/// An answer whose JSON exists already.
pub fn json_bytes(status: StatusCode, text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An ETag over a representation (strong: equal tags, equal bytes).
pub fn etag(text: &[u8]) -> HeaderValue {
    let digest = ring::digest::digest(&ring::digest::SHA256, text);
    let hex: String =
        digest.as_ref().iter().take(8).fold(String::with_capacity(18), |t, b| format!("{t}{b:02x}"));
    HeaderValue::from_str(&format!("\"{hex}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// The ETag of a resource that counts its versions; `If-Match` takes it.
pub fn version_tag(version: i32) -> HeaderValue {
    HeaderValue::from_str(&format!("\"v{version}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// One resource: 200 with an ETag.
pub struct One<T> {
    resource: T,
    version: Option<i32>,
}

impl<T> One<T> {
    /// A resource without a version of its own: its ETag is taken from its text.
    pub fn new(resource: T) -> Self {
        Self { resource, version: None }
    }

    /// A resource that counts its versions.
    pub fn versioned(resource: T, version: i32) -> Self {
        Self { resource, version: Some(version) }
    }
}

impl<T: Serialize> IntoResponse for One<T> {
    fn into_response(self) -> Response {
        let (mut response, text) = json(StatusCode::OK, &self.resource);
        let tag = self.version.map_or_else(|| etag(&text), version_tag);
        response.headers_mut().insert(header::ETAG, tag);
        response
    }
}

/// Something was made: 201.
pub struct Created<T>(pub T);

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        json(StatusCode::CREATED, &self.0).0
    }
}

/// The work goes on: 202.
pub struct Accepted<T>(pub T);

impl<T: Serialize> IntoResponse for Accepted<T> {
    fn into_response(self) -> Response {
        json(StatusCode::ACCEPTED, &self.0).0
    }
}

/// Done, and nothing to say: 204.
pub struct NoContent;

impl IntoResponse for NoContent {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

/// A page of a list.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Page<T> {
    /// The entries.
    pub data: Vec<T>,
    /// Where it goes on.
    pub meta: PageMeta,
}

/// What a page says about its list.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PageMeta {
    /// To be sent as `cursor` for the next page; null on the last one.
    pub cursor: Option<String>,
    /// Whether more follows.
    pub has_more: bool,
    /// How many entries the list has; only with `count=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
}

impl<T> Page<T> {
    /// A page from rows of which one more than `limit` was read. `cursor_of` names the place after an entry.
    pub fn cut(mut rows: Vec<T>, limit: usize, cursor_of: impl FnOnce(&T) -> String) -> Self {
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let cursor = if has_more { rows.last().map(cursor_of) } else { None };
        Self { data: rows, meta: PageMeta { cursor, has_more, total: None } }
    }

    /// The same page with entries of another form.
    pub fn map<U>(self, form: impl FnMut(T) -> U) -> Page<U> {
        Page { data: self.data.into_iter().map(form).collect(), meta: self.meta }
    }

    /// A list that is never longer than one page.
    pub fn whole(data: Vec<T>) -> Self {
        Self { data, meta: PageMeta::default() }
    }
}

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &self).0
    }
}

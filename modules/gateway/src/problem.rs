//! Errors as they stand on the wire: RFC 9457, or the status of a gRPC call.

use std::time::Duration;

use axum::{body::Body, response::IntoResponse};
use http::{HeaderValue, header};
use kernel::{Error, FieldError, RequestId, TraceContext};
use ports::http::Problem;
use serde::Serialize;

use crate::{rpc, visit::Response};

/// What the answer must know besides the error.
pub(crate) struct Scene<'a> {
    /// The address of this installation, without a slash at the end.
    pub public_url: &'a str,
    /// The path that was asked for.
    pub instance: &'a str,
    pub request: RequestId,
    pub trace: TraceContext,
    /// Whether the caller may see what is said for authors.
    pub author: bool,
    pub form: Form,
}

/// What the caller reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A document.
    Http,
    /// A status.
    Rpc {
        /// Whether the address is a method.
        known_method: bool,
    },
}

impl Scene<'_> {
    /// What the caller is told in a sentence.
    pub(crate) fn detail(&self, error: &Error) -> String {
        match error.author_detail().filter(|_| self.author) {
            Some(more) => format!("{} {more}", error.detail()),
            None => error.detail().to_owned(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: String,
    instance: &'a str,
    trace_id: String,
    request_id: RequestId,
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    errors: &'a [FieldError],
}

/// An error on its way out; the layer of problems writes it.
pub(crate) fn refuse(error: Error) -> Response {
    Problem::from(error).into_response()
}

/// The answer for an error.
pub(crate) fn render(scene: &Scene<'_>, error: &Error) -> Response {
    if let Form::Rpc { known_method } = scene.form {
        return rpc::render(scene, error, known_method);
    }
    let entry = error.slug().entry();
    let document = Document {
        kind: format!("{}/problems/{}", scene.public_url, entry.slug),
        title: entry.title,
        status: entry.status,
        detail: scene.detail(error),
        instance: scene.instance,
        trace_id: scene.trace.trace_id_text(),
        request_id: scene.request,
        errors: error.field_errors(),
    };
    // Strings and numbers only: nothing in it can fail to be written.
    let mut response = Response::new(Body::from(serde_json::to_vec(&document).unwrap_or_default()));
    *response.status_mut() = error.slug().status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(wait) = error.retry_after_hint() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
    }
    if entry.status == 401 {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Rounded up: who comes back exactly then must not be early.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use kernel::{FieldCode, Slug};

    use super::*;

    async fn rendered(error: &Error, author: bool) -> (Response, serde_json::Value) {
        let scene = Scene {
            public_url: "https://api.example.com",
            instance: "/api/v1/wallets",
            request: RequestId::new(),
            trace: TraceContext { trace_id: 0xabc, span_id: 1 },
            author,
            form: Form::Http,
        };
        let (head, body) = render(&scene, error).into_parts();
        let body = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
        (Response::from_parts(head, Body::empty()), body)
    }

    #[tokio::test]
    async fn a_problem_names_its_type_place_and_trace() {
        let error = Error::field("/amount", FieldCode::OutOfRange, "must be at least 1");
        let (response, body) = rendered(&error, false).await;
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(body["type"], "https://api.example.com/problems/validation-error");
        assert_eq!(body["status"], 400);
        assert_eq!(body["instance"], "/api/v1/wallets");
        assert_eq!(body["traceId"], "00000000000000000000000000000abc");
        assert_eq!(body["errors"][0]["field"], "/amount");
        assert_eq!(body["errors"][0]["code"], "OUT_OF_RANGE");
        assert_eq!(body["title"], Slug::ValidationError.entry().title);
    }

    #[tokio::test]
    async fn authors_read_more_and_causes_reach_nobody() {
        let error = Error::new(Slug::DependencyUnavailable, "The other end can't be reached.")
            .for_author("127.0.0.1:8095 refused the connection")
            .because(std::io::Error::other("secret of the log"));
        let (response, body) = rendered(&error, false).await;
        assert_eq!(body["detail"], "The other end can't be reached.");
        assert!(body.get("errors").is_none());
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        let (_, body) = rendered(&error, true).await;
        assert!(body["detail"].as_str().unwrap().contains("8095"));
        assert!(!body.to_string().contains("secret of the log"));
    }

    #[test]
    fn a_wait_is_rounded_up() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(60)), 60);
        assert_eq!(whole_seconds(Duration::from_millis(59_001)), 60);
    }
}

//! Is the process alive, is it ready, and how are its parts? The first two ask nobody.

use axum::body::Body;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use kernel::{Error, Result, Slug};
use ports::http::json_bytes;
use serde_json::json;

use super::{Front, host};
use crate::{
    door::Secure,
    operator::{KEY_PREFIX, Presented, presented},
    origin,
};

/// What a question about the process comes to.
pub(super) enum Question {
    /// It is answered.
    Answered(Response<Body>),
    /// The operator asks for the tree of parts.
    Tree,
}

/// Whether a request asks about the process; none for any other address.
pub(super) fn asked(front: &Front, request: &Request<Body>) -> Option<Result<Question>> {
    let path = request.uri().path();
    if !matches!(path, "/live" | "/health/live" | "/ready" | "/health/ready" | "/health") {
        return None;
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Some(Ok(Question::Answered(other_method())));
    }
    Some(match path {
        "/live" | "/health/live" => {
            Ok(Question::Answered(state(StatusCode::OK, &json!({ "status": "live" }))))
        }
        "/ready" | "/health/ready" => Ok(Question::Answered(ready(front))),
        _ => is_operator(front, request).map(|()| Question::Tree),
    })
}

/// The tree of parts.
pub(super) async fn tree(front: &Front) -> Response<Body> {
    state(StatusCode::OK, &front.cells.health().await)
}

fn ready(front: &Front) -> Response<Body> {
    match front.readiness.now() {
        Ok(()) => state(StatusCode::OK, &json!({ "status": "ready" })),
        Err(reason) => {
            let body = json!({ "status": "not_ready", "reason": reason });
            let mut response = state(StatusCode::SERVICE_UNAVAILABLE, &body);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
    }
}

fn state(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut response = json_bytes(status, body.to_string());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn other_method() -> Response<Body> {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

fn is_operator(front: &Front, request: &Request<Body>) -> Result<()> {
    let gate = &front.operator;
    match presented(request.headers(), gate.cookie_name()) {
        Presented::Bearer(key) if key.starts_with(KEY_PREFIX) && gate.verify_key(key) => Ok(()),
        Presented::Session(cookie) if gate.verify_session(cookie) => {
            let authority = host::authority_of(request).unwrap_or("");
            let https = request.extensions().get::<Secure>().is_some_and(|secure| secure.0);
            // A name that another's DNS points here must not be taken for our own.
            let ours = front.cells.sandbox_of_host(authority) != super::HostVerdict::Unknown;
            let url = &front.settings.public_url;
            if ours && origin::cookie_may_count(request.method(), request.headers(), https, authority, url) {
                return Ok(());
            }
            Err(Error::new(
                Slug::OriginNotAllowed,
                "The operator's session counts for the console's own pages only.",
            ))
        }
        _ => Err(Error::new(Slug::Unauthorized, "The operator key is needed.")),
    }
}

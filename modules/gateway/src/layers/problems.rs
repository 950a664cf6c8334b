use axum::body::Body;
use http::{HeaderValue, StatusCode, header};
use kernel::{Error, Slug};
use ports::http::{Failure, json_bytes};

use super::Step;
use crate::{
    problem,
    visit::{Response, Visit},
};

/// Writes errors as problems, sends stored answers again, and logs each fault once.
#[derive(Clone, Copy)]
pub(crate) struct Problems;

impl Step for Problems {
    fn leave(self, visit: &Visit, mut response: Response) -> Response {
        if let Some(Failure(error)) = response.extensions_mut().remove::<Failure>() {
            if let Some(answer) = error.replayed_answer().filter(|_| !visit.rpc) {
                return replayed(visit, answer.clone());
            }
            log(visit, &error);
            return with_headers_of(response, problem::render(&visit.scene(), &error));
        }
        if response.status().is_server_error() {
            log_status(visit, response.status());
        }
        response
    }
}

/// The first answer to this request, once more.
fn replayed(visit: &Visit, answer: impl Into<Body>) -> Response {
    let status = visit.entry().and_then(|entry| StatusCode::from_u16(entry.operation.answer.0).ok());
    let mut response = json_bytes(status.unwrap_or(StatusCode::OK), answer);
    response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    response
}

/// Keeps what a layer said beside the error (`Allow`, `Vary`), but not what described its empty body.
fn with_headers_of(refused: Response, mut problem: Response) -> Response {
    for (name, value) in refused.headers() {
        let of_the_body =
            name == header::CONTENT_LENGTH || name == header::CONTENT_TYPE || name == header::ETAG;
        if !of_the_body && !problem.headers().contains_key(name) {
            problem.headers_mut().insert(name.clone(), value.clone());
        }
    }
    problem
}

/// One line for each fault. A refusal that has a cause is worth a line too: the caller learns nothing of it.
fn log(visit: &Visit, error: &Error) {
    macro_rules! line {
        ($level:ident) => {{
            let identity = visit.identity();
            tracing::$level!(
                service = visit.entry().map_or("gateway", |entry| entry.operation.service),
                sandbox = %visit.core.sandbox,
                request_id = %identity.request,
                trace_id = %identity.trace.trace_id_text(),
                method = visit.method.as_str(),
                route = visit.route(),
                problem = error.slug().name(),
                cause = %error.causes(),
                "{}",
                error.detail()
            );
        }};
    }
    match error.slug() {
        Slug::Internal | Slug::UpstreamFailed => line!(error),
        slug if slug.status().is_server_error() => line!(warn),
        _ if !error.causes().is_empty() => line!(info),
        _ => {}
    }
}

fn log_status(visit: &Visit, status: StatusCode) {
    let identity = visit.identity();
    tracing::warn!(
        service = visit.entry().map_or("gateway", |entry| entry.operation.service),
        sandbox = %visit.core.sandbox,
        request_id = %identity.request,
        trace_id = %identity.trace.trace_id_text(),
        method = visit.method.as_str(),
        route = visit.route(),
        status = status.as_u16(),
        "answered with a fault of its own making"
    );
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::{
        credentials::Known,
        layers::through,
        problem::refuse,
        tests::{gateway, json},
    };

    #[tokio::test]
    async fn an_error_becomes_a_problem_and_keeps_its_headers() {
        let arrival = gateway().await.found(http::Request::get("/api/v1/things/1"));
        let response = through(Problems, arrival, |_| {
            let mut response = refuse(Error::new(Slug::MethodNotAllowed, "Not this one."));
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
            response
        })
        .await;
        assert_eq!(
            (response.status(), &response.headers()[header::ALLOW]),
            (StatusCode::METHOD_NOT_ALLOWED, &"GET".parse().unwrap())
        );
        assert!(!response.headers().contains_key(header::CONTENT_LENGTH));
        assert_eq!(json(response).await["detail"], "Not this one.");
    }

    #[tokio::test]
    async fn a_repeated_request_gets_the_first_answer_with_the_status_of_success() {
        let arrival = gateway().await.found(http::Request::post("/api/v1/things"));
        let response =
            through(Problems, arrival, |_| refuse(Error::replay(Bytes::from_static(b"{\"id\":7}")))).await;
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers()["idempotent-replayed"], "true");
        assert_eq!(json(response).await["id"], 7);
    }

    #[tokio::test]
    async fn only_authors_read_what_is_said_for_them() {
        let failing =
            |_| refuse(Error::new(Slug::DependencyUnavailable, "Down.").for_author("at 127.0.0.1:9"));
        let kernel = gateway().await;
        let arrival = kernel.found(http::Request::get("/api/v1/things/1"));
        assert!(!json(through(Problems, arrival, failing).await).await.to_string().contains("127.0.0.1"));
        let arrival = kernel.found(http::Request::get("/api/v1/things/1"));
        arrival.visit.known.get_or_init(|| Arc::new(Known::operator()));
        assert!(json(through(Problems, arrival, failing).await).await.to_string().contains("127.0.0.1"));
    }
}

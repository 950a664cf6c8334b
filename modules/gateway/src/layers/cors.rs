use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use kernel::{Error, Slug};

use super::{Onward, Step};
use crate::{
    origin,
    problem::refuse,
    visit::{Arrival, Response},
};

/// Headers that pages may send.
const HEADERS: &str =
    "authorization, content-type, idempotency-key, if-match, x-request-id, x-kernel-sandbox, traceparent";
/// Headers of answers that pages may read.
const EXPOSED: &str = "etag, retry-after, x-request-id, idempotent-replayed, ratelimit-limit, ratelimit-remaining, ratelimit-reset, deprecation, sunset";
/// How long a browser keeps the answer to a preflight, in seconds.
const MAX_AGE: &str = "600";

/// Tells browsers what pages of other origins may do. Only our own origin is allowed so far: a page of another one
/// gets its preflight refused, and can't read what it asked for without one.
#[derive(Clone, Copy)]
pub(crate) struct Cors;

impl Step for Cors {
    async fn take(self, arrival: Arrival, onward: impl Onward) -> Response {
        let visit = &arrival.visit;
        let origin = arrival.request.headers().get(header::ORIGIN).cloned();
        let allowed = origin.filter(|origin| {
            let settings = &visit.core.settings;
            origin.to_str().is_ok_and(|text| {
                origin::is_own(text, visit.origin().https, visit.authority(), &settings.public_url)
            })
        });
        if *arrival.request.method() == Method::OPTIONS {
            return options(&arrival, allowed);
        }
        let mut response = onward.go(arrival).await;
        if let Some(origin) = allowed {
            let headers = response.headers_mut();
            allow(headers, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        }
        response
    }
}

/// Answers OPTIONS: a preflight (Fetch §4.8), or a question about the address.
fn options(arrival: &Arrival, allowed: Option<HeaderValue>) -> Response {
    let asks = arrival.request.headers();
    let preflight =
        asks.contains_key(header::ORIGIN) && asks.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let methods = arrival.visit.matched().map(|matched| matched.allow.clone());
    let mut response = match (preflight, allowed) {
        (true, None) => refuse(Error::new(
            Slug::OriginNotAllowed,
            "Pages of this origin may not call here; call from a page of the tenant's own domains, or from a program.",
        )),
        (true, Some(origin)) => {
            let mut response = Response::default();
            let headers = response.headers_mut();
            allow(headers, origin);
            if let Some(methods) = &methods {
                headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods.clone());
            }
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        (false, _) => {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
    };
    if let Some(methods) = methods {
        response.headers_mut().insert(header::ALLOW, methods);
    }
    response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
    response
}

fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{layers::through, tests::gateway, visit::AskedHost};

    async fn asked(method: Method, pairs: &[(&str, &str)]) -> Response {
        let mut request = http::Request::builder().method(method).uri("/api/v1/things");
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        let arrival = gateway().await.found(request);
        let authority = Some("localhost:8080".into());
        arrival.visit.host.get_or_init(|| AskedHost { authority, ..AskedHost::default() });
        through(Cors, arrival, |_| Response::default()).await
    }

    const OWN: (&str, &str) = ("origin", "http://localhost:8080");
    const FOREIGN: (&str, &str) = ("origin", "https://evil.example");
    const ASKS: (&str, &str) = ("access-control-request-method", "POST");

    #[tokio::test]
    async fn a_preflight_is_answered_for_our_own_origin_only() {
        let response = asked(Method::OPTIONS, &[OWN, ASKS]).await;
        assert_eq!(response.status(), 204);
        assert_eq!(response.headers()["access-control-allow-origin"], OWN.1);
        assert_eq!(response.headers()["access-control-allow-methods"], "GET, HEAD, POST, OPTIONS");
        assert!(!response.headers().contains_key("access-control-allow-credentials"));
        let response = asked(Method::OPTIONS, &[FOREIGN, ASKS]).await;
        assert_eq!(response.status(), 403);
        assert!(!response.headers().contains_key("access-control-allow-origin"));
        assert_eq!(response.headers()["vary"], "origin");
    }

    #[tokio::test]
    async fn a_foreign_page_can_not_read_the_answer() {
        let response = asked(Method::POST, &[FOREIGN]).await;
        assert!(!response.headers().contains_key("access-control-allow-origin"));
        let response = asked(Method::POST, &[OWN]).await;
        assert_eq!(response.headers()["access-control-allow-origin"], OWN.1);
        assert!(response.headers().contains_key("access-control-expose-headers"));
    }

    #[tokio::test]
    async fn a_question_that_no_page_asks_is_told_the_methods() {
        let response = asked(Method::OPTIONS, &[ASKS]).await;
        assert_eq!(
            (response.status(), &response.headers()["allow"]),
            (StatusCode::NO_CONTENT, &"GET, HEAD, POST, OPTIONS".parse().unwrap())
        );
    }
}

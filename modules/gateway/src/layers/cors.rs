use std::ops::ControlFlow;

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use kernel::{Error, Slug};

use super::Step;
use crate::{
    front::host::{Meaning, bare, meaning},
    origin,
    problem::refuse,
    visit::{AllowedOrigin, Arrival, Response, Visit},
};

/// Headers that pages may send.
const HEADERS: &str =
    "authorization, content-type, idempotency-key, if-match, x-request-id, x-kernel-sandbox, traceparent";
/// Headers of answers that pages may read.
const EXPOSED: &str = "etag, retry-after, x-request-id, idempotent-replayed, ratelimit-limit, ratelimit-remaining, ratelimit-reset, deprecation, sunset";
/// How long a browser keeps the answer to a preflight, in seconds.
const MAX_AGE: &str = "600";

/// Tells browsers what pages of other origins may do. Our own origin is allowed, and those of verified domains: a
/// tenant's own pages may call as its users. A page of another origin gets its preflight refused, and can't read what it
/// asked for without one.
#[derive(Clone, Copy)]
pub(crate) struct Cors;

impl Step for Cors {
    async fn enter(self, arrival: &mut Arrival) -> ControlFlow<Response> {
        let visit = &arrival.visit;
        let origin = arrival.request.headers().get(header::ORIGIN).cloned();
        let allowed = match origin {
            Some(origin) => allowed(visit, origin).await,
            None => None,
        };
        if *arrival.request.method() == Method::OPTIONS {
            return ControlFlow::Break(options(arrival, allowed.map(|allowed| allowed.origin)));
        }
        if let Some(allowed) = allowed {
            visit.page.get_or_init(|| allowed);
        }
        ControlFlow::Continue(())
    }

    fn leave(self, visit: &Visit, mut response: Response) -> Response {
        // The preflight had no credential: only now is it known whose request it was.
        let caller = visit.known.get().and_then(|known| known.caller.tenant);
        let of_them =
            |page: &&AllowedOrigin| page.tenant.is_none() || caller.is_none() || caller == page.tenant;
        if let Some(page) = visit.page.get().filter(of_them) {
            let headers = response.headers_mut();
            allow(headers, page.origin.clone());
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        }
        response
    }
}

/// Whether a page of this origin may call what was asked for.
async fn allowed(visit: &Visit, origin: HeaderValue) -> Option<AllowedOrigin> {
    let text = origin.to_str().ok()?;
    if origin::is_own(text, visit.origin().https, visit.authority(), &visit.core.settings.public_url) {
        return Some(AllowedOrigin { origin, tenant: None });
    }
    let uri: Uri = text.parse().ok()?;
    // A page that came unencrypted may be anybody's.
    if uri.scheme_str() != Some("https") {
        return None;
    }
    let name = bare(uri.authority()?.as_str())?;
    if meaning(&name) != Meaning::Name {
        return None;
    }
    let asked = visit.core.domains.tenant_of_host(&visit.asking(), name.into_owned()).await;
    let tenant = asked.ok().flatten()?;
    let host = visit.host.get().and_then(|host| host.tenant);
    host.is_none_or(|host| host == tenant).then_some(AllowedOrigin { origin, tenant: Some(tenant) })
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
    use std::sync::Arc;

    use kernel::Caller;

    use super::*;
    use crate::{credentials::Known, layers::through, tests::gateway, visit::AskedHost};

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
    async fn a_page_of_a_verified_domain_may_call_for_its_tenant() {
        let domain = ("origin", "https://shop.example:8443");
        let response = asked(Method::OPTIONS, &[domain, ASKS]).await;
        assert_eq!(
            (response.status(), &response.headers()["access-control-allow-origin"]),
            (StatusCode::NO_CONTENT, &domain.1.parse().unwrap())
        );
        // A stranger, who signs in.
        let response = asked(Method::POST, &[domain]).await;
        assert_eq!(response.headers()["access-control-allow-origin"], domain.1);
        for foreign in [
            "http://shop.example",
            "https://api.example.com",
            "https://other.example",
            "https://blue.acme.localhost",
            "https://127.0.0.1",
            "null",
        ] {
            let response = asked(Method::OPTIONS, &[("origin", foreign), ASKS]).await;
            assert_eq!(response.status(), 403, "{foreign}");
        }
    }

    #[tokio::test]
    async fn a_page_of_one_tenant_reads_nothing_of_another() {
        let kernel = gateway().await;
        for (tenant, told) in [(kernel.stubs.blue, true), (kernel.stubs.red, false)] {
            let request = http::Request::get("/api/v1/things").header("origin", "https://shop.example");
            let arrival = kernel.found(request);
            let response = through(Cors, arrival, move |arrival| {
                let caller = Caller { tenant: Some(tenant), ..Caller::stranger() };
                arrival.visit.known.get_or_init(|| Arc::new(Known { caller, ..Known::stranger() }));
                Response::default()
            });
            assert_eq!(response.await.headers().contains_key("access-control-allow-origin"), told);
            let arrival =
                kernel.found(http::Request::get("/api/v1/things").header("origin", "https://shop.example"));
            arrival.visit.host.get_or_init(|| AskedHost { tenant: Some(tenant), ..AskedHost::default() });
            let response = through(Cors, arrival, |_| Response::default()).await;
            assert_eq!(response.headers().contains_key("access-control-allow-origin"), told);
        }
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

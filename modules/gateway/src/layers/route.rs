use std::ops::ControlFlow;

use http::{HeaderValue, Method, Uri, header, uri::PathAndQuery};
use kernel::{Error, Slug};

use super::Step;
use crate::{
    console,
    problem::refuse,
    table::Found,
    visit::{Arrival, Response},
};

/// Finds the operation. `/v1` is `/api/v1` under a second name; from here on there is only the first.
#[derive(Clone, Copy)]
pub(crate) struct Route;

impl Step for Route {
    async fn enter(self, arrival: &mut Arrival) -> ControlFlow<Response> {
        if let Some(uri) = first_name(arrival.request.uri()) {
            *arrival.request.uri_mut() = uri;
        }
        let Arrival { request, visit, .. } = &*arrival;
        let is_question = *request.method() == Method::OPTIONS;
        let asked = match request.method() {
            &Method::OPTIONS => request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD),
            _ => None,
        };
        // A preflight asks about the request that is to follow.
        let method = asked.and_then(|method| Method::from_bytes(method.as_bytes()).ok());
        let method = method.as_ref().unwrap_or(request.method());
        let mut deep_link = false;
        let found = visit.found.get_or_init(|| match visit.core.table.find(method, request.uri().path()) {
            Found::Nothing if console::is_page(request) => {
                deep_link = true;
                visit.core.table.find(method, console::PAGE)
            }
            found => found,
        });
        match found {
            Found::Operation(_) if deep_link => {
                *arrival.request.uri_mut() = Uri::from_static(console::PAGE);
                ControlFlow::Continue(())
            }
            Found::Operation(_) => ControlFlow::Continue(()),
            Found::OtherMethods(allow) if is_question => ControlFlow::Break(options(allow)),
            Found::OtherMethods(allow) => {
                let detail = format!("This address takes {}.", allow.to_str().unwrap_or("other methods"));
                let mut response = refuse(Error::new(Slug::MethodNotAllowed, detail));
                response.headers_mut().insert(header::ALLOW, allow.clone());
                ControlFlow::Break(response)
            }
            Found::Nothing => ControlFlow::Break(refuse(Error::not_found("address"))),
        }
    }
}

/// The answer to a plain OPTIONS: what the address takes (RFC 9110 §9.3.7).
fn options(allow: &HeaderValue) -> Response {
    let mut response = Response::default();
    *response.status_mut() = http::StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::ALLOW, allow.clone());
    response
}

/// The address under its first name, if it came under the second.
fn first_name(uri: &Uri) -> Option<Uri> {
    let path = uri.path_and_query()?;
    let rest = path.as_str().strip_prefix("/v1").filter(|rest| rest.starts_with(['/', '?']))?;
    let path: PathAndQuery = format!("{}{rest}", ports::http::BASE).parse().ok()?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{layers::through, tests::gateway};

    #[tokio::test]
    async fn the_second_name_leads_to_the_same_operation() {
        let arrival = gateway().await.arrival(http::Request::get("/v1/things/1?a=b"));
        let response = through(Route, arrival, |arrival| {
            assert_eq!(arrival.request.uri(), "/api/v1/things/1?a=b");
            assert_eq!(arrival.visit.route(), "/api/v1/things/{id}");
            Response::default()
        });
        assert_eq!(response.await.status(), 200);
        assert!(first_name(&"/v10/things".parse().unwrap()).is_none());
    }

    #[tokio::test]
    async fn a_browser_at_an_unknown_address_gets_the_console() {
        let kernel = gateway().await;
        let opened = http::Request::get("/wallets/7?tab=holds").header("accept", "text/html");
        let response = through(Route, kernel.arrival(opened), |arrival| {
            assert_eq!(arrival.request.uri(), "/");
            assert_eq!(arrival.visit.entry().unwrap().operation.id, "getConsolePage");
            Response::default()
        });
        assert_eq!(response.await.status(), 200);
        let api = http::Request::get("/api/v1/nowhere").header("accept", "text/html");
        let response =
            through(Route, kernel.arrival(api), |_| unreachable!("the API has no such page")).await;
        assert_eq!(response.status(), 404);
    }

    #[tokio::test]
    async fn an_address_without_that_method_tells_which_it_takes() {
        let kernel = gateway().await;
        for (method, status) in [("PUT", 405), ("DELETE", 405), ("OPTIONS", 204), ("BREW", 405)] {
            let request = http::Request::builder().method(method).uri("/api/v1/things/1");
            let response =
                through(Route, kernel.arrival(request), |_| unreachable!("it is not passed on")).await;
            assert_eq!(response.status(), status, "{method}");
            assert_eq!(response.headers()[header::ALLOW], "GET, HEAD, OPTIONS");
        }
        let response =
            through(Route, kernel.arrival(http::Request::get("/api/v1/nowhere")), |_| unreachable!()).await;
        assert_eq!(response.status(), 404);
    }

    #[tokio::test]
    async fn a_preflight_is_looked_up_by_what_it_asks_for() {
        let request =
            http::Request::options("/api/v1/things").header("access-control-request-method", "POST");
        let arrival = gateway().await.arrival(request);
        let visit = Arc::clone(&arrival.visit);
        through(Route, arrival, |_| Response::default()).await;
        assert_eq!(visit.entry().unwrap().operation.id, "createThing");
    }
}

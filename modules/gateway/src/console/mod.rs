//! The console: its page, its files, and what it has to know before anybody has signed in.
//!
//! The files are those of `web/dist`, as the build of `web/` left them; a binary that was built without says so on the
//! page. Whatever address a browser opens that the operation table does not know is the console's own affair: it gets
//! the page, and the page's router finds out (see [`is_page`]).

mod facts;
mod files;

use http::{HeaderMap, Method, Request};
use ports::http::{Access, Operation, Routes};

pub use facts::{DemoPerson, DemoSignIn};

use crate::pages::{Desk, wants_html};

/// The address of the page; deep links are served as if they were this one.
pub(crate) const PAGE: &str = "/";

/// First parts of addresses that never are the console's: who asks there wants an answer of the API.
const OTHERS: [&str; 10] =
    ["api", "v1", "ofrep", ".well-known", "health", "live", "ready", "metrics", "problems", "console"];

/// Whether a request for an address that nobody knows is a browser that opens a page of the console.
pub(crate) fn is_page<B>(request: &Request<B>) -> bool {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let first = request.uri().path().trim_start_matches('/').split('/').next().unwrap_or("");
    reads && !OTHERS.contains(&first) && wants_html(request.headers())
}

/// Whether a client takes Brotli (RFC 9110 §12.5.3).
fn takes_brotli(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(http::header::ACCEPT_ENCODING).iter();
    accepted.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|one| {
        let mut parts = one.split(';').map(str::trim);
        parts.next() == Some("br") && parts.all(|part| part != "q=0" && part != "q=0.0")
    })
}

/// Adds the console's operations.
pub(crate) fn add(routes: Routes<Desk>) -> Routes<Desk> {
    routes
        .add(Operation::protocol(PAGE, "getConsolePage", Access::Public).summary("The console"), files::page)
        .add(
            Operation::protocol("/console/{*file}", "getConsoleFile", Access::Public)
                .summary("A file of the console; its name changes with its content"),
            files::file,
        )
        .add(
            Operation::get("/console", "getConsole", Access::Public)
                .summary("What the console knows before anybody has signed in")
                .answer::<facts::ConsoleOut>(200),
            facts::get,
        )
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};

    use super::*;

    fn request(method: Method, path: &str, accept: &'static str) -> Request<()> {
        let request = Request::builder().method(method).uri(path).header(header::ACCEPT, accept);
        request.body(()).unwrap()
    }

    #[test]
    fn an_unknown_address_is_a_page_for_browsers_only() {
        const BROWSER: &str = "text/html,application/xhtml+xml,*/*;q=0.8";
        for path in ["/wallets", "/data/crm/contacts", "/sign-in", "/apiary"] {
            assert!(is_page(&request(Method::GET, path, BROWSER)), "{path}");
            assert!(!is_page(&request(Method::GET, path, "application/json")), "{path} for a program");
            assert!(!is_page(&request(Method::POST, path, BROWSER)), "{path} with POST");
        }
        for path in ["/api/v1/nothing", "/v1/nothing", "/console/gone.js", "/problems/none", "/.well-known/x"]
        {
            assert!(!is_page(&request(Method::GET, path, BROWSER)), "{path}");
        }
    }

    #[test]
    fn brotli_is_sent_to_those_who_take_it() {
        let takes = |text: &'static str| {
            takes_brotli(&[(header::ACCEPT_ENCODING, HeaderValue::from_static(text))].into_iter().collect())
        };
        assert!(takes("gzip, deflate, br, zstd") && takes("br") && takes("gzip;q=0.5, br;q=1"));
        assert!(!takes("gzip") && !takes("br;q=0") && !takes("brr"));
    }
}

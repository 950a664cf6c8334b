//! The gateway's own operations: the API's description, its reference, the catalogue of problems, metrics and links.

mod docs;
mod html;
mod openapi;
mod problems;

use std::sync::{Arc, OnceLock, Weak};

use axum::{body::Body, response::IntoResponse};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use kernel::{Error, problem::Entry};
use ports::{
    http::{Access, Operation, Page, Path, Result, Routes, ServiceRoutes, State, etag},
    link::LinkStats,
};

use crate::{console, core::Core, metrics::link_series, visit::Response};

pub(crate) use html::{is_wanted as wants_html, page as plain_page};

/// The operation that programs of this machine may call without a key.
pub(crate) const METRICS_ID: &str = "getMetrics";

/// What the pages are made from; the gateway is put in when it is complete.
#[derive(Clone, Default)]
pub(crate) struct Desk(Arc<Content>);

#[derive(Default)]
struct Content {
    core: OnceLock<Weak<Core>>,
    openapi: OnceLock<Document>,
}

/// A text that stays the same, with its tag.
struct Document {
    text: Bytes,
    tag: HeaderValue,
}

impl Desk {
    /// Says which gateway the pages tell about.
    pub(crate) fn open(&self, core: &Arc<Core>) {
        self.0.core.get_or_init(|| Arc::downgrade(core));
    }

    pub(crate) fn core(&self) -> Result<Arc<Core>> {
        let core = self.0.core.get().and_then(Weak::upgrade);
        core.ok_or_else(|| Error::internal("a page was asked for without a gateway").into())
    }
}

/// The table of the pages.
pub(crate) fn routes(desk: Desk) -> ServiceRoutes {
    console::add(Routes::new("gateway", desk))
        .add(
            Operation::protocol("/openapi.json", "getOpenApi", Access::Public)
                .summary("The description of this API (OpenAPI 3.1)")
                .answer::<serde_json::Value>(200),
            get_openapi,
        )
        .add(
            Operation::protocol("/docs", "getDocs", Access::Public)
                .summary("The reference of this API, with a form to try each operation"),
            get_docs,
        )
        .add(
            Operation::protocol("/problems", "listProblems", Access::Public)
                .summary("Every kind of problem, with cause and remedy")
                .lists::<Entry>(),
            list_problems,
        )
        .add(
            Operation::protocol("/problems/{slug}", "getProblem", Access::Public)
                .summary("One kind of problem, with cause and remedy: where the `type` of a problem leads to")
                .answer::<Entry>(200),
            get_problem,
        )
        .add(
            Operation::protocol("/metrics", METRICS_ID, Access::Operator)
                .summary("All counters in the text format of Prometheus; also for programs of this machine"),
            get_metrics,
        )
        .add(
            Operation::get("/health/links", "listLinks", Access::Operator)
                .summary("How each link between services is doing")
                .lists::<LinkStats>(),
            list_links,
        )
        .finish()
}

async fn get_openapi(State(desk): State<Desk>, headers: HeaderMap) -> Result<Response> {
    let core = desk.core()?;
    let document = desk.0.openapi.get_or_init(|| {
        let text = Bytes::from(openapi::document(&core).to_string());
        Document { tag: etag(&text), text }
    });
    Ok(tagged(document, "application/json", &headers))
}

async fn get_docs(headers: HeaderMap) -> Response {
    static PAGE: OnceLock<(Document, HeaderValue)> = OnceLock::new();
    let (document, policy) = PAGE.get_or_init(|| {
        let (text, policy) = docs::page();
        let text = Bytes::from(text);
        (Document { tag: etag(&text), text }, policy)
    });
    let mut response = tagged(document, "text/html; charset=utf-8", &headers);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy.clone());
    response
}

async fn list_problems(headers: HeaderMap) -> Response {
    match html::is_wanted(&headers) {
        true => problems::list(),
        false => Page::whole(kernel::Slug::ALL.iter().map(|slug| slug.entry()).collect()).into_response(),
    }
}

async fn get_problem(Path(slug): Path<String>, headers: HeaderMap) -> Result<Response> {
    let entry = kernel::Slug::find(&slug).ok_or_else(|| Error::not_found("kind of problem"))?.entry();
    Ok(match html::is_wanted(&headers) {
        true => problems::one(entry),
        false => ports::http::One::new(entry).into_response(),
    })
}

async fn get_metrics(State(desk): State<Desk>) -> Result<Response> {
    let core = desk.core()?;
    let text = core.metrics.text(|out| {
        link_series(out, core.sandbox.as_str(), &core.link_stats());
        core.flag_uses.write(out, core.sandbox.as_str());
        for (module, state) in core.backends.breakers() {
            let labels = [("sandbox", core.sandbox.as_str()), ("upstream", module.as_str())];
            let help = "Breaker of a module's back-end: 0 closed, 1 probing, 2 open.";
            out.gauge("circuit_breaker_state", help, &labels, f64::from(state));
        }
    });
    Ok(answer(Bytes::from(text), "text/plain; version=0.0.4; charset=utf-8"))
}

async fn list_links(State(desk): State<Desk>) -> Result<Page<LinkStats>> {
    Ok(Page::whole(desk.core()?.link_stats()))
}

/// A document, unless the client has it already.
fn tagged(document: &Document, kind: &'static str, headers: &HeaderMap) -> Response {
    let mut response = match headers.get(header::IF_NONE_MATCH) == Some(&document.tag) {
        true => {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        false => answer(document.text.clone(), kind),
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, document.tag.clone());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn answer(text: Bytes, kind: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

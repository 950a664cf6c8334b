//! The sandbox verbs over HTTP. They belong to the operator of the process: no token of a sandbox reaches them.

use std::sync::{Arc, Weak};

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use kernel::{Error, FieldCode, SandboxName, Slug};
use ports::http::{
    Access, Body, Created, Cx, NoContent, One, Operation, Page, Path, Query, Result, Routes, ServiceRoutes,
    State, page_size,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tracing::Instrument as _;

use crate::{
    estate::Estate,
    verbs::{Create, SandboxOut},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ForkIn {
    /// The new sandbox's name.
    name: String,
    /// When it deletes itself, from now, in seconds.
    expires_in_seconds: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ExpireIn {
    /// From now, in seconds; null: never.
    expires_in_seconds: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListIn {
    /// 1 to 100; 20 unless said.
    limit: Option<u16>,
    /// The last name of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OpenIn {
    token: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct UrlOut {
    url: String,
}

type Held = Weak<Estate>;

/// The operations; they hold the estate weakly, because it holds them.
pub(crate) fn routes(estate: &Arc<Estate>) -> ServiceRoutes {
    use Slug::{AlreadyExists, Draining, InvalidState, NotFound, ValidationError};
    Routes::new("sandbox", Arc::downgrade(estate))
        .add(
            Operation::get("/sandboxes", "listSandboxes", Access::Operator)
                .summary("List the sandboxes")
                .query::<ListIn>()
                .lists::<SandboxOut>(),
            list,
        )
        .add(
            Operation::post("/sandboxes", "createSandbox", Access::Operator)
                .summary("Make a sandbox from a template")
                .body::<Create>()
                .example(r#"{"name":"acme","template":"demo"}"#)
                .answer::<SandboxOut>(201)
                .problems(&[AlreadyExists, ValidationError, Draining]),
            create,
        )
        .add(
            Operation::get("/sandboxes/{name}", "getSandbox", Access::Operator)
                .summary("Show a sandbox")
                .answer::<SandboxOut>(200),
            show,
        )
        .add(
            Operation::delete("/sandboxes/{name}", "deleteSandbox", Access::Operator)
                .summary("Delete a sandbox; nothing of it remains"),
            delete,
        )
        .add(
            Operation::post("/sandboxes/{name}/reset", "resetSandbox", Access::Operator)
                .summary("Back to the template it was made from")
                .answer::<SandboxOut>(200)
                .problems(&[Draining]),
            reset,
        )
        .add(
            Operation::post("/sandboxes/{name}/fork", "forkSandbox", Access::Operator)
                .summary("Copy a sandbox as it is now, without its secrets")
                .body::<ForkIn>()
                .example(r#"{"name":"try-out"}"#)
                .answer::<SandboxOut>(201)
                .problems(&[AlreadyExists, ValidationError, Draining]),
            fork,
        )
        .add(
            Operation::post("/sandboxes/{name}/expire", "expireSandbox", Access::Operator)
                .summary("Say when a sandbox deletes itself")
                .body::<ExpireIn>()
                .example(r#"{"expiresInSeconds":86400}"#)
                .answer::<SandboxOut>(200)
                .problems(&[InvalidState]),
            expire,
        )
        .add(
            Operation::post("/sandboxes/{name}/psql-url", "sandboxPsqlUrl", Access::Operator)
                .summary("An address for psql that can only read")
                .answer::<UrlOut>(200)
                .problems(&[NotFound])
                .harmless(),
            psql_url,
        )
        .add(
            Operation::post("/operator/links", "createOperatorLink", Access::Operator)
                .summary("A single-use link that signs a browser in as the operator")
                .answer::<UrlOut>(201),
            link,
        )
        .add(
            Operation::post("/operator/sign-out", "signOperatorOut", Access::Operator)
                .summary("End the operator's session of this browser")
                .status(204)
                .harmless(),
            sign_out,
        )
        .add(
            Operation::protocol("/open", "openOperatorLink", Access::Public)
                .summary("Use an operator link")
                .query::<OpenIn>()
                .status(303),
            open,
        )
        .finish()
}

fn estate(held: &Held) -> kernel::Result<Arc<Estate>> {
    held.upgrade().ok_or_else(|| Error::new(Slug::Draining, "The process is shutting down."))
}

fn name(text: &str, field: &str) -> kernel::Result<SandboxName> {
    text.parse().map_err(|error| Error::field(field, FieldCode::InvalidFormat, format!("{error}")))
}

/// A name in an address: one that can't be a sandbox's is not there.
fn addressed(text: &str) -> kernel::Result<SandboxName> {
    text.parse().map_err(|_| Error::not_found("sandbox"))
}

/// Runs a verb to its end, also when the caller goes away or the request's time is over: half a verb would be half a
/// sandbox.
async fn whole<T: Send + 'static>(
    verb: impl Future<Output = kernel::Result<T>> + Send + 'static,
) -> kernel::Result<T> {
    tokio::spawn(verb.in_current_span()).await.map_err(Error::internal)?
}

async fn list(State(held): State<Held>, Query(query): Query<ListIn>) -> Result<Page<SandboxOut>> {
    let limit = page_size(query.limit)?;
    let estate = estate(&held)?;
    let rows = estate.control().list(query.cursor.as_deref().unwrap_or(""), limit as i64 + 1).await?;
    Ok(Page::cut(rows, limit, |row| row.name.clone()).map(|row| estate.show(row)))
}

async fn create(
    State(held): State<Held>,
    Cx(cx): Cx,
    Body(body): Body<Create>,
) -> Result<Created<SandboxOut>> {
    let (estate, name) = (estate(&held)?, name(&body.name, "/name")?);
    let verb = async move {
        let template = body.template.as_deref().unwrap_or("demo");
        estate.create(&cx, &name, template, body.expires_in_seconds).await
    };
    Ok(Created(whole(verb).await?))
}

async fn show(State(held): State<Held>, Path(text): Path<String>) -> Result<One<SandboxOut>> {
    Ok(One::new(estate(&held)?.find(&addressed(&text)?).await?))
}

async fn delete(State(held): State<Held>, Path(text): Path<String>) -> Result<NoContent> {
    let (estate, name) = (estate(&held)?, addressed(&text)?);
    whole(async move { estate.delete(&name).await }).await?;
    Ok(NoContent)
}

async fn reset(State(held): State<Held>, Cx(cx): Cx, Path(text): Path<String>) -> Result<One<SandboxOut>> {
    let (estate, name) = (estate(&held)?, addressed(&text)?);
    Ok(One::new(whole(async move { estate.reset(&cx, &name).await }).await?))
}

async fn fork(
    State(held): State<Held>,
    Cx(cx): Cx,
    Path(text): Path<String>,
    Body(body): Body<ForkIn>,
) -> Result<Created<SandboxOut>> {
    let source = addressed(&text)?;
    let copy = name(&body.name, "/name")?;
    let estate = estate(&held)?;
    let verb = async move { estate.fork(&cx, &source, &copy, body.expires_in_seconds).await };
    Ok(Created(whole(verb).await?))
}

async fn expire(
    State(held): State<Held>,
    Cx(cx): Cx,
    Path(text): Path<String>,
    Body(body): Body<ExpireIn>,
) -> Result<One<SandboxOut>> {
    Ok(One::new(estate(&held)?.expire(&cx, &addressed(&text)?, body.expires_in_seconds).await?))
}

async fn psql_url(State(held): State<Held>, Path(text): Path<String>) -> Result<One<UrlOut>> {
    Ok(One::new(UrlOut { url: estate(&held)?.psql_url(&addressed(&text)?).await? }))
}

async fn link(State(held): State<Held>, Cx(cx): Cx) -> Result<Created<UrlOut>> {
    let estate = estate(&held)?;
    let token = estate.operator().link(&cx).await?;
    Ok(Created(UrlOut {
        url: format!("{}/open?token={token}", estate.options.public_url.trim_end_matches('/')),
    }))
}

async fn sign_out(State(held): State<Held>, headers: HeaderMap) -> Result<Response> {
    use gateway::OperatorGate as _;
    let estate = estate(&held)?;
    let name = estate.operator().cookie_name();
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut values =
        cookies.flat_map(|v| v.split(';')).filter_map(|c| c.trim().strip_prefix(name)?.strip_prefix('='));
    if let Some(session) = values.next() {
        estate.operator().sign_out(session).await?;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    let cookie = format!("{name}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    let cookie = HeaderValue::from_str(&cookie).map_err(Error::internal)?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

async fn open(State(held): State<Held>, Cx(cx): Cx, Query(query): Query<OpenIn>) -> Result<Response> {
    let estate = estate(&held)?;
    let Some(session) = estate.operator().sign_in(&cx, &query.token).await? else {
        return Err(Error::new(
            Slug::Gone,
            "This link was used or is older than 10 minutes; get a fresh one with `platform-kernel open`.",
        )
        .into());
    };
    use gateway::OperatorGate as _;
    let secure = if estate.options.public_url.starts_with("https") { "; Secure" } else { "" };
    let cookie = format!(
        "{}={session}; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200{secure}",
        estate.operator().cookie_name()
    );
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/"));
    let cookie = HeaderValue::from_str(&cookie).map_err(Error::internal)?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

/// The component tree of `/health`.
pub(crate) async fn health(estate: &Arc<Estate>) -> Value {
    let mut sandboxes = serde_json::Map::new();
    for cell in estate.open_cells() {
        let mut services = serde_json::Map::new();
        for service in cell.services().each() {
            let health = service.health().await;
            services.insert(service.name().to_owned(), json!(health));
        }
        let links = cell.gateway().link_stats();
        let entry =
            json!({ "state": "awake", "generation": cell.generation, "services": services, "links": links });
        sandboxes.insert(cell.name().to_string(), entry);
    }
    let failures = estate.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    for (name, reason) in failures {
        sandboxes.insert(name, json!({ "state": "failed", "reason": reason }));
    }
    let postgres = match estate.parts.embedded() {
        Some(embedded) => json!({
            "kind": "embedded",
            "pid": embedded.pid(),
            "state": format!("{:?}", *embedded.state().borrow()),
            "durability": format!("{:?}", estate.options.config.database.server),
        }),
        None => json!({ "kind": "external" }),
    };
    json!({
        "version": estate.options.version,
        "postgres": postgres,
        "connectionsLeft": estate.parts.budget.left(),
        "sandboxes": sandboxes,
    })
}

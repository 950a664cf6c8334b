//! The verbs that make, show and end sandboxes.

use kernel::Slug;
use ports::http::{
    Access, Body, Created, Cx, NoContent, One, Operation, Page, Path, Query, Result, Routes, State, page_size,
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Held, UrlOut, addressed, estate, name, whole};
use crate::verbs::{Create, SandboxOut};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ForkIn {
    /// The new sandbox's name.
    name: String,
    /// When it deletes itself, from now, in seconds.
    expires_in_seconds: Option<u64>,
    /// Whether API keys keep working in the copy; they are disabled there unless it is said.
    #[serde(default)]
    keep_keys: bool,
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

pub(super) fn add(routes: Routes<Held>) -> Routes<Held> {
    use Slug::{AlreadyExists, Draining, InvalidState, NotFound, ValidationError};
    routes
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
                .problems(&[AlreadyExists, ValidationError, Draining, InvalidState, NotFound]),
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
                .summary("Delete a sandbox; nothing of it remains, its snapshots included")
                .problems(&[InvalidState]),
            delete,
        )
        .add(
            Operation::post("/sandboxes/{name}/reset", "resetSandbox", Access::Operator)
                .summary("Back to the template it was made from")
                .answer::<SandboxOut>(200)
                .problems(&[Draining, InvalidState]),
            reset,
        )
        .add(
            Operation::post("/sandboxes/{name}/fork", "forkSandbox", Access::Operator)
                .summary("Copy a sandbox as it is now, without its secrets")
                .body::<ForkIn>()
                .example(r#"{"name":"try-out"}"#)
                .answer::<SandboxOut>(201)
                .problems(&[AlreadyExists, ValidationError, Draining, InvalidState]),
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
                .problems(&[NotFound, InvalidState])
                .harmless(),
            psql_url,
        )
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
    let verb = async move { estate.fork(&cx, &source, &copy, body.expires_in_seconds, body.keep_keys).await };
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

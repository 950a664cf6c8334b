//! Points to go back to.

use kernel::Slug;
use ports::http::{Access, Body, Created, Cx, NoContent, One, Operation, Page, Path, Result, Routes, State};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Held, addressed, estate, whole};
use crate::{snapshots::SnapshotOut, verbs::SandboxOut};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SnapshotIn {
    /// Its name within the sandbox: lower-case letters, digits and hyphens; the moment unless said.
    label: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RestoreIn {
    /// The label of the snapshot.
    snapshot: String,
}

pub(super) fn add(routes: Routes<Held>) -> Routes<Held> {
    use Slug::{AlreadyExists, Draining, InvalidState, LimitExceeded};
    routes
        .add(
            Operation::post("/sandboxes/{name}/snapshots", "createSnapshot", Access::Operator)
                .summary("Take a snapshot: data, clock and places in the log")
                .body::<SnapshotIn>()
                .example(r#"{"label":"before-the-demo"}"#)
                .answer::<SnapshotOut>(201)
                .problems(&[AlreadyExists, Draining, InvalidState, LimitExceeded]),
            take,
        )
        .add(
            Operation::get("/sandboxes/{name}/snapshots", "listSnapshots", Access::Operator)
                .summary("List the snapshots of a sandbox, the newest first")
                .lists::<SnapshotOut>(),
            list,
        )
        .add(
            Operation::delete("/sandboxes/{name}/snapshots/{label}", "deleteSnapshot", Access::Operator)
                .summary("Throw a snapshot away"),
            delete,
        )
        .add(
            Operation::post("/sandboxes/{name}/restore", "restoreSandbox", Access::Operator)
                .summary("Go back to a snapshot")
                .description(
                    "Data, clock and places in the log are as they were. Every sign-in ends, so that no session which was \
                     ended since comes to life again; API and module keys that were revoked since stay revoked. The \
                     operator stays signed in.",
                )
                .body::<RestoreIn>()
                .example(r#"{"snapshot":"before-the-demo"}"#)
                .answer::<SandboxOut>(200)
                .problems(&[Draining, InvalidState]),
            restore,
        )
}

async fn take(
    State(held): State<Held>,
    Cx(cx): Cx,
    Path(text): Path<String>,
    Body(body): Body<SnapshotIn>,
) -> Result<Created<SnapshotOut>> {
    let (estate, name) = (estate(&held)?, addressed(&text)?);
    let verb = async move { estate.snapshot(&cx, &name, body.label.as_deref()).await };
    Ok(Created(whole(verb).await?))
}

async fn list(State(held): State<Held>, Path(text): Path<String>) -> Result<Page<SnapshotOut>> {
    Ok(Page::whole(estate(&held)?.snapshots(&addressed(&text)?).await?))
}

async fn delete(State(held): State<Held>, Path((text, label)): Path<(String, String)>) -> Result<NoContent> {
    let (estate, name) = (estate(&held)?, addressed(&text)?);
    whole(async move { estate.delete_snapshot(&name, &label).await }).await?;
    Ok(NoContent)
}

async fn restore(
    State(held): State<Held>,
    Cx(cx): Cx,
    Path(text): Path<String>,
    Body(body): Body<RestoreIn>,
) -> Result<One<SandboxOut>> {
    let (estate, name) = (estate(&held)?, addressed(&text)?);
    let verb = async move { estate.restore(&cx, &name, &body.snapshot).await };
    Ok(One::new(whole(verb).await?))
}

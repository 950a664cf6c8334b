//! `/flags`: the flags that a tenant has of its own.

use flags::Definition;
use kernel::{Slug, Timestamp};
use ports::http::{
    Access, Body, Created, Cx, IfMatch, NoContent, One, Operation, Page, Path, Query, Result, Routes, State,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::Held;

const CREATE: &str = r#"{"key":"new-checkout","definition":{"variations":{"on":true,"off":false},"targeting":[{"name":"testers","query":"email ew \"@example.com\"","variation":"on"}],"defaultRule":{"percentage":{"on":20,"off":80}},"metadata":{"description":"Who sees the new checkout"}}}"#;
const PATCH: &str = r#"{"definition":{"variations":{"on":true,"off":false},"defaultRule":{"percentage":{"on":50,"off":50}}}}"#;

/// A flag of the tenant's own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::flags) struct FlagIn {
    /// By which it is asked for: letters, digits, `-`, `_`, `.` and `:`; up to 100.
    pub key: String,
    /// What it is, in the format of GO Feature Flag; at most 64 KB.
    #[schemars(with = "Value")]
    pub definition: Definition,
}

/// What can be changed of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::flags) struct FlagPatch {
    /// What it is from now on, as a whole.
    #[schemars(with = "Option<Value>")]
    pub definition: Option<Definition>,
}

/// A flag of the tenant's own.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::flags) struct FlagOut {
    /// Its id.
    pub id: Uuid,
    /// By which it is asked for.
    pub key: String,
    /// What it is.
    pub definition: Value,
    /// Whether the installation has a flag of this key, which it goes before.
    pub overrides: bool,
    /// Since when.
    pub created_at: Timestamp,
    /// The last change.
    pub updated_at: Timestamp,
    /// Grows with each change; `If-Match` takes it.
    pub version: i32,
}

/// The page wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::flags) struct FlagsQuery {
    /// Entries a page, 1 to 100; 20 unless said.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u16>,
    /// The `meta.cursor` of the page before.
    pub cursor: Option<String>,
    /// Of this key only.
    pub key: Option<String>,
}

pub(super) fn add(routes: Routes<Held>) -> Routes<Held> {
    routes
        .add(
            Operation::get("/flags", "listFlags", Access::Permission("flags.read"))
                .summary("List the tenant's own flags")
                .query::<FlagsQuery>()
                .lists::<FlagOut>()
                .problems(&[Slug::InvalidCursor]),
            list,
        )
        .add(
            Operation::post("/flags", "createFlag", Access::Permission("flags.configure"))
                .summary("Give the tenant a flag of its own")
                .description(
                    "It goes before the installation's flag of this key, for this tenant. The definition is a flag of \
                     [GO Feature Flag](https://gofeatureflag.org/docs/configure_flag/flag_format): variations, targeting \
                     (its query language or JsonLogic), percentages, progressive and scheduled rollout, experimentation.",
                )
                .body::<FlagIn>()
                .answer::<FlagOut>(201)
                .problems(&[Slug::AlreadyExists, Slug::LimitExceeded])
                .example(CREATE),
            create,
        )
        .add(
            Operation::get("/flags/{id}", "getFlag", Access::Permission("flags.read"))
                .summary("Read a flag of the tenant's own")
                .answer::<FlagOut>(200),
            read,
        )
        .add(
            Operation::patch("/flags/{id}", "updateFlag", Access::Permission("flags.configure"))
                .summary("Give a flag another definition")
                .body::<FlagPatch>()
                .answer::<FlagOut>(200)
                .problems(&[Slug::PreconditionFailed])
                .example(PATCH),
            update,
        )
        .add(
            Operation::delete("/flags/{id}", "deleteFlag", Access::Permission("flags.configure"))
                .summary("Remove a flag of the tenant's own; the installation's one holds again")
                .problems(&[Slug::PreconditionFailed]),
            delete,
        )
}

async fn list(
    State(flags): State<Held>,
    Cx(cx): Cx,
    Query(query): Query<FlagsQuery>,
) -> Result<Page<FlagOut>> {
    Ok(flags.own_flags(&cx, &query).await?)
}

async fn create(State(flags): State<Held>, Cx(cx): Cx, Body(new): Body<FlagIn>) -> Result<Created<FlagOut>> {
    Ok(Created(flags.create_flag(&cx, new).await?))
}

async fn read(State(flags): State<Held>, Cx(cx): Cx, Path(id): Path<Uuid>) -> Result<One<FlagOut>> {
    Ok(shown(flags.own_flag(&cx, id).await?))
}

async fn update(
    State(flags): State<Held>,
    Cx(cx): Cx,
    Path(id): Path<Uuid>,
    IfMatch(seen): IfMatch,
    Body(patch): Body<FlagPatch>,
) -> Result<One<FlagOut>> {
    Ok(shown(flags.update_flag(&cx, id, patch, seen).await?))
}

async fn delete(
    State(flags): State<Held>,
    Cx(cx): Cx,
    Path(id): Path<Uuid>,
    IfMatch(seen): IfMatch,
) -> Result<NoContent> {
    flags.delete_flag(&cx, id, seen).await?;
    Ok(NoContent)
}

fn shown(flag: FlagOut) -> One<FlagOut> {
    let version = flag.version;
    One::versioned(flag, version)
}

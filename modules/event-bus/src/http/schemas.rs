//! Schemas of event data.

use kernel::{Slug, Timestamp};
use ports::http::{Access, Body, Created, Cx, Operation, Page, Query, Result, Routes, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::Bus;

/// What the data of a type looks like.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SchemaIn {
    /// The type; one that the caller may publish.
    #[serde(rename = "type")]
    pub kind: String,
    /// Three numbers like `1.1.0`, behind every version before.
    pub version: String,
    /// JSON Schema (2020-12) of an object, at most 64 KB; references go to its own `$defs`.
    pub schema: Value,
}

/// A registered schema.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SchemaOut {
    /// Its id.
    pub id: Uuid,
    /// The type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The version.
    pub version: String,
    /// The JSON Schema.
    pub schema: Value,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// The page wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SchemasQuery {
    /// Entries a page, 1 to 100; 20 unless said.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u16>,
    /// The `meta.cursor` of the page before.
    pub cursor: Option<String>,
    /// Of one type only.
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

pub(super) fn add(routes: Routes<Bus>) -> Routes<Bus> {
    routes
        .add(
            Operation::get("/events/schemas", "listEventSchemas", Access::Permission("events.read"))
                .summary("List the schemas of event data")
                .query::<SchemasQuery>()
                .lists::<SchemaOut>()
                .problems(&[Slug::InvalidCursor]),
            list,
        )
        .add(
            Operation::post("/events/schemas", "registerEventSchema", Access::Permission("events.publish"))
                .summary("Register what the data of a type looks like")
                .description(
                    "From then on, publishing data that does not fit is refused. Under one type, members may be added \
                     that nobody must give; anything else that changes what fits is refused, for it would break those \
                     who read or replay: publish it under another type.",
                )
                .body::<SchemaIn>()
                .answer::<SchemaOut>(201)
                .problems(&[Slug::EventNotDeclared, Slug::AlreadyExists, Slug::LimitExceeded])
                .example(
                    r#"{"type":"crm.deal.won","version":"1.0.0","schema":{"type":"object","required":["id"],"properties":{"id":{"type":"string"},"amount":{"type":"integer"}}}}"#,
                ),
            register,
        )
}

async fn list(
    State(bus): State<Bus>,
    Cx(cx): Cx,
    Query(query): Query<SchemasQuery>,
) -> Result<Page<SchemaOut>> {
    Ok(bus.list_schemas(&cx, &query).await?)
}

async fn register(
    State(bus): State<Bus>,
    Cx(cx): Cx,
    Body(new): Body<SchemaIn>,
) -> Result<Created<SchemaOut>> {
    Ok(Created(bus.register_schema(&cx, new).await?))
}

use std::sync::Arc;

use kernel::{AuditId, Slug, Timestamp, UserId};
use ports::http::{
    Accepted, Access, Body, Cx, One, Operation, Page, Path, Query, Result, Routes, State, page_size,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{ActionFilter, AppendedOut, Audit, Filter, RecordIn, RecordOut};

pub(super) fn add(routes: Routes<Arc<Audit>>) -> Routes<Arc<Audit>> {
    routes
        .add(
            Operation::post("/audit/records", "appendAuditRecord", Access::Permission("audit.write"))
                .summary("Record what happened")
                .description(
                    "The actor is the caller. A module's actions begin with its name. Members whose names say that \
                     they are secret are masked.",
                )
                .body::<RecordIn>()
                .example(
                    r#"{"action":"crm.contact.imported","entityType":"contact","entityId":"42","after":{"count":3}}"#,
                )
                .answer::<AppendedOut>(202),
            append,
        )
        .add(
            Operation::post("/audit/records/batch", "appendAuditRecords", Access::Permission("audit.write"))
                .summary("Record up to 500 things that happened")
                .description("All are kept, or none.")
                .body::<BatchIn>()
                .example(
                    r#"{"records":[{"action":"crm.contact.imported","entityType":"contact","entityId":"42"}]}"#,
                )
                .answer::<AppendedOut>(202),
            append_batch,
        )
        .add(
            Operation::get("/audit/records", "listAuditRecords", Access::Permission("audit.read"))
                .summary("List audit records, newest first")
                .query::<RecordsQuery>()
                .lists::<RecordOut>()
                .problems(&[Slug::InvalidCursor]),
            list,
        )
        .add(
            Operation::get("/audit/records/{id}", "getAuditRecord", Access::Permission("audit.read"))
                .summary("Get an audit record")
                .answer::<RecordOut>(200),
            get,
        )
}

/// Several records.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BatchIn {
    /// 1 to 500.
    #[schemars(length(min = 1, max = 500))]
    records: Vec<RecordIn>,
}

/// Which records, and which page of them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RecordsQuery {
    /// An action, or with a dot at its end all that begin so: `money.`.
    action: Option<String>,
    /// The kind of thing.
    entity_type: Option<String>,
    /// The thing.
    entity_id: Option<String>,
    /// The person behind it.
    user_id: Option<UserId>,
    /// Not before this time.
    from: Option<Timestamp>,
    /// Before this time.
    to: Option<Timestamp>,
    /// A piece of the description, the action or the entity, in any case.
    q: Option<String>,
    /// Entries a page, 1 to 100; 20 unless said.
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u16>,
    /// Where to go on: the `meta.cursor` of the page before.
    cursor: Option<String>,
}

async fn append(
    State(audit): State<Arc<Audit>>,
    Cx(cx): Cx,
    Body(record): Body<RecordIn>,
) -> Result<Accepted<AppendedOut>> {
    Ok(Accepted(audit.append(&cx, vec![record], |_| String::new()).await?))
}

async fn append_batch(
    State(audit): State<Arc<Audit>>,
    Cx(cx): Cx,
    Body(batch): Body<BatchIn>,
) -> Result<Accepted<AppendedOut>> {
    Ok(Accepted(audit.append(&cx, batch.records, |index| format!("/records/{index}")).await?))
}

async fn list(
    State(audit): State<Arc<Audit>>,
    Cx(cx): Cx,
    Query(query): Query<RecordsQuery>,
) -> Result<Page<RecordOut>> {
    let limit = page_size(query.limit)?;
    let filter = Filter {
        action: query.action.as_deref().map(ActionFilter::read),
        entity_type: query.entity_type,
        entity_id: query.entity_id,
        user_id: query.user_id,
        from: query.from,
        to: query.to,
        text: query.q,
    };
    Ok(audit.list(&cx, &filter, limit, query.cursor.as_deref()).await?)
}

async fn get(State(audit): State<Arc<Audit>>, Cx(cx): Cx, Path(id): Path<AuditId>) -> Result<One<RecordOut>> {
    Ok(One::new(audit.record(&cx, id).await?))
}

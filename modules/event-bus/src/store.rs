//! The SQL of schemas. Log and subscriptions have theirs in `fabric::log`.

use fabric::{
    postgres::{Database, FromRow, Json, Tx, violated},
    sql,
};
use kernel::{Ctx, Error, EventId, Result, Slug, Timestamp};
use serde_json::Value;
use uuid::Uuid;

/// A registered schema.
#[derive(Debug, Clone, FromRow)]
pub struct SchemaRow {
    pub id: Uuid,
    #[sqlx(rename = "type")]
    pub kind: String,
    pub version: String,
    pub schema: Json<Value>,
    pub created_at: Timestamp,
}

/// A version of a type, without its schema.
#[derive(Debug, Clone, FromRow)]
pub struct VersionRow {
    pub id: Uuid,
    #[sqlx(rename = "type")]
    pub kind: String,
    pub version: String,
}

/// Most versions of one type.
const MOST_VERSIONS: i64 = 50;
/// Most schemas of a tenant.
const MOST_SCHEMAS: i64 = 2000;

/// Whether the tenant has an event of this id, in the log or on its way there.
pub async fn is_known(tx: &mut Tx, id: EventId) -> Result<bool> {
    tx.query(sql!(
        "select exists (select from kernel.event e where kernel.owns($1, e.tenant_id) and e.id = $2) \
             or exists (select from kernel.outbox o where kernel.owns($1, o.tenant_id) and o.id = $2)"
    ))
    .bind(id)
    .value()
    .await
}

/// The versions that are registered for some types, oldest first.
pub async fn versions(tx: &mut Tx, types: &[&str]) -> Result<Vec<VersionRow>> {
    tx.query(sql!(
        "select s.id, s.type, s.version from event_bus.event_schema s \
         where kernel.owns($1, s.tenant_id) and s.type = any ($2) order by s.type, s.numbers"
    ))
    .bind(types)
    .all()
    .await
}

/// A schema by id.
pub async fn schema(tx: &mut Tx, id: Uuid) -> Result<Value> {
    let found: Option<Json<Value>> = tx
        .query(sql!(
            "select s.schema from event_bus.event_schema s where kernel.owns($1, s.tenant_id) and s.id = $2"
        ))
        .bind(id)
        .optional_value()
        .await?;
    found.map(|Json(schema)| schema).ok_or_else(|| Error::internal("a schema that was there is gone"))
}

/// Waits until nobody else registers a schema of the type, and keeps it so until this transaction ends.
pub async fn take_turn(tx: &mut Tx, kind: &str) -> Result<()> {
    tx.query(sql!("select pg_advisory_xact_lock(hashtextextended($1::text || $2, 11))"))
        .bind(kind)
        .run()
        .await?;
    Ok(())
}

/// The newest schema of a type.
pub async fn newest(tx: &mut Tx, kind: &str) -> Result<Option<SchemaRow>> {
    tx.query(sql!(
        "select s.id, s.type, s.version, s.schema, s.created_at from event_bus.event_schema s \
         where kernel.owns($1, s.tenant_id) and s.type = $2 order by s.numbers desc limit 1"
    ))
    .bind(kind)
    .optional()
    .await
}

/// Registers a schema.
pub async fn insert(tx: &mut Tx, kind: &str, version: &semver::Version, schema: &Value) -> Result<SchemaRow> {
    let numbers = [version.major, version.minor, version.patch].map(|n| i32::try_from(n).unwrap_or(i32::MAX));
    let made: Result<Option<SchemaRow>> = tx
        .query(sql!(
            "with room as ( \
                 select count(*) < $7 and count(*) filter (where s.type = $3) < $8 as left \
                 from event_bus.event_schema s where kernel.owns($1, s.tenant_id)) \
             insert into event_bus.event_schema (id, tenant_id, type, version, numbers, schema) \
             select $2, $1, $3, $4, $5, $6 from room r where r.left \
             returning id, type, version, schema, created_at"
        ))
        .bind(Uuid::now_v7())
        .bind(kind)
        .bind(version.to_string())
        .bind(numbers.to_vec())
        .bind(Json(schema.clone()))
        .bind(MOST_SCHEMAS)
        .bind(MOST_VERSIONS)
        .optional()
        .await;
    match made {
        Ok(Some(row)) => Ok(row),
        Ok(None) => Err(Error::new(
            Slug::LimitExceeded,
            format!(
                "A type has at most {MOST_VERSIONS} schema versions and a tenant at most {MOST_SCHEMAS}."
            ),
        )),
        Err(error) if violated(&error) == Some("event_schema_by_version") => {
            let text =
                format!("Version {version} of {kind} is registered already; a version is never changed.");
            Err(Error::new(Slug::AlreadyExists, text).because(error))
        }
        Err(error) => Err(error),
    }
}

/// Schemas by type and version, from behind `after`; those of one type, or of all.
pub async fn list(
    db: &Database,
    cx: &Ctx,
    kind: Option<&str>,
    topic: Option<&str>,
    after: Option<(String, Vec<i32>)>,
    most: usize,
) -> Result<Vec<SchemaRow>> {
    let (after_kind, after_numbers) = after.unzip();
    db.tenant(cx)?
        .query(sql!(
            "select s.id, s.type, s.version, s.schema, s.created_at from event_bus.event_schema s \
             where kernel.owns($1, s.tenant_id) and ($2::text is null or s.type = $2) \
               and ($3::text is null or kernel.topic_of(s.type) = $3) \
               and ($4::text is null or (s.type, s.numbers) > ($4, $5::integer[])) \
             order by s.type, s.numbers limit $6"
        ))
        .bind(kind)
        .bind(topic)
        .bind(after_kind)
        .bind(after_numbers)
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .all()
        .await
}

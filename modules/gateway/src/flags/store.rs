//! `flags.flag`.

use fabric::{
    postgres::{Database, FromRow, Handle, Json, Tx},
    sql,
};
use kernel::{Ctx, Result, Timestamp};
use serde_json::Value;
use uuid::Uuid;

/// A flag that a tenant has of its own.
#[derive(Debug, Clone, FromRow)]
pub(super) struct FlagRow {
    pub id: Uuid,
    pub key: String,
    pub definition: Json<Value>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub version: i32,
}

/// Key and definition of every flag of the bound tenant.
pub(super) async fn all(db: &Database, cx: &Ctx) -> Result<Vec<(String, Json<Value>)>> {
    db.tenant(cx)?
        .query(sql!("select key, definition from flags.flag where kernel.owns($1, tenant_id)"))
        .all()
        .await
}

/// A flag of the bound tenant.
pub(super) async fn read(handle: &Handle, id: Uuid) -> Result<Option<FlagRow>> {
    handle
        .query(sql!(
            "select id, key, definition, created_at, updated_at, version
             from flags.flag where kernel.owns($1, tenant_id) and id = $2"
        ))
        .bind(id)
        .optional()
        .await
}

/// The same, locked until the transaction ends.
pub(super) async fn lock(tx: &mut Tx, id: Uuid) -> Result<Option<FlagRow>> {
    tx.query(sql!(
        "select id, key, definition, created_at, updated_at, version
         from flags.flag where kernel.owns($1, tenant_id) and id = $2
         for update"
    ))
    .bind(id)
    .optional()
    .await
}

/// Flags of the bound tenant by key, from behind `after`; one more than `limit`.
pub(super) async fn list(
    handle: &Handle,
    key: Option<&str>,
    after: Option<String>,
    limit: usize,
) -> Result<Vec<FlagRow>> {
    handle
        .query(sql!(
            "select id, key, definition, created_at, updated_at, version
             from flags.flag
             where kernel.owns($1, tenant_id) and ($2::text is null or key = $2) and ($3::text is null or key > $3)
             order by key limit $4"
        ))
        .bind(key)
        .bind(after)
        .bind(i64::try_from(limit + 1).unwrap_or(i64::MAX))
        .all()
        .await
}

/// Adds a flag to the bound tenant, unless it has `most` of them: then false.
pub(super) async fn add(tx: &mut Tx, flag: &FlagRow, most: i64) -> Result<bool> {
    let added = tx
        .query(sql!(
            "insert into flags.flag (tenant_id, id, key, definition, created_at, updated_at)
             select $1, $2, $3, $4, $5, $5
             where (select count(*) from flags.flag where kernel.owns($1, tenant_id)) < $6"
        ))
        .bind(flag.id)
        .bind(flag.key.as_str())
        .bind(flag.definition.clone())
        .bind(flag.created_at)
        .bind(most)
        .run()
        .await?;
    Ok(added == 1)
}

/// Keeps what was changed of a flag of the bound tenant.
pub(super) async fn change(tx: &mut Tx, flag: &FlagRow) -> Result<()> {
    tx.query(sql!(
        "update flags.flag set definition = $3, updated_at = $4, version = $5
         where kernel.owns($1, tenant_id) and id = $2"
    ))
    .bind(flag.id)
    .bind(flag.definition.clone())
    .bind(flag.updated_at)
    .bind(flag.version)
    .run()
    .await
    .map(drop)
}

/// Removes a flag of the bound tenant.
pub(super) async fn remove(tx: &mut Tx, id: Uuid) -> Result<()> {
    tx.query(sql!("delete from flags.flag where kernel.owns($1, tenant_id) and id = $2"))
        .bind(id)
        .run()
        .await
        .map(drop)
}

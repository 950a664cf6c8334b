//! Module keys.

use fabric::postgres::{FromRow, Handle, Tx};
use kernel::{Result, TenantId, Timestamp};
use uuid::Uuid;

/// A key's row, without what proves it.
#[derive(FromRow)]
pub struct KeyRow {
    pub id: Uuid,
    pub prefix: String,
    pub created_by: String,
    pub created_at: Timestamp,
    pub valid_until: Option<Timestamp>,
}

/// Lets the module's keys that have no end yet end then.
pub async fn retire(tx: &mut Tx, slug: &str, at: Timestamp) -> Result<()> {
    tx.query(fabric::sql!(
        "update registry.module_key set valid_until = $3
         where kernel.owns($1, tenant_id) and slug = $2 and revoked_at is null
           and (valid_until is null or valid_until > $3)"
    ))
    .bind(slug)
    .bind(at)
    .run()
    .await
    .map(drop)
}

/// Adds a key.
pub async fn add(tx: &mut Tx, slug: &str, prefix: &str, hash: [u8; 32], by: String) -> Result<KeyRow> {
    tx.query(fabric::sql!(
        "insert into registry.module_key (tenant_id, id, slug, prefix, hash, created_by) values ($1, $2, $3, $4, $5, $6)
         returning id, prefix, created_by, created_at, valid_until"
    ))
    .bind(Uuid::now_v7())
    .bind(slug)
    .bind(prefix)
    .bind(hash.to_vec())
    .bind(by)
    .one()
    .await
}

/// The keys that are good now, newest first.
pub async fn list(
    db: &Handle,
    slug: &str,
    now: Timestamp,
    before: Option<(Timestamp, Uuid)>,
    most: i64,
) -> Result<Vec<KeyRow>> {
    let (at, id) = before.unzip();
    db.query(fabric::sql!(
        "select id, prefix, created_by, created_at, valid_until from registry.module_key
         where kernel.owns($1, tenant_id) and slug = $2 and revoked_at is null
           and (valid_until is null or valid_until > $3)
           and ($4::timestamptz is null or (created_at, id) < ($4, $5))
         order by created_at desc, id desc limit $6"
    ))
    .bind(slug)
    .bind(now)
    .bind(at)
    .bind(id)
    .bind(most)
    .all()
    .await
}

/// Ends a key at once; its prefix, or none when there is no such key.
pub async fn revoke(tx: &mut Tx, slug: &str, id: Uuid) -> Result<Option<String>> {
    tx.query(fabric::sql!(
        "update registry.module_key set revoked_at = kernel.now()
         where kernel.owns($1, tenant_id) and slug = $2 and id = $3 and revoked_at is null
         returning prefix"
    ))
    .bind(slug)
    .bind(id)
    .optional_value()
    .await
}

/// What a key leads to.
#[derive(FromRow)]
pub struct Found {
    pub tenant_id: TenantId,
    pub slug: String,
    pub valid_until: Option<Timestamp>,
}

/// Whose key this is, in whichever tenant. Its SHA-256 is compared here: how long that takes tells nothing about a text
/// that leads to it.
pub async fn find(db: &Handle, prefix: &str, hash: [u8; 32]) -> Result<Option<Found>> {
    db.query(fabric::sql!(
        "select tenant_id, slug, valid_until from registry.module_key
         where prefix = $1 and hash = $2 and revoked_at is null"
    ))
    .bind(prefix)
    .bind(hash.to_vec())
    .optional()
    .await
}

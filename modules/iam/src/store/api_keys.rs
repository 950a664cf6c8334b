//! `iam.api_key`.

use fabric::{
    postgres::{Database, FromRow, Handle, Reason, Tx},
    sql,
};
use kernel::{ApiKeyId, Ctx, Result, TenantId, Timestamp};

use crate::model::KeyState;

/// A key, as its tenant sees it.
#[derive(Debug, Clone, FromRow)]
pub struct KeyRow {
    /// Its id.
    pub id: ApiKeyId,
    /// Its name.
    pub name: String,
    /// Its public part.
    pub prefix: String,
    /// What it may do.
    pub permissions: Vec<String>,
    /// Whether it is taken.
    pub state: KeyState,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// Who made it.
    pub created_by: String,
    /// Since when.
    pub created_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A key, as authentication sees it.
#[derive(Debug, Clone, FromRow)]
pub struct FoundKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// SHA-256 of the secret part.
    pub secret_hash: Vec<u8>,
    /// What it may do.
    pub permissions: Vec<String>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Whether key and tenant are active, and all tenants above.
    pub open: bool,
}

/// By its public part.
pub async fn find(db: &Database, cx: &Ctx, prefix: &str) -> Result<Option<FoundKey>> {
    db.system(cx, Reason::Key)
        .query(sql!(
            "select k.id, k.tenant_id, k.secret_hash, k.permissions, k.expires_at,
                    k.state = 'active'
                    and not exists (select 1 from iam.tenant_path p join iam.tenant a on a.id = p.ancestor_id
                                    where p.descendant_id = k.tenant_id and a.state <> 'active') as open
             from iam.api_key k
             where k.prefix = $1"
        ))
        .bind(prefix)
        .optional()
        .await
}

/// By its id.
pub async fn find_by_id(db: &Database, cx: &Ctx, tenant: TenantId, id: ApiKeyId) -> Result<Option<FoundKey>> {
    db.system(cx, Reason::Key)
        .query(sql!(
            "select k.id, k.tenant_id, k.secret_hash, k.permissions, k.expires_at,
                    k.state = 'active'
                    and not exists (select 1 from iam.tenant_path p join iam.tenant a on a.id = p.ancestor_id
                                    where p.descendant_id = k.tenant_id and a.state <> 'active') as open
             from iam.api_key k
             where k.tenant_id = $1 and k.id = $2"
        ))
        .bind(tenant)
        .bind(id)
        .optional()
        .await
}

/// Notes that a key was used.
pub async fn used(db: &Database, cx: &Ctx, id: ApiKeyId, at: Timestamp) -> Result<()> {
    db.system(cx, Reason::Key)
        .query(sql!("update iam.api_key set last_used_at = greatest(last_used_at, $2) where id = $1"))
        .bind(id)
        .bind(at)
        .run()
        .await
        .map(drop)
}

/// Adds a key to the bound tenant, unless it has `most` that are not revoked: then false.
pub async fn add(tx: &mut Tx, key: &KeyRow, secret_hash: &[u8; 32], most: i64) -> Result<bool> {
    let added = tx
        .query(sql!(
            "insert into iam.api_key (tenant_id, id, name, prefix, secret_hash, permissions, expires_at, created_by,
                                      created_at)
             select $1, $2, $3, $4, $5, $6, $7, $8, $9
             where (select count(*) from iam.api_key where kernel.owns($1, tenant_id) and state <> 'revoked') < $10"
        ))
        .bind(key.id)
        .bind(key.name.as_str())
        .bind(key.prefix.as_str())
        .bind(secret_hash.as_slice())
        .bind(key.permissions.as_slice())
        .bind(key.expires_at)
        .bind(key.created_by.as_str())
        .bind(key.created_at)
        .bind(most)
        .run()
        .await?;
    Ok(added == 1)
}

/// Keys of the bound tenant, the newest first; one more than `limit`.
pub async fn list(
    handle: &Handle,
    after: Option<(Timestamp, ApiKeyId)>,
    limit: usize,
) -> Result<Vec<KeyRow>> {
    handle
        .query(sql!(
            "select id, name, prefix, permissions, state, expires_at, last_used_at, created_by, created_at, revoked_at
             from iam.api_key
             where kernel.owns($1, tenant_id) and ($2::timestamptz is null or (created_at, id) < ($2, $3))
             order by created_at desc, id desc limit $4"
        ))
        .bind(after.map(|(at, _)| at))
        .bind(after.map(|(_, id)| id))
        .bind(i64::try_from(limit + 1).unwrap_or(i64::MAX))
        .all()
        .await
}

/// Revokes a key of the bound tenant; answers its name. None when there is none that could be revoked.
pub async fn revoke(tx: &mut Tx, id: ApiKeyId, now: Timestamp) -> Result<Option<String>> {
    tx.query(sql!(
        "update iam.api_key set state = 'revoked', revoked_at = $3
         where kernel.owns($1, tenant_id) and id = $2 and state <> 'revoked'
         returning name"
    ))
    .bind(id)
    .bind(now)
    .optional_value()
    .await
}

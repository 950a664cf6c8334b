//! `iam.role`.

use fabric::{
    postgres::{FromRow, Handle, Tx},
    sql,
};
use kernel::{Result, RoleId, TenantId, Timestamp};

use crate::model::RoleKind;

/// A role of a tenant.
#[derive(Debug, Clone, FromRow)]
pub struct RoleRow {
    /// Its id.
    pub id: RoleId,
    /// Whether it is built in.
    pub kind: RoleKind,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What a custom role grants.
    pub permissions: Vec<String>,
    /// Since when.
    pub created_at: Timestamp,
    /// The last change.
    pub updated_at: Timestamp,
    /// Grows with each change.
    pub version: i32,
}

/// A role of the bound tenant.
pub async fn read(handle: &Handle, role: RoleId) -> Result<Option<RoleRow>> {
    handle
        .query(sql!(
            "select id, kind, name, description, permissions, created_at, updated_at, version
             from iam.role where kernel.owns($1, tenant_id) and id = $2"
        ))
        .bind(role)
        .optional()
        .await
}

/// The same, locked until the transaction ends.
pub async fn lock(tx: &mut Tx, role: RoleId) -> Result<Option<RoleRow>> {
    tx.query(sql!(
        "select id, kind, name, description, permissions, created_at, updated_at, version
         from iam.role where kernel.owns($1, tenant_id) and id = $2
         for update"
    ))
    .bind(role)
    .optional()
    .await
}

/// Roles of the bound tenant, the oldest first; one more than `limit`.
pub async fn list(handle: &Handle, after: Option<(Timestamp, RoleId)>, limit: usize) -> Result<Vec<RoleRow>> {
    handle
        .query(sql!(
            "select id, kind, name, description, permissions, created_at, updated_at, version
             from iam.role
             where kernel.owns($1, tenant_id) and ($2::timestamptz is null or (created_at, id) > ($2, $3))
             order by created_at, id limit $4"
        ))
        .bind(after.map(|(at, _)| at))
        .bind(after.map(|(_, id)| id))
        .bind(i64::try_from(limit + 1).unwrap_or(i64::MAX))
        .all()
        .await
}

/// These roles of one tenant, as far as they exist, in a transaction across tenants. They stay as they are until it
/// ends: what was checked about them holds when they are given.
pub async fn of_ids(tx: &mut Tx, tenant: TenantId, roles: &[RoleId]) -> Result<Vec<RoleRow>> {
    tx.query(sql!(
        "select id, kind, name, description, permissions, created_at, updated_at, version
         from iam.role where tenant_id = $1 and id = any($2) order by created_at, id for share"
    ))
    .bind(tenant)
    .bind(roles)
    .all()
    .await
}

/// The same for the bound tenant.
pub async fn of_ids_here(tx: &mut Tx, roles: &[RoleId]) -> Result<Vec<RoleRow>> {
    tx.query(sql!(
        "select id, kind, name, description, permissions, created_at, updated_at, version
         from iam.role where kernel.owns($1, tenant_id) and id = any($2) order by created_at, id for share"
    ))
    .bind(roles)
    .all()
    .await
}

/// One tenant's built-in role, in a transaction across tenants.
pub async fn built_in(tx: &mut Tx, tenant: TenantId, kind: RoleKind) -> Result<Option<RoleId>> {
    tx.query(sql!("select id from iam.role where tenant_id = $1 and kind = $2"))
        .bind(tenant)
        .bind(kind)
        .optional_value()
        .await
}

/// One tenant's role by name, in any case, in a transaction across tenants.
pub async fn by_name(tx: &mut Tx, tenant: TenantId, name: &str) -> Result<Option<RoleId>> {
    tx.query(sql!("select id from iam.role where tenant_id = $1 and lower(name) = lower($2)"))
        .bind(tenant)
        .bind(name)
        .optional_value()
        .await
}

/// Adds a custom role to the bound tenant, unless it has `most` of them: then false.
pub async fn add(tx: &mut Tx, role: &RoleRow, most: i64) -> Result<bool> {
    let added = tx
        .query(sql!(
            "insert into iam.role (tenant_id, id, kind, name, description, permissions, created_at, updated_at)
             select $1, $2, 'custom', $3, $4, $5, $6, $6
             where (select count(*) from iam.role where kernel.owns($1, tenant_id) and kind = 'custom') < $7"
        ))
        .bind(role.id)
        .bind(role.name.as_str())
        .bind(role.description.as_str())
        .bind(role.permissions.as_slice())
        .bind(role.created_at)
        .bind(most)
        .run()
        .await?;
    Ok(added == 1)
}

/// Keeps what was changed of a role of the bound tenant.
pub async fn change(tx: &mut Tx, role: &RoleRow) -> Result<()> {
    tx.query(sql!(
        "update iam.role set name = $3, description = $4, permissions = $5, updated_at = $6, version = $7
         where kernel.owns($1, tenant_id) and id = $2"
    ))
    .bind(role.id)
    .bind(role.name.as_str())
    .bind(role.description.as_str())
    .bind(role.permissions.as_slice())
    .bind(role.updated_at)
    .bind(role.version)
    .run()
    .await
    .map(drop)
}

/// Removes a role of the bound tenant.
pub async fn remove(tx: &mut Tx, role: RoleId) -> Result<()> {
    tx.query(sql!("delete from iam.role where kernel.owns($1, tenant_id) and id = $2"))
        .bind(role)
        .run()
        .await
        .map(drop)
}

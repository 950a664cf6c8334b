//! `iam.tenant` and `iam.tenant_path`: the tree.

use fabric::{
    postgres::{Database, FromRow, Handle, Reason, Tx},
    sql,
};
use kernel::{Ctx, Result, RoleId, TenantId, TenantSlug, Timestamp, UserId};
use uuid::Uuid;

use crate::model::{RoleKind, TenantKind, TenantState};

/// A tenant.
#[derive(Debug, Clone, FromRow)]
pub struct TenantRow {
    /// Its id.
    pub id: TenantId,
    /// Its name in hosts.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// Its place in the tree.
    pub kind: TenantKind,
    /// The one above.
    pub parent_id: Option<TenantId>,
    /// Its own state.
    pub state: TenantState,
    /// Since when.
    pub created_at: Timestamp,
    /// The last change.
    pub updated_at: Timestamp,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
    /// Grows with each change.
    pub version: i32,
}

/// A tenant to be added.
pub struct NewTenant<'a> {
    /// Its id.
    pub id: TenantId,
    /// Its name.
    pub name: &'a str,
    /// Its place in the tree.
    pub kind: TenantKind,
    /// The one above.
    pub parent: Option<TenantId>,
}

/// What others need to know of a tenant.
#[derive(Debug, Clone, FromRow)]
pub struct InfoRow {
    /// Its id.
    pub id: TenantId,
    /// Its name.
    pub name: String,
    /// Its name in hosts.
    pub slug: String,
    /// Its kind.
    pub kind: TenantKind,
    /// Whether it, or one above it, is blocked or deleted.
    pub closed: bool,
}

/// Adds a tenant with its place in the tree and its built-in roles, all in one statement. None when the slug is taken;
/// nothing is changed then. Answers the Owner role.
pub async fn add(
    tx: &mut Tx,
    tenant: &NewTenant<'_>,
    slug: &TenantSlug,
    now: Timestamp,
) -> Result<Option<RoleId>> {
    let owner = RoleId::new();
    let ids: Vec<Uuid> = [owner, RoleId::new(), RoleId::new()].map(RoleId::uuid).to_vec();
    let kinds: Vec<&str> = RoleKind::BUILT_IN.iter().map(|kind| kind.as_str()).collect();
    let names: Vec<&str> = RoleKind::BUILT_IN.iter().map(|kind| kind.title()).collect();
    let purposes: Vec<&str> = RoleKind::BUILT_IN.iter().map(|kind| kind.purpose()).collect();
    let added: i64 = tx
        .query(sql!(
            "with added as (
                 insert into iam.tenant (id, slug, name, kind, parent_id, created_at, updated_at)
                 values ($1, $2, $3, $4, $5, $6, $6)
                 on conflict (slug) do nothing
                 returning id
             ), path as (
                 insert into iam.tenant_path (ancestor_id, descendant_id, depth)
                 select p.ancestor_id, a.id, p.depth + 1
                 from added a join iam.tenant_path p on p.descendant_id = $5
                 union all
                 select a.id, a.id, 0 from added a
             ), roles as (
                 insert into iam.role (tenant_id, id, kind, name, description, created_at, updated_at)
                 select a.id, r.id, r.kind, r.name, r.description, $6, $6
                 from added a, unnest($7::uuid[], $8::text[], $9::text[], $10::text[]) r(id, kind, name, description)
             )
             select count(*) from added"
        ))
        .bind(tenant.id)
        .bind(slug.as_str())
        .bind(tenant.name)
        .bind(tenant.kind)
        .bind(tenant.parent)
        .bind(now)
        .bind(ids)
        .bind(kinds)
        .bind(names)
        .bind(purposes)
        .value()
        .await?;
    Ok((added == 1).then_some(owner))
}

/// The tenant that runs the platform, if there is one that is active.
pub async fn platform(tx: &mut Tx) -> Result<Option<TenantId>> {
    tx.query(sql!("select id from iam.tenant where kind = 'platform' and state = 'active'"))
        .optional_value()
        .await
}

/// A tenant by its name in hosts, in a transaction across tenants.
pub async fn find(tx: &mut Tx, slug: &str) -> Result<Option<TenantId>> {
    tx.query(sql!("select id from iam.tenant where slug = $1")).bind(slug).optional_value().await
}

/// A tenant within the bound tenant's part of the tree.
pub async fn read(handle: &Handle, id: TenantId) -> Result<Option<TenantRow>> {
    handle
        .query(sql!(
            "select t.id, t.slug, t.name, t.kind, t.parent_id, t.state, t.created_at, t.updated_at, t.deleted_at, t.version
             from iam.tenant_path p join iam.tenant t on t.id = p.descendant_id
             where kernel.owns($1, p.ancestor_id) and t.id = $2"
        ))
        .bind(id)
        .optional()
        .await
}

/// Tenants of the bound tenant's part of the tree, the oldest first; one more than `limit`. Without a state: all but
/// the deleted.
pub async fn list(
    handle: &Handle,
    state: Option<TenantState>,
    parent: Option<TenantId>,
    after: Option<(Timestamp, TenantId)>,
    limit: usize,
) -> Result<Vec<TenantRow>> {
    handle
        .query(sql!(
            "select t.id, t.slug, t.name, t.kind, t.parent_id, t.state, t.created_at, t.updated_at, t.deleted_at, t.version
             from iam.tenant_path p join iam.tenant t on t.id = p.descendant_id
             where kernel.owns($1, p.ancestor_id)
               and t.state = any(coalesce($2, array['active', 'blocked']))
               and ($3::uuid is null or t.parent_id = $3)
               and ($4::timestamptz is null or (t.created_at, t.id) > ($4, $5))
             order by t.created_at, t.id limit $6"
        ))
        .bind(state.map(|state| vec![state.as_str()]))
        .bind(parent)
        .bind(after.map(|(at, _)| at))
        .bind(after.map(|(_, id)| id))
        .bind(i64::try_from(limit + 1).unwrap_or(i64::MAX))
        .all()
        .await
}

/// A tenant and those below it that are not deleted, those above before those below, within the bound tenant's part of
/// the tree; one more than `limit`.
pub async fn subtree(handle: &Handle, root: TenantId, limit: usize) -> Result<Vec<TenantRow>> {
    handle
        .query(sql!(
            "with recursive down as (
                 select t.*, 0 as level from iam.tenant t where t.id = $2
                 union all
                 select t.*, d.level + 1 from down d join iam.tenant t on t.parent_id = d.id
             )
             select d.id, d.slug, d.name, d.kind, d.parent_id, d.state, d.created_at, d.updated_at, d.deleted_at,
                    d.version
             from down d join iam.tenant_path p on p.descendant_id = d.id
             where kernel.owns($1, p.ancestor_id) and (d.state <> 'deleted' or d.level = 0)
             order by d.level, d.name, d.id limit $3"
        ))
        .bind(root)
        .bind(i64::try_from(limit + 1).unwrap_or(i64::MAX))
        .all()
        .await
}

/// A tenant within the part of the tree below `above` (which it may be itself), locked until the transaction across
/// tenants ends.
pub async fn lock_below(tx: &mut Tx, above: TenantId, id: TenantId) -> Result<Option<TenantRow>> {
    tx.query(sql!(
        "select t.id, t.slug, t.name, t.kind, t.parent_id, t.state, t.created_at, t.updated_at, t.deleted_at, t.version
         from iam.tenant_path p join iam.tenant t on t.id = p.descendant_id
         where p.ancestor_id = $1 and t.id = $2
         for update of t"
    ))
    .bind(above)
    .bind(id)
    .optional()
    .await
}

/// Whether any tenant right below is not deleted.
pub async fn has_children(tx: &mut Tx, id: TenantId) -> Result<bool> {
    tx.query(sql!("select exists (select 1 from iam.tenant where parent_id = $1 and state <> 'deleted')"))
        .bind(id)
        .value()
        .await
}

/// Keeps what was changed of a tenant.
pub async fn change(tx: &mut Tx, tenant: &TenantRow) -> Result<()> {
    tx.query(sql!(
        "update iam.tenant set name = $2, state = $3, deleted_at = $4, updated_at = $5, version = $6 where id = $1"
    ))
    .bind(tenant.id)
    .bind(tenant.name.as_str())
    .bind(tenant.state)
    .bind(tenant.deleted_at)
    .bind(tenant.updated_at)
    .bind(tenant.version)
    .run()
    .await
    .map(drop)
}

/// A tenant by id, for other services.
pub async fn info(db: &Database, cx: &Ctx, id: TenantId) -> Result<Option<InfoRow>> {
    db.system(cx, Reason::TenantTree)
        .query(sql!(
            "select t.id, t.name, t.slug, t.kind,
                    exists (select 1 from iam.tenant_path p join iam.tenant a on a.id = p.ancestor_id
                            where p.descendant_id = t.id and a.state <> 'active') as closed
             from iam.tenant t where t.id = $1"
        ))
        .bind(id)
        .optional()
        .await
}

/// A tenant by its name in hosts, for other services.
pub async fn info_by_slug(db: &Database, cx: &Ctx, slug: &str) -> Result<Option<InfoRow>> {
    db.system(cx, Reason::Host)
        .query(sql!(
            "select t.id, t.name, t.slug, t.kind,
                    exists (select 1 from iam.tenant_path p join iam.tenant a on a.id = p.ancestor_id
                            where p.descendant_id = t.id and a.state <> 'active') as closed
             from iam.tenant t where t.slug = $1"
        ))
        .bind(slug)
        .optional()
        .await
}

/// Whether `above` is `below`, or above it.
pub async fn is_ancestor(db: &Database, cx: &Ctx, above: TenantId, below: TenantId) -> Result<bool> {
    db.system(cx, Reason::TenantTree)
        .query(sql!(
            "select exists (select 1 from iam.tenant_path where ancestor_id = $1 and descendant_id = $2)"
        ))
        .bind(above)
        .bind(below)
        .value()
        .await
}

/// Who holds the Owner role.
pub async fn owners(db: &Database, cx: &Ctx, tenant: TenantId) -> Result<Vec<UserId>> {
    let owners: Vec<(UserId,)> = db
        .system(cx, Reason::TenantTree)
        .query(sql!("select user_id from iam.member_role where tenant_id = $1 and owner"))
        .bind(tenant)
        .all()
        .await?;
    Ok(owners.into_iter().map(|(user,)| user).collect())
}

/// All tenants that are not deleted, by their names in hosts; at most `limit`.
pub async fn slugs(db: &Database, cx: &Ctx, limit: i64) -> Result<Vec<(String, TenantId)>> {
    db.system(cx, Reason::Sandbox)
        .query(sql!("select slug, id from iam.tenant where state <> 'deleted' order by slug limit $1"))
        .bind(limit)
        .all()
        .await
}

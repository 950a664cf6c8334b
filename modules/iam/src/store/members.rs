//! `iam.membership` and `iam.member_role`: who belongs to a tenant, and as what.

use fabric::{
    postgres::{FromRow, Handle, Json, Tx},
    sql,
};
use kernel::{Result, RoleId, TenantId, Timestamp, UserId};
use serde::Deserialize;

use crate::model::{MemberState, RoleKind};

/// A role that a member holds.
#[derive(Debug, Clone, Deserialize)]
pub struct HeldRole {
    /// Its id.
    pub id: RoleId,
    /// Its name.
    pub name: String,
    /// Whether it is built in.
    pub kind: RoleKind,
}

/// A member of a tenant.
#[derive(Debug, Clone, FromRow)]
pub struct MemberRow {
    /// Who.
    pub user_id: UserId,
    /// The address.
    pub email: String,
    /// The name in this tenant.
    pub name: String,
    /// Whether the address is verified.
    pub verified: bool,
    /// The state.
    pub state: MemberState,
    /// The roles held.
    pub roles: Json<Vec<HeldRole>>,
    /// Since when.
    pub created_at: Timestamp,
    /// The last change.
    pub updated_at: Timestamp,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
    /// Grows with each change.
    pub version: i32,
}

impl MemberRow {
    /// Whether this is the tenant's Owner.
    pub fn is_owner(&self) -> bool {
        self.roles.iter().any(|role| role.kind == RoleKind::Owner)
    }
}

/// A member of the bound tenant.
pub async fn read(handle: &Handle, user: UserId) -> Result<Option<MemberRow>> {
    handle
        .query(sql!(
            "select m.user_id, u.email, m.name, u.email_verified_at is not null as verified, m.state,
                    (select coalesce(jsonb_agg(jsonb_build_object('id', r.id, 'name', r.name, 'kind', r.kind)
                                               order by r.created_at, r.id), '[]')
                     from iam.member_role h join iam.role r on r.tenant_id = h.tenant_id and r.id = h.role_id
                     where kernel.owns($1, h.tenant_id) and h.user_id = m.user_id) as roles,
                    m.created_at, m.updated_at, m.deleted_at, m.version
             from iam.membership m join iam.user_account u on u.id = m.user_id
             where kernel.owns($1, m.tenant_id) and m.user_id = $2"
        ))
        .bind(user)
        .optional()
        .await
}

/// The same, locked until the transaction ends.
pub async fn lock(tx: &mut Tx, user: UserId) -> Result<Option<MemberRow>> {
    tx.query(sql!(
        "select m.user_id, u.email, m.name, u.email_verified_at is not null as verified, m.state,
                (select coalesce(jsonb_agg(jsonb_build_object('id', r.id, 'name', r.name, 'kind', r.kind)
                                           order by r.created_at, r.id), '[]')
                 from iam.member_role h join iam.role r on r.tenant_id = h.tenant_id and r.id = h.role_id
                 where kernel.owns($1, h.tenant_id) and h.user_id = m.user_id) as roles,
                m.created_at, m.updated_at, m.deleted_at, m.version
         from iam.membership m join iam.user_account u on u.id = m.user_id
         where kernel.owns($1, m.tenant_id) and m.user_id = $2
         for update of m"
    ))
    .bind(user)
    .optional()
    .await
}

/// Members of the bound tenant, the newest first; one more than `limit`. Without a state: all but the deleted.
pub async fn list(
    handle: &Handle,
    state: Option<MemberState>,
    after: Option<(Timestamp, UserId)>,
    limit: usize,
) -> Result<Vec<MemberRow>> {
    handle
        .query(sql!(
            "select m.user_id, u.email, m.name, u.email_verified_at is not null as verified, m.state,
                    (select coalesce(jsonb_agg(jsonb_build_object('id', r.id, 'name', r.name, 'kind', r.kind)
                                               order by r.created_at, r.id), '[]')
                     from iam.member_role h join iam.role r on r.tenant_id = h.tenant_id and r.id = h.role_id
                     where kernel.owns($1, h.tenant_id) and h.user_id = m.user_id) as roles,
                    m.created_at, m.updated_at, m.deleted_at, m.version
             from iam.membership m join iam.user_account u on u.id = m.user_id
             where kernel.owns($1, m.tenant_id)
               and m.state = any(coalesce($2, array['active', 'blocked']))
               and ($3::timestamptz is null or (m.created_at, m.user_id) < ($3, $4))
             order by m.created_at desc, m.user_id desc limit $5"
        ))
        .bind(state.map(|state| vec![state.as_str()]))
        .bind(after.map(|(at, _)| at))
        .bind(after.map(|(_, id)| id))
        .bind(i64::try_from(limit + 1).unwrap_or(i64::MAX))
        .all()
        .await
}

/// Makes a person a member with these roles, in a transaction across tenants. False when they were one already;
/// nothing is changed then.
pub async fn join(
    tx: &mut Tx,
    tenant: TenantId,
    user: UserId,
    name: &str,
    roles: &[RoleId],
    now: Timestamp,
) -> Result<bool> {
    let joined: i64 = tx
        .query(sql!(
            "with joined as (
                 insert into iam.membership (tenant_id, user_id, name, created_at, updated_at)
                 values ($1, $2, $3, $5, $5)
                 on conflict (tenant_id, user_id) do nothing
                 returning tenant_id, user_id
             ), held as (
                 insert into iam.member_role (tenant_id, user_id, role_id, owner)
                 select j.tenant_id, j.user_id, r.id, r.kind = 'owner'
                 from joined j join iam.role r on r.tenant_id = j.tenant_id and r.id = any($4)
             )
             select count(*) from joined"
        ))
        .bind(tenant)
        .bind(user)
        .bind(name)
        .bind(roles)
        .bind(now)
        .value()
        .await?;
    Ok(joined == 1)
}

/// Gives a person one more role, in a transaction across tenants.
pub async fn give_role(tx: &mut Tx, tenant: TenantId, user: UserId, role: RoleId) -> Result<bool> {
    let given = tx
        .query(sql!(
            "insert into iam.member_role (tenant_id, user_id, role_id, owner)
             select r.tenant_id, $2, r.id, r.kind = 'owner' from iam.role r where r.tenant_id = $1 and r.id = $3
             on conflict (tenant_id, user_id, role_id) do nothing"
        ))
        .bind(tenant)
        .bind(user)
        .bind(role)
        .run()
        .await?;
    Ok(given == 1)
}

/// Keeps the name and state of a member of the bound tenant.
pub async fn change(tx: &mut Tx, member: &MemberRow, now: Timestamp) -> Result<()> {
    tx.query(sql!(
        "update iam.membership set name = $3, state = $4, deleted_at = $5, updated_at = $6, version = $7
         where kernel.owns($1, tenant_id) and user_id = $2"
    ))
    .bind(member.user_id)
    .bind(member.name.as_str())
    .bind(member.state)
    .bind(member.deleted_at)
    .bind(now)
    .bind(member.version)
    .run()
    .await
    .map(drop)
}

/// Makes these the roles of a member of the bound tenant. The Owner role stays where it is.
pub async fn set_roles(tx: &mut Tx, user: UserId, roles: &[RoleId]) -> Result<()> {
    tx.query(sql!(
        "with taken as (
             delete from iam.member_role
             where kernel.owns($1, tenant_id) and user_id = $2 and not owner and not role_id = any($3)
         )
         insert into iam.member_role (tenant_id, user_id, role_id)
         select r.tenant_id, $2, r.id from iam.role r
         where kernel.owns($1, r.tenant_id) and r.id = any($3) and r.kind <> 'owner'
         on conflict (tenant_id, user_id, role_id) do nothing"
    ))
    .bind(user)
    .bind(roles)
    .run()
    .await
    .map(drop)
}

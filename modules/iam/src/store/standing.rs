//! What a person may do in a tenant right now, read in one statement.

use fabric::{
    postgres::{Database, FromRow, Json, Reason, Tx},
    sql,
};
use kernel::{Ctx, Result, SessionId, TenantId, UserId};

use crate::model::{MemberState, TenantKind, permission::Grant};

/// A member with the roles held, the tenant's kind, and everything that could close the door.
#[derive(Debug, Clone, FromRow)]
pub struct StandingRow {
    /// The address.
    pub email: String,
    /// The member's name in this tenant.
    pub name: String,
    /// Whether the address is verified.
    pub verified: bool,
    /// The member's state.
    pub state: MemberState,
    /// The tenant's kind.
    pub tenant_kind: TenantKind,
    /// The tenant's name in hosts.
    pub tenant_slug: String,
    /// The tenant's name.
    pub tenant_name: String,
    /// Whether the tenant, or one above it, is blocked or deleted.
    pub closed: bool,
    /// Whether the session is alive; true when none was asked for.
    pub session_alive: bool,
    /// The roles held.
    pub roles: Json<Vec<Grant>>,
}

impl StandingRow {
    /// Whether the member may use the tenant at all.
    pub fn is_open(&self) -> bool {
        self.state == MemberState::Active && !self.closed && self.session_alive
    }

    /// Names of the roles.
    pub fn role_names(&self) -> Vec<String> {
        self.roles.iter().map(|role| role.name.clone()).collect()
    }
}

macro_rules! standing {
    () => {
        sql!(
            "select u.email, m.name, u.email_verified_at is not null as verified, m.state,
                    t.kind as tenant_kind, t.slug as tenant_slug, t.name as tenant_name,
                    exists (select 1 from iam.tenant_path p join iam.tenant a on a.id = p.ancestor_id
                            where p.descendant_id = t.id and a.state <> 'active') as closed,
                    ($3::uuid is null
                     or exists (select 1 from iam.session s
                                where s.id = $3 and s.tenant_id = m.tenant_id and s.user_id = m.user_id
                                  and s.revoked_at is null)) as session_alive,
                    (select coalesce(jsonb_agg(jsonb_build_object('name', r.name, 'kind', r.kind,
                                                                  'permissions', r.permissions)
                                               order by r.created_at, r.id), '[]')
                     from iam.member_role h join iam.role r on r.tenant_id = h.tenant_id and r.id = h.role_id
                     where h.tenant_id = m.tenant_id and h.user_id = m.user_id) as roles
             from iam.membership m
             join iam.user_account u on u.id = m.user_id
             join iam.tenant t on t.id = m.tenant_id
             where m.tenant_id = $1 and m.user_id = $2"
        )
    };
}

/// None when there is no such member.
pub async fn read(
    db: &Database,
    cx: &Ctx,
    tenant: TenantId,
    user: UserId,
    session: Option<SessionId>,
) -> Result<Option<StandingRow>> {
    let query = db.system(cx, Reason::SignIn).query(standing!());
    query.bind(tenant).bind(user).bind(session).optional().await
}

/// The same inside of a transaction across tenants.
pub async fn read_in(
    tx: &mut Tx,
    tenant: TenantId,
    user: UserId,
    session: Option<SessionId>,
) -> Result<Option<StandingRow>> {
    tx.query(standing!()).bind(tenant).bind(user).bind(session).optional().await
}

//! The events this service tells, on `platform.auth.events`. The key of an event about a person is the person's id, of
//! one about a tenant the tenant's, of one about a role the role's.

use fabric::postgres::Event;
use kernel::{Result, RoleId, SessionId, TenantId, UserId};
use serde::Serialize;

use crate::{
    NAME,
    model::{MemberState, TenantKind, TenantState},
};

/// Something to be told.
pub trait Tell: Serialize {
    /// Its type.
    const TYPE: &'static str;

    /// Whose events come in order with it.
    fn key(&self) -> String;

    /// Whose event it is.
    fn tenant(&self) -> TenantId;

    /// In the form that a transaction takes.
    ///
    /// # Errors
    /// `internal` if it can't be written as JSON.
    fn event(&self) -> Result<Event>
    where
        Self: Sized,
    {
        Ok(Event::new(NAME, Self::TYPE, self.key(), self)?.of(self.tenant()))
    }
}

/// A person was added to a tenant, with an account of their own.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserCreated<'a> {
    /// Who.
    pub user_id: UserId,
    /// Where.
    pub tenant_id: TenantId,
    /// The address.
    pub email: &'a str,
    /// The name.
    pub name: &'a str,
    /// Whether the address needs no verification.
    pub email_verified: bool,
}

/// Something about a member changed that has no event of its own.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserUpdated<'a> {
    /// Who.
    pub user_id: UserId,
    /// Where.
    pub tenant_id: TenantId,
    /// The state now.
    pub state: MemberState,
    /// Names of what changed: `name`, `state`, `password`, `emailVerified`.
    pub changed: &'a [&'a str],
}

/// A member was blocked.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserBlocked {
    /// Who.
    pub user_id: UserId,
    /// Where.
    pub tenant_id: TenantId,
}

/// A member was deleted; restored within 30 days, or gone.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserDeleted {
    /// Who.
    pub user_id: UserId,
    /// Where.
    pub tenant_id: TenantId,
}

/// A person signed in.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserLoggedIn {
    /// Who.
    pub user_id: UserId,
    /// Where.
    pub tenant_id: TenantId,
    /// The new session.
    pub session_id: SessionId,
}

/// What somebody may do changed: a role itself, or who holds which.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleChanged<'a> {
    /// Where.
    pub tenant_id: TenantId,
    /// `created`, `updated`, `deleted` or `assigned`.
    pub change: &'a str,
    /// The role, unless it is about a member's roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_id: Option<RoleId>,
    /// The member, if it is about a member's roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The member's roles now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<&'a [RoleId]>,
}

/// A tenant was made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantCreated<'a> {
    /// Which.
    pub tenant_id: TenantId,
    /// Its name in hosts.
    pub slug: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its place in the tree.
    pub kind: TenantKind,
    /// The one above.
    pub parent_id: Option<TenantId>,
    /// Its Owner; none for a seeded tenant whose people come later.
    pub owner_id: Option<UserId>,
}

/// A tenant was renamed or freed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantUpdated<'a> {
    /// Which.
    pub tenant_id: TenantId,
    /// Its name.
    pub name: &'a str,
    /// The state now.
    pub state: TenantState,
}

/// A tenant was blocked, and with it all below it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantBlocked {
    /// Which.
    pub tenant_id: TenantId,
}

/// A tenant was deleted; its data follows after 30 days.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantDeleted {
    /// Which.
    pub tenant_id: TenantId,
}

/// A deleted tenant's time is over: whoever keeps something of it removes that.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantPurged {
    /// Which.
    pub tenant_id: TenantId,
}

macro_rules! tell {
    ($($name:ty => $kind:literal, $this:ident, $key:expr;)+) => {
        $(impl Tell for $name {
            const TYPE: &'static str = $kind;

            fn key(&self) -> String {
                let $this = self;
                $key.to_string()
            }

            fn tenant(&self) -> TenantId {
                self.tenant_id
            }
        })+
    };
}

tell! {
    UserCreated<'_> => "auth.user.created", it, it.user_id;
    UserUpdated<'_> => "auth.user.updated", it, it.user_id;
    UserBlocked => "auth.user.blocked", it, it.user_id;
    UserDeleted => "auth.user.deleted", it, it.user_id;
    UserLoggedIn => "auth.user.loggedin", it, it.user_id;
    RoleChanged<'_> => "auth.role.changed", it,
        it.user_id.map_or_else(|| it.role_id.map(|id| id.to_string()).unwrap_or_default(), |id| id.to_string());
    TenantCreated<'_> => "auth.tenant.created", it, it.tenant_id;
    TenantUpdated<'_> => "auth.tenant.updated", it, it.tenant_id;
    TenantBlocked => "auth.tenant.blocked", it, it.tenant_id;
    TenantDeleted => "auth.tenant.deleted", it, it.tenant_id;
    TenantPurged => "auth.tenant.purged", it, it.tenant_id;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_a_person_is_ordered_by_the_person_and_one_of_a_tenant_by_the_tenant() {
        let (user, tenant, role) = (UserId::new(), TenantId::new(), RoleId::new());
        assert_eq!(UserBlocked { user_id: user, tenant_id: tenant }.key(), user.to_string());
        assert_eq!(TenantBlocked { tenant_id: tenant }.key(), tenant.to_string());
        let mut change = RoleChanged {
            tenant_id: tenant,
            change: "updated",
            role_id: Some(role),
            user_id: None,
            roles: None,
        };
        assert_eq!(change.key(), role.to_string());
        change.user_id = Some(user);
        assert_eq!(change.key(), user.to_string());
        assert_eq!(change.event().unwrap().kind(), "auth.role.changed");
    }
}

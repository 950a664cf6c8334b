//! What a sandbox's seed makes of this service. Called by code, not over HTTP; each function may be called again with
//! the same data and then changes nothing.

use std::collections::BTreeMap;

use fabric::postgres::{Audit, Reason, Tx, violated};
use kernel::{Ctx, Error, Result, Secret, Slug, TenantId, TenantSlug, UserId, check::Checks};

use super::tenants::add_tenant;
use crate::{
    Iam,
    events::{Tell as _, TenantCreated, UserCreated, UserUpdated},
    generations::Subject,
    model::{MemberState, SessionEnd, TenantKind, normal_email, password},
    store::{
        accounts::{self, NewAccount},
        members, roles, sessions,
        tenants::{self, NewTenant},
    },
};

/// Most tenants that [`Iam::tenant_ids`] lists.
const MOST_TENANTS: i64 = 10_000;

/// A tenant to be there.
#[derive(Debug, Clone)]
pub struct SeedTenant {
    /// Its id, where one is fixed.
    pub id: Option<TenantId>,
    /// Its name in hosts, by which it is recognised.
    pub slug: TenantSlug,
    /// Its name.
    pub name: String,
    /// Its place in the tree.
    pub kind: TenantKind,
    /// The one above; it must be there already.
    pub parent_slug: Option<TenantSlug>,
}

/// A person to be there.
#[derive(Debug, Clone)]
pub struct SeedUser {
    /// The address, by which the person is recognised.
    pub email: String,
    /// The name.
    pub name: String,
    /// The password of a new account; an existing one keeps its own.
    pub password: Secret,
    /// Tenant and role, by slug and name.
    pub memberships: Vec<(TenantSlug, String)>,
    /// Whether the address counts as verified.
    pub verified: bool,
    /// Where a new account's first sign-in goes without asking.
    pub last_tenant: Option<TenantSlug>,
}

impl Iam {
    /// Sees to it that a tenant is there, with its built-in roles.
    ///
    /// # Errors
    /// `not-found` for a parent that is not there; `invalid-state` for one that can't hold it; `already-exists` for a
    /// second Platform or a taken id.
    pub async fn seed_tenant(&self, cx: &Ctx, seed: SeedTenant) -> Result<TenantId> {
        let mut tx = self.db.system(cx, Reason::Sandbox).begin().await?;
        if let Some(id) = tenants::find(&mut tx, seed.slug.as_str()).await? {
            return Ok(id);
        }
        let parent = match &seed.parent_slug {
            Some(slug) => Some(named_tenant(&mut tx, slug).await?),
            None => None,
        };
        if let Some(parent) = parent {
            let row = tenants::lock_below(&mut tx, parent, parent).await?;
            let holds = row.is_some_and(|row| row.kind.holds(seed.kind));
            if !holds {
                let above = seed.parent_slug.as_ref().map(TenantSlug::as_str).unwrap_or_default();
                let detail =
                    format!("{} can't lie below {above}: the tree is platform, partner, client.", seed.slug);
                return Err(Error::new(Slug::InvalidState, detail));
            }
        }
        let id = seed.id.unwrap_or_default();
        let new = NewTenant { id, name: &seed.name, kind: seed.kind, parent };
        let (slug, _) = add_tenant(&mut tx, cx, &new, Some(seed.slug)).await?;
        let founded = TenantCreated {
            tenant_id: id,
            slug: slug.as_str(),
            name: &seed.name,
            kind: seed.kind,
            parent_id: parent,
            owner_id: None,
        };
        tx.event(founded.event()?)?;
        tx.audit(Audit::new("tenant.created", "tenant", id).of(id).after(&founded))?;
        tx.commit(()).await?;
        self.memory.tenant_changed();
        Ok(id)
    }

    /// Sees to it that a person is there, and a member of these tenants with these roles.
    ///
    /// # Errors
    /// `validation-error` for address, name or password; `not-found` for a tenant or role that is not there;
    /// `invalid-state` for a second Owner.
    pub async fn seed_user(&self, cx: &Ctx, seed: SeedUser) -> Result<UserId> {
        let email = normal_email(&seed.email);
        let known = accounts::for_sign_in(&self.db, cx, &email).await?.map(|account| account.user_id);
        let password_hash = match known {
            Some(_) => String::new(),
            None => {
                let mut checks = Checks::new();
                checks.email("/email", &email).length("/name", &seed.name, 1, super::registration::MOST_NAME);
                password::check(&mut checks, "/password", seed.password.expose(), &email);
                checks.finish()?;
                self.passwords.hash(cx, &seed.password).await?
            }
        };
        let now = cx.now();
        let mut tx = self.db.system(cx, Reason::Sandbox).begin().await?;
        let user = known.unwrap_or_default();
        if known.is_none() {
            let last_tenant = match &seed.last_tenant {
                Some(slug) => Some(named_tenant(&mut tx, slug).await?),
                None => None,
            };
            let account = NewAccount {
                id: user,
                email: &email,
                name: &seed.name,
                password_hash: &password_hash,
                verified_at: seed.verified.then_some(now),
                last_tenant,
            };
            if !accounts::add(&mut tx, &account, now).await? {
                return Err(Error::new(
                    Slug::Conflict,
                    format!("{email} was added at the same moment; seed again."),
                ));
            }
        }
        let mut joined = Vec::new();
        for (slug, role) in &seed.memberships {
            let tenant = named_tenant(&mut tx, slug).await?;
            let role_id = roles::by_name(&mut tx, tenant, role).await?.ok_or_else(|| {
                Error::new(Slug::NotFound, format!("There is no role {role:?} in the tenant {slug}."))
            })?;
            let is_new = members::join(&mut tx, tenant, user, &seed.name, &[role_id], now).await;
            let is_new = is_new.map_err(|error| second_owner(error, slug))?;
            let given = if is_new {
                tx.reserve_for(tenant, super::registration::USERS, 1).await?;
                true
            } else {
                members::give_role(&mut tx, tenant, user, role_id)
                    .await
                    .map_err(|error| second_owner(error, slug))?
            };
            if given {
                joined.push(tenant);
            }
        }
        if let (None, Some(first)) = (known, joined.first()) {
            let told = UserCreated {
                user_id: user,
                tenant_id: *first,
                email: &email,
                name: &seed.name,
                email_verified: seed.verified,
            };
            tx.event(told.event()?)?;
        }
        for tenant in &joined {
            tx.audit(Audit::new("user.joined", "user", user).of(*tenant))?;
        }
        tx.commit(()).await?;
        joined.into_iter().for_each(|tenant| self.memory.changed(Subject::Member(tenant, user)));
        Ok(user)
    }

    /// Sets a person's password and ends all their sessions.
    ///
    /// # Errors
    /// `not-found` for an address without an account; `validation-error` for the password.
    pub async fn set_password(&self, cx: &Ctx, email: &str, new: &Secret) -> Result<()> {
        let email = normal_email(email);
        let mut checks = Checks::new();
        password::check(&mut checks, "/password", new.expose(), &email);
        checks.finish()?;
        let hash = self.passwords.hash(cx, new).await?;
        let mut tx = self.db.system(cx, Reason::Sandbox).begin().await?;
        let user = accounts::find(&mut tx, &email).await?;
        let user = user.ok_or_else(|| Error::new(Slug::NotFound, format!("{email} has no account.")))?;
        accounts::set_password(&mut tx, user, &hash, cx.now()).await?;
        let ended = sessions::end_all(&mut tx, user, None, SessionEnd::Password, cx.now()).await?;
        if let Ok(tenant_id) = cx.tenant() {
            let changed = &["password"];
            let told = UserUpdated { user_id: user, tenant_id, state: MemberState::Active, changed };
            tx.event(told.event()?)?;
            tx.audit(Audit::new("user.password_changed", "user", user))?;
        }
        tx.commit(()).await?;
        ended.into_iter().for_each(|session| self.memory.changed(Subject::Session(session)));
        Ok(())
    }

    /// The tenants that are not deleted, by their names in hosts; at most 10,000.
    ///
    /// # Errors
    /// What the database says.
    pub async fn tenant_ids(&self, cx: &Ctx) -> Result<BTreeMap<String, TenantId>> {
        Ok(tenants::slugs(&self.db, cx, MOST_TENANTS).await?.into_iter().collect())
    }
}

async fn named_tenant(tx: &mut Tx, slug: &TenantSlug) -> Result<TenantId> {
    let found = tenants::find(tx, slug.as_str()).await?;
    found.ok_or_else(|| Error::new(Slug::NotFound, format!("There is no tenant {slug}; seed it first.")))
}

fn second_owner(error: Error, tenant: &TenantSlug) -> Error {
    if violated(&error) == Some("member_role_owner") {
        let detail = format!("The tenant {tenant} has its Owner; there is never a second one.");
        return Error::new(Slug::InvalidState, detail).because(error);
    }
    error
}

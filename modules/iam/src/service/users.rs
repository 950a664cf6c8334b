//! The members of a tenant. Blocking, deleting and naming are the tenant's: the person's account and their memberships
//! elsewhere are not touched.

use fabric::postgres::{Audit, Reason, Tx};
use kernel::{
    Ctx, Error, FieldCode, FieldError, Permissions, Result, RoleId, Slug, TenantId, Timestamp, UserId,
    check::Checks,
};
use ports::{ModuleSnapshot, http::Page, http::page_size};

use super::{
    mails::Recipient,
    registration::{MOST_NAME, USERS, address_taken},
};
use crate::{
    Iam,
    events::{RoleChanged, Tell as _, UserBlocked, UserCreated, UserDeleted, UserUpdated},
    generations::Subject,
    http::users::{RoleIdsIn, UserIn, UserOut, UserPatch, UsersQuery},
    model::{
        KEPT_AFTER_DELETION, MOST_ROLES_OF_MEMBER, MailPurpose, MemberState, RoleKind, SessionEnd,
        TenantKind, expect_version, normal_email, password, permission::Catalogue, spare_owner,
    },
    store::{
        accounts::{self, NewAccount},
        members::{self, HeldRole, MemberRow},
        roles::{self, RoleRow},
        sessions,
    },
};

impl Iam {
    /// Members of the tenant, the newest first; without a state all but the deleted.
    ///
    /// # Errors
    /// `invalid-cursor`, `validation-error`.
    pub async fn users(&self, cx: &Ctx, query: &UsersQuery) -> Result<Page<UserOut>> {
        let list = format!("users/{}", query.state.map_or("", MemberState::as_str));
        let tenant = cx.tenant().ok();
        let limit = page_size(query.limit)?;
        let after: Option<(i64, UserId)> =
            query.cursor.as_deref().map(|cursor| self.cursors.read(tenant, &list, cursor)).transpose()?;
        let after = after.and_then(|(at, id)| Some((Timestamp::from_micros(at)?, id)));
        let rows = members::list(&self.db.tenant(cx)?, query.state, after, limit).await?;
        let page = Page::cut(rows, limit, |last| {
            self.cursors.write(tenant, &list, &(last.created_at.micros(), last.user_id))
        });
        Ok(page.map(UserOut::from))
    }

    /// One member, a deleted one too.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn user(&self, cx: &Ctx, user: UserId) -> Result<UserOut> {
        let row = members::read(&self.db.tenant(cx)?, user).await?;
        row.map(UserOut::from).ok_or_else(|| Error::not_found("user"))
    }

    /// Adds a person with a password and roles; without roles as Member.
    ///
    /// # Errors
    /// `validation-error`; `already-exists` for an address with an account; `forbidden` for a role that grants more than
    /// the caller holds; `rate-limited` when the hash pool is full; `plan-limit-exceeded`.
    pub async fn create_user(&self, cx: &Ctx, input: UserIn) -> Result<UserOut> {
        let tenant = cx.tenant()?;
        let email = normal_email(&input.email);
        let name = input.name.trim();
        let mut checks = Checks::new();
        checks.email("/email", &email).length("/name", name, 1, MOST_NAME);
        password::check(&mut checks, "/password", input.password.expose(), &email);
        checks.finish()?;
        if input.role_ids.is_some() && !cx.caller().permissions.allow("roles.assign") {
            return Err(Error::forbidden("roles.assign"));
        }
        let password_hash = self.passwords.hash(cx, &input.password).await?;
        let giver = self.giver(cx).await?;
        let (user, now) = (UserId::new(), cx.now());

        // Across tenants, for an account belongs to none.
        let mut tx = self.db.system(cx, Reason::SignIn).begin().await?;
        let wanted = match input.role_ids {
            Some(ids) => ids,
            None => roles::built_in(&mut tx, tenant, RoleKind::Member).await?.into_iter().collect(),
        };
        let found = roles::of_ids(&mut tx, tenant, &wanted).await?;
        giver.check(&wanted, &found, &[])?;
        let account = NewAccount {
            id: user,
            email: &email,
            name,
            password_hash: &password_hash,
            verified_at: None,
            last_tenant: None,
        };
        if !accounts::add(&mut tx, &account, now).await? {
            return Err(address_taken("/email"));
        }
        members::join(&mut tx, tenant, user, name, &wanted, now).await?;
        tx.reserve(USERS, 1).await?;
        let told =
            UserCreated { user_id: user, tenant_id: tenant, email: &email, name, email_verified: false };
        tx.event(told.event()?)?;
        let to = Recipient { user, email: &email, name, tenant: Some(tenant), reader: Some(user) };
        self.send_token(&mut tx, &to, MailPurpose::Verify, cx.locale(), false).await?;
        let held = found
            .into_iter()
            .map(|role| HeldRole { id: role.id, name: role.name, kind: role.kind })
            .collect();
        let out = UserOut::from(MemberRow {
            user_id: user,
            email: email.clone(),
            name: name.to_owned(),
            verified: false,
            state: MemberState::Active,
            roles: fabric::postgres::Json(held),
            created_at: now,
            updated_at: now,
            deleted_at: None,
            version: 1,
        });
        tx.audit(Audit::new("user.created", "user", user).after(&out))?;
        tx.commit(out).await
    }

    /// Changes a member's name in this tenant.
    ///
    /// # Errors
    /// `not-found`, `validation-error`, `precondition-failed`.
    pub async fn update_user(
        &self,
        cx: &Ctx,
        user: UserId,
        patch: UserPatch,
        seen: Option<i32>,
    ) -> Result<UserOut> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let mut member = locked(&mut tx, user, seen).await?;
        let before = UserOut::from(member.clone());
        if let Some(name) = patch.name {
            Checks::new().length("/name", name.trim(), 1, MOST_NAME).finish()?;
            member.name = name.trim().to_owned();
        }
        keep(&mut tx, &mut member, cx.now()).await?;
        let told =
            UserUpdated { user_id: user, tenant_id: cx.tenant()?, state: member.state, changed: &["name"] };
        tx.event(told.event()?)?;
        let out = UserOut::from(member);
        tx.audit(Audit::new("user.updated", "user", user).before(&before).after(&out))?;
        tx.commit(out).await
    }

    /// Keeps a member out of the tenant, from this moment on.
    ///
    /// # Errors
    /// `not-found`; `invalid-state` for the Owner and for whoever is not active.
    pub async fn block_user(&self, cx: &Ctx, user: UserId) -> Result<UserOut> {
        let change =
            Change { from: &[MemberState::Active], to: MemberState::Blocked, action: "user.blocked" };
        self.change_state(cx, user, None, change).await
    }

    /// Lets a blocked member in again.
    ///
    /// # Errors
    /// `not-found`; `invalid-state` when the member is not blocked.
    pub async fn unblock_user(&self, cx: &Ctx, user: UserId) -> Result<UserOut> {
        let change =
            Change { from: &[MemberState::Blocked], to: MemberState::Active, action: "user.unblocked" };
        self.change_state(cx, user, None, change).await
    }

    /// Removes a member; for 30 days they can be restored.
    ///
    /// # Errors
    /// `not-found`; `invalid-state` for the Owner; `precondition-failed`.
    pub async fn delete_user(&self, cx: &Ctx, user: UserId, seen: Option<i32>) -> Result<()> {
        let from = &[MemberState::Active, MemberState::Blocked];
        let change = Change { from, to: MemberState::Deleted, action: "user.deleted" };
        self.change_state(cx, user, seen, change).await.map(drop)
    }

    /// Brings a deleted member back, with the roles held before.
    ///
    /// # Errors
    /// `not-found`; `invalid-state` when the member is not deleted, or was for 30 days; `plan-limit-exceeded`.
    pub async fn restore_user(&self, cx: &Ctx, user: UserId) -> Result<UserOut> {
        let change =
            Change { from: &[MemberState::Deleted], to: MemberState::Active, action: "user.restored" };
        self.change_state(cx, user, None, change).await
    }

    async fn change_state(
        &self,
        cx: &Ctx,
        user: UserId,
        seen: Option<i32>,
        change: Change,
    ) -> Result<UserOut> {
        let (tenant, now) = (cx.tenant()?, cx.now());
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let mut member = locked(&mut tx, user, seen).await?;
        change.check(&member, now)?;
        let before = UserOut::from(member.clone());
        member.state = change.to;
        member.deleted_at = (change.to == MemberState::Deleted).then_some(now);
        keep(&mut tx, &mut member, now).await?;
        match (before.state, change.to) {
            (MemberState::Deleted, MemberState::Active) => tx.reserve(USERS, 1).await?,
            (_, MemberState::Deleted) => tx.reserve(USERS, -1).await?,
            _ => {}
        }
        if change.to != MemberState::Active {
            sessions::end_of_member(&mut tx, user, SessionEnd::Blocked, now).await?;
        }
        tx.event(match change.to {
            MemberState::Blocked => UserBlocked { user_id: user, tenant_id: tenant }.event()?,
            MemberState::Deleted => UserDeleted { user_id: user, tenant_id: tenant }.event()?,
            state @ MemberState::Active => {
                UserUpdated { user_id: user, tenant_id: tenant, state, changed: &["state"] }.event()?
            }
        })?;
        let out = UserOut::from(member);
        tx.audit(Audit::new(change.action, "user", user).before(&before).after(&out))?;
        let out = tx.commit(out).await?;
        self.memory.changed(Subject::Member(tenant, user));
        Ok(out)
    }

    /// Makes these the roles of a member.
    ///
    /// # Errors
    /// `not-found`; `validation-error` for a role that does not exist; `forbidden` for one that grants more than the
    /// caller holds; `invalid-state` where it would take the Owner role away or give it to a second member.
    pub async fn assign_roles(&self, cx: &Ctx, user: UserId, input: RoleIdsIn) -> Result<UserOut> {
        let tenant = cx.tenant()?;
        let giver = self.giver(cx).await?;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let member = locked(&mut tx, user, None).await?;
        let before = UserOut::from(member.clone());
        let found = roles::of_ids_here(&mut tx, &input.role_ids).await?;
        let keeps_ownership = found.iter().any(|role| role.kind == RoleKind::Owner);
        if member.is_owner() && !keeps_ownership {
            spare_owner(true, "stripped of that role")?;
        }
        let held: Vec<RoleId> = member.roles.iter().map(|role| role.id).collect();
        giver.check(&input.role_ids, &found, &held)?;
        members::set_roles(&mut tx, user, &input.role_ids).await?;
        let mut member = MemberRow {
            roles: fabric::postgres::Json(
                found
                    .into_iter()
                    .map(|role| HeldRole { id: role.id, name: role.name, kind: role.kind })
                    .collect(),
            ),
            ..member
        };
        keep(&mut tx, &mut member, cx.now()).await?;
        let told = RoleChanged {
            tenant_id: tenant,
            change: "assigned",
            role_id: None,
            user_id: Some(user),
            roles: Some(&input.role_ids),
        };
        tx.event(told.event()?)?;
        let out = UserOut::from(member);
        tx.audit(Audit::new("user.roles_assigned", "user", user).before(&before).after(&out))?;
        let out = tx.commit(out).await?;
        self.memory.changed(Subject::Member(tenant, user));
        Ok(out)
    }

    /// Who grants, and what there is to grant, worked out before a transaction begins.
    pub(super) async fn giver(&self, cx: &Ctx) -> Result<Giver> {
        let tenant = cx.tenant()?;
        let platform = self.tenant_info(cx, tenant).await?.is_some_and(|tenant| tenant.is_platform);
        Ok(Giver {
            tenant,
            kind: if platform { TenantKind::Platform } else { TenantKind::Client },
            permissions: (*cx.caller().permissions).clone(),
            modules: self.active_modules(cx).await,
        })
    }
}

/// A way from one state to another.
struct Change {
    from: &'static [MemberState],
    to: MemberState,
    action: &'static str,
}

impl Change {
    fn check(&self, member: &MemberRow, now: Timestamp) -> Result<()> {
        if !self.from.contains(&member.state) {
            return Err(Error::new(Slug::InvalidState, format!("The user is {}.", member.state)));
        }
        if self.to != MemberState::Active {
            let act = if self.to == MemberState::Blocked { "blocked" } else { "deleted" };
            spare_owner(member.is_owner(), act)?;
        }
        if member.deleted_at.is_some_and(|at| now >= at.plus(KEPT_AFTER_DELETION)) {
            return Err(Error::new(Slug::InvalidState, "The user was deleted more than 30 days ago."));
        }
        Ok(())
    }
}

/// Whoever gives roles and permissions away.
pub(super) struct Giver {
    tenant: TenantId,
    kind: TenantKind,
    permissions: Permissions,
    modules: std::sync::Arc<ModuleSnapshot>,
}

impl Giver {
    /// What can be granted in this tenant.
    pub(super) fn catalogue(&self) -> Catalogue<'_> {
        let snapshot: &ModuleSnapshot = &self.modules;
        Catalogue::new(self.kind, self.tenant, snapshot)
    }

    /// What the giver holds.
    pub(super) fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// Whether these roles can be given to a member who holds `held` already.
    fn check(&self, wanted: &[RoleId], found: &[RoleRow], held: &[RoleId]) -> Result<()> {
        if wanted.is_empty() || wanted.len() > MOST_ROLES_OF_MEMBER {
            let message = format!("takes 1 to {MOST_ROLES_OF_MEMBER} roles, got {}", wanted.len());
            return Err(Error::field("/roleIds", FieldCode::OutOfRange, message));
        }
        let unknown: Vec<FieldError> = wanted
            .iter()
            .enumerate()
            .filter(|(_, id)| !found.iter().any(|role| role.id == **id))
            .map(|(at, _)| {
                FieldError::new(format!("/roleIds/{at}"), FieldCode::NotAllowed, "is no role here")
            })
            .collect();
        if !unknown.is_empty() {
            return Err(Error::fields(unknown));
        }
        let catalogue = self.catalogue();
        for role in found.iter().filter(|role| !held.contains(&role.id)) {
            if role.kind == RoleKind::Owner {
                return Err(Error::new(
                    Slug::InvalidState,
                    "The tenant has its Owner; there is never a second one.",
                ));
            }
            catalogue.check_held(&catalogue.of_role(role.kind, &role.permissions), &self.permissions)?;
        }
        Ok(())
    }
}

async fn locked(tx: &mut Tx, user: UserId, seen: Option<i32>) -> Result<MemberRow> {
    let member = members::lock(tx, user).await?.ok_or_else(|| Error::not_found("user"))?;
    expect_version(seen, member.version)?;
    Ok(member)
}

async fn keep(tx: &mut Tx, member: &mut MemberRow, now: Timestamp) -> Result<()> {
    member.version += 1;
    member.updated_at = now;
    members::change(tx, member, now).await
}

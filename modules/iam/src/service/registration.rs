//! A stranger becomes the Owner of a new tenant.

use fabric::postgres::{Audit, Reason};
use kernel::{Ctx, Error, FieldCode, FieldError, Result, SessionId, Slug, TenantId, UserId, check::Checks};

use super::{
    mails::Recipient,
    tenants::add_tenant,
    tokens::{RefreshToken, Standing},
};
use crate::{
    Iam,
    events::{Tell as _, TenantCreated, UserCreated},
    http::auth::{RegisterIn, TokensOut},
    model::{MailPurpose, RoleKind, TenantKind, normal_email, password},
    store::{
        accounts::{self, NewAccount},
        members, sessions,
        sessions::NewSession,
        tenants::{self, NewTenant},
    },
};

/// What the plan calls members that are not deleted.
pub(super) const USERS: &str = "users";

/// Longest name of a person or tenant.
pub(super) const MOST_NAME: usize = 120;

impl Iam {
    /// Makes a user, a tenant and the membership of its Owner, and signs the user in: one transaction, and
    /// the verification mail goes with it. Wallet and trial follow from its events.
    ///
    /// # Errors
    /// `validation-error`, `already-exists` for an address with an account, `rate-limited` when the hash pool is full.
    pub async fn register(&self, cx: &Ctx, input: RegisterIn) -> Result<TokensOut> {
        let email = normal_email(&input.email);
        let (name, organization) = (input.name.trim(), input.organization.trim());
        let mut checks = Checks::new();
        checks.email("/email", &email).length("/name", name, 1, MOST_NAME);
        checks.length("/organization", organization, 1, MOST_NAME);
        password::check(&mut checks, "/password", input.password.expose(), &email);
        checks.finish()?;
        let password_hash = self.passwords.hash(cx, &input.password).await?;
        let ring = self.keys.ring(cx).await?;
        let (user, tenant, session) = (UserId::new(), TenantId::new(), SessionId::new());
        let now = cx.now();

        // In the stranger's own context: a repeated request is recognised before it has a tenant.
        let mut tx = self.db.system(cx, Reason::SignIn).begin().await?;
        let parent = tenants::platform(&mut tx).await?;
        let new_tenant = NewTenant { id: tenant, name: organization, kind: TenantKind::Client, parent };
        let (slug, owner_role) = add_tenant(&mut tx, cx, &new_tenant, None).await?;
        let account = NewAccount {
            id: user,
            email: &email,
            name,
            password_hash: &password_hash,
            verified_at: None,
            last_tenant: Some(tenant),
        };
        if !accounts::add(&mut tx, &account, now).await? {
            return Err(address_taken("/email"));
        }
        members::join(&mut tx, tenant, user, name, &[owner_role], now).await?;
        tx.reserve_for(tenant, USERS, 1).await?;
        let refresh = RefreshToken::make(cx);
        sessions::open(&mut tx, cx, &NewSession { id: session, tenant, user, refresh_hash: refresh.hash() })
            .await?;

        let told =
            UserCreated { user_id: user, tenant_id: tenant, email: &email, name, email_verified: false };
        let founded = TenantCreated {
            tenant_id: tenant,
            slug: slug.as_str(),
            name: organization,
            kind: TenantKind::Client,
            parent_id: parent,
            owner_id: Some(user),
        };
        tx.event(told.event()?)?;
        tx.event(founded.event()?)?;
        tx.audit(Audit::new("user.created", "user", user).of(tenant).after(&told))?;
        tx.audit(Audit::new("tenant.created", "tenant", tenant).of(tenant).after(&founded))?;
        let to = Recipient { user, email: &email, name, tenant: Some(tenant), reader: Some(user) };
        self.send_token(&mut tx, &to, MailPurpose::Verify, cx.locale(), false).await?;
        let standing = Standing {
            user,
            email: email.clone(),
            name: name.to_owned(),
            verified: false,
            tenant,
            tenant_slug: slug.to_string(),
            tenant_name: organization.to_owned(),
            tenant_kind: TenantKind::Client,
            roles: vec![RoleKind::Owner.title().to_owned()],
        };
        let tokens = self.tokens(cx, &ring, standing, session, refresh)?;
        let tokens = tx.commit(tokens).await?;
        self.memory.tenant_changed();
        Ok(tokens)
    }
}

/// The address has an account. Registration can't hide that without mail; everything else does.
pub(super) fn address_taken(field: &str) -> Error {
    let message = "has an account already; if the person was deleted here, restore them";
    Error::new(Slug::AlreadyExists, "This e-mail address has an account already.")
        .with_fields(vec![FieldError::new(field, FieldCode::NotAllowed, message)])
}

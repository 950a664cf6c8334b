//! A new tenant with its Owner, and the first of them all: the one that runs the platform.

use fabric::{
    crypto::sha256,
    postgres::{Audit, Reason, Tx, violated},
};
use kernel::{Ctx, Error, FieldCode, Result, Secret, SessionId, TenantId, UserId, check::Checks};

use super::{
    registration::{MOST_NAME, USERS, address_taken},
    tenants::add_tenant,
    tokens::{RefreshToken, Standing},
};
use crate::{
    Iam,
    events::{Tell as _, TenantCreated, UserCreated},
    http::{auth::TokensOut, set_up::SetUpIn},
    model::{RoleKind, TenantKind, normal_email, password},
    store::{
        accounts::{self, NewAccount},
        members,
        sessions::{self, NewSession},
        tenants::{self, NewTenant},
    },
};

/// What the tenant that runs the platform is called until it says otherwise.
const PLATFORM: &str = "Platform";
/// What a person of whom nothing but an address is known is called until they say otherwise.
const OWNER: &str = "Owner";

/// A tenant and the new person who owns it. All of it was checked.
pub(super) struct Founding<'a> {
    pub kind: TenantKind,
    pub parent: Option<TenantId>,
    pub tenant_name: &'a str,
    pub email: &'a str,
    pub name: &'a str,
    pub verified: bool,
}

impl Iam {
    /// Makes the tenant, the person and the membership as Owner, with what tells of them.
    ///
    /// # Errors
    /// `already-exists` for an address with an account.
    pub(super) async fn found(
        &self,
        tx: &mut Tx,
        founding: &Founding<'_>,
        password_hash: &str,
    ) -> Result<Standing> {
        let cx = tx.cx().clone();
        let (user, tenant, now) = (UserId::new(), TenantId::new(), cx.now());
        let &Founding { kind, parent, tenant_name, email, name, verified } = founding;
        let new_tenant = NewTenant { id: tenant, name: tenant_name, kind, parent };
        let (slug, owner_role) = add_tenant(tx, &cx, &new_tenant, None).await?;
        let account = NewAccount {
            id: user,
            email,
            name,
            password_hash,
            verified_at: verified.then_some(now),
            last_tenant: Some(tenant),
        };
        if !accounts::add(tx, &account, now).await? {
            return Err(address_taken("/email"));
        }
        members::join(tx, tenant, user, name, &[owner_role], now).await?;
        tx.reserve_for(tenant, USERS, 1).await?;
        let told = UserCreated { user_id: user, tenant_id: tenant, email, name, email_verified: verified };
        let founded = TenantCreated {
            tenant_id: tenant,
            slug: slug.as_str(),
            name: tenant_name,
            kind,
            parent_id: parent,
            owner_id: Some(user),
        };
        tx.event(told.event()?)?;
        tx.event(founded.event()?)?;
        tx.audit(Audit::new("user.created", "user", user).of(tenant).after(&told))?;
        tx.audit(Audit::new("tenant.created", "tenant", tenant).of(tenant).after(&founded))?;
        Ok(Standing {
            user,
            email: email.to_owned(),
            name: name.to_owned(),
            verified,
            tenant,
            tenant_slug: slug.to_string(),
            tenant_name: tenant_name.to_owned(),
            tenant_kind: kind,
            roles: vec![RoleKind::Owner.title().to_owned()],
        })
    }

    /// Whether there is a tenant that runs the platform.
    ///
    /// # Errors
    /// What the database says.
    pub async fn has_platform(&self, cx: &Ctx) -> Result<bool> {
        let mut tx = self.db.system(cx, Reason::Sandbox).begin().await?;
        Ok(tenants::platform(&mut tx).await?.is_some())
    }

    /// Makes the tenant that runs the platform, owned by a new person of that address. Answers false where there is one:
    /// nothing is changed then, also not the password.
    ///
    /// # Errors
    /// `validation-error` for `/email` or `/password`; `already-exists` for an address with an account.
    pub async fn set_up_owner(&self, cx: &Ctx, email: &str, first_password: &Secret) -> Result<bool> {
        if self.has_platform(cx).await? {
            return Ok(false);
        }
        check_owner(email, first_password)?;
        let email = normal_email(email);
        let password_hash = self.passwords.hash(cx, first_password).await?;
        let mut tx = self.db.system(cx, Reason::Sandbox).begin().await?;
        let founding = platform(PLATFORM, &email, OWNER);
        match self.found(&mut tx, &founding, &password_hash).await {
            Ok(_) => {}
            // Another replica was faster.
            Err(error) if is_second(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
        tx.commit(()).await?;
        self.memory.tenant_changed();
        Ok(true)
    }

    /// What [`Self::set_up`] takes as its token; None where nobody may set up the platform by a link.
    pub fn set_up_token(&self) -> Option<&Secret> {
        self.set_up_token.as_ref()
    }

    /// Makes the tenant that runs the platform, owned by whoever holds the token, and signs them in. Good once: there is
    /// one such tenant for ever.
    ///
    /// # Errors
    /// `validation-error`, for `/token` too, once it was used; `already-exists` for an address with an account;
    /// `rate-limited` when the hash pool is full.
    pub async fn set_up(&self, cx: &Ctx, input: SetUpIn) -> Result<TokensOut> {
        let digest = |token: &Secret| sha256(&[token.expose().as_bytes()]);
        let is_it = |token: &Secret| digest(token) == digest(&input.token);
        if !self.set_up_token.as_ref().is_some_and(is_it) {
            return Err(spent());
        }
        let email = normal_email(&input.email);
        let name = input.name.trim();
        let organization = input.organization.as_deref().map_or(PLATFORM, str::trim);
        check(&email, name, organization, &input.password)?;
        let password_hash = self.passwords.hash(cx, &input.password).await?;
        let ring = self.keys.ring(cx).await?;
        let mut tx = self.db.system(cx, Reason::SignIn).begin().await?;
        let founding = platform(organization, &email, name);
        let founded = self.found(&mut tx, &founding, &password_hash).await;
        let standing = founded.map_err(|error| if is_second(&error) { spent() } else { error })?;
        let (session, refresh) = open_session(&mut tx, &standing).await?;
        let tokens = self.tokens(cx, &ring, standing, session, refresh)?;
        let tokens = tx.commit(tokens).await?;
        self.memory.tenant_changed();
        Ok(tokens)
    }
}

/// Whether a person of this address can be the first with that password.
///
/// # Errors
/// `validation-error` for `/email` or `/password`.
pub fn check_owner(email: &str, first_password: &Secret) -> Result<()> {
    check(&normal_email(email), OWNER, PLATFORM, first_password)
}

/// What a new person and the tenant that they found are checked for.
pub(super) fn check(email: &str, name: &str, organization: &str, password: &Secret) -> Result<()> {
    let mut checks = Checks::new();
    checks.email("/email", email).length("/name", name, 1, MOST_NAME);
    checks.length("/organization", organization, 1, MOST_NAME);
    password::check(&mut checks, "/password", password.expose(), email);
    checks.finish()
}

/// The person's first session, in the tenant that they founded.
pub(super) async fn open_session(tx: &mut Tx, of: &Standing) -> Result<(SessionId, RefreshToken)> {
    let cx = tx.cx().clone();
    let (session, refresh) = (SessionId::new(), RefreshToken::make(&cx));
    let new = NewSession { id: session, tenant: of.tenant, user: of.user, refresh_hash: refresh.hash() };
    sessions::open(tx, &cx, &new).await?;
    Ok((session, refresh))
}

/// Whoever holds the settings or the log of the process needs no mail to show who they are.
fn platform<'a>(tenant_name: &'a str, email: &'a str, name: &'a str) -> Founding<'a> {
    Founding { kind: TenantKind::Platform, parent: None, tenant_name, email, name, verified: true }
}

fn is_second(error: &Error) -> bool {
    violated(error) == Some("tenant_platform")
}

/// The same for a token that never was and for one that was used.
fn spent() -> Error {
    let message = "is not good, or not any more: the platform has its owner; the newest link stands in the kernel's log";
    Error::field("/token", FieldCode::NotAllowed, message)
}

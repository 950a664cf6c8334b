//! A stranger becomes the Owner of a new tenant.

use fabric::postgres::Reason;
use kernel::{Ctx, Error, FieldCode, FieldError, Result, Slug};

use super::{
    founding::{self, Founding, open_session},
    mails::Recipient,
};
use crate::{
    Iam,
    http::auth::{RegisterIn, TokensOut},
    model::{MailPurpose, TenantKind, normal_email},
    store::tenants,
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
        founding::check(&email, name, organization, &input.password)?;
        let password_hash = self.passwords.hash(cx, &input.password).await?;
        let ring = self.keys.ring(cx).await?;

        // In the stranger's own context: a repeated request is recognised before it has a tenant.
        let mut tx = self.db.system(cx, Reason::SignIn).begin().await?;
        let founding = Founding {
            kind: TenantKind::Client,
            parent: tenants::platform(&mut tx).await?,
            tenant_name: organization,
            email: &email,
            name,
            verified: false,
        };
        let standing = self.found(&mut tx, &founding, &password_hash).await?;
        let (session, refresh) = open_session(&mut tx, &standing).await?;
        let to = Recipient {
            user: standing.user,
            email: &email,
            name,
            tenant: Some(standing.tenant),
            reader: Some(standing.user),
        };
        self.send_token(&mut tx, &to, MailPurpose::Verify, cx.locale(), false).await?;
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

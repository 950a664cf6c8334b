//! What services and back-ends beside the kernel ask about others: whose a credential is, what somebody may do.

use std::sync::Arc;

use kernel::{Ctx, Error, FieldCode, Permissions, Result, Secret, Slug, UserId, check::Checks};
use ports::Principal;

use crate::Iam;

/// What keys of modules begin with; module-registry knows them.
const MODULE_KEY_PREFIX: &str = "mk_";
/// Most permissions that are asked about at once.
const MOST_CHECKS: usize = 100;

impl Iam {
    /// Whose credential `token` is; none for one that is no good, has ended or is of another tenant.
    ///
    /// # Errors
    /// `validation-error` without a token.
    pub async fn introspect(&self, cx: &Ctx, token: Secret) -> Result<Option<Principal>> {
        let tenant = cx.tenant()?;
        if token.expose().is_empty() {
            return Err(Error::field("/token", FieldCode::Required, "is needed"));
        }
        let found = if token.expose().starts_with(MODULE_KEY_PREFIX) {
            self.modules.authenticate_key(cx, token).await
        } else {
            self.authenticate(cx, &token).await
        };
        match found {
            Ok(principal) => Ok(Some(principal).filter(|found| found.caller.tenant == Some(tenant))),
            Err(error) if matches!(error.slug(), Slug::Unauthorized | Slug::TokenExpired) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What somebody may do: the caller, or a member of the tenant.
    ///
    /// # Errors
    /// `forbidden` for another member without `users.list`; `not-found` for whoever is no member.
    pub async fn rights(&self, cx: &Ctx, user: Option<UserId>) -> Result<Arc<Permissions>> {
        let caller = cx.caller();
        let other = user.filter(|user| caller.actor.user() != Some(*user));
        let Some(other) = other else { return Ok(Arc::clone(&caller.permissions)) };
        if !caller.permissions.allow("users.list") {
            return Err(Error::forbidden("users.list"));
        }
        self.user(cx, other).await?;
        self.permissions(cx, cx.tenant()?, other).await
    }

    /// Whether somebody may do each of these things.
    ///
    /// # Errors
    /// As [`Iam::rights`]; `validation-error` for none or too many.
    pub async fn may(
        &self,
        cx: &Ctx,
        user: Option<UserId>,
        wanted: Vec<String>,
    ) -> Result<Vec<(String, bool)>> {
        let mut checks = Checks::new();
        checks.ensure(
            !wanted.is_empty(),
            "/permissions",
            FieldCode::TooShort,
            "names at least one permission",
        );
        let most = format!("takes at most {MOST_CHECKS} permissions, got {}", wanted.len());
        checks.ensure(wanted.len() <= MOST_CHECKS, "/permissions", FieldCode::TooLong, most);
        checks.finish()?;
        let rights = self.rights(cx, user).await?;
        let answered = wanted.into_iter().map(|permission| {
            let may = rights.allow(&permission);
            (permission, may)
        });
        Ok(answered.collect())
    }
}

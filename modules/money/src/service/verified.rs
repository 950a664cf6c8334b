use std::time::Duration;

use kernel::{Actor, Ctx, Error, Result, Slug, TenantId, UserId};
use moka::sync::Cache;

use crate::Money;

/// Whose address was seen to be verified a moment ago. Only that is remembered: who verifies now may transfer now.
pub(crate) struct Verified(Cache<(TenantId, UserId), ()>);

/// People that are remembered.
const MOST: u64 = 10_000;
/// How long: an address that is changed, and so unverified, is asked about again after this.
const REMEMBERED: Duration = Duration::from_secs(10);

impl Verified {
    pub(crate) fn new() -> Self {
        Self(Cache::builder().max_capacity(MOST).time_to_live(REMEMBERED).build())
    }
}

impl Money {
    /// Transfers need a verified e-mail address. A program has none: an API key, and a module that acts for nobody, may
    /// transfer when an Owner of the tenant is verified, for else whoever registers could go around the rule with a
    /// key. What a service does of its own accord nobody asked for, so there is nobody to verify.
    pub(super) async fn verified(&self, cx: &Ctx) -> Result<()> {
        let tenant = cx.tenant()?;
        match cx.actor() {
            Actor::System(_) | Actor::Operator => Ok(()),
            Actor::Anonymous => Err(Error::unauthorized()),
            Actor::User { id, .. } => self.any_verified(cx, tenant, &[*id]).await,
            Actor::Module { on_behalf_of: Some(user), .. } => self.any_verified(cx, tenant, &[*user]).await,
            Actor::Key(_) | Actor::Module { on_behalf_of: None, .. } => {
                let owners = self.iam.owners(cx, tenant).await?;
                self.any_verified(cx, tenant, &owners).await
            }
        }
    }

    async fn any_verified(&self, cx: &Ctx, tenant: TenantId, people: &[UserId]) -> Result<()> {
        for person in people {
            if self.verified.0.contains_key(&(tenant, *person)) {
                return Ok(());
            }
            let known = self.iam.user(cx, *person).await?;
            if known.is_some_and(|user| user.email_verified) {
                self.verified.0.insert((tenant, *person), ());
                return Ok(());
            }
        }
        Err(Error::new(
            Slug::EmailNotVerified,
            "Transfers need a verified e-mail address; follow the link of the verification mail first.",
        ))
    }
}

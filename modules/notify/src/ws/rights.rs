//! What a socket may hear of, asked anew for each message.

use kernel::{Actor, Caller, Client, Ctx, Error, FieldCode, Result, Secret, Slug, TenantId};
use ports::{Principal, SubscriptionState};

use super::{Sockets, channel::Channel};

impl Sockets {
    /// Whose token this is now, for the host that the socket asked for.
    ///
    /// # Errors
    /// `unauthorized`, `token-expired`, `not-found` when the host names another tenant, `subscription-terminated`; what
    /// stands in the way else.
    pub(super) async fn who(&self, token: &Secret, client: &Client) -> Result<Principal> {
        let cx = self.cx(Caller::stranger(), client);
        let principal = self.iam.authenticate(&cx, token.clone()).await?;
        let Some(own) = principal.caller.tenant else { return Err(Error::unauthorized()) };
        if let Some(host) = client.host.as_deref().and_then(bare) {
            match self.domains.tenant_of_host(&cx, host.to_owned()).await {
                Ok(Some(named)) if named != own => return Err(Error::not_found("address")),
                // A host that names nothing here: the sandbox was named by a header.
                Err(error) if error.slug() != Slug::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.is_closed(&cx.within(own), own).await? {
            return Err(SubscriptionState::Terminated.refusal());
        }
        Ok(principal)
    }

    async fn is_closed(&self, cx: &Ctx, tenant: TenantId) -> Result<bool> {
        if let Some(known) = self.closed.get(&tenant) {
            return Ok(known);
        }
        let closed = self.billing.is_terminated(cx).await?;
        self.closed.insert(tenant, closed);
        Ok(closed)
    }

    /// Whether the caller of the context may hear a channel now.
    ///
    /// # Errors
    /// `forbidden`; `not-found` for records of a module that the tenant does not have.
    pub(super) async fn may_hear(&self, cx: &Ctx, channel: &Channel) -> Result<()> {
        let granted = |permission: &str| match cx.caller().permissions.allow(permission) {
            true => Ok(()),
            false => Err(Error::forbidden(permission)),
        };
        match channel {
            Channel::Data { module, model } => {
                let snapshot = self.modules.snapshot(cx).await?;
                let installed = snapshot.for_tenant(cx.tenant()?, module);
                let permission = format!("{module}.{model}.read");
                let declared = installed.is_some_and(|info| info.models.contains_key(model));
                if !declared {
                    return Err(Error::not_found("channel"));
                }
                granted(&permission)
            }
            Channel::Notifications => match cx.actor() {
                Actor::User { .. } => Ok(()),
                _ => Err(Error::new(Slug::Forbidden, "Only a person who is signed in has an inbox.")),
            },
            Channel::Events => match cx.actor() {
                Actor::Module { .. } => {
                    Err(Error::new(Slug::Forbidden, "A module hears what it declares, by a subscription."))
                }
                _ => granted("events.read"),
            },
        }
    }
}

/// A mistake about a channel's name.
pub(super) fn no_channel() -> Error {
    let message = "there is no such channel; use data.{module}.{model}, notifications or events";
    Error::field("channels", FieldCode::InvalidFormat, message)
}

/// A host without its port.
fn bare(authority: &str) -> Option<&str> {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next();
    }
    authority.split(':').next().filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_taken_without_its_port() {
        assert_eq!(bare("acme.default.localhost:8080"), Some("acme.default.localhost"));
        assert_eq!(bare("[::1]:8080"), Some("::1"));
        assert_eq!(bare("localhost"), Some("localhost"));
        assert_eq!(bare(""), None);
    }
}

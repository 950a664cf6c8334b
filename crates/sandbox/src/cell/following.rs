//! What the gateway remembers is forgotten, or learnt anew, when an event says that it changed.

use std::sync::Arc;

use fabric::log::Patterns;
use kernel::Result;
use ports::BillingLink;

use super::Cell;

impl Cell {
    /// The gateway remembers verified credentials for a few seconds; a changed right is told as an event, and then it
    /// forgets them at once.
    pub(super) fn follow_rights(&self) -> Result<()> {
        let ear = self.log.listen(Patterns::new(["auth.*", "module.*"])?);
        let (gateway, stop) = (Arc::clone(&self.gateway), self.stop.clone());
        self.tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = ear.heard() => gateway.forget_credentials(),
                }
            }
        });
        Ok(())
    }

    /// The flags of tenants are remembered; a changed one is told as an event, and then they are forgotten at once.
    pub(super) fn follow_flags(&self) -> Result<()> {
        let ear = self.log.listen(Patterns::new(["flags.*"])?);
        let (tenants, stop) = (Arc::clone(self.services.flags.tenants()), self.stop.clone());
        self.tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = ear.heard() => tenants.forget(),
                }
            }
        });
        Ok(())
    }

    /// The gateway remembers for minutes how tenants stand; what changes there is told as an event, and then it learns
    /// anew.
    pub(super) fn follow_standings(&self, billing: BillingLink) -> Result<()> {
        let ear =
            self.log.listen(Patterns::new(["billing.subscription.*", "billing.plan.*", "billing.limit.*"])?);
        let (gateway, stop) = (Arc::clone(&self.gateway), self.stop.clone());
        let fresh_cx = self.fresh_cx("gateway");
        self.tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = ear.heard() => {}
                }
                match billing.terminated(&fresh_cx().finish()).await {
                    Ok(closed) => gateway.learn_standings(closed),
                    Err(error) => {
                        tracing::warn!(
                            ?error,
                            "how tenants stand can't be read; what is remembered is forgotten"
                        );
                        gateway.forget_standings();
                    }
                }
            }
        });
        Ok(())
    }
}

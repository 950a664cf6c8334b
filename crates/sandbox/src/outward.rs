//! Whether a sandbox may speak to the world outside. A copy may not until its operator allows it: what it sends stays in
//! its outbox, and calls to third parties are refused.

use std::sync::Arc;

use fabric::{postgres::Reason, sql};
use kernel::{Ctx, Result, SandboxName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::estate::Estate;

/// Whether a sandbox may speak outward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Outward {
    /// Whether mail and calls to third parties may leave.
    pub allowed: bool,
}

impl Estate {
    /// Whether a sandbox may speak outward.
    ///
    /// # Errors
    /// `not-found`, or what opening it says.
    pub async fn outward(self: &Arc<Self>, name: &SandboxName) -> Result<Outward> {
        let cell = self.cell(name).await?;
        let cx = cell.cx("sandbox");
        let system = cell.db().system(&cx, Reason::Sandbox);
        Ok(Outward { allowed: system.query(sql!("select kernel.may_speak()")).value().await? })
    }

    /// Lets a sandbox speak outward, or keeps it from it.
    ///
    /// # Errors
    /// `not-found`, or what opening it says.
    pub async fn allow_outbound(
        self: &Arc<Self>,
        cx: &Ctx,
        name: &SandboxName,
        wish: Outward,
    ) -> Result<Outward> {
        let cell = self.cell(name).await?;
        let mut tx = cell.db().system(cx, Reason::Sandbox).begin().await?;
        tx.query(sql!("select notify.allow_outbound($1)")).bind(wish.allowed).run().await?;
        tracing::info!(sandbox = %name, allowed = wish.allowed, "speaking outward");
        tx.commit(wish).await
    }
}

//! What other services ask billing.

use std::sync::Arc;

use async_trait::async_trait;
use kernel::{Ctx, Result, TenantId};
use ports::Standing;

use crate::{Billing, model::subscription::State, store::subscriptions};

#[async_trait]
impl ports::Billing for Billing {
    async fn standing(&self, cx: &Ctx) -> Result<Arc<Standing>> {
        self.standing_of(cx).await
    }

    async fn is_terminated(&self, cx: &Ctx) -> Result<bool> {
        let (subscription, _) = self.present(&Self::own(cx, cx.tenant()?)).await?;
        Ok(subscription.state == State::Terminated)
    }

    async fn check_limit(&self, cx: &Ctx, what: String) -> Result<()> {
        self.check(cx, &what).await
    }

    async fn terminated(&self, cx: &Ctx) -> Result<Vec<TenantId>> {
        subscriptions::terminated(&self.db, cx).await
    }

    async fn record_usage(&self, cx: &Ctx, what: &'static str, amount: i64) -> Result<()> {
        self.add_usage(cx, what, amount).await
    }
}

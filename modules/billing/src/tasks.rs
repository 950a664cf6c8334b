//! What this service does of its own accord, and on hearing of tenants.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use kernel::{Ctx, DomainEvent, Result, Slug};
use ports::{OnFailure, Subscription, Task, When};

use crate::{Billing, model::subscription::State};

const TENANT_CREATED: &str = "auth.tenant.created";
const TENANT_DELETED: &str = "auth.tenant.deleted";

/// A new tenant gets its trial, and a deleted one pays no more.
pub(crate) fn founding(billing: &Weak<Billing>) -> Subscription {
    let billing = billing.clone();
    Subscription {
        name: "billing.tenants",
        types: &[TENANT_CREATED, TENANT_DELETED],
        hear: Arc::new(move |cx, event| {
            let billing = billing.upgrade();
            Box::pin(async move {
                match billing {
                    Some(billing) => billing.hear_of_tenant(&cx, &event).await,
                    None => Ok(()),
                }
            })
        }),
    }
}

/// Counts events, a moment after they were written.
pub(crate) fn counting(billing: &Weak<Billing>) -> Task {
    let billing = billing.clone();
    Task {
        name: "billing.count",
        every: Duration::from_secs(5),
        when: When::AfterWrites,
        on_failure: OnFailure::Retry,
        run: Arc::new(move |cx| {
            let billing = billing.upgrade();
            Box::pin(async move {
                match billing {
                    Some(billing) => billing.count(&cx).await,
                    None => Ok(()),
                }
            })
        }),
    }
}

impl Billing {
    /// Both can be heard twice: a subscription is made once, and ended once.
    async fn hear_of_tenant(&self, cx: &Ctx, event: &DomainEvent) -> Result<()> {
        let Some(tenant) = event.tenant_id else { return Ok(()) };
        let cx = Self::own(cx, tenant);
        if event.kind == TENANT_DELETED {
            return self.end_of_tenant(&cx).await;
        }
        match self.found(&cx).await {
            // It was removed for good before this was heard.
            Err(error) if error.slug() == Slug::NotFound => Ok(()),
            done => done,
        }
    }

    async fn end_of_tenant(&self, cx: &Ctx) -> Result<()> {
        let Some(mut change) = self.begin_change(cx).await? else { return Ok(()) };
        if matches!(change.now.state, State::Terminated | State::Canceled) {
            return Ok(());
        }
        let at = change.at;
        change.now.cancel(at);
        change.finish("subscription.canceled").await.map(drop)
    }
}

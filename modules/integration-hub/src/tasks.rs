//! Work in the background.

use std::{sync::Arc, time::Duration};

use fabric::postgres::{Database, Reason};
use kernel::{Ctx, DomainEvent, Result};
use ports::{OnFailure, Subscription, Task, When};

use crate::store::upkeep;

const HOUR: Duration = Duration::from_secs(3600);

/// What is taken away in one run at most.
const MOST_ROUNDS: usize = 50;

/// Calls and dead letters are kept for 30 days; what a process left running is marked.
pub(crate) fn tasks(db: &Database) -> Vec<Task> {
    let db = db.clone();
    vec![Task {
        name: "integration-hub.upkeep",
        every: HOUR,
        when: When::Always,
        on_failure: OnFailure::Log,
        run: Arc::new(move |cx| {
            let db = db.clone();
            Box::pin(async move { keep_up(&db, &cx).await })
        }),
    }]
}

async fn keep_up(db: &Database, cx: &Ctx) -> Result<()> {
    let interrupted = upkeep::interrupt(db, cx).await?;
    if interrupted > 0 {
        tracing::info!(interrupted, "calls were under way when their process ended");
    }
    for _ in 0..MOST_ROUNDS {
        let gone = upkeep::forget_calls(db, cx).await?.max(upkeep::forget_letters(db, cx).await?);
        if gone < upkeep::BATCH.unsigned_abs() {
            break;
        }
    }
    Ok(())
}

/// What is kept of a tenant goes with it.
pub(crate) fn subscriptions(db: &Database) -> Vec<Subscription> {
    let db = db.clone();
    vec![Subscription {
        name: "integration-hub.purge",
        types: &["auth.tenant.purged"],
        hear: Arc::new(move |cx, event| {
            let db = db.clone();
            Box::pin(async move { purge(&db, &cx, event).await })
        }),
    }]
}

async fn purge(db: &Database, cx: &Ctx, event: DomainEvent) -> Result<()> {
    let Some(tenant) = event.tenant_id else { return Ok(()) };
    let mut tx = db.system_of_tenant(&cx.within(tenant), Reason::Events)?.begin().await?;
    if tx.first_time("integration-hub.purge", event.id).await? {
        upkeep::purge(&mut tx).await?;
    }
    tx.commit(()).await
}

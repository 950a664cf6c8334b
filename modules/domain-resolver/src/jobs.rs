//! Durable work: looking for proofs, giving hostnames up; and what follows from a tenant's end.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use fabric::{
    jobs::{Job, Jobs, NewJob, enqueue_as_system},
    postgres::Reason,
};
use kernel::{Ctx, DomainEvent, Result};
use ports::Subscription;
use serde::{Deserialize, Serialize};

use crate::{DomainResolver, registry::DomainId, store};

/// Looks for the proof of a domain.
const LOOK: &str = "domain.look";
/// Gives a hostname up whose domain is gone.
const RELEASE: &str = "domain.release";

/// How often the proof is looked for.
pub(crate) const EVERY: Duration = Duration::from_secs(30);

#[derive(Debug, Serialize, Deserialize)]
struct Of {
    domain: DomainId,
}

/// The next look at a domain; one waits at a time.
pub(crate) fn look(cx: &Ctx, domain: DomainId) -> Result<NewJob> {
    Ok(NewJob::new(LOOK, &Of { domain }, cx.now().plus(EVERY))?.named(domain.to_string()))
}

/// What must follow when a domain is gone.
pub(crate) fn release(cx: &Ctx, domain: DomainId) -> Result<NewJob> {
    NewJob::new(RELEASE, &Of { domain }, cx.now())
}

/// Adds the handlers.
pub(crate) fn add(resolver: &Arc<DomainResolver>, jobs: Jobs) -> Jobs {
    let (looking, releasing) = (Arc::clone(resolver), Arc::clone(resolver));
    jobs.on(LOOK, move |cx: Ctx, job: Job| {
        let resolver = Arc::clone(&looking);
        async move {
            let Of { domain } = job.payload()?;
            resolver.look_again(&cx, domain).await
        }
    })
    .on(RELEASE, move |_: Ctx, job: Job| {
        let resolver = Arc::clone(&releasing);
        async move {
            let Of { domain } = job.payload()?;
            resolver.hostnames.release(domain).await
        }
    })
}

/// The domains of a tenant go with it.
pub(crate) fn subscriptions(resolver: &Weak<DomainResolver>) -> Vec<Subscription> {
    let resolver = resolver.clone();
    vec![Subscription {
        name: "domain-resolver.purge",
        types: &["auth.tenant.purged"],
        hear: Arc::new(move |cx, event| {
            let resolver = resolver.upgrade();
            Box::pin(async move {
                match resolver {
                    Some(resolver) => purge(&resolver, &cx, event).await,
                    None => Ok(()),
                }
            })
        }),
    }]
}

async fn purge(resolver: &DomainResolver, cx: &Ctx, event: DomainEvent) -> Result<()> {
    let Some(tenant) = event.tenant_id else { return Ok(()) };
    let mut tx = resolver.db.system_of_tenant(&cx.within(tenant), Reason::Events)?.begin().await?;
    if tx.first_time("domain-resolver.purge", event.id).await? {
        for domain in store::purge(&mut tx).await? {
            enqueue_as_system(&mut tx, None, release(cx, domain)?).await?;
        }
    }
    tx.commit(()).await
}

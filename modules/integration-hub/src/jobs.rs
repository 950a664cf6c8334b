//! Durable work: dead letters that are tried again.

use std::sync::Arc;

use fabric::jobs::{Job, Jobs, NewJob};
use kernel::{Ctx, Result};
use serde::{Deserialize, Serialize};

use crate::{IntegrationHub, model::DeadLetterId};

/// Tries a dead letter again.
const RETRY: &str = "integration.retry";

#[derive(Debug, Serialize, Deserialize)]
struct Retry {
    letter: DeadLetterId,
}

/// The job that tries a dead letter again: one at a time for each.
pub(crate) fn retry_job(cx: &Ctx, letter: DeadLetterId) -> Result<NewJob> {
    Ok(NewJob::new(RETRY, &Retry { letter }, cx.now())?.named(letter.to_string()))
}

/// Adds the handlers.
pub(crate) fn add(hub: &Arc<IntegrationHub>, jobs: Jobs) -> Jobs {
    let hub = Arc::clone(hub);
    jobs.on(RETRY, move |cx: Ctx, job: Job| {
        let hub = Arc::clone(&hub);
        async move {
            let Retry { letter } = job.payload()?;
            hub.resend(&cx, letter).await
        }
    })
}

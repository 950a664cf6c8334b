//! What this service does for its durable jobs.

use std::{sync::Arc, time::Duration};

use fabric::jobs::{Job, Jobs};
use kernel::{Ctx, Result};

use crate::{
    Billing,
    service::{
        life::STEP_JOB,
        plans::{LIMITS_JOB, LimitsChanged},
        usage::{RECONCILE_JOB, Reconciling},
    },
};

/// A night on the sandbox's clock.
const DAY: Duration = Duration::from_secs(86_400);

pub(crate) fn add(billing: &Arc<Billing>, jobs: Jobs) -> Jobs {
    let (stepping, spreading, reconciling) =
        (Arc::downgrade(billing), Arc::downgrade(billing), Arc::downgrade(billing));
    jobs.on(STEP_JOB, move |cx, job| {
        let billing = stepping.upgrade();
        async move {
            match billing {
                Some(billing) => billing.step_due(&cx, &job).await,
                None => Ok(()),
            }
        }
    })
    .on(LIMITS_JOB, move |cx, job| {
        let billing = spreading.upgrade();
        async move {
            let work: LimitsChanged = job.payload()?;
            match billing {
                Some(billing) => billing.spread_limits(&cx, work).await,
                None => Ok(()),
            }
        }
    })
    .on(RECONCILE_JOB, move |cx, job| {
        let billing = reconciling.upgrade();
        async move {
            let work: Option<Reconciling> = job.payload()?;
            match billing {
                Some(billing) => billing.reconcile(&cx, work.unwrap_or_default()).await,
                None => Ok(()),
            }
        }
    })
    .every(RECONCILE_JOB, DAY, serde_json::Value::Null)
}

impl Billing {
    async fn step_due(&self, cx: &Ctx, job: &Job) -> Result<()> {
        match job.tenant {
            Some(tenant) => self.take_step(&Self::own(cx, tenant)).await,
            None => Ok(()),
        }
    }
}

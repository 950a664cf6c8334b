//! What tenants use: counted from the log, held against the truth every night.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use fabric::{
    jobs::{self, NewJob},
    log::KERNEL_TOPICS,
    postgres::Reason,
};
use kernel::{Ctx, FieldCode, Result, TenantId, check::Checks};
use serde::{Deserialize, Serialize};

use super::life;
use crate::{
    Billing, events,
    http::usage::{DayOut, UsageOut, UsageQuery, UseOut},
    store::{subscriptions, usage},
};

/// The kind of the job that holds what is counted against what is there.
pub(crate) const RECONCILE_JOB: &str = "billing.reconcile";

/// Behind which tenant to go on; none at the beginning of a night's work.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Reconciling {
    pub after: Option<TenantId>,
}

/// Days that one answer tells of.
const MOST_DAYS: i64 = 366;

fn today(cx: &Ctx) -> NaiveDate {
    cx.now().datetime().date_naive()
}

impl Billing {
    /// What the tenant uses now, and what it used on each day of a span: the last 30 days unless said.
    ///
    /// Errors: validation-error.
    pub(crate) async fn usage(&self, cx: &Ctx, query: &UsageQuery) -> Result<UsageOut> {
        let to = query.to.unwrap_or_else(|| today(cx));
        let from = query.from.unwrap_or_else(|| to.checked_sub_days(Days::new(29)).unwrap_or(to));
        let mut checks = Checks::new();
        checks.ensure(from <= to, "from", FieldCode::OutOfRange, "must not come after `to`");
        let fits = (to - from).num_days() < MOST_DAYS;
        checks.ensure(fits, "from", FieldCode::OutOfRange, format!("takes at most {MOST_DAYS} days"));
        checks.finish()?;
        self.present(cx).await?;
        let handle = self.db.tenant(cx)?;
        let current = usage::now(&handle).await?;
        let mut days: BTreeMap<NaiveDate, BTreeMap<String, i64>> = BTreeMap::new();
        for row in usage::by_day(&handle, from, to).await? {
            days.entry(row.day).or_default().insert(row.what, row.amount);
        }
        Ok(UsageOut {
            from,
            to,
            current: current
                .into_iter()
                .map(|row| UseOut { what: row.name, used: row.used, limit: row.most })
                .collect(),
            days: days.into_iter().map(|(day, amounts)| DayOut { day, amounts }).collect(),
        })
    }

    /// Adds to what the tenant used today.
    pub(crate) async fn add_usage(&self, cx: &Ctx, what: &str, amount: i64) -> Result<()> {
        usage::add(&self.db.tenant(cx)?, today(cx), what, amount).await
    }

    /// Counts what was published since the last time, and tells of limits that were reached.
    pub(crate) async fn count(&self, cx: &Ctx) -> Result<()> {
        let own: Vec<String> =
            KERNEL_TOPICS.iter().map(|domain| format!("platform.{domain}.events")).collect();
        while usage::count_events(&self.db, cx, &own).await? {}
        let mut tx = self.db.system(cx, Reason::Billing).begin().await?;
        let reached = usage::newly_full(&mut tx).await?;
        for row in &reached {
            tx.event(events::limit_reached(row)?)?;
        }
        tx.commit(()).await
    }

    /// Holds what is counted against what is there, tenant by tenant, and notes the day's use. Also looks after
    /// subscriptions whose next step was not taken.
    pub(crate) async fn reconcile(&self, cx: &Ctx, work: Reconciling) -> Result<()> {
        let tenants = subscriptions::tenants(&self.db, cx, work.after).await?;
        for tenant in &tenants {
            let cx = Self::own(cx, *tenant);
            let system = self.db.system_of_tenant(&cx, Reason::Billing)?;
            for drift in usage::reconcile(&system).await? {
                tracing::warn!(%tenant, limit = drift.name, was = drift.was, is_now = drift.is_now, "use was not as counted");
            }
            let handle = self.db.tenant(&cx)?;
            usage::note_day(&handle, today(&cx)).await?;
            let late = subscriptions::read(&handle)
                .await?
                .filter(|subscription| subscription.next_step().is_some_and(|(due, _)| due <= cx.now()));
            if let Some(job) = late.as_ref().map(life::next_job).transpose()?.flatten() {
                let mut tx = handle.begin().await?;
                jobs::enqueue(&mut tx, job).await?;
                tx.commit(()).await?;
            }
        }
        let Some(last) = tenants.last() else { return Ok(()) };
        let mut tx = self.db.system(cx, Reason::Billing).begin().await?;
        let rest = Reconciling { after: Some(*last) };
        jobs::enqueue_as_system(&mut tx, None, NewJob::new(RECONCILE_JOB, &rest, cx.now())?).await?;
        tx.commit(()).await
    }
}

//! Subscriptions of a seed, with the invoices of the months behind them.

use fabric::postgres::Json;
use kernel::{Ctx, Result, Timestamp};
use serde::Deserialize;
use uuid::Uuid;

use crate::{
    Billing,
    model::{
        invoice::bill,
        period::{days, end_after},
        subscription::{State, Subscription, whole},
    },
    store::{
        invoices::{self, InvoiceRow, InvoiceState},
        subscriptions,
    },
};

/// A tenant's subscription, as a seed names it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SeedSubscription {
    /// The plan's name.
    pub plan: String,
    /// How many days ago it began; the periods since then have their paid invoices.
    #[serde(default)]
    pub days_ago: u16,
    /// The tenant's tax, in hundredths of a percent.
    #[serde(default)]
    pub tax_basis_points: u16,
}

impl Billing {
    /// Sees to it that the tenant of the context has this subscription. One that is there already stays, but for a trial.
    ///
    /// # Errors
    /// `validation-error` for a plan that is not there or a tax above 100 %; `not-found` for the tenant.
    pub async fn seed_subscription(&self, cx: &Ctx, seed: &SeedSubscription) -> Result<()> {
        let cx = Self::own(cx, cx.tenant()?);
        let plan = self.plan_named(&cx, &seed.plan).await?;
        kernel::check::Checks::new()
            .range("/taxBasisPoints", seed.tax_basis_points.into(), 0, 10_000)
            .finish()?;
        let now = cx.now();
        let began = Timestamp::from_micros(
            now.micros().saturating_sub_unsigned(days(seed.days_ago.into()).as_micros() as u64),
        );
        let began = began.unwrap_or(now);
        let mut new = Subscription::new(&plan, State::Active, began);
        new.tax_basis_points = seed.tax_basis_points.into();
        let mut periods = vec![(new.period_start, new.period_end)];
        while new.period_end <= now {
            new.period_start = new.period_end;
            new.period_end = end_after(new.anchor, plan.every, new.period_start);
            periods.push((new.period_start, new.period_end));
        }
        if !self.begin(&cx, &plan, &new).await? {
            let Some(mut change) = self.begin_change(&cx).await? else { return Ok(()) };
            if change.now.state != State::Trialing {
                return Ok(());
            }
            change.now = Subscription { id: change.now.id, version: change.now.version, ..new };
            change.plan = plan.clone();
            change.finish("subscription.seeded").await?;
        }
        if plan.price == 0 {
            return Ok(());
        }
        let mut tx = self.db.tenant(&cx)?.begin().await?;
        subscriptions::lock(&mut tx).await?;
        if invoices::any(&mut tx).await? {
            return Ok(());
        }
        for (start, end) in periods {
            let made = bill(vec![whole(&plan)], new.tax_basis_points, 0);
            let invoice = InvoiceRow {
                id: Uuid::now_v7(),
                number: 0,
                state: InvoiceState::Paid,
                plan: plan.name.clone(),
                currency: plan.currency.clone(),
                lines: Json(made.lines),
                subtotal: made.subtotal,
                tax: made.tax,
                total: made.total,
                period_start: start,
                period_end: end,
                issued_at: start,
                paid_at: Some(start),
            };
            invoices::add(&mut tx, &invoice).await?;
        }
        tx.commit(()).await
    }
}

//! A subscription under change: all that a change leaves behind goes in one transaction.

use std::collections::BTreeMap;

use fabric::{
    jobs::{self, NewJob},
    postgres::{Audit, Json, Tx},
};
use kernel::{Ctx, Error, Result, TenantId, Timestamp};
use ports::{MAIL_JOB, Mail, UserInfo};
use uuid::Uuid;

use super::life;
use crate::{
    Billing, events,
    http::subscriptions::SubscriptionOut,
    model::{
        invoice::{Line, bill},
        plan::Plan,
        subscription::{State, Subscription, whole},
    },
    store::{
        invoices::{self, InvoiceRow, InvoiceState},
        plans, subscriptions,
    },
};

/// A change that is being made.
pub(crate) struct Change {
    pub tx: Tx,
    pub tenant: TenantId,
    before: Subscription,
    plan_before: Plan,
    pub now: Subscription,
    pub plan: Plan,
    /// When it takes effect: now, or the moment that was due.
    pub at: Timestamp,
    owners: Vec<UserInfo>,
}

impl Billing {
    /// The people who are told when a payment is missing.
    pub(super) async fn owners(&self, cx: &Ctx) -> Result<Vec<UserInfo>> {
        let cx = Self::own(cx, cx.tenant()?);
        let mut owners = Vec::new();
        for id in self.iam.owners(&cx, cx.tenant()?).await? {
            owners.extend(self.iam.user(&cx, id).await?);
        }
        Ok(owners)
    }

    /// Begins a change of the tenant's subscription, which nobody else changes meanwhile. None: there is no subscription.
    pub(crate) async fn begin_change(&self, cx: &Ctx) -> Result<Option<Change>> {
        // Asked before the transaction begins, which never waits for another service.
        let owners = self.owners(cx).await?;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let Some(before) = subscriptions::lock(&mut tx).await? else { return Ok(None) };
        let plan = plans::of_id(&mut tx, before.plan_id).await?;
        Ok(Some(Change {
            tx,
            tenant: cx.tenant()?,
            now: before.clone(),
            before,
            plan_before: plan.clone(),
            plan,
            at: cx.now(),
            owners,
        }))
    }
}

impl Change {
    /// The plan that holds when the period ends.
    pub async fn coming_plan(&mut self) -> Result<Plan> {
        match self.now.next_plan_id {
            Some(id) => plans::of_id(&mut self.tx, id).await,
            None => Ok(self.plan.clone()),
        }
    }

    /// The period is over: the next one begins with its invoice, or the subscription ends.
    pub async fn end_period(&mut self) -> Result<()> {
        if self.now.cancel_at_period_end {
            self.now.cancel(self.at);
            return Ok(());
        }
        let coming = self.coming_plan().await?;
        let from = self.plan.every;
        self.now.renew(from, &coming);
        self.plan = coming;
        self.bill_period().await
    }

    /// Periods of a plan begin now, with an invoice.
    pub async fn begin_anew(&mut self, plan: Plan, items: Vec<Line>) -> Result<()> {
        self.now.begin(&plan, self.at);
        self.now.state = State::Active;
        self.now.past_due_since = None;
        self.now.dunning_day = 0;
        self.now.ended_at = None;
        self.plan = plan;
        self.bill(items).await
    }

    async fn bill_period(&mut self) -> Result<()> {
        if self.plan.price == 0 {
            return Ok(());
        }
        self.bill(vec![whole(&self.plan)]).await
    }

    /// Writes an invoice and charges it.
    pub async fn bill(&mut self, items: Vec<Line>) -> Result<()> {
        if items.iter().all(|item| item.amount == 0) {
            return Ok(());
        }
        let made = bill(items, self.now.tax_basis_points, self.now.credit);
        self.now.credit = made.credit;
        let mut invoice = InvoiceRow {
            id: Uuid::now_v7(),
            number: 0,
            state: InvoiceState::Open,
            plan: self.plan.name.clone(),
            currency: self.plan.currency.clone(),
            lines: Json(made.lines),
            subtotal: made.subtotal,
            tax: made.tax,
            total: made.total,
            period_start: self.now.period_start,
            period_end: self.now.period_end,
            issued_at: self.at,
            paid_at: None,
        };
        let nothing_to_pay = invoice.total == 0;
        if nothing_to_pay {
            invoice.state = InvoiceState::Paid;
            invoice.paid_at = Some(self.at);
        }
        invoice.number = invoices::add(&mut self.tx, &invoice).await?;
        self.tell(events::INVOICE_CREATED, &invoice)?;
        if nothing_to_pay {
            return self.tell(events::INVOICE_PAID, &invoice);
        }
        self.charge().await
    }

    /// Charges everything that is open. Without a payment provider the subscription itself says whether that succeeds.
    pub async fn charge(&mut self) -> Result<()> {
        if self.now.pays {
            for invoice in invoices::pay_open(&mut self.tx, self.at).await? {
                self.tell(events::INVOICE_PAID, &invoice)?;
            }
            self.now.paid();
            return Ok(());
        }
        for invoice in invoices::open(&mut self.tx).await? {
            self.tell(events::INVOICE_FAILED, &invoice)?;
        }
        let first = self.now.past_due_since.is_none();
        self.now.payment_failed(self.at);
        if first { self.notice(0).await } else { Ok(()) }
    }

    /// Whether an invoice is open.
    pub async fn owes(&mut self) -> Result<bool> {
        Ok(!invoices::open(&mut self.tx).await?.is_empty())
    }

    fn tell(&mut self, kind: &'static str, invoice: &InvoiceRow) -> Result<()> {
        self.tx.event(events::invoice(kind, self.tenant, invoice, self.at)?)
    }

    /// Tells the owners, by mail, that a payment is missing since `day` days.
    pub async fn notice(&mut self, day: i16) -> Result<()> {
        self.now.dunning_day = day;
        // After a change to a plan in another currency, what is owed may be in two.
        let mut due = BTreeMap::<String, i64>::new();
        for invoice in invoices::open(&mut self.tx).await? {
            *due.entry(invoice.currency).or_default() += invoice.total;
        }
        let amounts: Vec<String> = due.iter().map(|(currency, sum)| life::money(*sum, currency)).collect();
        let amount = amounts.join(" and ");
        let day_of = |at: Option<Timestamp>| at.map(|at| at.datetime().format("%Y-%m-%d").to_string());
        let (suspends, terminates) = (day_of(self.now.suspends_at()), day_of(self.now.terminates_at()));
        let message = format!(
            "your payment of {amount} for the plan {} did not go through. Please pay by {}: from then on your \
             organisation can only read its data, and on {} it is closed.",
            self.plan.name,
            suspends.unwrap_or_default(),
            terminates.unwrap_or_default(),
        );
        let now = self.tx.cx().now();
        let locale = self.tx.cx().locale().to_owned();
        for owner in &self.owners {
            let mail = Mail {
                to: owner.email.clone(),
                name: owner.name.clone(),
                template: "billing.notice".to_owned(),
                variables: BTreeMap::from([
                    ("name".to_owned(), owner.name.clone()),
                    ("subject".to_owned(), format!("Payment is missing: day {day}")),
                    ("message".to_owned(), message.clone()),
                    ("day".to_owned(), day.to_string()),
                    ("link".to_owned(), "/billing".to_owned()),
                ]),
                locale: locale.clone(),
            };
            jobs::enqueue(&mut self.tx, NewJob::new(MAIL_JOB, &mail, now)?).await?;
        }
        Ok(())
    }

    /// Makes it so: the row, what the plan allows, the job for what is due next, events and audit record.
    pub async fn finish(mut self, action: &'static str) -> Result<SubscriptionOut> {
        self.now.version += 1;
        self.now.updated_at = self.tx.cx().now();
        subscriptions::keep(&mut self.tx, &self.now).await?;
        if self.plan.id != self.plan_before.id {
            subscriptions::allow(&mut self.tx, &self.plan.limits.0).await?;
            self.tx.event(events::plan(self.tenant, Some(&self.plan_before), &self.plan)?)?;
        }
        if let Some(job) = life::next_job(&self.now)? {
            jobs::enqueue(&mut self.tx, job).await?;
        }
        let ended = self.now.state == State::Canceled && self.before.state != State::Canceled;
        let kind = if ended { events::CANCELED } else { events::CHANGED };
        let told =
            events::subscription(kind, self.tenant, &self.plan, Some(&self.before), &self.now, self.at)?;
        self.tx.event(told)?;
        let next = match self.now.next_plan_id {
            Some(id) => Some(plans::of_id(&mut self.tx, id).await?),
            None => None,
        };
        let before = SubscriptionOut::of(self.before, &self.plan_before, None);
        let out = SubscriptionOut::of(self.now, &self.plan, next.as_ref());
        self.tx.audit(Audit::new(action, "subscription", out.id).before(&before).after(&out))?;
        self.tx.commit(out).await
    }

    /// Compares `If-Match`.
    ///
    /// Errors: precondition-failed.
    pub fn expect_version(&self, seen: Option<i32>) -> Result<()> {
        life::expect_version("subscription", seen, self.now.version)
    }

    /// The subscription of the address.
    ///
    /// Errors: not-found.
    pub fn expect_id(&self, id: Uuid) -> Result<()> {
        if self.now.id == id { Ok(()) } else { Err(Error::not_found("subscription")) }
    }
}

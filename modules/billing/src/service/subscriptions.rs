//! What a tenant does with its subscription.

use kernel::{Ctx, Error, FieldCode, Result, Slug, TenantId, check::Checks};
use uuid::Uuid;

use super::change::Change;
use crate::{
    Billing,
    http::{
        simulate::{SimulateIn, Simulated},
        subscriptions::{SubscribeIn, SubscriptionOut, SubscriptionPatch},
        terms::TermsPatch,
    },
    model::{
        plan::Plan,
        subscription::{PlanChange, State, invalid, whole},
    },
    store::plans,
};

impl Billing {
    /// The tenant's subscription.
    pub(crate) async fn current(&self, cx: &Ctx) -> Result<SubscriptionOut> {
        let (subscription, plan) = self.present(cx).await?;
        let next = match subscription.next_plan_id {
            Some(id) => plans::find(&self.db, cx, Some(id), "").await?,
            None => None,
        };
        Ok(SubscriptionOut::of(subscription, &plan, next.as_ref()))
    }

    /// Begins to pay for a plan, after the trial or after it was canceled.
    ///
    /// Errors: validation-error for the plan; invalid-state when it is paid for already, or while invoices from before are
    /// open and can't be charged; subscription-terminated.
    pub(crate) async fn subscribe(&self, cx: &Ctx, input: SubscribeIn) -> Result<SubscriptionOut> {
        let plan = self.offered_plan(cx, &input.plan).await?;
        let mut change = self.change(cx).await?;
        match change.now.state {
            State::Trialing | State::Canceled => {}
            State::Terminated => return Err(change.now.state.told().refusal()),
            State::Active | State::PastDue | State::Suspended => {
                return Err(invalid(
                    "There is a plan already; PATCH /billing/subscriptions/{id} changes it.",
                ));
            }
        }
        if !change.now.pays && change.owes().await? {
            return Err(invalid("Invoices of before are open; pay them, then a plan begins anew."));
        }
        if plan.currency != change.plan.currency && change.now.credit > 0 {
            let message =
                format!("is paid in {}, and the credit is in {}", plan.currency, change.plan.currency);
            return Err(Error::field("/plan", FieldCode::NotAllowed, message));
        }
        let items = vec![whole(&plan)];
        change.begin_anew(plan, items).await?;
        change.finish("subscription.begun").await
    }

    /// Changes the plan, at once to a dearer one and when the period ends to one that is not; or withdraws what was to
    /// happen then.
    ///
    /// Errors: not-found, validation-error, invalid-state, precondition-failed.
    pub(crate) async fn change_subscription(
        &self,
        cx: &Ctx,
        id: Uuid,
        patch: SubscriptionPatch,
        seen: Option<i32>,
    ) -> Result<SubscriptionOut> {
        let mut checks = Checks::new();
        let both = patch.plan.is_some() && patch.cancel_downgrade;
        checks.ensure(!both, "/cancelDowngrade", FieldCode::NotAllowed, "does not go with a plan");
        let neither = patch.plan.is_none() && !patch.cancel_downgrade;
        checks.ensure(!neither, "/plan", FieldCode::Required, "is needed, or cancelDowngrade");
        checks.finish()?;
        let wanted = match &patch.plan {
            Some(name) => Some(self.offered_plan(cx, name).await?),
            None => None,
        };
        let mut change = self.change(cx).await?;
        change.expect_id(id)?;
        change.expect_version(seen)?;
        match wanted {
            Some(wanted) => {
                switch(&mut change, wanted).await?;
                change.finish("subscription.plan_changed").await
            }
            None => {
                if change.now.next_plan_id.is_none() && !change.now.cancel_at_period_end {
                    return Err(invalid("Nothing is to happen when the period ends."));
                }
                change.now.next_plan_id = None;
                change.now.cancel_at_period_end = false;
                change.finish("subscription.downgrade_withdrawn").await
            }
        }
    }

    /// Ends the subscription: what is paid for is used up first, what costs nothing or is owed for ends at once.
    ///
    /// Errors: not-found, invalid-state, precondition-failed.
    pub(crate) async fn cancel(&self, cx: &Ctx, id: Uuid, seen: Option<i32>) -> Result<()> {
        let mut change = self.change(cx).await?;
        change.expect_id(id)?;
        change.expect_version(seen)?;
        match change.now.state {
            State::Active if change.plan.price > 0 => {
                change.now.cancel_at_period_end = true;
                change.now.next_plan_id = None;
            }
            State::Trialing | State::Active | State::PastDue | State::Suspended => {
                let at = change.at;
                change.now.cancel(at);
            }
            State::Terminated | State::Canceled => return Err(invalid("It has ended already.")),
        }
        change.finish("subscription.canceled").await.map(drop)
    }

    /// Does what a payment provider would tell.
    ///
    /// Errors: invalid-state where the event can't happen.
    pub(crate) async fn simulate(&self, cx: &Ctx, input: SimulateIn) -> Result<SubscriptionOut> {
        let mut change = self.change(cx).await?;
        let state = change.now.state;
        let running = matches!(state, State::Trialing | State::Active);
        // What is owed after the end can be paid all the same.
        let is_late_payment = state == State::Canceled && input.event == Simulated::PaymentSucceeded;
        if matches!(state, State::Terminated | State::Canceled) && !(is_late_payment && change.owes().await?)
        {
            return Err(invalid("It has ended; nothing is charged any more."));
        }
        match input.event {
            Simulated::PaymentFailed => {
                change.now.pays = false;
                if running {
                    let coming = change.coming_plan().await?;
                    if coming.price == 0 || change.now.cancel_at_period_end {
                        return Err(invalid("Nothing is to be paid, so no payment can fail."));
                    }
                    end_period_now(&mut change).await?;
                } else {
                    change.charge().await?;
                }
                change.finish("subscription.payment_failed").await
            }
            Simulated::PaymentSucceeded => {
                change.now.pays = true;
                if !running {
                    change.charge().await?;
                    if !is_late_payment && change.now.period_end <= change.at {
                        // What ended while nothing was paid is not billed: the next period begins with the payment.
                        let plan = change.plan.clone();
                        let items = vec![whole(&plan)];
                        change.begin_anew(plan, items).await?;
                    }
                }
                change.finish("subscription.paid").await
            }
            Simulated::Renewal if running => {
                end_period_now(&mut change).await?;
                change.finish("subscription.period_ended").await
            }
            Simulated::Renewal => Err(invalid("A payment is missing; no period begins before it came.")),
        }
    }

    /// Sets what the platform agreed with a tenant: its plan, its tax.
    ///
    /// Errors: not-found for a tenant that is not there; validation-error.
    pub(crate) async fn set_terms(
        &self,
        cx: &Ctx,
        tenant: TenantId,
        patch: TermsPatch,
    ) -> Result<SubscriptionOut> {
        if let Some(rate) = patch.tax_basis_points {
            Checks::new().range("/taxBasisPoints", i64::from(rate), 0, 10_000).finish()?;
        }
        let plan = match &patch.plan {
            Some(name) => Some(self.plan_named(cx, name).await?),
            None => None,
        };
        let cx = cx.within(tenant);
        self.present(&cx).await?;
        let mut change = self.change(&cx).await?;
        if let Some(rate) = patch.tax_basis_points {
            change.now.tax_basis_points = rate;
        }
        if let Some(plan) = plan.filter(|plan| plan.id != change.plan.id) {
            let other_currency = plan.currency != change.plan.currency && change.now.credit > 0;
            if other_currency {
                return Err(Error::field(
                    "/plan",
                    FieldCode::NotAllowed,
                    "is paid in another currency than the credit",
                ));
            }
            if matches!(change.now.state, State::PastDue | State::Suspended) {
                return Err(invalid("A payment is missing; it must be paid before the plan changes."));
            }
            // The platform's word: at once, and the period that begins is billed as any other.
            let items = vec![whole(&plan)];
            change.begin_anew(plan, items).await?;
        }
        change.finish("subscription.terms_set").await
    }

    /// Begins a change of a subscription that was brought up to the clock first.
    async fn change(&self, cx: &Ctx) -> Result<Change> {
        self.present(cx).await?;
        self.begin_change(cx).await?.ok_or_else(|| Error::not_found("subscription"))
    }

    async fn offered_plan(&self, cx: &Ctx, name: &str) -> Result<Plan> {
        let plan = self.plan_named(cx, name).await?;
        if plan.offered {
            return Ok(plan);
        }
        let message = "is given by the platform only; GET /billing/plans lists what can be chosen";
        Err(Error::new(Slug::ValidationError, "This plan can't be chosen.")
            .with_fields(vec![kernel::FieldError::new("/plan", FieldCode::NotAllowed, message)]))
    }
}

async fn switch(change: &mut Change, wanted: Plan) -> Result<()> {
    match change.now.change(&change.plan, &wanted, change.at)? {
        PlanChange::Later => {
            change.now.next_plan_id = Some(wanted.id);
            change.now.cancel_at_period_end = false;
            Ok(())
        }
        PlanChange::Anew(items) => change.begin_anew(wanted, items).await,
        PlanChange::Within(items) => {
            change.now.plan_id = wanted.id;
            change.now.period_price = wanted.price;
            change.now.next_plan_id = None;
            change.now.cancel_at_period_end = false;
            change.plan = wanted;
            change.bill(items).await
        }
    }
}

/// The period ends at this moment instead of its own, and the next ones are counted from here.
async fn end_period_now(change: &mut Change) -> Result<()> {
    change.now.period_end = change.at;
    change.now.anchor = change.at;
    change.end_period().await
}

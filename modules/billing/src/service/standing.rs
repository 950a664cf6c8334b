//! How a tenant stands, and the trial that every tenant begins with.

use std::sync::Arc;

use fabric::{jobs, postgres::Audit};
use kernel::{Ctx, Error, Result, Slug};
use ports::Standing;

use super::life;
use crate::{
    Billing, events,
    http::subscriptions::SubscriptionOut,
    model::{
        plan::{self, Plan},
        subscription::{State, Subscription},
    },
    store::{plans, subscriptions, usage},
};

/// Steps that are caught up with in one go; a clock that jumped further is followed by the jobs.
const MOST_STEPS: usize = 100;

impl Billing {
    /// The tenant's subscription with its plan, as of now: made if there is none, and brought up to the clock.
    pub(crate) async fn present(&self, cx: &Ctx) -> Result<(Subscription, Plan)> {
        let handle = self.db.tenant(cx)?;
        for _ in 0..MOST_STEPS {
            let Some(subscription) = subscriptions::read(&handle).await? else {
                self.found(cx).await?;
                continue;
            };
            if subscription.next_step().is_some_and(|(due, _)| due <= cx.now()) {
                self.take_step(&Self::own(cx, cx.tenant()?)).await?;
                continue;
            }
            let plan = plans::find(&self.db, cx, Some(subscription.plan_id), "").await?;
            let plan =
                plan.ok_or_else(|| Error::internal("a subscription is of a plan that is not there"))?;
            return Ok((subscription, plan));
        }
        Err(Error::new(
            Slug::Overloaded,
            "The sandbox's clock went far ahead and billing is still following; try again in a moment.",
        ))
    }

    /// Sees to it that the tenant has a subscription: the trial, or for the tenant that runs the platform a plan without
    /// limits.
    ///
    /// Errors: not-found for a tenant that is not there.
    pub(crate) async fn found(&self, cx: &Ctx) -> Result<()> {
        let tenant = cx.tenant()?;
        let cx = Self::own(cx, tenant);
        let known = self.iam.tenant(&cx, tenant).await?.ok_or_else(|| Error::not_found("tenant"))?;
        let (name, state) =
            if known.is_platform { (plan::PLATFORM, State::Active) } else { (plan::TRIAL, State::Trialing) };
        let plan = self.plan_named(&cx, name).await?;
        let new = Subscription::new(&plan, state, cx.now());
        self.begin(&cx, &plan, &new).await.map(drop)
    }

    /// Writes a tenant's first subscription; false when it has one.
    pub(super) async fn begin(&self, cx: &Ctx, plan: &Plan, new: &Subscription) -> Result<bool> {
        let tenant = cx.tenant()?;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        if !subscriptions::add(&mut tx, new).await? {
            return Ok(false);
        }
        subscriptions::allow(&mut tx, &plan.limits.0).await?;
        if let Some(job) = life::next_job(new)? {
            jobs::enqueue(&mut tx, job).await?;
        }
        tx.event(events::subscription(events::CREATED, tenant, plan, None, new, new.created_at)?)?;
        let out = SubscriptionOut::of(new.clone(), plan, None);
        tx.audit(Audit::new("subscription.created", "subscription", new.id).after(&out))?;
        tx.commit(()).await?;
        Ok(true)
    }

    /// A plan that ships, or one that is named in a body.
    pub(crate) async fn plan_named(&self, cx: &Ctx, name: &str) -> Result<Plan> {
        let found = plans::find(&self.db, cx, name.parse().ok(), name).await?;
        found.ok_or_else(|| {
            let message = "is no plan; GET /billing/plans lists them";
            Error::field("/plan", kernel::FieldCode::NotAllowed, message)
        })
    }

    /// What decides whether the tenant's requests pass.
    pub(crate) async fn standing_of(&self, cx: &Ctx) -> Result<Arc<Standing>> {
        let cx = Self::own(cx, cx.tenant()?);
        let (subscription, plan) = self.present(&cx).await?;
        let used = usage::now(&self.db.tenant(&cx)?).await?;
        Ok(Arc::new(Standing {
            state: subscription.state.told(),
            plan: plan.info(),
            full: used.into_iter().filter(usage::UseRow::is_full).map(|row| row.name).collect(),
            until: subscription.next_step().map(|(due, _)| due),
        }))
    }

    /// Errors: plan-limit-exceeded with limit and use.
    pub(crate) async fn check(&self, cx: &Ctx, what: &str) -> Result<()> {
        let used = usage::now(&self.db.tenant(&Self::own(cx, cx.tenant()?))?).await?;
        match used.into_iter().find(|row| row.name == what) {
            Some(usage::UseRow { name, used, most: Some(most) }) if used >= most => Err(Error::new(
                Slug::PlanLimitExceeded,
                format!("The plan allows {most} {name}; {used} are in use."),
            )),
            _ => Ok(()),
        }
    }
}

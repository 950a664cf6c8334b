//! Plans, as the platform makes them.

use fabric::{
    jobs::{self, NewJob},
    postgres::{Audit, Json, Reason},
};
use kernel::{Ctx, Error, Result, TenantId};
use ports::http::{Page, page_size};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::life::expect_version;
use crate::{
    Billing, events,
    http::plans::{PlanIn, PlanOut, PlanPatch, PlansQuery},
    model::plan::Plan,
    store::{plans, subscriptions},
};

/// The kind of the job that brings a plan's new limits to its tenants.
pub(crate) const LIMITS_JOB: &str = "billing.plan-limits";

/// Which plan, and behind which tenant to go on.
#[derive(Serialize, Deserialize)]
pub(crate) struct LimitsChanged {
    pub plan: Uuid,
    pub after: Option<TenantId>,
}

impl Billing {
    /// Plans by name: those that can be chosen, and for the platform the others, too.
    pub(crate) async fn list_plans(&self, cx: &Ctx, query: &PlansQuery) -> Result<Page<PlanOut>> {
        let most = page_size(query.limit)?;
        let tenant = cx.tenant().ok();
        let all = cx.actor().kind() == "operator" || cx.caller().permissions.allow("plans.write");
        let list = if all { "all plans" } else { "plans" };
        let after: Option<String> =
            query.cursor.as_deref().map(|cursor| self.cursor.read(tenant, list, cursor)).transpose()?;
        let rows = plans::list(&self.db, cx, all, after.as_deref(), most).await?;
        let page = Page::cut(rows, most, |last| self.cursor.write(tenant, list, &last.name));
        Ok(page.map(PlanOut::from))
    }

    /// One plan.
    ///
    /// Errors: not-found.
    pub(crate) async fn plan(&self, cx: &Ctx, id: Uuid) -> Result<PlanOut> {
        let plan = plans::find(&self.db, cx, Some(id), "").await?;
        plan.map(PlanOut::from).ok_or_else(|| Error::not_found("plan"))
    }

    /// Makes a plan.
    ///
    /// Errors: validation-error, already-exists.
    pub(crate) async fn create_plan(&self, cx: &Ctx, input: PlanIn) -> Result<PlanOut> {
        let now = cx.now();
        let plan = Plan {
            id: Uuid::now_v7(),
            name: input.name,
            every: input.interval,
            price: input.price,
            currency: input.currency,
            limits: Json(input.limits),
            features: input.features,
            offered: input.offered,
            created_at: now,
            updated_at: now,
            version: 1,
        };
        plan.check()?;
        let mut tx = self.db.system(cx, Reason::Billing).begin().await?;
        plans::add(&mut tx, &plan).await?;
        let out = PlanOut::from(plan);
        tx.audit(Audit::new("plan.created", "plan", out.id).after(&out))?;
        tx.commit(out).await
    }

    /// Changes a plan: a price from the next invoice on, limits at once for everybody who has it.
    ///
    /// Errors: not-found, validation-error, already-exists, precondition-failed.
    pub(crate) async fn change_plan(
        &self,
        cx: &Ctx,
        id: Uuid,
        patch: PlanPatch,
        seen: Option<i32>,
    ) -> Result<PlanOut> {
        let mut tx = self.db.system(cx, Reason::Billing).begin().await?;
        let mut plan = plans::lock(&mut tx, id).await?.ok_or_else(|| Error::not_found("plan"))?;
        expect_version("plan", seen, plan.version)?;
        let before = PlanOut::from(plan.clone());
        plan.name = patch.name.unwrap_or(plan.name);
        plan.price = patch.price.unwrap_or(plan.price);
        plan.features = patch.features.unwrap_or(plan.features);
        plan.offered = patch.offered.unwrap_or(plan.offered);
        let limits = patch.limits.unwrap_or(plan.limits.0);
        let other_limits = limits != plan.limits.0;
        plan.limits = Json(limits);
        plan.check()?;
        plan.version += 1;
        plan.updated_at = cx.now();
        plans::change(&mut tx, &plan).await?;
        if other_limits {
            let job = NewJob::new(LIMITS_JOB, &LimitsChanged { plan: id, after: None }, cx.now())?;
            jobs::enqueue_as_system(&mut tx, None, job).await?;
        }
        let out = PlanOut::from(plan);
        tx.audit(Audit::new("plan.updated", "plan", id).before(&before).after(&out))?;
        tx.commit(out).await
    }

    /// Brings a plan's limits to the tenants that have it, some at a time.
    pub(crate) async fn spread_limits(&self, cx: &Ctx, work: LimitsChanged) -> Result<()> {
        let tenants = plans::tenants(&self.db, cx, work.plan, work.after).await?;
        for tenant in &tenants {
            let cx = Self::own(cx, *tenant);
            let mut tx = self.db.tenant(&cx)?.begin().await?;
            let has = subscriptions::lock(&mut tx).await?.is_some_and(|now| now.plan_id == work.plan);
            if has {
                let plan = plans::of_id(&mut tx, work.plan).await?;
                subscriptions::allow(&mut tx, &plan.limits.0).await?;
                tx.event(events::plan(*tenant, None, &plan)?)?;
                tx.commit(()).await?;
            }
        }
        let Some(last) = tenants.last() else { return Ok(()) };
        let mut tx = self.db.system(cx, Reason::Billing).begin().await?;
        let rest = LimitsChanged { after: Some(*last), ..work };
        jobs::enqueue_as_system(&mut tx, None, NewJob::new(LIMITS_JOB, &rest, cx.now())?).await?;
        tx.commit(()).await
    }
}

//! The tenant's subscription.

use kernel::{Slug, Timestamp};
use ports::http::{Body, Created, Cx, IfMatch, NoContent, One, Operation, Path, Result, Routes, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Billing, CHANGE, VIEW};
use crate::model::{
    plan::Plan,
    subscription::{State as Phase, Subscription},
};

/// A plan to pay for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SubscribeIn {
    /// The plan's name or id.
    pub plan: String,
}

/// What is to change about a subscription.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SubscriptionPatch {
    /// Another plan, by name or id: a dearer one holds at once, another one when the period ends.
    pub plan: Option<String>,
    /// Withdraws what was to happen when the period ends: a cheaper plan, or the end.
    #[serde(default)]
    pub cancel_downgrade: bool,
}

/// A plan, in short.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlanRef {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
}

impl PlanRef {
    fn of(plan: &Plan) -> Self {
        Self { id: plan.id, name: plan.name.clone() }
    }
}

/// A subscription.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SubscriptionOut {
    /// Its id.
    pub id: Uuid,
    /// The plan that holds.
    pub plan: PlanRef,
    /// Where it is in its life.
    pub state: Phase,
    /// The period that runs.
    pub period_start: Timestamp,
    /// Its end.
    pub period_end: Timestamp,
    /// The plan that follows when the period ends, if it is another one.
    pub next_plan: Option<PlanRef>,
    /// Whether it ends with the period.
    pub cancel_at_period_end: bool,
    /// Since when a payment is missing.
    pub past_due_since: Option<Timestamp>,
    /// From when on the tenant only reads, if nothing is paid.
    pub suspends_at: Option<Timestamp>,
    /// When the tenant is closed, if nothing is paid.
    pub terminates_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The tenant's tax, in hundredths of a percent.
    pub tax_basis_points: i32,
    /// What is owed to the tenant and will be set off, in minor units.
    pub credit: i64,
    /// Of the credit and of every invoice.
    pub currency: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// The last change.
    pub updated_at: Timestamp,
    /// Grows with each change.
    pub version: i32,
}

impl SubscriptionOut {
    pub fn of(subscription: Subscription, plan: &Plan, next: Option<&Plan>) -> Self {
        Self {
            id: subscription.id,
            plan: PlanRef::of(plan),
            state: subscription.state,
            period_start: subscription.period_start,
            period_end: subscription.period_end,
            next_plan: next.map(PlanRef::of),
            cancel_at_period_end: subscription.cancel_at_period_end,
            past_due_since: subscription.past_due_since,
            suspends_at: subscription.suspends_at(),
            terminates_at: subscription.terminates_at(),
            ended_at: subscription.ended_at,
            tax_basis_points: subscription.tax_basis_points,
            credit: subscription.credit,
            currency: plan.currency.clone(),
            created_at: subscription.created_at,
            updated_at: subscription.updated_at,
            version: subscription.version,
        }
    }

    pub fn versioned(self) -> One<Self> {
        let version = self.version;
        One::versioned(self, version)
    }
}

pub(super) fn add(routes: Routes<Billing>) -> Routes<Billing> {
    routes
        .add(
            Operation::get("/billing/subscriptions/current", "getCurrentSubscription", VIEW)
                .summary("Read the tenant's subscription")
                .description("Every tenant has exactly one; it begins with a trial of 30 days.")
                .answer::<SubscriptionOut>(200),
            current,
        )
        .add(
            Operation::post("/billing/subscriptions", "subscribe", CHANGE)
                .summary("Begin to pay for a plan")
                .description("After the trial, or after the subscription was canceled. A period begins now, with its invoice.")
                .body::<SubscribeIn>()
                .answer::<SubscriptionOut>(201)
                .problems(&[Slug::InvalidState, Slug::SubscriptionTerminated])
                .example(r#"{"plan":"pro"}"#),
            subscribe,
        )
        .add(
            Operation::patch("/billing/subscriptions/{id}", "changeSubscription", CHANGE)
                .summary("Change the plan")
                .description(
                    "A dearer plan holds at once: what is left of the period is given back for the old plan and charged \
                     for the new one. Any other plan holds when the period ends, and until then `cancelDowngrade` \
                     withdraws it.",
                )
                .body::<SubscriptionPatch>()
                .answer::<SubscriptionOut>(200)
                .problems(&[Slug::NotFound, Slug::InvalidState, Slug::PreconditionFailed])
                .example(r#"{"plan":"pro"}"#),
            change,
        )
        .add(
            Operation::delete("/billing/subscriptions/{id}", "cancelSubscription", CHANGE)
                .summary("Cancel the subscription")
                .description(
                    "What is paid for is used up: it ends with the period. A trial, a plan without a price and one whose \
                     payment is missing end at once. The tenant then reads its data and begins anew when it likes.",
                )
                .problems(&[Slug::NotFound, Slug::InvalidState, Slug::PreconditionFailed]),
            cancel,
        )
}

async fn current(State(billing): State<Billing>, Cx(cx): Cx) -> Result<One<SubscriptionOut>> {
    Ok(billing.current(&cx).await?.versioned())
}

async fn subscribe(
    State(billing): State<Billing>,
    Cx(cx): Cx,
    Body(new): Body<SubscribeIn>,
) -> Result<Created<SubscriptionOut>> {
    Ok(Created(billing.subscribe(&cx, new).await?))
}

async fn change(
    State(billing): State<Billing>,
    Cx(cx): Cx,
    Path(id): Path<Uuid>,
    IfMatch(seen): IfMatch,
    Body(patch): Body<SubscriptionPatch>,
) -> Result<One<SubscriptionOut>> {
    Ok(billing.change_subscription(&cx, id, patch, seen).await?.versioned())
}

async fn cancel(
    State(billing): State<Billing>,
    Cx(cx): Cx,
    Path(id): Path<Uuid>,
    IfMatch(seen): IfMatch,
) -> Result<NoContent> {
    billing.cancel(&cx, id, seen).await?;
    Ok(NoContent)
}

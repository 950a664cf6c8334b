//! What billing tells, on `platform.billing.events`, in order per tenant.

use fabric::postgres::Event;
use kernel::{Result, TenantId, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    NAME,
    model::{plan::Plan, subscription::Subscription},
    store::{invoices::InvoiceRow, usage::ReachedRow},
};

pub(crate) const CREATED: &str = "billing.subscription.created";
pub(crate) const CHANGED: &str = "billing.subscription.changed";
pub(crate) const CANCELED: &str = "billing.subscription.canceled";
const PLAN_CHANGED: &str = "billing.plan.changed";
pub(crate) const INVOICE_CREATED: &str = "billing.invoice.created";
pub(crate) const INVOICE_PAID: &str = "billing.invoice.paid";
pub(crate) const INVOICE_FAILED: &str = "billing.invoice.failed";
const LIMIT_REACHED: &str = "billing.limit.reached";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SubscriptionTold<'a> {
    tenant_id: TenantId,
    subscription_id: Uuid,
    plan: &'a str,
    state: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_before: Option<&'a str>,
    period_start: Timestamp,
    period_end: Timestamp,
    /// When it took effect; a clock that jumped is caught up with step by step.
    at: Timestamp,
}

/// Something about a subscription; `before` is what it was.
pub(crate) fn subscription(
    kind: &'static str,
    tenant: TenantId,
    plan: &Plan,
    before: Option<&Subscription>,
    now: &Subscription,
    at: Timestamp,
) -> Result<Event> {
    let told = SubscriptionTold {
        tenant_id: tenant,
        subscription_id: now.id,
        plan: &plan.name,
        state: now.state.word(),
        state_before: before.map(|before| before.state.word()),
        period_start: now.period_start,
        period_end: now.period_end,
        at,
    };
    Event::new(NAME, kind, tenant, &told)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlanTold<'a> {
    tenant_id: TenantId,
    plan: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan_before: Option<&'a str>,
    limits: &'a crate::model::plan::Limits,
}

/// What a tenant may use changed: with its plan, or because the plan did.
pub(crate) fn plan(tenant: TenantId, before: Option<&Plan>, now: &Plan) -> Result<Event> {
    let told = PlanTold {
        tenant_id: tenant,
        plan: &now.name,
        plan_before: before.map(|before| before.name.as_str()),
        limits: &now.limits.0,
    };
    Event::new(NAME, PLAN_CHANGED, tenant, &told)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InvoiceTold<'a> {
    tenant_id: TenantId,
    invoice_id: Uuid,
    number: i32,
    currency: &'a str,
    total: i64,
    at: Timestamp,
}

/// Something about an invoice.
pub(crate) fn invoice(
    kind: &'static str,
    tenant: TenantId,
    invoice: &InvoiceRow,
    at: Timestamp,
) -> Result<Event> {
    let told = InvoiceTold {
        tenant_id: tenant,
        invoice_id: invoice.id,
        number: invoice.number,
        currency: &invoice.currency,
        total: invoice.total,
        at,
    };
    Event::new(NAME, kind, tenant, &told)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LimitTold<'a> {
    tenant_id: TenantId,
    limit: &'a str,
    most: i64,
    used: i64,
}

/// A tenant uses all that its plan allows of something.
pub(crate) fn limit_reached(row: &ReachedRow) -> Result<Event> {
    let told = LimitTold { tenant_id: row.tenant_id, limit: &row.name, most: row.most, used: row.used };
    Ok(Event::new(NAME, LIMIT_REACHED, row.tenant_id, &told)?.of(row.tenant_id))
}

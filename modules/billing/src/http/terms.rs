//! What the platform agreed with a tenant.

use kernel::{Slug, TenantId};
use ports::http::{Body, Cx, One, Operation, Path, Result, Routes, State};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Billing, PLATFORM, subscriptions::SubscriptionOut};

/// What is to change about a tenant's terms.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TermsPatch {
    /// A plan by name or id, one that is not offered too; its first period begins at once.
    pub plan: Option<String>,
    /// The tenant's tax from the next invoice on, in hundredths of a percent: 2000 is 20 %.
    #[schemars(range(min = 0, max = 10_000))]
    pub tax_basis_points: Option<i32>,
}

pub(super) fn add(routes: Routes<Billing>) -> Routes<Billing> {
    routes.add(
        Operation::patch("/billing/tenants/{id}", "setBillingTerms", PLATFORM)
            .summary("Set a tenant's plan or tax")
            .body::<TermsPatch>()
            .answer::<SubscriptionOut>(200)
            .problems(&[Slug::NotFound, Slug::InvalidState])
            .example(r#"{"taxBasisPoints":2000}"#),
        set,
    )
}

async fn set(
    State(billing): State<Billing>,
    Cx(cx): Cx,
    Path(tenant): Path<TenantId>,
    Body(patch): Body<TermsPatch>,
) -> Result<One<SubscriptionOut>> {
    Ok(billing.set_terms(&cx, tenant, patch).await?.versioned())
}

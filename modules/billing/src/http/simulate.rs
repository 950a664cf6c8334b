//! The life of a customer without a payment provider.

use kernel::Slug;
use ports::http::{Body, Cx, One, Operation, Result, Routes, State};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Billing, CHANGE, subscriptions::SubscriptionOut};

/// What a payment provider could tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Simulated {
    /// The period ends now and its payment fails, as every one does from here on.
    PaymentFailed,
    /// What is open is paid, as everything is from here on.
    PaymentSucceeded,
    /// The period ends now, and the next one begins.
    Renewal,
}

/// What is to happen.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SimulateIn {
    /// The event.
    pub event: Simulated,
}

pub(super) fn add(routes: Routes<Billing>) -> Routes<Billing> {
    routes.add(
        Operation::post("/billing/simulate", "simulateBilling", CHANGE)
            .summary("Do what a payment provider would tell")
            .description(
                "The whole life of a customer: let a payment fail, put the sandbox's clock forward, pay. After a failed \
                 payment nothing changes for 8 days (the owners are told on days 0, 2, 4, 6 and 7), then the tenant only \
                 reads, and on day 38 it is closed. A payment before that opens everything at once.",
            )
            .body::<SimulateIn>()
            .answer::<SubscriptionOut>(200)
            .problems(&[Slug::InvalidState])
            .example(r#"{"event":"payment_failed"}"#),
        simulate,
    )
}

async fn simulate(
    State(billing): State<Billing>,
    Cx(cx): Cx,
    Body(input): Body<SimulateIn>,
) -> Result<One<SubscriptionOut>> {
    Ok(billing.simulate(&cx, input).await?.versioned())
}

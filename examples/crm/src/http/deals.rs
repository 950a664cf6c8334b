//! `POST /deals/{id}/win`: changing a record and telling the world.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Serialize;
use uuid::Uuid;

use crate::caller::Caller;
use crate::http::App;
use crate::kernel_api::{Deal, KernelError};
use crate::pipeline::Stage;
use crate::problem::Problem;

/// Less than the manifest's `timeoutMs`.
const DEADLINE: Duration = Duration::from_secs(9);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WonOut {
    deal: Deal,
    event_id: Uuid,
}

/// The data of `crm.deal.won`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DealWon<'a> {
    deal_id: Uuid,
    company_id: Uuid,
    reference: &'a str,
    /// In minor units of `currency`.
    amount: i64,
    currency: &'a str,
}

/// Sets a deal to won and publishes `crm.deal.won`.
///
/// The change and the event are two calls, so either may be missing when this fails half-way.
/// Calling again mends it: a deal that is won already is not changed, and the event carries an
/// idempotency key made from its content.
pub(super) async fn win(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<WonOut>, Problem> {
    caller.needs("crm.deals.write")?;
    let id = Uuid::try_parse(&id).map_err(|_| Problem::not_found("deal"))?;
    let won = tokio::time::timeout(DEADLINE, win_and_tell(&app, &caller, id)).await;
    won.map_err(|_| Problem::deadline_exceeded())?.map(Json)
}

async fn win_and_tell(app: &App, caller: &Caller, id: Uuid) -> Result<WonOut, Problem> {
    let kernel = app.kernel.on_behalf(caller);
    let found = kernel.deal(id).await?;
    let deal = match found.value.stage {
        Stage::Won => found.value,
        Stage::Lost => {
            return Err(Problem::invalid_state("The deal is lost. Move it to an open stage first."));
        }
        Stage::Lead | Stage::Qualified | Stage::Proposal | Stage::Negotiation => {
            kernel.move_deal(id, Stage::Won, found.etag).await.map_err(changed_meanwhile)?
        }
    };
    let kernel = match app.module_keys.of(caller.issuer(), caller.tenant()) {
        Some(key) => kernel.with_module_key(key),
        None => kernel,
    };
    let event = DealWon {
        deal_id: deal.id,
        company_id: deal.company_id,
        reference: &deal.reference,
        amount: deal.amount,
        currency: &deal.currency,
    };
    let published = kernel.publish("crm.deal.won", deal.id, &event).await?;
    Ok(WonOut { event_id: published.event_id, deal })
}

/// The `If-Match` was ours, so its failing is not the caller's mistake.
fn changed_meanwhile(error: KernelError) -> Problem {
    match error {
        KernelError::Refused(refused) if refused.status == StatusCode::PRECONDITION_FAILED => {
            Problem::conflict("Somebody changed the deal at the same moment. Look at it and try again.")
        }
        other => other.into(),
    }
}

//! Calls that failed for good.

use kernel::{Slug, Timestamp};
use ports::http::{
    Accepted, Access, Body, Cx, NoContent, One, Operation, Page, Path, Query, Result, Routes, State,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Hub;
use crate::{
    model::{CallId, DeadLetterId, LetterState, ProviderId},
    outward::Method,
};

/// A call that failed for good. Kept for 30 days.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeadLetterOut {
    /// Its id.
    pub id: DeadLetterId,
    /// To which provider.
    pub provider_id: ProviderId,
    /// The call, in the log.
    pub call_id: CallId,
    /// How it stands.
    pub state: LetterState,
    /// What was asked.
    pub method: Method,
    /// Where; secrets in it are masked.
    pub path: String,
    /// What every attempt carries.
    pub idempotency_key: Uuid,
    /// The provider's last status.
    pub status: Option<i16>,
    /// What went wrong.
    pub error: String,
    /// How often it was tried.
    pub attempts: i32,
    /// When it first failed.
    pub first_at: Timestamp,
    /// When it last failed.
    pub last_at: Timestamp,
}

/// The page wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DeadLettersQuery {
    /// Entries a page, 1 to 100; 20 unless said.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u16>,
    /// The `meta.cursor` of the page before.
    pub cursor: Option<String>,
    /// To one provider only.
    pub provider_id: Option<ProviderId>,
}

/// Which to try again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RetryAllIn {
    /// Those to one provider; else all.
    pub provider_id: Option<ProviderId>,
}

/// A dead letter that is tried again.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RetriedOut {
    /// Which.
    pub id: DeadLetterId,
    /// Always `queued`.
    pub state: LetterState,
}

/// How many are tried again.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RetriedAllOut {
    /// This many; at most 1,000 at a time.
    pub queued: usize,
    /// Whether there are more: ask again.
    pub has_more: bool,
}

const READ: Access = Access::Permission("integrations.read");
const CALL: Access = Access::Permission("integrations.call");

pub(super) fn add(routes: Routes<Hub>) -> Routes<Hub> {
    routes
        .add(
            Operation::get("/integrations/dlq", "listFailedCalls", READ)
                .summary("List calls that failed for good, the latest first")
                .query::<DeadLettersQuery>()
                .lists::<DeadLetterOut>()
                .problems(&[Slug::InvalidCursor]),
            list,
        )
        .add(
            Operation::get("/integrations/dlq/{id}", "getFailedCall", READ)
                .summary("Get a call that failed for good")
                .answer::<DeadLetterOut>(200),
            get,
        )
        .add(
            Operation::post("/integrations/dlq/{id}/retry", "retryFailedCall", CALL)
                .summary("Make a failed call again")
                .description("Once, with the same Idempotency-Key. It goes when the provider answers, and waits again else.")
                .answer::<RetriedOut>(202),
            retry,
        )
        .add(
            Operation::post("/integrations/dlq/retry-all", "retryFailedCalls", CALL)
                .summary("Make up to 1,000 failed calls again, the oldest first")
                .body::<RetryAllIn>()
                .answer::<RetriedAllOut>(202)
                .problems(&[Slug::NotFound])
                .example("{}"),
            retry_all,
        )
        .add(
            Operation::delete("/integrations/dlq/{id}", "deleteFailedCall", CALL)
                .summary("Give a failed call up for good"),
            delete,
        )
}

async fn list(
    State(hub): State<Hub>,
    Cx(cx): Cx,
    Query(query): Query<DeadLettersQuery>,
) -> Result<Page<DeadLetterOut>> {
    Ok(hub.dead_letters(&cx, &query).await?)
}

async fn get(State(hub): State<Hub>, Cx(cx): Cx, Path(id): Path<DeadLetterId>) -> Result<One<DeadLetterOut>> {
    Ok(One::new(hub.dead_letter(&cx, id).await?))
}

async fn retry(
    State(hub): State<Hub>,
    Cx(cx): Cx,
    Path(id): Path<DeadLetterId>,
) -> Result<Accepted<RetriedOut>> {
    Ok(Accepted(hub.retry(&cx, id).await?))
}

async fn retry_all(
    State(hub): State<Hub>,
    Cx(cx): Cx,
    Body(wish): Body<RetryAllIn>,
) -> Result<Accepted<RetriedAllOut>> {
    Ok(Accepted(hub.retry_all(&cx, wish).await?))
}

async fn delete(State(hub): State<Hub>, Cx(cx): Cx, Path(id): Path<DeadLetterId>) -> Result<NoContent> {
    hub.discard(&cx, id).await?;
    Ok(NoContent)
}

//! Events that failed too often.

use fabric::log::DeadLetterId;
use kernel::{DomainEvent, EventId, Slug, SubscriptionId, Timestamp};
use ports::http::{
    Accepted, Access, Body, Cx, NoContent, One, Operation, Page, Path, Query, Result, Routes, State,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Bus;

/// An event that failed too often for one subscription. Kept for 30 days.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeadLetterOut {
    /// Its id.
    pub id: DeadLetterId,
    /// For which subscription.
    pub subscription_id: SubscriptionId,
    /// That subscription's consumer group.
    pub consumer: String,
    /// The event.
    pub event: DomainEvent,
    /// What the receiver said last.
    pub error: String,
    /// How often it was tried.
    pub attempts: i16,
    /// When it was first handed out.
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
    /// Of one subscription only.
    pub subscription_id: Option<SubscriptionId>,
}

/// Which dead letters to put back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ReplayAllIn {
    /// Of one subscription only; else all.
    pub subscription_id: Option<SubscriptionId>,
}

/// An event that is delivered again.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RetriedOut {
    /// Which.
    pub event_id: EventId,
    /// Always `queued`.
    pub status: &'static str,
}

impl RetriedOut {
    pub(crate) fn queued(event_id: EventId) -> Self {
        Self { event_id, status: "queued" }
    }
}

/// How many dead letters were put back.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReplayedOut {
    /// This many; at most 1,000 at a time.
    pub queued: u64,
    /// Whether there are more: ask again.
    pub has_more: bool,
}

const REPLAY: Access = Access::Permission("events.replay");

pub(super) fn add(routes: Routes<Bus>) -> Routes<Bus> {
    routes
        .add(
            Operation::get("/events/dlq", "listDeadLetters", REPLAY)
                .summary("List events that failed too often, the latest first")
                .query::<DeadLettersQuery>()
                .lists::<DeadLetterOut>()
                .problems(&[Slug::InvalidCursor]),
            list,
        )
        .add(
            Operation::get("/events/dlq/{id}", "getDeadLetter", REPLAY)
                .summary("Get a dead letter")
                .answer::<DeadLetterOut>(200),
            get,
        )
        .add(
            Operation::post("/events/dlq/{id}/retry", "retryDeadLetter", REPLAY)
                .summary("Deliver a dead letter again")
                .description("It comes before later events of its key that still wait.")
                .answer::<RetriedOut>(202),
            retry,
        )
        .add(
            Operation::post("/events/dlq/replay-all", "replayDeadLetters", REPLAY)
                .summary("Deliver up to 1,000 dead letters again, the oldest first")
                .body::<ReplayAllIn>()
                .answer::<ReplayedOut>(202)
                .problems(&[Slug::NotFound])
                .example("{}"),
            replay_all,
        )
        .add(
            Operation::delete("/events/dlq/{id}", "deleteDeadLetter", REPLAY)
                .summary("Give a dead letter up for good"),
            delete,
        )
}

async fn list(
    State(bus): State<Bus>,
    Cx(cx): Cx,
    Query(query): Query<DeadLettersQuery>,
) -> Result<Page<DeadLetterOut>> {
    Ok(bus.dead_letters(&cx, &query).await?)
}

async fn get(State(bus): State<Bus>, Cx(cx): Cx, Path(id): Path<DeadLetterId>) -> Result<One<DeadLetterOut>> {
    Ok(One::new(bus.dead_letter(&cx, id).await?))
}

async fn retry(
    State(bus): State<Bus>,
    Cx(cx): Cx,
    Path(id): Path<DeadLetterId>,
) -> Result<Accepted<RetriedOut>> {
    Ok(Accepted(bus.retry(&cx, id).await?))
}

async fn replay_all(
    State(bus): State<Bus>,
    Cx(cx): Cx,
    Body(wish): Body<ReplayAllIn>,
) -> Result<Accepted<ReplayedOut>> {
    Ok(Accepted(bus.replay_all(&cx, wish).await?))
}

async fn delete(State(bus): State<Bus>, Cx(cx): Cx, Path(id): Path<DeadLetterId>) -> Result<NoContent> {
    bus.discard(&cx, id).await?;
    Ok(NoContent)
}

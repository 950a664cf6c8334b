//! Subscriptions: making them, taking events, acknowledging, going elsewhere.

use axum::response::Response;
use fabric::log::Delivery;
use kernel::{DomainEvent, EventId, Slug, SubscriptionId, Timestamp};
use ports::http::{
    Access, Body, Created, Cx, NoContent, One, Operation, Page, PageMeta, Path, Query, Result, Routes, State,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Bus,
    cloud_events::{self, Form, cloud_event},
};

/// A wish to be given events.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SubscriptionIn {
    /// Types, beginnings like `crm.*`, or `*`; 1 to 100.
    pub types: Vec<String>,
    /// Where events go; `{"kind":"pull"}` unless said.
    pub target: Option<TargetIn>,
    /// The lasting name, unique in the tenant; made up unless said.
    pub consumer_group: Option<String>,
    /// Whether to begin with what the log still holds; else with what comes from now on.
    #[serde(default)]
    pub from_beginning: bool,
    /// Tries after the first before an event becomes a dead letter, 0 to 10; 3 unless said.
    #[schemars(range(min = 0, max = 10))]
    pub max_retries: Option<i16>,
}

/// Where events go.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TargetIn {
    /// The way; only `pull` for now.
    pub kind: TargetKind,
    /// The address of a webhook.
    pub url: Option<String>,
}

/// Ways in which events go to their hearers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TargetKind {
    /// The hearer fetches them.
    Pull,
    /// They are posted to an address.
    Webhook,
    /// They are sent over an open websocket.
    Websocket,
}

/// A subscription.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SubscriptionOut {
    /// Its id.
    pub id: SubscriptionId,
    /// What it hears.
    pub types: Vec<String>,
    /// Where events go.
    pub target: TargetOut,
    /// Its lasting name.
    pub consumer_group: String,
    /// The module whose it is; null for the tenant's own.
    pub module: Option<String>,
    /// Tries after the first.
    pub max_retries: i16,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Where events go.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TargetOut {
    /// The way.
    pub kind: TargetKind,
}

/// The page wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubscriptionsQuery {
    /// Entries a page, 1 to 100; 20 unless said.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u16>,
    /// The `meta.cursor` of the page before.
    pub cursor: Option<String>,
}

/// How far a subscription is.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PositionOut {
    /// The place in the log, opaque: everything before it was taken over for delivery.
    pub offset: String,
    /// Taken over and not acknowledged yet.
    pub open: i64,
    /// Failed too often.
    pub dead_letters: i64,
}

/// Where to go on: a `timestamp` or an `offset`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SeekIn {
    /// Before the first event of that moment or later.
    pub timestamp: Option<Timestamp>,
    /// `beginning`, `end`, or an offset of this subscription.
    pub offset: Option<String>,
}

/// How many events to take.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PullIn {
    /// 1 to 100; 20 unless said.
    #[schemars(range(min = 1, max = 100))]
    pub max: Option<u16>,
}

/// An event in the caller's hands for 30 seconds: to be acknowledged by then.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeliveryOut {
    /// The event.
    pub event: DomainEvent,
    /// How often it was handed out, this time included.
    pub attempt: i16,
}

/// What became of events.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AckIn {
    /// Dealt with.
    #[serde(default)]
    pub event_ids: Vec<EventId>,
    /// Not dealt with: to be tried again after 1 s, 5 s, 25 s, without waiting for the lease to end.
    #[serde(default)]
    pub failed: Vec<FailedIn>,
}

/// An event that was not dealt with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FailedIn {
    /// Which.
    pub event_id: EventId,
    /// Why, for the dead letter: up to 1,000 characters.
    pub error: String,
}

/// What was noted.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AckOut {
    /// How many were open until now; the others had been acknowledged before.
    pub acknowledged: u64,
    /// How many were said to have failed.
    pub failed: usize,
}

const READ: Access = Access::Permission("events.read");
const REPLAY: Access = Access::Permission("events.replay");

pub(super) fn add(routes: Routes<Bus>) -> Routes<Bus> {
    routes
        .add(
            Operation::post("/events/subscriptions", "createEventSubscription", READ)
                .summary("Subscribe to events")
                .description(
                    "A module subscribes to what its manifest declares under `events.subscribes`; people and API keys \
                     to everything of their tenant. Delivery is at least once and in order per key.",
                )
                .body::<SubscriptionIn>()
                .answer::<SubscriptionOut>(201)
                .problems(&[Slug::EventNotDeclared, Slug::AlreadyExists, Slug::LimitExceeded])
                .example(r#"{"types":["crm.*"],"target":{"kind":"pull"},"consumerGroup":"search-index"}"#),
            create,
        )
        .add(
            Operation::get("/events/subscriptions", "listEventSubscriptions", READ)
                .summary("List subscriptions")
                .query::<SubscriptionsQuery>()
                .lists::<SubscriptionOut>()
                .problems(&[Slug::InvalidCursor]),
            list,
        )
        .add(
            Operation::get("/events/subscriptions/{id}", "getEventSubscription", READ)
                .summary("Get a subscription")
                .answer::<SubscriptionOut>(200),
            get,
        )
        .add(
            Operation::delete("/events/subscriptions/{id}", "deleteEventSubscription", READ)
                .summary("End a subscription, with its open deliveries and dead letters"),
            delete,
        )
        .add(
            Operation::get("/events/subscriptions/{id}/position", "getEventSubscriptionPosition", READ)
                .summary("Get how far a subscription is")
                .answer::<PositionOut>(200),
            position,
        )
        .add(
            Operation::post("/events/subscriptions/{id}/seek", "seekEventSubscription", REPLAY)
                .summary("Put a subscription elsewhere in the log")
                .description("What was taken over and not acknowledged is forgotten; dead letters stay.")
                .body::<SeekIn>()
                .answer::<PositionOut>(200)
                .problems(&[Slug::InvalidCursor])
                .example(r#"{"offset":"beginning"}"#),
            seek,
        )
        .add(
            Operation::post("/events/subscriptions/{id}/pull", "pullEvents", READ)
                .summary("Take events")
                .description(
                    "Events are leased for 30 seconds; what is not acknowledged by then counts as a failure and comes \
                     again. Later events of a key wait for earlier ones. No Idempotency-Key is kept for this call: \
                     when an answer is lost, its events come again by themselves. `meta.hasMore` says that another \
                     pull would bring more right away. With `Accept: application/cloudevents+json` the entries are \
                     CloudEvents 1.0 with the extension `attempt`.",
                )
                .harmless()
                .body::<PullIn>()
                .lists::<DeliveryOut>()
                .example(r#"{"max":20}"#),
            pull,
        )
        .add(
            Operation::post("/events/subscriptions/{id}/ack", "ackEvents", READ)
                .summary("Say what became of events")
                .body::<AckIn>()
                .answer::<AckOut>(200)
                .example(r#"{"eventIds":["0192f0c1-7a3e-7c55-9f3a-5b8f0c1d2e3f"]}"#),
            ack,
        )
}

async fn create(
    State(bus): State<Bus>,
    Cx(cx): Cx,
    Body(wish): Body<SubscriptionIn>,
) -> Result<Created<SubscriptionOut>> {
    Ok(Created(bus.subscribe(&cx, wish).await?))
}

async fn list(
    State(bus): State<Bus>,
    Cx(cx): Cx,
    Query(query): Query<SubscriptionsQuery>,
) -> Result<Page<SubscriptionOut>> {
    Ok(bus.subscriptions(&cx, &query).await?)
}

async fn get(
    State(bus): State<Bus>,
    Cx(cx): Cx,
    Path(id): Path<SubscriptionId>,
) -> Result<One<SubscriptionOut>> {
    Ok(One::new(bus.subscription(&cx, id).await?))
}

async fn delete(State(bus): State<Bus>, Cx(cx): Cx, Path(id): Path<SubscriptionId>) -> Result<NoContent> {
    bus.unsubscribe(&cx, id).await?;
    Ok(NoContent)
}

async fn position(
    State(bus): State<Bus>,
    Cx(cx): Cx,
    Path(id): Path<SubscriptionId>,
) -> Result<One<PositionOut>> {
    Ok(One::new(bus.position(&cx, id).await?))
}

async fn seek(
    State(bus): State<Bus>,
    Cx(cx): Cx,
    Path(id): Path<SubscriptionId>,
    Body(wish): Body<SeekIn>,
) -> Result<One<PositionOut>> {
    Ok(One::new(bus.seek(&cx, id, wish).await?))
}

async fn pull(
    State(bus): State<Bus>,
    Cx(cx): Cx,
    Path(id): Path<SubscriptionId>,
    form: Form,
    Body(wish): Body<PullIn>,
) -> Result<Response> {
    let pulled = bus.pull(&cx, id, wish).await?;
    let out = |delivery: Delivery| DeliveryOut { event: delivery.event, attempt: delivery.attempt };
    let data = pulled.deliveries.into_iter().map(out).collect();
    let page = Page { data, meta: PageMeta { cursor: None, has_more: pulled.more, total: None } };
    Ok(cloud_events::page(form, page, |delivery| {
        let mut cloud = cloud_event(&delivery.event);
        cloud["attempt"] = json!(delivery.attempt);
        cloud
    }))
}

async fn ack(
    State(bus): State<Bus>,
    Cx(cx): Cx,
    Path(id): Path<SubscriptionId>,
    Body(said): Body<AckIn>,
) -> Result<One<AckOut>> {
    Ok(One::new(bus.ack(&cx, id, said).await?))
}

//! Publishing.

use kernel::{EventId, Slug};
use ports::http::{Accepted, Access, Body, Cx, Operation, Result, Routes, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Bus;

/// An event to publish. Tenant, source, time and trace are set by the system.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PublishIn {
    /// `{module}.{entity}.{verb}`, lower case, past tense; declared in the module's manifest.
    #[serde(rename = "type")]
    pub kind: String,
    /// What happened: an object of at most 1 MB.
    pub data: Value,
    /// The entity: events of one key are delivered in order. `data.id` unless said.
    pub key: Option<String>,
    /// The version of the shape of `data`, like `1.0.0`; the newest registered one unless said.
    pub schema_version: Option<String>,
}

/// Events to publish together.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PublishBatchIn {
    /// 1 to 500; all are published or none.
    pub events: Vec<PublishIn>,
}

/// An event that will be delivered.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PublishedOut {
    /// Its id, the same on every delivery.
    pub event_id: EventId,
    /// The topic it goes to.
    pub topic: String,
    /// Always `queued`: it is committed and on its way.
    pub status: PublishStatus,
}

/// What became of an event that was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PublishStatus {
    /// It is committed and on its way.
    Queued,
}

impl PublishedOut {
    pub(crate) fn queued(event_id: EventId, topic: String) -> Self {
        Self { event_id, topic, status: PublishStatus::Queued }
    }
}

/// Events that will be delivered, in the order given.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PublishedBatchOut {
    /// One for each event.
    pub events: Vec<PublishedOut>,
}

const PUBLISH: Access = Access::Permission("events.publish");

pub(super) fn add(routes: Routes<Bus>) -> Routes<Bus> {
    routes
        .add(
            Operation::post("/events/publish", "publishEvent", PUBLISH)
                .summary("Publish an event")
                .description(
                    "The type must be declared under `events.publishes` by the calling module, or, for people and API \
                     keys, by a module that is installed. Once answered, the event is committed: it is delivered at \
                     least once to every subscription that names its type.",
                )
                .body::<PublishIn>()
                .answer::<PublishedOut>(202)
                .uses("eventsPerDay")
                .problems(&[Slug::EventNotDeclared, Slug::PlanLimitExceeded])
                .example(
                    r#"{"type":"crm.deal.won","data":{"id":"0192f0c1-7a3e-7c55-9f3a-5b8f0c1d2e3f","amount":120000},"key":"0192f0c1-7a3e-7c55-9f3a-5b8f0c1d2e3f"}"#,
                ),
            publish,
        )
        .add(
            Operation::post("/events/publish/batch", "publishEvents", PUBLISH)
                .summary("Publish up to 500 events, all or none")
                .body::<PublishBatchIn>()
                .answer::<PublishedBatchOut>(202)
                .uses("eventsPerDay")
                .problems(&[Slug::EventNotDeclared, Slug::PlanLimitExceeded])
                .example(
                    r#"{"events":[{"type":"crm.deal.won","data":{"id":"d1"}},{"type":"crm.deal.won","data":{"id":"d2"}}]}"#,
                ),
            publish_batch,
        )
}

async fn publish(
    State(bus): State<Bus>,
    Cx(cx): Cx,
    Body(event): Body<PublishIn>,
) -> Result<Accepted<PublishedOut>> {
    Ok(Accepted(bus.publish(&cx, event).await?))
}

async fn publish_batch(
    State(bus): State<Bus>,
    Cx(cx): Cx,
    Body(batch): Body<PublishBatchIn>,
) -> Result<Accepted<PublishedBatchOut>> {
    Ok(Accepted(bus.publish_batch(&cx, batch.events).await?))
}

use kernel::{Ctx, Error, FieldCode, FieldError, Result, Slug};
use ports::{
    http::{Access, Routes},
    rpc::given,
};
use proto::events::v1::{PublishBatchRequest, PublishBatchResponse, PublishRequest, PublishResponse};

use super::method;
use crate::http::{
    Bus,
    events::{PublishIn, PublishedBatchOut, PublishedOut},
};

const PUBLISH: Access = Access::Permission("events.publish");

pub(super) fn add(routes: Routes<Bus>) -> Routes<Bus> {
    routes
        .rpc_command(
            method("Publish", "publishEventRpc", PUBLISH)
                .summary("Publish an event")
                .problems(&[Slug::EventNotDeclared])
                .example(r#"{"type":"crm.deal.won","dataJson":"{\"id\":\"d1\",\"amount\":120000}"}"#),
            publish,
            PublishResponse::from,
        )
        .rpc_command(
            method("PublishBatch", "publishEventsRpc", PUBLISH)
                .summary("Publish up to 500 events, all or none")
                .problems(&[Slug::EventNotDeclared])
                .example(r#"{"events":[{"type":"crm.deal.won","dataJson":"{\"id\":\"d1\"}"}]}"#),
            publish_batch,
            PublishBatchResponse::from,
        )
}

async fn publish(bus: Bus, cx: Ctx, event: PublishRequest) -> Result<PublishedOut> {
    bus.publish(&cx, event_in("", event)?).await
}

async fn publish_batch(bus: Bus, cx: Ctx, batch: PublishBatchRequest) -> Result<PublishedBatchOut> {
    let placed = batch.events.into_iter().enumerate();
    let events = placed.map(|(index, event)| event_in(&format!("/events/{index}"), event));
    bus.publish_batch(&cx, events.collect::<Result<_>>()?).await
}

fn event_in(at: &str, event: PublishRequest) -> Result<PublishIn> {
    let data = serde_json::from_str(&event.data_json).map_err(|error| {
        let message = format!("is not JSON: {error}");
        Error::fields(vec![FieldError::new(format!("{at}/dataJson"), FieldCode::InvalidFormat, message)])
    })?;
    Ok(PublishIn {
        kind: event.r#type,
        data,
        key: given(event.key),
        schema_version: given(event.schema_version),
    })
}

impl From<PublishedOut> for PublishResponse {
    fn from(published: PublishedOut) -> Self {
        Self { event_id: published.event_id.to_string(), topic: published.topic }
    }
}

impl From<PublishedBatchOut> for PublishBatchResponse {
    fn from(published: PublishedBatchOut) -> Self {
        Self { events: published.events.into_iter().map(PublishResponse::from).collect() }
    }
}

//! Topics and what lies in them.

use axum::response::Response;
use fabric::log::PARTITIONS;
use kernel::{DomainEvent, Slug};
use ports::http::{Access, Cx, One, Operation, Page, Path, Query, Result, Routes, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Bus,
    cloud_events::{self, Form, cloud_event},
    schemas::SchemaOut,
};
use crate::model;

/// A topic.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TopicOut {
    /// `platform.{domain}.events`.
    pub topic: String,
    /// `kernel`, or the module whose events lie in it.
    pub owner: String,
    /// The types that its module declares; the kernel's are in the documentation of its services.
    pub types: Vec<String>,
    /// Events of one key lie in one of them.
    pub partitions: i16,
    /// How long events are kept.
    pub retention_hours: u32,
}

impl TopicOut {
    pub(crate) fn new(topic: String, owner: &str, types: &[String]) -> Self {
        let retention_hours = model::retention_hours(&topic);
        Self {
            topic,
            owner: owner.to_owned(),
            types: types.to_vec(),
            partitions: PARTITIONS,
            retention_hours,
        }
    }
}

/// The schemas of a topic's types.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TopicSchemaOut {
    /// The topic.
    pub topic: String,
    /// By type and version; types without a schema take any object.
    pub schemas: Vec<SchemaOut>,
}

/// How a topic is set up.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TopicConfigOut {
    /// The topic.
    pub topic: String,
    /// `kernel` or a module.
    pub owner: String,
    /// Events of one key lie in one of them.
    pub partitions: i16,
    /// What order is kept in: always `key`.
    pub ordering: &'static str,
    /// How long events are kept.
    pub retention_hours: u32,
    /// Most bytes of an event's data.
    #[serde(rename = "maxEventBytes")]
    pub most_event_bytes: usize,
}

/// Where to read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessagesQuery {
    /// `beginning` (unless said), `end`, a time on the sandbox's clock, or the `meta.cursor` of an earlier answer.
    pub from: Option<String>,
    /// Events at most, 1 to 100; 20 unless said.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u16>,
}

const READ: Access = Access::Permission("events.read");

pub(super) fn add(routes: Routes<Bus>) -> Routes<Bus> {
    routes
        .add(
            Operation::get("/events/topics", "listEventTopics", READ)
                .summary("List the topics: the kernel's and those of installed modules")
                .lists::<TopicOut>(),
            list,
        )
        .add(
            Operation::get("/events/topics/{topic}/schema", "getEventTopicSchema", READ)
                .summary("Get the schemas of a topic's types")
                .answer::<TopicSchemaOut>(200),
            schema,
        )
        .add(
            Operation::get("/events/topics/{topic}/config", "getEventTopicConfig", READ)
                .summary("Get how a topic is set up")
                .answer::<TopicConfigOut>(200),
            config,
        )
        .add(
            Operation::get("/events/topics/{topic}/messages", "readEventTopic", READ)
                .summary("Read the tenant's events of a topic")
                .description(
                    "Order is kept per key. `meta.cursor` goes on behind the last event, also at the end of the topic, \
                     where later events will be found; send it as `from`. With `Accept: application/cloudevents+json` \
                     the entries are CloudEvents 1.0.",
                )
                .query::<MessagesQuery>()
                .lists::<DomainEvent>()
                .problems(&[Slug::InvalidCursor, Slug::EventNotDeclared]),
            messages,
        )
}

async fn list(State(bus): State<Bus>, Cx(cx): Cx) -> Result<Page<TopicOut>> {
    Ok(bus.topics(&cx).await?)
}

async fn schema(
    State(bus): State<Bus>,
    Cx(cx): Cx,
    Path(topic): Path<String>,
) -> Result<One<TopicSchemaOut>> {
    Ok(One::new(bus.topic_schema(&cx, topic).await?))
}

async fn config(
    State(bus): State<Bus>,
    Cx(cx): Cx,
    Path(topic): Path<String>,
) -> Result<One<TopicConfigOut>> {
    Ok(One::new(bus.topic_config(&cx, topic).await?))
}

async fn messages(
    State(bus): State<Bus>,
    Cx(cx): Cx,
    Path(topic): Path<String>,
    form: Form,
    Query(query): Query<MessagesQuery>,
) -> Result<Response> {
    let page = bus.messages(&cx, &topic, &query).await?;
    Ok(cloud_events::page(form, page, |event| cloud_event(&event)))
}

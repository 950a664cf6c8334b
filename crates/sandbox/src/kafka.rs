//! What comes from Kafka: wake-ups for the services, and events of outsiders.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use fabric::log::{
    Contexts,
    kafka::{GROUP, Group, GroupOptions, Heard, Hearer, Kafka, Record, TOPICS},
    open_envelope, topic_of,
};
use gateway::Exposition;
use kernel::{Error, Result, Slug};
use tokio_util::sync::CancellationToken;

use crate::estate::Estate;

struct Intake {
    estate: Weak<Estate>,
    kafka: Arc<Kafka>,
}

impl Estate {
    /// Takes part in reading Kafka until `stop`, for all sandboxes.
    pub(crate) fn read_kafka(self: &Arc<Self>, kafka: &Arc<Kafka>, stop: CancellationToken) {
        let options = GroupOptions {
            group: GROUP.to_owned(),
            topics: vec![TOPICS.to_owned()],
            member: kafka.options().server.client_id.clone(),
        };
        let intake = Intake { estate: Arc::downgrade(self), kafka: Arc::clone(kafka) };
        let group = Group::new(Arc::clone(kafka), options, Arc::new(intake));
        self.reading.spawn(group.run(stop));
        self.reading.close();
        let counted = Arc::clone(kafka);
        self.metrics.add_source(move |out| write(out, &counted));
    }
}

#[async_trait]
impl Hearer for Intake {
    /// Our own: somebody's relay has placed the event, and the services of this process may want it.
    fn passes(&self, record: &Record) -> bool {
        let Some(generation) = record.generation() else { return false };
        let cell = self.estate.upgrade().and_then(|estate| estate.open_slot(&record.topic.sandbox)?.cell());
        if let (Some(cell), Some(kind)) = (cell, record.kind())
            && cell.generation == generation
        {
            cell.news().tell(&[kind]);
        }
        true
    }

    async fn hear(&self, record: &Record) -> Result<Heard> {
        let Some(estate) = self.estate.upgrade() else {
            return Err(Error::new(Slug::Draining, "The process is going."));
        };
        let event = match open_envelope(&record.payload, record.key.as_deref()) {
            Ok(event) => event,
            Err(why) => return Ok(Heard::Refused(why)),
        };
        if topic_of(&event.kind) != record.topic.topic {
            return Ok(Heard::Refused(format!("{} is not an event of this topic", event.kind)));
        }
        if event.tenant_id.is_none() {
            return Ok(Heard::Refused("`tenant_id` is missing: whose event is it?".to_owned()));
        }
        let cell = match estate.cell(&record.topic.sandbox).await {
            Ok(cell) => cell,
            // A topic of somebody else that looks like ours, or of a sandbox that is gone.
            Err(error) if error.slug() == Slug::NotFound => return Ok(Heard::Done),
            Err(error) => return Err(error),
        };
        let contexts = Contexts::new(cell.name().clone(), cell.clock().clone(), "event-bus");
        match cell.services().event_bus.take_in(&contexts.of(&event), event).await {
            Ok(first) => {
                if first {
                    self.kafka.figures().taken_in();
                }
                Ok(Heard::Done)
            }
            Err(error) if error.slug().entry().status < 500 && error.slug() != Slug::Conflict => {
                Ok(Heard::Refused(error.to_string()))
            }
            Err(error) => Err(error),
        }
    }
}

fn write(out: &mut Exposition, kafka: &Kafka) {
    let counted = kafka.figures().counted();
    let up = if counted.state == "up" { 1.0 } else { 0.0 };
    out.gauge("kafka_up", "Whether Kafka takes what is carried to it.", &[], up);
    for (name, help, value) in [
        ("kafka_events_fed_total", "Events carried to Kafka.", counted.fed),
        ("kafka_events_refused_total", "Events that Kafka will not have.", counted.refused),
        ("kafka_events_taken_in_total", "Events of outsiders that came in.", counted.taken_in),
        ("kafka_dead_letters_total", "Records that nobody could read or use.", counted.dead_letters),
        ("kafka_rebalances_total", "How often partitions came or went.", counted.rebalances),
    ] {
        out.counter(name, help, &[], value as f64);
    }
    out.gauge("kafka_partitions", "Partitions that this process reads.", &[], counted.partitions as f64);
    for ((topic, partition), behind) in kafka.figures().lags() {
        let partition = partition.to_string();
        let labels = [
            ("service", "event-bus"),
            ("group_id", GROUP),
            ("topic", topic.as_str()),
            ("partition", &partition),
        ];
        out.gauge("kafka_consumer_lag", "Records not dealt with yet.", &labels, behind as f64);
    }
}

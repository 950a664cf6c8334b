use kernel::{Result, SandboxName};
use rdkafka::message::{Header, Headers as _, OwnedHeaders};

use super::{Kafka, KafkaFault, Record, TopicName, producer::Outgoing, record::header};

/// Most characters of a reason.
const MOST_REASON: usize = 1000;

impl Kafka {
    /// Puts a record, as it came, where somebody can look at it, with headers that say why and whence. It is there when
    /// this returns.
    ///
    /// # Errors
    /// `events-broker-unavailable`: try again.
    pub(super) async fn bury(self: &std::sync::Arc<Self>, record: &Record, why: &str) -> Result<()> {
        let name = &record.topic;
        self.topics.ensure_dead_letters(name).await?;
        let mut headers = OwnedHeaders::new();
        if let Some(own) = &record.headers {
            for header in own.iter() {
                headers = headers.insert(header);
            }
        }
        let why: String = why.chars().take(MOST_REASON).collect();
        for (key, value) in [
            (header::ERROR, why.clone()),
            (header::TOPIC, name.to_string()),
            (header::PARTITION, record.partition.to_string()),
            (header::OFFSET, record.offset.to_string()),
        ] {
            headers = headers.insert(Header { key, value: Some(&value) });
        }
        let topic = name.dead_letters();
        let letter = Outgoing {
            topic: topic.clone(),
            key: record.key.clone(),
            payload: record.payload.clone(),
            headers,
            at: record.at,
        };
        let kafka = std::sync::Arc::clone(self);
        let sent = tokio::task::spawn_blocking(move || kafka.producer.send([letter]));
        let flight = sent.await.map_err(kernel::Error::internal)?;
        flight.landed().await;
        if let Some((_, code)) = flight.faults().first() {
            self.topics.forget(&topic);
            let error = rdkafka::error::KafkaError::MessageProduction(*code);
            return Err(KafkaFault::of(format!("writing to the topic {topic}"), &error).into());
        }
        self.figures.dead_letter();
        tracing::warn!(from = %name, partition = record.partition, offset = record.offset, why, "a record became a dead letter");
        Ok(())
    }

    /// Where records of a sandbox go that nobody can read or use.
    pub fn dead_letters_of(sandbox: &SandboxName) -> String {
        TopicName::new(sandbox.clone(), "").dead_letters()
    }
}

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, ClientContext, Message as _, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::KafkaError,
    producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer},
    types::RDKafkaErrorCode,
};

use super::{KafkaFault, KafkaOptions, closing::close, watch::Watch};

/// What a Kafka said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// How many brokers it has.
    pub brokers: usize,
    /// Its version as far as it tells: `3.9-IV0`.
    pub version: Option<String>,
}

/// The topic that is written and read, and removed again.
const TOPIC: &str = "platform.doctor";

impl KafkaOptions {
    /// Asks who is there.
    ///
    /// # Errors
    /// Why nobody answers, with what to do.
    pub async fn look(&self, patience: Duration) -> Result<Probe, KafkaFault> {
        // A producer, because its thread serves what the client says of its trouble.
        let asking: ThreadedProducer<Ear> = create(&self.client()?, self)?;
        let answered = tokio::task::spawn_blocking(move || {
            let metadata = asking.client().fetch_metadata(None, patience);
            let brokers =
                metadata.map(|said| said.brokers().iter().map(|broker| broker.id()).collect::<Vec<_>>());
            (asking, brokers)
        });
        let (asking, brokers) =
            answered.await.map_err(|error| other("asking for its brokers", error.to_string()))?;
        let brokers = brokers.map_err(|error| asking.context().fault(self, &error));
        close("producer", asking).await;
        let brokers = brokers?;
        let admin: AdminClient<Ear> = create(&self.client()?, self)?;
        let version = match brokers.first() {
            Some(broker) => version(&admin, *broker, patience).await,
            None => None,
        };
        close("administration", admin).await;
        Ok(Probe { brokers: brokers.len(), version })
    }

    /// Makes a topic, writes to it, reads it, and removes it: whether everything can be done that the kernel does.
    ///
    /// # Errors
    /// What can't be done, with what to do.
    pub async fn try_out(&self, patience: Duration) -> Result<Probe, KafkaFault> {
        let probe = self.look(patience).await?;
        let admin: AdminClient<Ear> = create(&self.client()?, self)?;
        let limits = AdminOptions::new().request_timeout(Some(patience)).operation_timeout(Some(patience));
        let what = format!("making the topic {TOPIC}");
        let topic = NewTopic::new(TOPIC, 1, TopicReplication::Fixed(-1)).set("retention.ms", "3600000");
        let made = admin.create_topics([&topic], &limits).await;
        match made.map_err(|error| KafkaFault::of(&what, &error))?.into_iter().next() {
            Some(Err((_, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => {
                return Err(KafkaFault::of(what, &KafkaError::AdminOp(code)));
            }
            _ => {}
        }
        let (producer, consumer) = clients(self, patience)?;
        let (writer, reader) = (Arc::clone(&producer), Arc::clone(&consumer));
        let tried = tokio::task::spawn_blocking(move || write_and_read(&writer, &reader, patience));
        let tried = tried.await.map_err(|error| other("writing and reading", error.to_string()));
        close("producer", producer).await;
        close("consumer", consumer).await;
        // Somebody who may make topics need not be allowed to remove them.
        let _ = admin.delete_topics(&[TOPIC], &limits).await;
        close("administration", admin).await;
        tried??;
        Ok(probe)
    }
}

async fn version(admin: &AdminClient<Ear>, broker: i32, patience: Duration) -> Option<String> {
    let limits = AdminOptions::new().request_timeout(Some(patience));
    let said = admin.describe_configs(&[ResourceSpecifier::Broker(broker)], &limits).await.ok()?;
    let said = said.into_iter().next()?.ok()?;
    said.get("inter.broker.protocol.version")?.value.clone()
}

type Writer = ThreadedProducer<Ear>;
type Reader = BaseConsumer<Ear>;

fn clients(options: &KafkaOptions, patience: Duration) -> Result<(Arc<Writer>, Arc<Reader>), KafkaFault> {
    let mut writing = options.client()?;
    writing.set("enable.idempotence", "true").set("message.timeout.ms", patience.as_millis().to_string());
    let mut reading = options.client()?;
    reading.set("group.id", super::GROUP).set("enable.auto.commit", "false");
    Ok((Arc::new(create(&writing, options)?), Arc::new(create(&reading, options)?)))
}

fn write_and_read(producer: &Writer, consumer: &Reader, patience: Duration) -> Result<(), KafkaFault> {
    let mark = format!("{}", rand::random::<u64>());
    let writing = |error: &KafkaError| KafkaFault::of(format!("writing to the topic {TOPIC}"), error);
    let record: BaseRecord<'_, str, str> = BaseRecord::to(TOPIC).key("doctor").payload(&mark);
    producer.send(record).map_err(|(error, _)| writing(&error))?;
    producer.flush(patience).map_err(|error| writing(&error))?;
    if let Some(error) = producer.context().refused() {
        return Err(writing(&error));
    }
    let reading = |error: &KafkaError| KafkaFault::of(format!("reading the topic {TOPIC}"), error);
    let mut place = TopicPartitionList::new();
    place.add_partition_offset(TOPIC, 0, Offset::OffsetTail(1)).map_err(|error| reading(&error))?;
    consumer.assign(&place).map_err(|error| reading(&error))?;
    let until = Instant::now() + patience;
    let read = loop {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) if message.payload() == Some(mark.as_bytes()) => break Ok(()),
            Some(Err(error)) if error.rdkafka_error_code().is_some_and(super::fault::is_permission) => {
                break Err(reading(&error));
            }
            _ if Instant::now() > until => {
                break Err(other(format!("reading the topic {TOPIC}"), "what was written does not come"));
            }
            _ => {}
        }
    };
    // The group's rights are asked for as well; whether it has committed anything does not matter.
    let group = consumer
        .committed(patience)
        .err()
        .map(|error| KafkaFault::of(format!("reading as the group {}", super::GROUP), &error));
    let _ = consumer.unassign();
    read?;
    match group {
        Some(fault @ KafkaFault::Permission { .. }) => Err(fault),
        _ => Ok(()),
    }
}

fn other(what: impl Into<String>, why: impl Into<String>) -> KafkaFault {
    KafkaFault::Other { what: what.into(), why: why.into() }
}

fn create<T: FromClientConfigAndContext<Ear>>(
    config: &ClientConfig,
    options: &KafkaOptions,
) -> Result<T, KafkaFault> {
    let ear = Ear { place: options.place(), heard: Mutex::default(), refused: Mutex::default() };
    config.create_with_context(ear).map_err(|error| KafkaFault::of("setting up a client", &error))
}

/// Keeps what a client says of its trouble: a request that failed says only that it took too long.
struct Ear {
    place: String,
    heard: Mutex<Option<KafkaFault>>,
    refused: Mutex<Option<KafkaError>>,
}

impl Ear {
    fn fault(&self, options: &KafkaOptions, error: &KafkaError) -> KafkaFault {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        heard.unwrap_or_else(|| KafkaFault::Unreachable { place: options.place(), why: error.to_string() })
    }

    fn refused(&self) -> Option<KafkaError> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Ear {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "kafka", facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(fault) = Watch::fault(&self.place, &error, reason) else { return };
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        // That all brokers are down comes behind the reason for it.
        if heard.is_none() || fault.is_setting() {
            *heard = Some(fault);
        }
    }
}

impl ConsumerContext for Ear {}

impl ProducerContext for Ear {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &rdkafka::message::DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
        }
    }
}

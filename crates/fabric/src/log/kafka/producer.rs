use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    error::KafkaError,
    message::{DeliveryResult, OwnedHeaders},
    producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer},
    types::RDKafkaErrorCode,
};
use tokio::sync::Notify;

use super::{Figures, KafkaFault, KafkaOptions, closing::close, watch::Watch};

/// Sends records: idempotent, `acks=all`, lz4, in order per key, and for as long as it takes, so that no record is given
/// up while a later one of its key goes.
pub(super) struct Producer {
    options: KafkaOptions,
    figures: Arc<Figures>,
    current: Mutex<Option<Arc<Threaded>>>,
}

type Threaded = ThreadedProducer<Deliveries>;

/// A record to be sent.
pub(super) struct Outgoing {
    pub topic: String,
    pub key: Option<Vec<u8>>,
    pub payload: Vec<u8>,
    pub headers: OwnedHeaders,
    /// Milliseconds since 1970; now unless said.
    pub at: Option<i64>,
}

/// Records on their way; what became of each is known when all have landed.
pub(super) struct Flight {
    left: AtomicUsize,
    faults: Mutex<Vec<(usize, RDKafkaErrorCode)>>,
    landed: Notify,
}

struct Ticket {
    flight: Arc<Flight>,
    index: usize,
}

struct Deliveries(Watch);

/// Records and bytes that the client holds at most, of all sandboxes together.
const MOST_RECORDS: &str = "100000";
const MOST_KILOBYTES: &str = "65536";
/// How long to wait for room in it.
const ROOM: Duration = Duration::from_secs(30);
/// The largest record: an event's data has up to 1 MB.
pub(super) const MOST_BYTES: &str = "2097152";

impl Producer {
    pub(super) fn new(options: &KafkaOptions, figures: Arc<Figures>) -> Result<Self, KafkaFault> {
        let current = Mutex::new(Some(Arc::new(threaded(options, &figures)?)));
        Ok(Self { options: options.clone(), figures, current })
    }

    /// Sends records in their order. Blocks while the client has no room: not for an async worker.
    pub(super) fn send(&self, records: impl IntoIterator<Item = Outgoing>) -> Arc<Flight> {
        let flight = Arc::new(Flight {
            // One for this very loop: the flight has not landed before all are on board.
            left: AtomicUsize::new(1),
            faults: Mutex::default(),
            landed: Notify::new(),
        });
        let producer = self.current().clone();
        let until = Instant::now() + ROOM;
        for (index, record) in records.into_iter().enumerate() {
            flight.left.fetch_add(1, Ordering::Relaxed);
            let Some(producer) = &producer else {
                flight.land(Some((index, RDKafkaErrorCode::PurgeQueue)));
                continue;
            };
            let ticket = Box::new(Ticket { flight: Arc::clone(&flight), index });
            let mut base: BaseRecord<'_, Vec<u8>, Vec<u8>, Box<Ticket>> =
                BaseRecord::with_opaque_to(&record.topic, ticket)
                    .payload(&record.payload)
                    .headers(record.headers);
            base.key = record.key.as_ref();
            base.timestamp = record.at;
            while let Err((error, back)) = producer.send(base) {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                if code != RDKafkaErrorCode::QueueFull || Instant::now() > until {
                    flight.land(Some((index, code)));
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
                base = back;
            }
        }
        flight.land(None);
        flight
    }

    /// After an error that the client does not get over: a new one takes its place.
    pub(super) async fn renew_if_broken(&self) -> Result<(), KafkaFault> {
        let broken = {
            let mut current = self.current();
            let Some(producer) = current.as_ref() else { return Ok(()) };
            let Some((code, reason)) = producer.client().fatal_error() else { return Ok(()) };
            tracing::warn!(%code, reason, "the producer broke; a new one goes on from what is known to be there");
            current.replace(Arc::new(threaded(&self.options, &self.figures)?))
        };
        close("producer", broken).await;
        Ok(())
    }

    pub(super) async fn close(&self) {
        let last = self.current().take();
        close("producer", last).await;
    }

    fn current(&self) -> MutexGuard<'_, Option<Arc<Threaded>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn threaded(options: &KafkaOptions, figures: &Arc<Figures>) -> Result<Threaded, KafkaFault> {
    let watch = Watch { figures: Arc::clone(figures), place: options.place() };
    options
        .client()?
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", "lz4")
        // As Java clients do, so that outsiders' records of a key meet ours.
        .set("partitioner", "murmur2_random")
        .set("message.timeout.ms", "0")
        .set("message.max.bytes", MOST_BYTES)
        .set("linger.ms", "1")
        .set("queue.buffering.max.messages", MOST_RECORDS)
        .set("queue.buffering.max.kbytes", MOST_KILOBYTES)
        .create_with_context(Deliveries(watch))
        .map_err(|error| KafkaFault::of("setting up the producer", &error))
}

impl Flight {
    fn land(&self, fault: Option<(usize, RDKafkaErrorCode)>) {
        if let Some(fault) = fault {
            self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.landed.notify_waiters();
        }
    }

    /// Waits until all have landed. Safe to drop half way and to call again.
    pub(super) async fn landed(&self) {
        loop {
            let landed = self.landed.notified();
            if self.left.load(Ordering::Acquire) == 0 {
                return;
            }
            landed.await;
        }
    }

    /// Which records did not arrive, by their place in what was sent, and why; to be asked when all have landed.
    pub(super) fn faults(&self) -> Vec<(usize, RDKafkaErrorCode)> {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone();
        faults.sort_unstable_by_key(|(index, _)| *index);
        faults
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        let fault = result
            .as_ref()
            .err()
            .map(|(error, _)| (ticket.index, error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)));
        ticket.flight.land(fault);
    }
}

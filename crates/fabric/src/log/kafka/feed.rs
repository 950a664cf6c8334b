use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use kernel::{Ctx, Error, Result, SandboxName};
use prost::Message as _;
use rdkafka::{
    error::KafkaError,
    message::{Header, OwnedHeaders},
    types::RDKafkaErrorCode,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Kafka, KafkaFault, TopicName,
    feed_store::{self, FeedRow},
    figures::CONNECTION,
    producer::{Flight, Outgoing},
    record::{CONTENT_TYPE, header},
};
use crate::{
    log::{Contexts, Cursor, Envelope, EventLog, PARTITIONS, Patterns, envelope::time},
    postgres::Database,
};

/// Carries a sandbox's events from its log to Kafka, in order per key.
///
/// Each process that holds the sandbox runs one; a lease in the database lets one work at a time. It is woken by the
/// relay. Its place in the log moves only over what all in-sync replicas of Kafka have, so that whatever is killed,
/// nothing is left out; what is sent twice has the same id.
pub struct Feed {
    db: Database,
    kafka: Arc<Kafka>,
    contexts: Contexts,
    sandbox: SandboxName,
    /// The sandbox's generation, as text.
    generation: String,
    /// Names this feed in the lease.
    me: Uuid,
    /// Topics that may not be written now, and until when they wait.
    resting: Mutex<HashMap<String, Instant>>,
}

/// What a call of [`Feed::carry`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// Everything that was in the log is in Kafka.
    All,
    /// Another feed is at work.
    Elsewhere,
    /// Some topics can't be written to now.
    Waiting,
}

/// Events on their way.
struct Batch {
    flying: Flying,
    /// Of each record: the topic in the sandbox, and what to call the event in a line of the log.
    records: Vec<(String, String)>,
    /// Their topics: the names at Kafka, and those in the sandbox.
    topics: Vec<(String, String)>,
    /// Where the log was read up to.
    places: Vec<(String, i16, i64)>,
}

/// How far records are.
enum Flying {
    /// A thread hands them to the client.
    Sending(JoinHandle<Arc<Flight>>),
    /// The client has them all.
    Sent(Arc<Flight>),
}

impl Batch {
    /// Waits until the client has all its records. Safe to drop half way and to call again.
    async fn sent(&mut self) -> Result<Arc<Flight>> {
        let flight = match &mut self.flying {
            Flying::Sent(flight) => return Ok(Arc::clone(flight)),
            Flying::Sending(sending) => sending.await.map_err(Error::internal)?,
        };
        self.flying = Flying::Sent(Arc::clone(&flight));
        Ok(flight)
    }
}

/// Most events of one batch, and batches on their way.
const BATCH: i32 = 2000;
const MOST_IN_THE_AIR: usize = 4;
/// How often the lease is renewed while Kafka takes its time.
const RENEW: Duration = Duration::from_secs(3);
/// How long it leaves another feed to finish.
const TURN: Duration = Duration::from_millis(50);
/// How long a topic waits that could not be written.
const REST: Duration = Duration::from_secs(5);
/// How long before it looks without having been woken.
const TICK: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What is written while closing still gets this long.
const LAST_CALL: Duration = Duration::from_secs(1);
/// The source of events that came from Kafka begins like this; they are there already.
pub const FROM_KAFKA: &str = "kafka:";

impl Feed {
    /// A feed from the log in `db`; nothing runs yet.
    pub fn new(
        db: Database,
        kafka: Arc<Kafka>,
        contexts: Contexts,
        sandbox: SandboxName,
        generation: i64,
    ) -> Arc<Self> {
        let (generation, me) = (generation.to_string(), Uuid::new_v4());
        Arc::new(Self { db, kafka, contexts, sandbox, generation, me, resting: Mutex::default() })
    }

    /// Works until `stop`, woken by the log. Database and brokers may come and go.
    pub async fn run(&self, log: Arc<dyn EventLog>, stop: CancellationToken) {
        let ear = log.listen(Patterns::of_everything());
        let mut pause = FIRST_PAUSE;
        loop {
            let (wait, listens) = match self.carry(&stop).await {
                Ok(carried) => {
                    pause = FIRST_PAUSE;
                    match carried {
                        Carried::All => (TICK, true),
                        Carried::Waiting => (REST, true),
                        Carried::Elsewhere => (TURN, false),
                    }
                }
                Err(error) => {
                    if pause == FIRST_PAUSE {
                        tracing::warn!(sandbox = %self.sandbox, ?error, "events can't be fed to Kafka; it goes on trying");
                    }
                    let wait = pause;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    (wait, false)
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = ear.heard(), if listens => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        // Whatever is left is fed by the next one; this only spares the readers the wait.
        let last = CancellationToken::new();
        if tokio::time::timeout(LAST_CALL, self.carry(&last)).await.is_err() {
            self.give_back().await;
        }
    }

    /// So that the next feed need not wait for the lease to end.
    async fn give_back(&self) {
        if let Ok(Some(fence)) = feed_store::take(&self.db, &self.cx(), self.me).await {
            let _ = feed_store::moved(&self.db, &self.cx(), fence, &Cursor::beginning(), false).await;
        }
    }

    /// Carries everything that is in the log by now. Ends early at `stop`.
    ///
    /// # Errors
    /// What the database or Kafka says; nothing is lost, and what was on its way is sent again.
    pub async fn carry(&self, stop: &CancellationToken) -> Result<Carried> {
        let Some(fence) = feed_store::take(&self.db, &self.cx(), self.me).await? else {
            return Ok(Carried::Elsewhere);
        };
        let carried = self.stream(fence, stop).await;
        let given_back = feed_store::moved(&self.db, &self.cx(), fence, &Cursor::beginning(), false).await;
        let carried = carried?;
        given_back?;
        Ok(carried)
    }

    /// How many events wait to be fed.
    ///
    /// # Errors
    /// What the database says.
    pub async fn waiting(&self, cx: &Ctx) -> Result<u64> {
        feed_store::waiting(&self.db, cx).await
    }

    async fn stream(&self, fence: i64, stop: &CancellationToken) -> Result<Carried> {
        let mut ahead = feed_store::fed(&self.db, &self.cx()).await?;
        let mut failed = self.pass_over_resting(&mut ahead);
        let rested = failed.len();
        let mut air: VecDeque<Batch> = VecDeque::new();
        let mut more = true;
        loop {
            while more && failed.len() == rested && air.len() < MOST_IN_THE_AIR && !stop.is_cancelled() {
                let rows = feed_store::next(&self.db, &self.cx(), &ahead, BATCH).await?;
                more = rows.iter().any(|row| row.at_head == Some(false));
                if rows.is_empty() {
                    break;
                }
                for row in rows.iter().filter(|row| row.id.is_none()) {
                    ahead.set(&row.topic, row.partition, row.place);
                }
                // Meanwhile the batch before was sent; two threads at once would mix the events of a key.
                if let Some(before) = air.back_mut() {
                    before.sent().await?;
                }
                air.push_back(self.send(rows, &mut failed).await?);
            }
            let Some(mut batch) = air.pop_front() else { break };
            let Some(flight) = self.landed(&mut batch, fence, stop).await? else {
                return Ok(Carried::Elsewhere);
            };
            let arrived = self.judge(&batch, &flight, &mut failed);
            let mut to = Cursor::beginning();
            for (topic, partition, place) in batch.places.iter().filter(|place| !failed.contains(&place.0)) {
                to.set(topic, *partition, *place);
            }
            if !feed_store::moved(&self.db, &self.cx(), fence, &to, true).await? {
                return Ok(Carried::Elsewhere);
            }
            if arrived > 0 {
                self.kafka.figures().fed(arrived);
                for (name, _) in batch.topics.iter().filter(|(_, topic)| !failed.contains(topic)) {
                    self.kafka.figures().settled(name);
                }
            }
        }
        self.kafka.producer.renew_if_broken().await?;
        Ok(if failed.is_empty() { Carried::All } else { Carried::Waiting })
    }

    /// Has what was read sent. Rows of topics that can't be made are left out, and their topics rest.
    async fn send(&self, rows: Vec<FeedRow>, failed: &mut HashSet<String>) -> Result<Batch> {
        let (places, events): (Vec<FeedRow>, Vec<FeedRow>) =
            rows.into_iter().partition(|row| row.id.is_none());
        let places = places.into_iter().map(|row| (row.topic, row.partition, row.place)).collect();
        let own = |row: &FeedRow| row.source.as_deref().is_some_and(|source| !source.starts_with(FROM_KAFKA));
        let mut events: Vec<FeedRow> = events.into_iter().filter(own).collect();
        let topics: HashSet<&str> = events.iter().map(|event| event.topic.as_str()).collect();
        let topics: Vec<TopicName> =
            topics.into_iter().map(|topic| TopicName::new(self.sandbox.clone(), topic)).collect();
        let missing = self.kafka.topics.ensure(&topics).await.inspect_err(|fault| {
            self.kafka.figures().faulty(CONNECTION, fault.clone());
        })?;
        for (name, fault) in missing {
            self.rest(&name.topic, fault, failed);
        }
        let names = topics.into_iter().filter(|name| !failed.contains(&name.topic));
        let names: HashMap<String, String> =
            names.map(|name| (name.topic.clone(), name.to_string())).collect();
        events.retain(|event| names.contains_key(&event.topic));
        let records = events.iter().map(|event| {
            let id = event.id.map(|id| id.to_string()).unwrap_or_default();
            (event.topic.clone(), format!("{} {id}", event.kind.as_deref().unwrap_or_default()))
        });
        let records = records.collect();
        let topics = names.iter().map(|(topic, name)| (name.clone(), topic.clone())).collect();
        let (kafka, generation) = (Arc::clone(&self.kafka), self.generation.clone());
        let sending = tokio::task::spawn_blocking(move || {
            let outgoing = events.into_iter().filter_map(|event| {
                let topic = names.get(&event.topic)?.clone();
                outgoing(event, topic, &generation)
            });
            kafka.producer.send(outgoing)
        });
        Ok(Batch { flying: Flying::Sending(sending), records, topics, places })
    }

    /// Waits for a batch and keeps the lease meanwhile. None: it is time to stop, or somebody else has the lease by now.
    async fn landed(
        &self,
        batch: &mut Batch,
        fence: i64,
        stop: &CancellationToken,
    ) -> Result<Option<Arc<Flight>>> {
        let landing = async {
            let flight = batch.sent().await?;
            flight.landed().await;
            Ok(Some(flight))
        };
        tokio::pin!(landing);
        loop {
            tokio::select! {
                landed = &mut landing => return landed,
                () = stop.cancelled() => return Ok(None),
                () = tokio::time::sleep(RENEW) => {
                    let nothing = Cursor::beginning();
                    if !feed_store::moved(&self.db, &self.cx(), fence, &nothing, true).await? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// What became of the records of a batch; answers how many arrived.
    fn judge(&self, batch: &Batch, flight: &Flight, failed: &mut HashSet<String>) -> u64 {
        let faults = flight.faults();
        for (index, code) in &faults {
            let Some((topic, event)) = batch.records.get(*index) else { continue };
            if is_for_good(*code) {
                self.kafka.figures().refused();
                tracing::error!(sandbox = %self.sandbox, topic, event, %code, "Kafka will not have an event; it stays in the log");
            } else if !failed.contains(topic) {
                let what = format!("writing to the topic {topic} of the sandbox {}", self.sandbox);
                let fault = KafkaFault::of(what, &KafkaError::MessageProduction(*code));
                self.rest(topic, fault, failed);
            }
        }
        u64::try_from(batch.records.len().saturating_sub(faults.len())).unwrap_or(0)
    }

    fn rest(&self, topic: &str, fault: KafkaFault, failed: &mut HashSet<String>) {
        let name = TopicName::new(self.sandbox.clone(), topic).to_string();
        self.kafka.figures().faulty(&name, fault);
        // Somebody may have removed it.
        self.kafka.topics.forget(&name);
        self.resting().insert(topic.to_owned(), Instant::now() + REST);
        failed.insert(topic.to_owned());
    }

    /// Puts the reader behind everything of the topics that rest; answers which these are.
    fn pass_over_resting(&self, ahead: &mut Cursor) -> HashSet<String> {
        let now = Instant::now();
        let mut resting = self.resting();
        resting.retain(|_, until| *until > now);
        for topic in resting.keys() {
            for partition in 0..PARTITIONS {
                ahead.set(topic, partition, i64::MAX);
            }
        }
        resting.keys().cloned().collect()
    }

    fn resting(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cx(&self) -> Ctx {
        self.contexts.own()
    }
}

/// Whether a broker will never take the record, however often it is sent.
fn is_for_good(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::PolicyViolation
    )
}

/// A row as the record that it becomes.
fn outgoing(event: FeedRow, topic: String, generation: &str) -> Option<Outgoing> {
    let (id, at) = (event.id?.to_string(), event.at?);
    let tenant = event.tenant_id.map(|tenant| tenant.to_string()).unwrap_or_default();
    let (kind, key, trace) = (event.kind?, event.key?, event.trace_id.unwrap_or_default());
    // The span is the event itself: the random half of its id.
    let span = || id.chars().filter(|c| *c != '-').skip(16).collect::<String>();
    let trace_parent = (trace.len() == 32).then(|| format!("00-{trace}-{}-01", span()));
    let headers = [
        (header::ID, Some(id.as_str())),
        (header::TYPE, Some(kind.as_str())),
        (header::GENERATION, Some(generation)),
        (header::CONTENT, Some(CONTENT_TYPE)),
        (header::TENANT, Some(tenant.as_str()).filter(|tenant| !tenant.is_empty())),
        (header::TRACE, trace_parent.as_deref()),
    ];
    let empty = OwnedHeaders::new_with_capacity(headers.len());
    let headers = headers.into_iter().filter(|(_, value)| value.is_some());
    let headers = headers.fold(empty, |kept, (key, value)| kept.insert(Header { key, value }));
    let envelope = Envelope {
        id,
        r#type: kind,
        source: event.source?,
        tenant_id: tenant,
        data_json: event.data?,
        schema_version: event.schema_version?,
        timestamp: Some(time(at)),
        trace_id: trace,
        key: key.clone(),
    };
    let (payload, at) = (envelope.encode_to_vec(), Some(at.micros() / 1_000));
    Some(Outgoing { topic, key: Some(key.into_bytes()), payload, headers, at })
}

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::FutureExt;
use kernel::{Error, Result};
use rdkafka::{
    ClientContext, Message as _, Statistics,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance, StreamConsumer},
    error::KafkaError,
    types::RDKafkaErrorCode,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    Heard, Hearer, Kafka, KafkaFault, Record,
    closing::close,
    figures::CONNECTION,
    held::Held,
    lanes::{LaneName, Lanes, Taken, is_passing, pause_after},
    watch::Watch,
};

/// A member of a consumer group: takes the records of its share of the partitions and hands each to a [`Hearer`].
///
/// Records of one key come one after the other, those of up to sixteen keys side by side. An offset is committed when
/// everything before it is dealt with, and never before. Members that come and go move their own partitions only
/// (cooperative-sticky); one with a lasting name that returns within 10 s moves none.
pub struct Group {
    kafka: Arc<Kafka>,
    options: GroupOptions,
    hearer: Arc<dyn Hearer>,
}

/// Which group, and what it reads.
#[derive(Debug, Clone)]
pub struct GroupOptions {
    /// The group's name.
    pub group: String,
    /// Topics; one that begins with `^` is a pattern.
    pub topics: Vec<String>,
    /// The member's lasting name, if it has one.
    pub member: Option<String>,
}

/// Keys dealt with side by side.
const AT_ONCE: usize = 16;
/// With so many records in hand no more are taken, until half of them are dealt with.
const MOST_IN_HAND: usize = 2000;
/// While a part is away, records are tried again this often.
const PASSING: Duration = Duration::from_secs(2);
/// One that can't be buried is tried again after this time.
const REBURY: Duration = Duration::from_secs(5);
const HEARING: Duration = Duration::from_secs(20);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// What runs when it is stopped still gets this long.
const LAST_CALL: Duration = Duration::from_secs(3);

type Stream = StreamConsumer<Member>;

impl Group {
    /// A member; nothing runs yet.
    pub fn new(kafka: Arc<Kafka>, options: GroupOptions, hearer: Arc<dyn Hearer>) -> Self {
        Self { kafka, options, hearer }
    }

    /// Takes part until `stop`. Brokers may come and go.
    pub async fn run(self, stop: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        while !stop.is_cancelled() {
            match self.join() {
                Ok((consumer, held)) => {
                    let since = Instant::now();
                    let mut work = Work::new(&self, held);
                    work.follow(&consumer, &stop).await;
                    work.end(&consumer).await;
                    close("consumer", consumer).await;
                    if since.elapsed() > LONGEST_PAUSE {
                        pause = FIRST_PAUSE;
                    }
                }
                Err(fault) => self.kafka.figures().faulty(CONNECTION, fault),
            }
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                break;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn join(&self) -> Result<(Stream, Arc<Mutex<Held>>), KafkaFault> {
        let held = Arc::new(Mutex::new(Held::default()));
        let watch = Watch { figures: Arc::clone(self.kafka.figures()), place: self.kafka.options().place() };
        let member = Member { watch, held: Arc::clone(&held) };
        let mut config = self.kafka.options().client()?;
        config
            .set("group.id", &self.options.group)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "2000")
            .set("auto.offset.reset", "earliest")
            // Offsets are stored here when an effect is committed; the client commits what was stored, also when a
            // partition goes.
            .set("enable.auto.offset.store", "false")
            .set("auto.commit.interval.ms", "500")
            .set("allow.auto.create.topics", "false")
            .set("fetch.wait.max.ms", "100")
            .set("queued.max.messages.kbytes", "16384")
            .set("statistics.interval.ms", "5000");
        if let Some(member) = &self.options.member {
            config.set("group.instance.id", member);
        }
        let setting_up = |error| KafkaFault::of("setting up the consumer", &error);
        let consumer: Stream = config.create_with_context(member).map_err(setting_up)?;
        let topics: Vec<&str> = self.options.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(setting_up)?;
        Ok((consumer, held))
    }
}

struct Work<'a> {
    group: &'a Group,
    held: Arc<Mutex<Held>>,
    lanes: Lanes,
    running: JoinSet<(LaneName, Taken, Result<Heard>)>,
    paused: bool,
}

impl<'a> Work<'a> {
    fn new(group: &'a Group, held: Arc<Mutex<Held>>) -> Self {
        Self { group, held, lanes: Lanes::default(), running: JoinSet::new(), paused: false }
    }

    /// Until `stop`, or until the client can't go on.
    async fn follow(&mut self, consumer: &Stream, stop: &CancellationToken) {
        loop {
            self.begin();
            self.make_room(consumer);
            let due = self.lanes.due();
            tokio::select! {
                () = stop.cancelled() => return,
                Some(outcome) = self.running.join_next() => self.note(consumer, outcome),
                message = consumer.recv() => match message {
                    Ok(message) => self.take(consumer, &message),
                    Err(error) => {
                        if let Some((code, reason)) = consumer.client().fatal_error() {
                            tracing::warn!(%code, reason, "the member of the group broke; a new one takes its place");
                            return;
                        }
                        self.group.trouble(&error).await;
                    }
                },
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {}
            }
        }
    }

    fn take(&mut self, consumer: &Stream, message: &rdkafka::message::BorrowedMessage<'_>) {
        let (partition, offset) = (message.partition(), message.offset());
        let turn = held(&self.held).take(message.topic(), partition, offset);
        let Some(record) = Record::of(message) else {
            // Not a topic of ours: a pattern of the subscription took it along.
            self.done(consumer, message.topic(), partition, offset, turn);
            return;
        };
        if self.group.hearer.passes(&record) {
            self.done(consumer, message.topic(), partition, offset, turn);
        } else {
            self.lanes.add(Taken { record, turn, failures: 0, dead: None });
        }
    }

    fn begin(&mut self) {
        while self.running.len() < AT_ONCE {
            let Some((name, taken)) = self.lanes.next(Instant::now()) else { return };
            let topic = taken.record.topic.to_string();
            if !held(&self.held).is_ours(&topic, taken.record.partition, taken.turn) {
                // The partition went meanwhile; whoever has it now deals with the record.
                self.lanes.settled(name);
                continue;
            }
            let (hearer, kafka) = (Arc::clone(&self.group.hearer), Arc::clone(&self.group.kafka));
            self.running.spawn(async move {
                let heard = match &taken.dead {
                    Some(why) => kafka.bury(&taken.record, why).await.map(|()| Heard::Done),
                    None => hear(&*hearer, &taken.record).await,
                };
                (name, taken, heard)
            });
        }
    }

    fn note(
        &mut self,
        consumer: &Stream,
        outcome: Result<(LaneName, Taken, Result<Heard>), tokio::task::JoinError>,
    ) {
        // A hearer's panic is caught where it happens; this is a task that was aborted.
        let Ok((name, mut taken, heard)) = outcome else { return };
        let now = Instant::now();
        match heard {
            Ok(Heard::Done) => {
                let topic = taken.record.topic.to_string();
                self.done(consumer, &topic, taken.record.partition, taken.record.offset, taken.turn);
                self.lanes.settled(name);
            }
            Ok(Heard::Refused(why)) => {
                taken.dead = Some(why);
                self.lanes.again(name, taken, now);
            }
            Err(error) if taken.dead.is_some() => {
                tracing::warn!(?error, "a dead letter can't be written; it is tried again");
                self.lanes.again(name, taken, now + REBURY);
            }
            Err(error) if is_passing(&error) => {
                tracing::debug!(?error, "a record waits for a part that is away");
                self.lanes.again(name, taken, now + PASSING);
            }
            Err(error) => {
                taken.failures += 1;
                tracing::warn!(?error, topic = %taken.record.topic, partition = taken.record.partition,
                    offset = taken.record.offset, failures = taken.failures, "a record was not dealt with");
                let pause = pause_after(taken.failures);
                if pause.is_none() {
                    taken.dead = Some(error.to_string());
                }
                self.lanes.again(name, taken, now + pause.unwrap_or_default());
            }
        }
    }

    fn done(&self, consumer: &Stream, topic: &str, partition: i32, offset: i64, turn: u64) {
        let reached = held(&self.held).done(topic, partition, offset, turn);
        if let Some(reached) = reached
            && let Err(error) = consumer.store_offset(topic, partition, reached)
        {
            // The partition is going; whoever gets it takes the record again, and finds its effect.
            tracing::debug!(%error, topic, partition, "an offset is not kept");
        }
    }

    /// With much in hand, partitions pause; the client is asked all the same, for it keeps the membership alive.
    fn make_room(&mut self, consumer: &Stream) {
        let full = self.lanes.count() >= if self.paused { MOST_IN_HAND / 2 } else { MOST_IN_HAND };
        // Partitions that came while others were paused are not.
        let overfull = self.lanes.count() >= 2 * MOST_IN_HAND;
        if full == self.paused && !overfull {
            return;
        }
        let Ok(all) = consumer.assignment() else { return };
        let done = if full { consumer.pause(&all) } else { consumer.resume(&all) };
        match done {
            Ok(()) => self.paused = full,
            Err(error) => tracing::debug!(%error, full, "partitions can't be paused or resumed just now"),
        }
    }

    /// What runs gets a moment; what was not begun comes again elsewhere.
    async fn end(&mut self, consumer: &Stream) {
        let running = async {
            while let Some(outcome) = self.running.join_next().await {
                self.note(consumer, outcome);
            }
        };
        let _ = tokio::time::timeout(LAST_CALL, running).await;
    }
}

impl Group {
    /// An error that the client gets over by itself.
    async fn trouble(&self, error: &KafkaError) {
        match error {
            KafkaError::MessageConsumption(RDKafkaErrorCode::UnknownTopicOrPartition) => {}
            error => {
                let fault = KafkaFault::of(format!("reading as the group {}", self.options.group), error);
                match fault {
                    KafkaFault::Permission { .. } => self.kafka.figures().faulty(&self.options.group, fault),
                    fault => tracing::debug!(%fault),
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn hear(hearer: &dyn Hearer, record: &Record) -> Result<Heard> {
    let heard = AssertUnwindSafe(hearer.hear(record)).catch_unwind();
    match tokio::time::timeout(HEARING, heard).await {
        Ok(Ok(heard)) => heard,
        Ok(Err(_)) => Err(Error::internal("a hearer of records panicked")),
        Err(_) => Err(Error::new(kernel::Slug::DeadlineExceeded, "The hearer took too long.")),
    }
}

fn held(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hears of partitions that come and go.
struct Member {
    watch: Watch,
    held: Arc<Mutex<Held>>,
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }

    fn stats(&self, said: Statistics) {
        if said.brokers.values().any(|broker| broker.state == "UP") {
            self.watch.figures.well();
        }
        let mut lag = BTreeMap::new();
        for topic in said.topics.values() {
            for (partition, figures) in &topic.partitions {
                if let Ok(behind) = u64::try_from(figures.consumer_lag_stored)
                    && *partition >= 0
                    && figures.fetch_state == "active"
                {
                    lag.insert((topic.topic.clone(), *partition), behind);
                }
            }
        }
        self.watch.figures.lagging(lag);
    }
}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(gone) = rebalance {
            let mut held = held(&self.held);
            for partition in gone.elements() {
                held.forget(partition.topic(), partition.partition());
            }
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        // The client remembers that a partition was paused when it went, and would never read it again.
        if let Rebalance::Assign(came) = rebalance
            && let Err(error) = consumer.resume(came)
        {
            tracing::warn!(%error, "partitions that came can't be resumed");
        }
        let ours = consumer.assignment().map(|all| all.count()).unwrap_or(0);
        match rebalance {
            Rebalance::Assign(came) if came.count() > 0 => {
                tracing::info!(came = came.count(), ours, "partitions came")
            }
            Rebalance::Revoke(gone) if gone.count() > 0 => {
                tracing::info!(gone = gone.count(), ours, "partitions went")
            }
            Rebalance::Error(error) => {
                tracing::warn!(%error, "sharing the partitions failed; it is tried again")
            }
            _ => return,
        }
        self.watch.figures.rebalanced(ours);
    }
}

//! The log, embedded and with Kafka: events of 1 KB from a writer's transaction to who hears them, single and in batches,
//! beside Kafka's own measuring programs on the same broker in the same run.
//!
//! `cargo bench --bench log`. Promised: events carried from the log to Kafka at 0.8 or more of
//! `kafka-producer-perf-test` (1 KB, acks=all, lz4).

#![allow(clippy::unwrap_used, missing_docs, reason = "a measuring program: what it can't do ends it")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use fabric::{
    log::{
        Consumer, Contexts, EventLog, Hear, News, Patterns, PostgresLog, Relay, Subscriptions,
        kafka::{Feed, Group, GroupOptions, Heard, Hearer, Kafka, KafkaOptions, Record},
        open_envelope,
    },
    postgres::{Database, Event, Reason},
};
use kernel::{Clock, Result, SandboxName, TenantId, config};
use serde_json::{Value, json};
use testkit::{Broker, SandboxDatabase};
use tokio_util::sync::CancellationToken;

const SINGLES_PER_SECOND: u64 = 500;
const SECONDS: u64 = 8;
/// For so long before, unmeasured: connections are opened, and statements planned, when they are first needed.
const WARM_UP: u64 = 2;
const BATCH: usize = 500;
const BATCHES: usize = 120;
const WRITERS: usize = 4;
/// Events that are carried, or records that Kafka's own programs send and read.
const MANY: usize = 200_000;
const BYTES: usize = 1_000;

#[derive(Default)]
struct Ears {
    count: AtomicUsize,
    took: Mutex<Vec<u64>>,
}

impl Ears {
    fn note(&self, since: Instant, data: &Value) {
        let took = since.elapsed().as_micros() as u64 - data["at"].as_u64().unwrap_or(0);
        self.took.lock().unwrap().push(took);
        self.count.fetch_add(1, Relaxed);
    }

    async fn until(&self, count: usize) {
        while self.count.load(Relaxed) < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn times(&self) -> String {
        let mut took = std::mem::take(&mut *self.took.lock().unwrap());
        took.sort_unstable();
        let share = |of: f64| took[((took.len() - 1) as f64 * of) as usize] as f64 / 1_000.0;
        format!("p50 {:.2} ms, p99 {:.2} ms, most {:.2} ms", share(0.5), share(0.99), share(1.0))
    }
}

/// Hears at Kafka.
struct Reader {
    heard: Arc<Ears>,
    since: Instant,
}

#[async_trait]
impl Hearer for Reader {
    fn passes(&self, record: &Record) -> bool {
        if let Ok(event) = open_envelope(&record.payload, record.key.as_deref()) {
            self.heard.note(self.since, &event.data);
        }
        true
    }

    async fn hear(&self, _: &Record) -> Result<Heard> {
        Ok(Heard::Done)
    }
}

struct Bench {
    db: Database,
    contexts: Contexts,
    log: Arc<dyn EventLog>,
    relay: Arc<Relay>,
    tenant: TenantId,
    since: Instant,
    filler: String,
}

impl Bench {
    fn on(db: &Database, sandbox: &SandboxName) -> Self {
        let contexts = Contexts::new(sandbox.clone(), Clock::real(), "bench");
        let news = News::new();
        let log: Arc<dyn EventLog> = Arc::new(PostgresLog::new(db.clone(), Arc::clone(&news)));
        let relay = Relay::new(db.clone(), news, contexts.clone());
        // Random letters, as kafka-producer-perf-test sends; each event takes its own part of them.
        let mut filler = String::new();
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        while filler.len() < 64 * BYTES {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            filler.push(char::from(b'A' + (state % 26) as u8));
        }
        let (db, tenant, since) = (db.clone(), TenantId::new(), Instant::now());
        Self { db, contexts, log, relay, tenant, since, filler }
    }

    async fn publish(&self, from: usize, events: usize) {
        let mut tx = self.db.system(&self.contexts.own(), Reason::Events).begin().await.unwrap();
        for n in from..from + events {
            let start = (n * 7) % (self.filler.len() - BYTES);
            let data = json!({ "at": self.since.elapsed().as_micros() as u64, "n": n,
                               "text": &self.filler[start..start + BYTES - 250] });
            tx.event(Event::new("bench", "bench.row.made", n % 997, &data).unwrap().of(self.tenant)).unwrap();
        }
        tx.commit(()).await.unwrap();
    }

    /// Each event in its own transaction, so many a second.
    async fn singles(self: &Arc<Self>, seconds: u64) -> usize {
        let mut beat = tokio::time::interval(Duration::from_micros(1_000_000 / SINGLES_PER_SECOND));
        let mut running = tokio::task::JoinSet::new();
        let count = (SINGLES_PER_SECOND * seconds) as usize;
        for n in 0..count {
            beat.tick().await;
            let me = Arc::clone(self);
            running.spawn(async move { me.publish(n, 1).await });
        }
        running.join_all().await;
        count
    }

    async fn batches(self: &Arc<Self>) -> usize {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let me = Arc::clone(self);
            writers.spawn(async move {
                for batch in 0..BATCHES / WRITERS {
                    me.publish((batch * WRITERS + writer) * BATCH, BATCH).await;
                }
            });
        }
        writers.join_all().await;
        BATCH * BATCHES
    }

    async fn measure(self: &Arc<Self>, what: &str, heard: &Ears) {
        let warm = self.singles(WARM_UP).await;
        heard.until(warm).await;
        heard.took.lock().unwrap().clear();
        let singles = warm + self.singles(SECONDS).await;
        heard.until(singles).await;
        println!("{what}: {SINGLES_PER_SECOND} events a second, published to heard: {}", heard.times());
        let began = Instant::now();
        let batched = self.batches().await;
        let published = batched as f64 / began.elapsed().as_secs_f64();
        heard.until(singles + batched).await;
        let through = batched as f64 / began.elapsed().as_secs_f64();
        println!(
            "{what}: batches of {BATCH}, {WRITERS} writers: {published:.0}/s published, {through:.0}/s published and \
             heard, {}",
            heard.times()
        );
    }
}

fn name(text: &str) -> SandboxName {
    text.parse().unwrap()
}

async fn embedded() {
    let database = SandboxDatabase::with(&[]).await;
    let bench = Arc::new(Bench::on(&database.db, &name("embedded")));
    let (heard, stop) = (Arc::new(Ears::default()), CancellationToken::new());
    let relay = Arc::clone(&bench.relay);
    let relaying = tokio::spawn({
        let stop = stop.clone();
        async move { relay.run(stop).await }
    });
    let (ears, since) = (Arc::clone(&heard), bench.since);
    let hear: Hear = Arc::new(move |_, event| {
        ears.note(since, &event.data);
        Box::pin(async { Ok(()) })
    });
    let consumer = Consumer::new("bench.ear", Patterns::new(["bench.*"]).unwrap(), hear);
    let subscriptions = Subscriptions::new(database.db.clone());
    let log = Arc::clone(&bench.log);
    let listening = tokio::spawn(consumer.run(log, subscriptions, bench.contexts.clone(), stop.clone()));
    bench.measure("embedded", &heard).await;
    stop.cancel();
    listening.await.unwrap();
    relaying.await.unwrap();
    database.stop().await;
}

fn read(
    kafka: &Arc<Kafka>,
    sandbox: &SandboxName,
    heard: &Arc<Ears>,
    since: Instant,
    stop: &CancellationToken,
) {
    let options = GroupOptions {
        group: format!("bench-{sandbox}"),
        topics: vec![format!("{sandbox}.platform.bench.events")],
        member: None,
    };
    let reader = Reader { heard: Arc::clone(heard), since };
    tokio::spawn(Group::new(Arc::clone(kafka), options, Arc::new(reader)).run(stop.clone()));
}

async fn with_kafka(kafka: &Arc<Kafka>) {
    let database = SandboxDatabase::with(&[]).await;
    let sandbox = name("live");
    let bench = Arc::new(Bench::on(&database.db, &sandbox));
    let (heard, stop) = (Arc::new(Ears::default()), CancellationToken::new());
    let feed = Feed::new(database.db.clone(), Arc::clone(kafka), bench.contexts.clone(), sandbox.clone(), 1);
    let (relay, log) = (Arc::clone(&bench.relay), Arc::clone(&bench.log));
    let mut working = tokio::task::JoinSet::new();
    let (one, other) = (stop.clone(), stop.clone());
    working.spawn(async move { relay.run(one).await });
    working.spawn(async move { feed.run(log, other).await });
    // The topic is there before somebody wants to read it.
    bench.publish(0, 1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    read(kafka, &sandbox, &heard, bench.since, &stop);
    heard.until(1).await;
    heard.count.store(0, Relaxed);
    bench.measure("Kafka", &heard).await;
    stop.cancel();
    working.join_all().await;
    database.stop().await;
}

/// Records a second that the feed carries from a full log, and that a member of a group reads.
async fn carried(kafka: &Arc<Kafka>) -> (f64, f64) {
    let database = SandboxDatabase::with(&[]).await;
    let sandbox = name("full");
    let bench = Bench::on(&database.db, &sandbox);
    for from in (0..MANY).step_by(2_000) {
        bench.publish(from, 2_000).await;
    }
    bench.relay.carry().await.unwrap();
    let feed = Feed::new(database.db.clone(), Arc::clone(kafka), bench.contexts.clone(), sandbox.clone(), 1);
    let began = Instant::now();
    let stop = CancellationToken::new();
    feed.carry(&stop).await.unwrap();
    let carried = MANY as f64 / began.elapsed().as_secs_f64();
    let heard = Arc::new(Ears::default());
    let began = Instant::now();
    read(kafka, &sandbox, &heard, bench.since, &stop);
    heard.until(1).await;
    // Joining a group takes a moment that says nothing about reading.
    let joined = began.elapsed();
    heard.until(MANY).await;
    let read = MANY as f64 / (began.elapsed() - joined).as_secs_f64();
    stop.cancel();
    database.stop().await;
    (carried, read)
}

/// Kafka's own: records a second sent, and read.
fn kafkas_own(broker: &Broker) -> (f64, f64) {
    let (address, many, bytes) = (broker.address(), MANY.to_string(), BYTES.to_string());
    let run = |class: &str, arguments: &[&str]| {
        let done = broker.java(class).args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let topic = "own";
    run(
        "org.apache.kafka.tools.TopicCommand",
        &["--bootstrap-server", &address, "--create", "--topic", topic, "--partitions", "12"],
    );
    let bootstrap = format!("bootstrap.servers={address}");
    let said = run(
        "org.apache.kafka.tools.ProducerPerformance",
        &[
            "--topic",
            topic,
            "--num-records",
            &many,
            "--record-size",
            &bytes,
            "--throughput",
            "-1",
            "--producer-props",
            &bootstrap,
            "acks=all",
            "compression.type=lz4",
            "enable.idempotence=true",
        ],
    );
    let last = said.lines().last().unwrap();
    let sent: f64 = last.split(", ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let said = run(
        "org.apache.kafka.tools.ConsumerPerformance",
        &["--bootstrap-server", &address, "--topic", topic, "--messages", &many, "--timeout", "60000"],
    );
    // start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms,
    // fetch.MB.sec, fetch.nMsg.sec
    let fetched: f64 = said.lines().last().unwrap().split(", ").nth(9).unwrap().trim().parse().unwrap();
    (sent, fetched)
}

#[tokio::main]
async fn main() {
    embedded().await;
    let broker = Broker::open();
    let kafka = Kafka::open(KafkaOptions {
        server: config::Kafka {
            brokers: vec![broker.address()],
            client_id: None,
            login: None,
            tls: None,
            sandbox_partitions: 12,
        },
        retention: Duration::from_secs(3600),
        audit_retention: Duration::from_secs(3600),
    })
    .unwrap();
    with_kafka(&kafka).await;
    let (carried, read) = carried(&kafka).await;
    let (sent, fetched) = kafkas_own(&broker);
    println!(
        "carried from the log to Kafka {carried:.0}/s; kafka-producer-perf-test {sent:.0}/s; ratio {:.2}",
        carried / sent
    );
    println!(
        "read as a member of a group {read:.0}/s; kafka-consumer-perf-test {fetched:.0}/s; ratio {:.2}",
        read / fetched
    );
    kafka.close().await;
}

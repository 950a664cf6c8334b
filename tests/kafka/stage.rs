use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use fabric::{
    log::{
        Contexts, EventLog, News, PostgresLog, Relay,
        kafka::{Feed, Group, GroupOptions, Heard, Hearer, Kafka, KafkaOptions, Record},
        open_envelope,
    },
    postgres::{Database, Event, Reason},
};
use kernel::{Clock, DomainEvent, Result, SandboxName, TenantId, config};
use testkit::SandboxDatabase;
use tokio_util::sync::CancellationToken;

/// The Kafka that the tests share.
pub fn shared() -> String {
    std::env::var("TEST_KAFKA_BROKERS").expect(
        "TEST_KAFKA_BROKERS is not set: run `make parts` and `source ~/.cache/platform-kernel/parts/env`",
    )
}

/// How to reach brokers that let everybody in.
pub fn options(brokers: &str) -> KafkaOptions {
    KafkaOptions {
        server: config::Kafka {
            brokers: vec![brokers.to_owned()],
            client_id: None,
            login: None,
            tls: None,
            sandbox_partitions: 3,
        },
        retention: Duration::from_secs(3600),
        audit_retention: Duration::from_secs(7200),
    }
}

/// A name that no other test has: its topics are its own.
pub fn sandbox() -> SandboxName {
    format!("t{:08x}", uuid::Uuid::new_v4().as_fields().0).parse().unwrap()
}

/// A log with a relay and a feed, as a cell has them.
pub struct Stage {
    pub sandbox: SandboxName,
    pub db: Database,
    pub log: Arc<dyn EventLog>,
    pub relay: Arc<Relay>,
    pub feed: Arc<Feed>,
    pub contexts: Contexts,
    pub tenant: TenantId,
}

impl Stage {
    pub fn on(db: &Database, kafka: &Arc<Kafka>, sandbox: SandboxName, generation: i64) -> Self {
        let news = News::new();
        let contexts = Contexts::new(sandbox.clone(), Clock::real(), "event-bus");
        let log: Arc<dyn EventLog> = Arc::new(PostgresLog::new(db.clone(), Arc::clone(&news)));
        let relay = Relay::new(db.clone(), news, contexts.clone());
        let feed = Feed::new(db.clone(), Arc::clone(kafka), contexts.clone(), sandbox.clone(), generation);
        Self { sandbox, db: db.clone(), log, relay, feed, contexts, tenant: TenantId::new() }
    }

    /// Relay and feed work until `stop`.
    pub fn work(&self, stop: &CancellationToken) -> tokio::task::JoinSet<()> {
        let mut tasks = tokio::task::JoinSet::new();
        let (relay, feed, log) = (Arc::clone(&self.relay), Arc::clone(&self.feed), Arc::clone(&self.log));
        let (first, second) = (stop.clone(), stop.clone());
        tasks.spawn(async move { relay.run(first).await });
        tasks.spawn(async move { feed.run(log, second).await });
        tasks
    }

    /// Events of these keys, one after the other, in one transaction. Their data are numbers from `from` on.
    pub async fn publish(&self, keys: &[String], from: usize) {
        publish(&self.db, &self.contexts, self.tenant, keys, from).await;
    }

    pub async fn unfed(&self) -> u64 {
        self.feed.waiting(&self.contexts.own()).await.unwrap()
    }
}

pub async fn publish(db: &Database, contexts: &Contexts, tenant: TenantId, keys: &[String], from: usize) {
    let mut tx = db.system(&contexts.own(), Reason::Events).begin().await.unwrap();
    for (n, key) in keys.iter().enumerate() {
        let event = Event::new("test", "test.thing.made", key, &(from + n)).unwrap();
        tx.event(event.of(tenant)).unwrap();
    }
    tx.commit(()).await.unwrap();
}

/// A database with the kernel's own tables.
pub async fn database() -> SandboxDatabase {
    SandboxDatabase::with(&[]).await
}

/// Remembers what came, in the order in which it came.
#[derive(Default)]
pub struct Ear {
    pub records: Mutex<Vec<Record>>,
    /// By key.
    pub numbers: Mutex<BTreeMap<String, Vec<i64>>>,
}

impl Ear {
    pub fn count(&self) -> usize {
        self.records.lock().unwrap().len()
    }

    pub fn events(&self) -> Vec<DomainEvent> {
        let records = self.records.lock().unwrap();
        records.iter().map(|r| open_envelope(&r.payload, r.key.as_deref()).unwrap()).collect()
    }
}

#[async_trait]
impl Hearer for Ear {
    async fn hear(&self, record: &Record) -> Result<Heard> {
        let event = match open_envelope(&record.payload, record.key.as_deref()) {
            Ok(event) => event,
            Err(why) => return Ok(Heard::Refused(why)),
        };
        let mut numbers = self.numbers.lock().unwrap();
        numbers.entry(event.key).or_default().push(event.data.as_i64().unwrap_or(-1));
        self.records.lock().unwrap().push(record.clone());
        Ok(Heard::Done)
    }
}

/// A member of a group that reads all topics of a sandbox.
pub fn member(
    kafka: &Arc<Kafka>,
    sandbox: &SandboxName,
    group: &str,
    name: Option<&str>,
    hearer: Arc<dyn Hearer>,
    stop: &CancellationToken,
) -> tokio::task::JoinHandle<()> {
    let options = GroupOptions {
        group: group.to_owned(),
        topics: vec![format!("^{sandbox}\\.platform\\.[a-z0-9_]+\\.events$")],
        member: name.map(str::to_owned),
    };
    tokio::spawn(Group::new(Arc::clone(kafka), options, hearer).run(stop.clone()))
}

/// Waits until it is so; fails after `patience` with what is so instead.
pub async fn until<T: std::fmt::Debug>(patience: Duration, mut ask: impl AsyncFnMut() -> Result<(), T>) {
    let give_up = Instant::now() + patience;
    loop {
        match ask().await {
            Ok(()) => return,
            Err(instead) if Instant::now() > give_up => panic!("not in {patience:?}: {instead:?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

pub fn is<T: PartialEq>(now: T, wanted: T) -> Result<(), T> {
    if now == wanted { Ok(()) } else { Err(now) }
}

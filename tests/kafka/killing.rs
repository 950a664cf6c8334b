//! Many events while everything on their way is killed: each arrives, those of a key in order, and each has its effect
//! once. The same on the embedded log.

use std::{
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use fabric::{
    log::{
        Consumer, Contexts, EventLog, Hear, News, Patterns, PostgresLog, Subscriptions,
        kafka::{Heard, Hearer, Kafka, Record},
        open_envelope,
    },
    postgres::{Database, Reason},
};
use kernel::{Clock, DomainEvent, EventId, Result, SandboxName, TenantId};
use sqlx::{Connection as _, PgConnection};
use testkit::{Broker, SandboxDatabase};
use tokio_util::sync::CancellationToken;

use crate::stage::{self, Stage, is, member, options, publish, until};

const PATIENCE: Duration = Duration::from_secs(300);
const KEYS: usize = 500;
const WRITERS: usize = 4;
/// Events of one transaction.
const AT_ONCE: usize = 50;

/// How many; `KAFKA_EVENTS` says another number.
fn events() -> usize {
    std::env::var("KAFKA_EVENTS").map_or(100_000, |text| text.parse().expect("a number"))
}

const EFFECTS: &str = "
    create table kernel.effect (event_id uuid primary key, key text not null, n bigint not null);
    create table kernel.effect_last (key text primary key, n bigint not null);
    grant select, insert, update on kernel.effect, kernel.effect_last to pk_system";

/// What a consumer does: an effect in a transaction that notes the event, and a look at the order of its key.
struct Effects {
    db: Database,
    contexts: Contexts,
    heard: AtomicUsize,
    repeated: AtomicUsize,
    disordered: AtomicUsize,
}

impl Effects {
    async fn of(&self, id: EventId, key: &str, n: i64) -> Result<()> {
        let mut tx = self.db.system(&self.contexts.own(), Reason::Events).begin().await?;
        if tx.first_time("test.effects", id).await? {
            tx.query("insert into kernel.effect (event_id, key, n) values ($1, $2, $3)")
                .bind(id)
                .bind(key.to_owned())
                .bind(n)
                .run()
                .await?;
            let ordered = tx
                .query(
                    "insert into kernel.effect_last as l (key, n) values ($1, $2) \
                     on conflict (key) do update set n = excluded.n where l.n < excluded.n",
                )
                .bind(key.to_owned())
                .bind(n)
                .run()
                .await?;
            tx.commit(()).await?;
            if ordered == 0 {
                self.disordered.fetch_add(1, Relaxed);
            }
        } else {
            tx.rollback().await;
            self.repeated.fetch_add(1, Relaxed);
        }
        self.heard.fetch_add(1, Relaxed);
        Ok(())
    }
}

#[async_trait]
impl Hearer for Effects {
    async fn hear(&self, record: &Record) -> Result<Heard> {
        let event = match open_envelope(&record.payload, record.key.as_deref()) {
            Ok(event) => event,
            Err(why) => return Ok(Heard::Refused(why)),
        };
        self.of(event.id, &event.key, event.data.as_i64().unwrap_or(-1)).await?;
        Ok(Heard::Done)
    }
}

/// Relay, and feed where there is a Kafka, in a process of their own that can be killed.
struct Carrier {
    child: Child,
}

const ADDRESS: &str = "PK_TEST_CARRIER_DATABASE";
const BROKERS: &str = "PK_TEST_CARRIER_BROKERS";
const SANDBOX: &str = "PK_TEST_CARRIER_SANDBOX";

impl Carrier {
    fn start(database: &SandboxDatabase, sandbox: &SandboxName, brokers: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killing::the_carrier_of_another_test", "--ignored", "--nocapture"])
            .env(ADDRESS, database.address())
            .env(BROKERS, brokers)
            .env(SANDBOX, sandbox.as_str())
            .stdout(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { child }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by the tests of this file, as the process that they kill"]
async fn the_carrier_of_another_test() {
    let db = SandboxDatabase::reach(&std::env::var(ADDRESS).unwrap());
    let sandbox: SandboxName = std::env::var(SANDBOX).unwrap().parse().unwrap();
    let forever = CancellationToken::new();
    match std::env::var(BROKERS).unwrap().as_str() {
        "" => {
            let contexts = Contexts::new(sandbox, Clock::real(), "event-bus");
            fabric::log::Relay::new(db, News::new(), contexts).run(forever).await;
        }
        brokers => {
            let kafka = Kafka::open(options(brokers)).unwrap();
            Stage::on(&db, &kafka, sandbox, 1).work(&forever).join_all().await;
        }
    }
}

/// Writes all events, key by key in turn, while others do what they do.
fn write_all(db: &Database, contexts: &Contexts, written: &Arc<AtomicUsize>) -> tokio::task::JoinSet<()> {
    let tenant = TenantId::new();
    let mut writing = tokio::task::JoinSet::new();
    let each = events() / WRITERS;
    for writer in 0..WRITERS {
        let (db, contexts, written) = (db.clone(), contexts.clone(), Arc::clone(written));
        writing.spawn(async move {
            for from in (0..each).step_by(AT_ONCE) {
                let many = AT_ONCE.min(each - from);
                // A key is one writer's alone, so that its numbers are written in order.
                let key = |n: usize| format!("key {}", (n % (KEYS / WRITERS)) * WRITERS + writer);
                let keys: Vec<String> = (from..from + many).map(key).collect();
                publish(&db, &contexts, tenant, &keys, from).await;
                written.fetch_add(many, Relaxed);
            }
        });
    }
    writing
}

async fn verdict(database: &SandboxDatabase, effects: &Effects, what: &str, since: Instant) {
    let mut owner = PgConnection::connect_with(&database.owner).await.unwrap();
    let (had, keys): (i64, i64) = sqlx::query_as("select count(*), count(distinct key) from kernel.effect")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    let (logged,): (i64,) =
        sqlx::query_as("select count(*) from kernel.event").fetch_one(&mut owner).await.unwrap();
    let heard = effects.heard.load(Relaxed);
    println!(
        "{what}: {logged} events logged, {had} effects of {keys} keys, {heard} deliveries of which {} repeated, {} out \
         of order, in {:.1} s",
        effects.repeated.load(Relaxed),
        effects.disordered.load(Relaxed),
        since.elapsed().as_secs_f64()
    );
    assert_eq!((logged, had), (events() as i64, events() as i64));
    assert_eq!(effects.disordered.load(Relaxed), 0);
}

fn effects_on(db: &Database, contexts: &Contexts) -> Arc<Effects> {
    Arc::new(Effects {
        db: db.clone(),
        contexts: contexts.clone(),
        heard: AtomicUsize::new(0),
        repeated: AtomicUsize::new(0),
        disordered: AtomicUsize::new(0),
    })
}

async fn heard(effects: &Effects, part: f64) {
    let wanted = (events() as f64 * part) as usize;
    until(PATIENCE, async || {
        let unique = effects.heard.load(Relaxed) - effects.repeated.load(Relaxed);
        if unique >= wanted { Ok(()) } else { Err(format!("{unique} of {wanted} effects")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_has_its_effect_once_and_in_order_while_broker_and_relay_are_killed() {
    let (database, mut broker) = (stage::database().await, Broker::open());
    let mut owner = PgConnection::connect_with(&database.owner).await.unwrap();
    sqlx::raw_sql(EFFECTS).execute(&mut owner).await.unwrap();
    let kafka = Kafka::open(options(&broker.address())).unwrap();
    let sandbox = stage::sandbox();
    let contexts = Contexts::new(sandbox.clone(), Clock::real(), "test");
    let effects = effects_on(&database.db, &contexts);
    let stop = CancellationToken::new();
    let take_part = |name: &'static str, stop: &CancellationToken| {
        member(&kafka, &sandbox, "effects", Some(name), effects.clone(), stop)
    };
    let members = [take_part("one", &stop), take_part("two", &stop)];
    let since = Instant::now();
    let written = Arc::new(AtomicUsize::new(0));
    let mut carrier = Carrier::start(&database, &sandbox, &broker.address());
    let writing = write_all(&database.db, &contexts, &written);

    heard(&effects, 0.10).await;
    carrier.kill();
    carrier = Carrier::start(&database, &sandbox, &broker.address());
    heard(&effects, 0.25).await;
    broker.kill();
    tokio::time::sleep(Duration::from_secs(1)).await;
    tokio::task::block_in_place(|| broker.start());
    heard(&effects, 0.40).await;
    let leaving = CancellationToken::new();
    let third = take_part("three", &leaving);
    heard(&effects, 0.55).await;
    broker.kill();
    tokio::task::block_in_place(|| broker.start());
    heard(&effects, 0.65).await;
    carrier.kill();
    let _carrier = Carrier::start(&database, &sandbox, &broker.address());
    heard(&effects, 0.80).await;
    leaving.cancel();
    third.await.unwrap();
    writing.join_all().await;
    assert_eq!(written.load(Relaxed), events());
    heard(&effects, 1.0).await;

    let feed = Stage::on(&database.db, &kafka, sandbox.clone(), 1);
    until(PATIENCE, async || is(feed.unfed().await, 0)).await;
    verdict(&database, &effects, "Kafka", since).await;
    let counted = kafka.figures().counted();
    println!("members: {} rebalances, {} dead letters", counted.rebalances, counted.dead_letters);
    assert_eq!(counted.dead_letters, 0);
    stop.cancel();
    for member in members {
        member.await.unwrap();
    }
    kafka.close().await;
    database.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_embedded_log_each_event_has_its_effect_once_and_in_order_while_the_relay_is_killed() {
    let database = stage::database().await;
    let mut owner = PgConnection::connect_with(&database.owner).await.unwrap();
    sqlx::raw_sql(EFFECTS).execute(&mut owner).await.unwrap();
    let sandbox = stage::sandbox();
    let contexts = Contexts::new(sandbox.clone(), Clock::real(), "test");
    let effects = effects_on(&database.db, &contexts);
    let news = News::new();
    let log: Arc<dyn EventLog> = Arc::new(PostgresLog::new(database.db.clone(), Arc::clone(&news)));
    let stop = CancellationToken::new();
    let take_part = |stop: &CancellationToken| {
        let effects = Arc::clone(&effects);
        let hear: Hear = Arc::new(move |_, event: DomainEvent| {
            let effects = Arc::clone(&effects);
            Box::pin(async move { effects.of(event.id, &event.key, event.data.as_i64().unwrap_or(-1)).await })
        });
        let consumer = Consumer::new("test.effects", Patterns::new(["test.*"]).unwrap(), hear);
        let subscriptions = Subscriptions::new(database.db.clone());
        tokio::spawn(consumer.run(Arc::clone(&log), subscriptions, contexts.clone(), stop.clone()))
    };
    let members = [take_part(&stop), take_part(&stop)];
    // The relay of another process moves the events; here one would look once a second.
    let (ticking, ticks) = (stop.clone(), Arc::clone(&news));
    let ticker = tokio::spawn(async move {
        while ticking.run_until_cancelled(tokio::time::sleep(Duration::from_millis(20))).await.is_some() {
            ticks.tell_all();
        }
    });
    let since = Instant::now();
    let written = Arc::new(AtomicUsize::new(0));
    let mut carrier = Carrier::start(&database, &sandbox, "");
    let writing = write_all(&database.db, &contexts, &written);

    heard(&effects, 0.15).await;
    carrier.kill();
    tokio::time::sleep(Duration::from_millis(300)).await;
    carrier = Carrier::start(&database, &sandbox, "");
    heard(&effects, 0.35).await;
    let leaving = CancellationToken::new();
    let third = take_part(&leaving);
    heard(&effects, 0.55).await;
    carrier.kill();
    let _carrier = Carrier::start(&database, &sandbox, "");
    heard(&effects, 0.75).await;
    leaving.cancel();
    third.await.unwrap();
    writing.join_all().await;
    heard(&effects, 1.0).await;
    verdict(&database, &effects, "embedded", since).await;
    stop.cancel();
    for member in members {
        member.await.unwrap();
    }
    ticker.await.unwrap();
    database.stop().await;
}

//! Events from a writer's transaction to the handler of a service that listens, beside the same rows inserted into and
//! read from a plain table in the same run.
//!
//! `cargo bench --bench events`. Promised: p99 ≤ 5 ms from publishing to hearing at 1,000 events a second, and 20,000
//! events a second in batches.

#![allow(clippy::unwrap_used, missing_docs, reason = "a measuring program: what it can't do ends it")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use fabric::{
    log::{Consumer, Contexts, Patterns, Subscriptions},
    postgres::{Event, Login, Reason},
};
use kernel::TenantId;
use sandbox::Cell;
use serde_json::{Value, json};
use sqlx::PgConnection;
use testkit::{Kernel, KernelOptions};
use tokio_util::sync::CancellationToken;

const PER_SECOND: u64 = 1_000;
const SECONDS: u64 = 8;
/// For so long before, unmeasured: connections are opened, and statements planned, when they are first needed.
const WARM_UP: u64 = 2;
const BATCH: usize = 500;
const BATCHES: usize = 160;
const WRITERS: usize = 4;

/// What the listener heard.
#[derive(Default)]
struct Heard {
    count: AtomicUsize,
    /// Microseconds from the beginning of publishing to the handler.
    took: Mutex<Vec<u64>>,
}

fn data(since: Instant, n: usize) -> Value {
    json!({ "at": since.elapsed().as_micros() as u64, "n": n, "name": "Ada Lovelace", "email": "ada@example.com",
            "company": "0190f2a4-0000-7000-8000-000000000000", "note": "x".repeat(100) })
}

async fn publish(cell: &Cell, tenant: TenantId, since: Instant, from: usize, events: usize) {
    let cx = cell.cx("bench").within(tenant);
    let mut tx = cell.db().system(&cx, Reason::Sandbox).begin().await.unwrap();
    for n in from..from + events {
        let key = n % 997;
        tx.event(Event::new("bench", "bench.row.made", key, &data(since, n)).unwrap().of(tenant)).unwrap();
    }
    tx.commit(()).await.unwrap();
}

/// `PER_SECOND` events a second from number `from` on, each in its own transaction; answers how many.
async fn singles(cell: &Arc<Cell>, tenant: TenantId, since: Instant, from: usize, seconds: u64) -> usize {
    let mut beat = tokio::time::interval(Duration::from_micros(1_000_000 / PER_SECOND));
    let mut running = tokio::task::JoinSet::new();
    let count = (PER_SECOND * seconds) as usize;
    for n in from..from + count {
        beat.tick().await;
        let cell = Arc::clone(cell);
        running.spawn(async move { publish(&cell, tenant, since, n, 1).await });
    }
    running.join_all().await;
    count
}

/// Waits until so many events were heard.
async fn until_heard(heard: &Heard, count: usize) {
    while heard.count.load(Ordering::Relaxed) < count {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn share(sorted: &[u64], of: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * of) as usize] as f64 / 1_000.0
}

async fn plain(mut connection: PgConnection) -> f64 {
    sqlx::raw_sql("create temporary table plain (id bigint primary key, data jsonb not null)")
        .execute(&mut connection)
        .await
        .unwrap();
    let since = Instant::now();
    for batch in 0..BATCHES {
        let ids: Vec<i64> = (batch * BATCH..(batch + 1) * BATCH).map(|n| n as i64).collect();
        let rows: Vec<Value> = ids.iter().map(|n| data(since, *n as usize)).collect();
        sqlx::query("insert into plain select * from unnest($1::bigint[], $2::jsonb[])")
            .bind(&ids)
            .bind(&rows)
            .execute(&mut connection)
            .await
            .unwrap();
        let read: Vec<(i64, Value)> = sqlx::query_as("select id, data from plain where id >= $1 order by id")
            .bind(ids[0])
            .fetch_all(&mut connection)
            .await
            .unwrap();
        assert_eq!(read.len(), BATCH);
    }
    (BATCH * BATCHES) as f64 / since.elapsed().as_secs_f64()
}

#[tokio::main]
async fn main() {
    let kernel = Kernel::start(KernelOptions::default().with("KERNEL_TEMPLATE", "empty")).await;
    let cell = kernel.cell("default").await;
    let (_, registered) = kernel.api().register("Bench").await;
    let tenant: TenantId = registered["tenant"]["id"].as_str().unwrap().parse().unwrap();
    let (since, heard, stop) = (Instant::now(), Arc::new(Heard::default()), CancellationToken::new());
    let ears = Arc::clone(&heard);
    let hear: fabric::log::Hear = Arc::new(move |_, event| {
        let took = since.elapsed().as_micros() as u64 - event.data["at"].as_u64().unwrap();
        ears.took.lock().unwrap().push(took);
        ears.count.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Ok(()) })
    });
    let consumer = Consumer::new("bench.ear", Patterns::new(["bench.*"]).unwrap(), hear);
    let contexts = Contexts::new(cell.name().clone(), cell.clock().clone(), "bench");
    let listening = tokio::spawn(consumer.run(
        Arc::clone(cell.log()),
        Subscriptions::new(cell.db().clone()),
        contexts,
        stop.clone(),
    ));

    let warm = singles(&cell, tenant, since, 0, WARM_UP).await;
    until_heard(&heard, warm).await;
    heard.took.lock().unwrap().clear();

    let single = warm + singles(&cell, tenant, since, warm, SECONDS).await;
    until_heard(&heard, single).await;
    let mut took = std::mem::take(&mut *heard.took.lock().unwrap());
    took.sort_unstable();
    println!(
        "{PER_SECOND} events a second, each its own transaction, for {SECONDS} s: published to heard \
         p50 {:.2} ms, p99 {:.2} ms, most {:.2} ms",
        share(&took, 0.5),
        share(&took, 0.99),
        share(&took, 1.0)
    );

    let began = Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let cell = Arc::clone(&cell);
        writers.spawn(async move {
            for batch in 0..BATCHES / WRITERS {
                publish(&cell, tenant, since, (batch * WRITERS + writer) * BATCH, BATCH).await;
            }
        });
    }
    writers.join_all().await;
    let written = (BATCH * BATCHES) as f64 / began.elapsed().as_secs_f64();
    until_heard(&heard, single + BATCH * BATCHES).await;
    let through = (BATCH * BATCHES) as f64 / began.elapsed().as_secs_f64();
    stop.cancel();
    listening.await.unwrap();

    let plain = plain(kernel.sql("default", Login::Owner).await).await;
    println!(
        "batches of {BATCH}, {WRITERS} writers: {written:.0}/s published, {through:.0}/s published and heard"
    );
    println!(
        "plain table, one writer and reader: {plain:.0} rows/s   events heard to plain rows {:.2}",
        through / plain
    );
    drop(cell);
    kernel.close().await;
}

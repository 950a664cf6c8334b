//! Durable jobs under two workers, as two replicas have them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use fabric::{
    jobs::{Jobs, JobsOptions, NewJob, enqueue},
    postgres::Database,
};
use kernel::{Ctx, JobId, Timestamp};
use tokio_util::sync::CancellationToken;

use super::{Ground, cx};

/// Jobs of `test.once`.
const MANY: usize = 300;

/// What was done, by whom.
#[derive(Default)]
struct Done {
    once: Mutex<BTreeMap<JobId, Vec<usize>>>,
    ticks: Mutex<Vec<(Timestamp, usize)>>,
    held: Mutex<Vec<(usize, u32)>>,
}

fn worker(number: usize, db: &Database, done: &Arc<Done>) -> Arc<Jobs> {
    let options = JobsOptions {
        lease: Duration::from_secs(1),
        poll: Duration::from_millis(50),
        ..JobsOptions::default()
    };
    let (once, ticks, held) = (Arc::clone(done), Arc::clone(done), Arc::clone(done));
    let own = Ctx::system(kernel::SandboxName::default_sandbox(), kernel::Clock::real(), "test");
    let jobs = Jobs::new(db.clone(), own, options)
        .on("test.once", move |_, job| {
            once.once.lock().unwrap().entry(job.id).or_default().push(number);
            async { Ok(()) }
        })
        .on("test.tick", move |_, job| {
            ticks.ticks.lock().unwrap().push((job.due_at, number));
            async { Ok(()) }
        })
        .on("test.held", move |_, job| {
            held.held.lock().unwrap().push((number, job.attempt));
            async move {
                if job.attempt == 1 {
                    std::future::pending::<()>().await;
                }
                Ok(())
            }
        })
        .every("test.tick", Duration::from_secs(1), serde_json::Value::Null);
    Arc::new(jobs)
}

async fn add(ground: &Ground, kind: &'static str) {
    let cx = cx();
    let mut tx = ground.db.tenant(&cx).unwrap().begin().await.unwrap();
    enqueue(&mut tx, NewJob::new(kind, &(), cx.now()).unwrap()).await.unwrap();
    tx.commit(()).await.unwrap();
}

async fn until(what: &str, reached: impl Fn() -> bool) {
    let begun = Instant::now();
    while !reached() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Every job and every time of a schedule is done by one of the two; what one had when it died, the other does.
pub(super) async fn two_workers_do_each_job_once(ground: &Ground) {
    let done = Arc::new(Done::default());
    let workers = [0, 1].map(|number| worker(number, &ground.db, &done));
    let stop = CancellationToken::new();
    let [first, second] = workers.map(|jobs| tokio::spawn(jobs.run(stop.clone())));
    for _ in 0..MANY {
        add(ground, "test.once").await;
    }
    until("all are done", || done.once.lock().unwrap().len() == MANY).await;
    until("the schedule comes three times", || done.ticks.lock().unwrap().len() >= 3).await;
    let once = done.once.lock().unwrap().clone();
    assert!(once.values().all(|by| by.len() == 1), "{once:?}");
    let both: BTreeSet<usize> = once.values().flatten().copied().collect();
    assert_eq!(both.len(), 2, "both had work to do");

    add(ground, "test.held").await;
    until("it is begun", || !done.held.lock().unwrap().is_empty()).await;
    let holder = done.held.lock().unwrap()[0].0;
    let (dies, lives) = if holder == 0 { (first, second) } else { (second, first) };
    // As a killed process: it gives nothing back.
    dies.abort();
    until("the other does it when the lease is over", || done.held.lock().unwrap().len() == 2).await;
    assert_eq!(done.held.lock().unwrap()[1], (1 - holder, 2));
    stop.cancel();
    lives.await.unwrap();
    let times: Vec<Timestamp> = done.ticks.lock().unwrap().iter().map(|(due, _)| *due).collect();
    let distinct: BTreeSet<i64> = times.iter().map(|due| due.micros()).collect();
    assert_eq!(distinct.len(), times.len(), "a time of the schedule came twice: {times:?}");
}

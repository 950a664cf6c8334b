//! scratch
use std::{sync::{Arc, atomic::{AtomicU32, Ordering::SeqCst}}, time::Duration};
use fabric::{crypto::RootKey, jobs::*, postgres::{Budget, Database, DatabaseOptions, PgConnectOptions, Reason}};
use kernel::*;
use tokio_util::sync::CancellationToken;

fn login(user: &str) -> PgConnectOptions {
    PgConnectOptions::new().socket("/tmp/audit_pg").port(54777).username(user).database("sb")
}

#[tokio::test(flavor = "multi_thread")]
async fn scratch() {
    let db = Database::new(DatabaseOptions { app: login("app"), system: login("sys"), data: login("dat"), budget: Budget::new(20), pool_size: 8, key: RootKey::new(&[7; 32]) });
    let cx = Ctx::system(SandboxName::default_sandbox(), Clock::real(), "jobs");
    let sys = db.system(&cx, Reason::Jobs);
    sys.query("delete from kernel.job").run().await.unwrap();
    let t = TenantId::new();
    let tc = cx.within(t);
    let job = |name: Option<&str>, kind| { let j = NewJob::new(kind, &serde_json::json!({"n": 1}), cx.now()).unwrap(); match name { Some(n) => j.named(n), None => j } };
    let mut tx = db.tenant(&tc).unwrap().begin().await.unwrap();
    assert!(enqueue(&mut tx, job(Some("x"), "good")).await.unwrap().is_some());
    assert!(enqueue(&mut tx, job(Some("x"), "good")).await.unwrap().is_none());
    enqueue(&mut tx, job(None, "bad")).await.unwrap();
    enqueue(&mut tx, job(Some("p"), "panics")).await.unwrap();
    enqueue(&mut tx, job(None, "long")).await.unwrap();
    enqueue(&mut tx, job(None, "unknown")).await.unwrap();
    tx.commit(()).await.unwrap();
    let mut tx = sys.begin().await.unwrap();
    assert!(enqueue_as_system(&mut tx, None, job(Some("x"), "good")).await.unwrap().is_some());
    assert!(enqueue_as_system(&mut tx, Some(t), job(Some("x"), "good")).await.unwrap().is_none());
    tx.commit(()).await.unwrap();
    let good = Arc::new(AtomicU32::new(0)); let bad = Arc::new(AtomicU32::new(0)); let tick = Arc::new(AtomicU32::new(0)); let long = Arc::new(AtomicU32::new(0));
    let (g, b, k, l) = (good.clone(), bad.clone(), tick.clone(), long.clone());
    let options = JobsOptions { attempts: 2, poll: Duration::from_millis(50), lease: Duration::from_millis(900), ..Default::default() };
    let dbx = db.clone();
    let jobs = Arc::new(Jobs::new(db.clone(), cx.clone(), options)
        .on("good", move |cx, j| { let g = g.clone(); let db = dbx.clone(); async move {
            g.fetch_add(1, SeqCst);
            // enqueued under the same name while it runs: not swallowed, once
            if let (Ok(_), 1) = (cx.tenant(), g.load(SeqCst).min(1)) {
                if j.payload::<serde_json::Value>()?["n"] == 1 {
                    let mut tx = db.tenant(&cx)?.begin().await?;
                    assert!(enqueue(&mut tx, NewJob::new("good", &serde_json::json!({"n": 2}), cx.now())?.named("x")).await?.is_some());
                    tx.commit(()).await?;
                }
            }
            Ok(()) } })
        .on("bad", move |_, _| { let b = b.clone(); async move { b.fetch_add(1, SeqCst); Err(Error::not_found("thing")) } })
        .on("panics", |_, _| async { panic!("oh") })
        .on("long", move |_, _| { let l = l.clone(); async move { l.fetch_add(1, SeqCst); std::future::pending().await } })
        .on("tick", move |_, _| { let k = k.clone(); async move { k.fetch_add(1, SeqCst); Ok(()) } })
        .every("tick", Duration::from_secs(1), serde_json::json!(null)));
    eprintln!("next {:?}", jobs.next_due().await.unwrap());
    let stop = CancellationToken::new();
    let run = tokio::spawn(jobs.clone().run(stop.clone()));
    let two = tokio::spawn(jobs.clone().run(stop.clone()));
    tokio::time::sleep(Duration::from_millis(4500)).await;
    stop.cancel();
    run.await.unwrap(); two.await.unwrap();
    assert_eq!(good.load(SeqCst), 3);
    assert_eq!(bad.load(SeqCst), 2);
    assert_eq!(long.load(SeqCst), 1, "its lease was renewed");
    let t = tick.load(SeqCst);
    assert!((3..=4).contains(&t), "{t}");
    let rows: Vec<(String, Option<String>, i32, Option<String>, bool, bool)> = db.system(&Ctx::system(SandboxName::default_sandbox(), Clock::real(), "jobs"), Reason::Jobs).query("select kind, name, attempts, last_error, failed_at is not null, lease is not null from kernel.job order by kind").all().await.unwrap();
    for r in rows { eprintln!("{r:?}"); }
}

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{Kernel, within};

use crate::{empty, make, opens, remains, show};

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_whose_time_is_over_is_gone() {
    let kernel = Kernel::start(empty()).await;
    let operator = kernel.operator();
    let body = json!({ "name": "brief", "template": "empty", "expiresInSeconds": 1 });
    let made = operator.post("/api/v1/sandboxes", body).await.expect(201);
    assert!(made.body["expiresAt"].is_string());
    make(&kernel, "later").await;
    opens(&kernel, "later").await;
    make(&kernel, "kept").await;
    operator.post("/api/v1/sandboxes/later/expire", json!({ "expiresInSeconds": 1 })).await.expect(200);
    for name in ["brief", "later"] {
        within(Duration::from_secs(15), "it is deleted", async || {
            (show(&kernel, name).await.status == 404).then_some(())
        })
        .await;
        kernel.api().sandbox(name).get("/api/v1/auth/me").await.expect_problem(404, "not-found");
        remains::nothing_of(&kernel, name).await;
    }
    opens(&kernel, "kept").await;
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sandbox_that_can_not_be_ended_or_woken_keeps_no_other_waiting() {
    let kernel = Kernel::start(empty()).await;
    for name in ["stuck", "due"] {
        make(&kernel, name).await;
    }
    let mut admin = kernel.admin_sql("pk_control").await;
    // One that can't be woken although its work was due long ago, and one whose logins own something elsewhere.
    let owes = "update control.sandbox set due_at = clock_timestamp() - interval '1 day' where name = 'due';
                alter role \"pk_due.system\" nologin;
                create table public.belongs (); alter table public.belongs owner to \"pk_stuck.reader\";
                update control.sandbox set expires_at = clock_timestamp() - interval '1 hour' where name = 'stuck'";
    sqlx::raw_sql(owes).execute(&mut admin).await.unwrap();
    let body = json!({ "name": "brief", "template": "empty", "expiresInSeconds": 1 });
    kernel.operator().post("/api/v1/sandboxes", body).await.expect(201);
    within(Duration::from_secs(20), "the one behind the two is deleted", async || {
        (show(&kernel, "brief").await.status == 404).then_some(())
    })
    .await;
    sqlx::raw_sql("drop table public.belongs; alter role \"pk_due.system\" login")
        .execute(&mut admin)
        .await
        .unwrap();
    kernel.operator().delete("/api/v1/sandboxes/stuck").await.expect(204);
    remains::nothing_of(&kernel, "stuck").await;
    opens(&kernel, "due").await;
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_sandbox_sleeps_without_a_connection_and_wakes_with_the_next_request() {
    let kernel = Kernel::start(empty().with("SANDBOX_IDLE", "1s")).await;
    make(&kernel, "nap").await;
    let (owner, _) = kernel.api().sandbox("nap").register("Acme Tools").await;
    assert_eq!(show(&kernel, "nap").await.expect(200).body["awake"], true);

    let mut admin = kernel.admin_sql("postgres").await;
    let sessions = "select count(*) from pg_stat_activity where datname = 'pk_nap'";
    for round in 0..3 {
        within(Duration::from_secs(15), "it sleeps", async || {
            (show(&kernel, "nap").await.expect(200).body["awake"] == false).then_some(())
        })
        .await;
        // A server process takes a moment to notice that its client has left.
        let left = Instant::now();
        loop {
            let open: i64 = sqlx::query_scalar(sessions).fetch_one(&mut admin).await.unwrap();
            if open == 0 {
                break;
            }
            assert!(left.elapsed() < Duration::from_secs(2), "{open} connections of a sleeping sandbox");
        }
        let begun = Instant::now();
        owner.get("/api/v1/auth/me").await.expect(200);
        println!("round {round}: woken and answered in {:?}", begun.elapsed());
        assert_eq!(show(&kernel, "nap").await.expect(200).body["awake"], true);
    }
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_crowd_the_longest_idle_sleep_early_and_all_answer() {
    let kernel = Kernel::start(empty().with("DB_MAX_OPEN_CONNS", "8")).await;
    let names = ["one", "two", "three", "four", "five", "six"];
    let mut owners = Vec::new();
    for name in names {
        make(&kernel, name).await;
        owners.push(kernel.api().sandbox(name).register("Acme Tools").await.0);
    }
    for _ in 0..2 {
        within(Duration::from_secs(30), "no more are awake than half of the connections", async || {
            // Used all the time, so it is not the one to sleep.
            owners[0].get("/api/v1/auth/me").await.expect(200);
            let mut awake = 0;
            for name in names {
                awake += u8::from(show(&kernel, name).await.expect(200).body["awake"] == true);
            }
            (awake <= 4).then_some(())
        })
        .await;
        assert_eq!(show(&kernel, names[0]).await.expect(200).body["awake"], true);
        for owner in &owners {
            owner.get("/api/v1/auth/me").await.expect(200);
        }
    }
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_falls_asleep_again_and_again_answers_every_request() {
    let kernel = Kernel::start(empty()).await;
    make(&kernel, "nap").await;
    let (owner, _) = kernel.api().sandbox("nap").register("Acme Tools").await;
    let name = "nap".parse().unwrap();
    for _ in 0..15 {
        let asked = (0..8).map(|_| owner.get("/api/v1/auth/me"));
        let (slept, answers) =
            futures::join!(kernel.estate.put_to_sleep(&name), futures::future::join_all(asked));
        slept.unwrap();
        for answer in answers {
            answer.expect(200);
        }
    }
    // Every cell is known: when the last one sleeps, nobody is connected.
    kernel.estate.put_to_sleep(&name).await.unwrap();
    let mut admin = kernel.admin_sql("postgres").await;
    let sessions = "select count(*) from pg_stat_activity where datname = 'pk_nap'";
    let mut open: i64 = 1;
    let given_up = Instant::now() + Duration::from_secs(3);
    while open > 0 && Instant::now() < given_up {
        open = sqlx::query_scalar(sessions).fetch_one(&mut admin).await.unwrap();
    }
    assert_eq!(open, 0, "a cell that nobody knows of holds connections");
    kernel.close().await;
}

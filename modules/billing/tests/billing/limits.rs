//! What a plan allows, and who has the last word on it.

use serde_json::{Value, json};
use testkit::{Answer, Kernel, until};

use crate::support::{DEMO_PASSWORD, Tenant, advance, give, plan, register, run};

const SANDBOX_CORP: &str = "00000000-0000-7000-0000-000000000001";

fn statuses(answers: &[Answer]) -> Vec<u16> {
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    statuses
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_requests_at_the_last_user_exactly_one_passes() {
    let kernel = Kernel::empty().await;
    let acme = register(&kernel, "Acme").await;
    let free = json!({ "plan": "free" });
    let free = acme.owner.post("/api/v1/billing/subscriptions", free).await.expect(201);
    assert_eq!(free.body["state"], "active");
    assert_eq!(acme.in_use("users").await, (1, Some(3)));
    acme.add_user("second").await.expect(201);
    let (one, other) = tokio::join!(acme.add_user("third"), acme.add_user("fourth"));
    assert_eq!(statuses(&[one, other]), [201, 402]);
    let refused = acme.add_user("fifth").await.expect_problem(402, "plan-limit-exceeded");
    assert_eq!(refused.body["detail"], "The plan allows 3 users; 3 are in use.");
    assert_eq!(acme.in_use("users").await, (3, Some(3)));
    let mut sql = kernel.owner_sql("default").await;
    until("it is told that the limit is reached", async || {
        acme.told(&mut sql, "billing.limit.reached", "limit").await.iter().any(|(_, limit)| limit == "users")
    })
    .await;

    // Whoever leaves makes room; restoring takes it again.
    let users = acme.owner.get("/api/v1/users").await.expect(200);
    let leaves = users.data()[0]["id"].as_str().unwrap();
    acme.owner.delete(&format!("/api/v1/users/{leaves}")).await.expect(204);
    acme.add_user("sixth").await.expect(201);
    let restore = acme.owner.post(&format!("/api/v1/users/{leaves}/restore"), json!({})).await;
    restore.expect_problem(402, "plan-limit-exceeded");
    kernel.close().await;
}

async fn demo(kernel: &Kernel) -> Tenant {
    let owner = kernel.api().sign_in("admin@sandbox.localhost", DEMO_PASSWORD).await;
    Tenant::signed_in(SANDBOX_CORP, owner, "admin@sandbox.localhost")
}

fn contact(number: usize) -> Value {
    json!({ "first_name": "Test", "last_name": format!("Person {number}"), "email": format!("p{number}@example.com") })
}

async fn add_contact(corp: &Tenant, number: usize) -> Answer {
    corp.owner.post("/api/v1/data/crm/contacts", contact(number)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_counted_exactly_whatever_comes_at_the_same_time() {
    let kernel = Kernel::demo().await;
    let corp = demo(&kernel).await;
    let (used, limit) = corp.in_use("records").await;
    assert!(used > 200 && limit == Some(5_000_000), "{used} of {limit:?}");
    plan(&kernel, "tight", json!({ "records": used + 5, "modules": 9 })).await;
    give(&kernel, corp.id, "tight").await;
    assert_eq!(corp.in_use("records").await, (used, Some(used + 5)));

    let at_once = (0..12).map(|number| add_contact(&corp, number));
    let answers = futures::future::join_all(at_once).await;
    assert_eq!(
        answers.iter().filter(|answer| answer.status.as_u16() == 201).count(),
        5,
        "{:?}",
        statuses(&answers)
    );
    assert_eq!(
        answers.iter().filter(|answer| answer.status.as_u16() == 402).count(),
        7,
        "{:?}",
        statuses(&answers)
    );
    let refused = add_contact(&corp, 50).await.expect_problem(402, "plan-limit-exceeded");
    let told = format!("The plan allows {} records; {} are in use.", used + 5, used + 5);
    assert_eq!(refused.body["detail"], told);
    let both = json!([contact(51), contact(52)]);
    corp.owner
        .post("/api/v1/data/crm/contacts", both.clone())
        .await
        .expect_problem(402, "plan-limit-exceeded");

    // A deleted record makes room, for one and not for two.
    let made = answers.iter().find(|answer| answer.status.as_u16() == 201).unwrap().id();
    let path = format!("/api/v1/data/crm/contacts/{made}");
    corp.owner.delete(&path).await.expect(204);
    assert_eq!(corp.in_use("records").await.0, used + 4);
    corp.owner.post("/api/v1/data/crm/contacts", both).await.expect(402);
    add_contact(&corp, 53).await.expect(201);
    corp.owner.post(&format!("{path}/restore"), json!({})).await.expect_problem(402, "plan-limit-exceeded");
    // What was deleted gives nothing back a second time.
    corp.owner.delete(&format!("{path}/permanent")).await.expect(204);
    assert_eq!(corp.in_use("records").await.0, used + 5);

    // An import writes what fits and stops there.
    plan(&kernel, "roomier", json!({ "records": used + 8, "modules": 9 })).await;
    give(&kernel, corp.id, "roomier").await;
    let lines: String = (60..66).map(|number| contact(number).to_string() + "\n").collect();
    let import = corp
        .owner
        .raw(reqwest::Method::POST, "/api/v1/data/crm/contacts/import")
        .header("content-type", "application/x-ndjson")
        .body(lines)
        .send()
        .await
        .unwrap();
    let report = import.text().await.unwrap();
    let last: Value = serde_json::from_str(report.lines().last().unwrap()).unwrap();
    assert_eq!((&last["stopped"], &last["imported"]), (&json!("plan-limit-exceeded"), &json!(3)), "{report}");
    let mut sql = kernel.owner_sql("default").await;
    let truth: i64 =
        sqlx::query_scalar("select kernel.live_records($1)").bind(corp.id).fetch_one(&mut sql).await.unwrap();
    assert_eq!((truth, used + 8), (corp.in_use("records").await.0, truth));
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_counted_from_the_log_and_use_is_set_right_at_night() {
    let kernel = Kernel::demo().await;
    let mut corp = demo(&kernel).await;
    plan(&kernel, "quiet", json!({ "eventsPerDay": 3 })).await;
    give(&kernel, corp.id, "quiet").await;
    let event = json!({ "type": "crm.deal.won", "data": { "id": "d1" } });
    for _ in 0..3 {
        corp.owner.post("/api/v1/events/publish", event.clone()).await.expect(202);
    }
    until("the events are counted", async || corp.in_use("eventsPerDay").await == (3, Some(3))).await;
    until("the gateway refuses more", async || {
        corp.owner.post("/api/v1/events/publish", event.clone()).await.status.as_u16() == 402
    })
    .await;
    let refused = corp.owner.post("/api/v1/events/publish", event.clone()).await;
    let refused = refused.expect_problem(402, "plan-limit-exceeded");
    assert!(refused.body["detail"].as_str().unwrap().starts_with("The plan allows 3 eventsPerDay;"));

    // Something counted wrongly, and a night.
    let mut sql = kernel.owner_sql("default").await;
    let (users, _) = corp.in_use("users").await;
    let (bytes, _) = corp.in_use("storageBytes").await;
    assert!(bytes > 0, "the demo has files");
    let wrong =
        "update kernel.allowance set used = 999 where name in ('users', 'storageBytes') and tenant_id = $1";
    run(&mut sql, wrong, corp.id).await;
    advance(&kernel, 25).await;
    corp.sign_in_with(DEMO_PASSWORD).await;
    until("the count is set right", async || corp.in_use("users").await.0 == users).await;
    until("the bytes are set right", async || corp.in_use("storageBytes").await.0 == bytes).await;
    // A new day, new events.
    corp.owner.post("/api/v1/events/publish", event).await.expect(202);
    let usage = corp.owner.get("/api/v1/billing/usage").await.expect(200);
    let days = usage.body["days"].as_array().unwrap();
    assert!(
        days.iter().any(|day| day["amounts"]["events"].as_i64().is_some_and(|events| events >= 3)),
        "{usage:?}"
    );
    until("the night's use is noted", async || {
        let usage = corp.owner.get("/api/v1/billing/usage").await.expect(200);
        let days = usage.body["days"].as_array().unwrap().clone();
        days.iter().any(|day| day["amounts"]["users"] == users && day["amounts"]["records"].is_i64())
    })
    .await;
    let far = corp.owner.get("/api/v1/billing/usage?from=2020-01-01&to=2026-01-01").await.expect(400);
    assert_eq!(far.body["errors"][0]["field"], "from");
    corp.owner.get("/api/v1/billing/usage?from=yesterday").await.expect_problem(400, "validation-error");
    kernel.close().await;
}

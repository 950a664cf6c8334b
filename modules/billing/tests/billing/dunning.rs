//! What becomes of a tenant whose payment is missing, and of one that pays after all.

use serde_json::json;
use testkit::{Kernel, until};

use crate::support::{advance, register};

const DAY: i64 = 24;

fn role(name: &str) -> serde_json::Value {
    json!({ "name": name, "permissions": ["users.list"] })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_begins_with_a_trial_of_thirty_days() {
    let kernel = Kernel::empty().await;
    let mut acme = register(&kernel, "Acme").await;
    let mut sql = kernel.owner_sql("default").await;
    // Nobody asked for anything yet: it follows from the registration.
    until("the trial is made on hearing of the tenant", async || {
        acme.audited(&mut sql, "subscription.created").await == 1
    })
    .await;
    let trial = acme.subscription().await;
    assert_eq!((&trial["state"], &trial["plan"]["name"]), (&json!("trialing"), &json!("growth")));
    assert_eq!(acme.in_use("users").await, (1, Some(25)));
    assert_eq!(acme.in_use("modules").await, (0, Some(5)));

    advance(&kernel, 30 * DAY + 1).await;
    acme.sign_in().await;
    let active = acme.subscription().await;
    assert_eq!(active["state"], "active");
    assert_eq!(active["periodStart"], trial["periodEnd"]);
    let invoices = acme.invoices().await;
    assert_eq!(invoices.len(), 1);
    assert_eq!((&invoices[0]["state"], &invoices[0]["total"]), (&json!("paid"), &json!(4_900)));
    assert_eq!(invoices[0]["issuedAt"], trial["periodEnd"]);
    let told: Vec<String> =
        acme.told(&mut sql, "billing.", "state").await.into_iter().map(|(kind, _)| kind).collect();
    let expected = [
        "billing.subscription.created",
        "billing.invoice.created",
        "billing.invoice.paid",
        "billing.subscription.changed",
    ];
    assert_eq!(told, expected);
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_eight_days_in_one_step_go_through_every_state_in_order() {
    let kernel = Kernel::empty().await;
    let mut acme = register(&kernel, "Acme").await;
    let mut sql = kernel.owner_sql("default").await;
    let failed = acme.simulate("payment_failed").await;
    assert_eq!(failed["state"], "past_due");
    let since = failed["pastDueSince"].as_str().unwrap().to_owned();
    // Nothing is closed in the first days.
    acme.owner.post("/api/v1/roles", role("Early")).await.expect(201);
    assert_eq!(acme.invoices().await[0]["state"], "open");

    advance(&kernel, 38 * DAY + 1).await;
    until("the jobs follow the clock to the end", async || {
        let state = "select state from billing.subscription where tenant_id = $1";
        let state: String = sqlx::query_scalar(state).bind(acme.id).fetch_one(&mut sql).await.unwrap();
        state == "terminated"
    })
    .await;

    let states: Vec<String> = acme
        .told(&mut sql, "billing.subscription.changed", "state")
        .await
        .into_iter()
        .map(|(_, state)| state)
        .collect();
    let expected = ["past_due", "past_due", "past_due", "past_due", "past_due", "suspended", "terminated"];
    assert_eq!(states, expected);
    let moments = acme.told(&mut sql, "billing.subscription.changed", "at").await;
    let seconds = |text: &str| text.parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp();
    let days: Vec<i64> =
        moments.iter().map(|(_, at)| (seconds(at) - seconds(&since)) / (DAY * 3_600)).collect();
    assert_eq!(days, [0, 2, 4, 6, 7, 8, 38]);
    // Days 0, 2, 4, 6 and 7: a mail each.
    until("the notices lie in the outbox", async || {
        let mails = "select count(*) from notify.outbox where template = 'billing.notice' and address = $1";
        sqlx::query_scalar::<_, i64>(mails).bind(&acme.email).fetch_one(&mut sql).await.unwrap() == 5
    })
    .await;
    assert_eq!(acme.audited(&mut sql, "subscription.terminated").await, 1);

    // Closed, but for signing in and billing itself.
    acme.sign_in().await;
    until("the gateway hears of it", async || acme.owner.get("/api/v1/users").await.status.as_u16() == 402)
        .await;
    acme.owner.get("/api/v1/users").await.expect_problem(402, "subscription-terminated");
    acme.owner.post("/api/v1/roles", role("Late")).await.expect_problem(402, "subscription-terminated");
    assert_eq!(acme.subscription().await["state"], "terminated");
    let again = json!({ "plan": "growth" });
    let again = acme.owner.post("/api/v1/billing/subscriptions", again).await;
    again.expect_problem(402, "subscription-terminated");
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_rid_of_debts_by_ending_and_beginning_anew() {
    let kernel = Kernel::empty().await;
    let acme = register(&kernel, "Acme").await;
    acme.simulate("payment_failed").await;
    let id = acme.subscription().await["id"].as_str().unwrap().to_owned();
    acme.owner.delete(&format!("/api/v1/billing/subscriptions/{id}")).await.expect(204);
    let begin = json!({ "plan": "growth" });
    let refused = acme.owner.post("/api/v1/billing/subscriptions", begin.clone()).await;
    refused.expect_problem(409, "invalid-state");
    assert_eq!(acme.invoices().await[0]["state"], "open");

    // Paid late, it has ended all the same; then a plan can begin.
    let failing = json!({ "event": "payment_failed" });
    acme.owner.post("/api/v1/billing/simulate", failing).await.expect_problem(409, "invalid-state");
    assert_eq!(acme.simulate("payment_succeeded").await["state"], "canceled");
    assert!(acme.invoices().await.iter().all(|invoice| invoice["state"] == "paid"));
    let nothing_owed = json!({ "event": "payment_succeeded" });
    acme.owner.post("/api/v1/billing/simulate", nothing_owed).await.expect_problem(409, "invalid-state");
    let begun = acme.owner.post("/api/v1/billing/subscriptions", begin).await.expect(201);
    assert_eq!(begun.body["state"], "active");
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_tenant_reads_and_a_payment_opens_it_at_once() {
    let kernel = Kernel::empty().await;
    let mut acme = register(&kernel, "Acme").await;
    acme.owner.post("/api/v1/roles", role("First")).await.expect(201);
    acme.simulate("payment_failed").await;
    advance(&kernel, 7 * DAY + 23).await;
    acme.sign_in().await;
    acme.owner.post("/api/v1/roles", role("Still open")).await.expect(201);
    advance(&kernel, 2).await;
    acme.sign_in().await;
    // No waiting: the gateway knows when the next step is due, and asks anew.
    acme.owner.post("/api/v1/roles", role("Closed")).await.expect_problem(402, "subscription-suspended");
    acme.owner.get("/api/v1/roles").await.expect(200);

    let paid = acme.simulate("payment_succeeded").await;
    assert_eq!((&paid["state"], &paid["pastDueSince"]), (&json!("active"), &json!(null)));
    until("the gateway hears of the payment", async || {
        acme.owner.post("/api/v1/roles", role("Open again")).await.status.as_u16() != 402
    })
    .await;
    assert!(acme.invoices().await.iter().all(|invoice| invoice["state"] == "paid"));

    // A period that ended while nothing was paid is not billed: the next begins with the payment.
    acme.simulate("payment_failed").await;
    advance(&kernel, 37 * DAY).await;
    acme.sign_in().await;
    assert_eq!(acme.subscription().await["state"], "suspended");
    let before = acme.invoices().await.len();
    let paid = acme.simulate("payment_succeeded").await;
    assert_eq!(paid["state"], "active");
    let invoices = acme.invoices().await;
    assert_eq!(invoices.len(), before + 1);
    assert_eq!(invoices[0]["periodStart"], paid["periodStart"]);
    assert_eq!(invoices[0]["number"].as_i64().unwrap(), invoices.len() as i64);
    kernel.close().await;
}

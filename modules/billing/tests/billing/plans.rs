//! Plans, changes of plan and the invoices that come of them.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Kernel, until};
use uuid::Uuid;

use crate::support::{DEMO_PASSWORD, Tenant, advance, give, plan, register};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_are_made_by_the_platform_and_chosen_by_tenants() {
    let kernel = Kernel::demo().await;
    let acme = register(&kernel, "Acme").await;
    let listed = kernel.api().get("/api/v1/billing/plans").await.expect(200);
    let names: Vec<&str> = listed.data().iter().map(|plan| plan["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["free", "growth", "pro"]);
    let body = json!({ "name": "team", "interval": "yearly", "price": 99_000, "currency": "USD",
                       "limits": { "users": 2, "records": 0, "storageBytes": 0, "eventsPerDay": 0, "modules": 0, "rps": 0,
                                   "burst": 0 } });
    acme.owner.post("/api/v1/billing/plans", body.clone()).await.expect_problem(403, "forbidden");
    let platform = kernel.api().sign_in("admin@sandbox.localhost", DEMO_PASSWORD).await;
    let tenants = json!({ "tenantId": "00000000-0000-7000-0000-000000000000" });
    let platform = platform.with(
        platform.post("/api/v1/auth/switch-tenant", tenants).await.expect(200).body["accessToken"]
            .as_str()
            .unwrap(),
    );
    let made = platform.post("/api/v1/billing/plans", body.clone()).await.expect(201);
    platform.post("/api/v1/billing/plans", body).await.expect_problem(409, "already-exists");
    let path = format!("/api/v1/billing/plans/{}", made.id());
    let stale = [("if-match", "\"v7\"")];
    let more = json!({ "limits": { "users": 7, "records": 0, "storageBytes": 0, "eventsPerDay": 0, "modules": 0, "rps": 0,
                                   "burst": 0 } });
    let refused = platform.send(Method::PATCH, &path, Some(more.clone()), &stale).await;
    refused.expect_problem(412, "precondition-failed");

    // New limits reach those who have the plan.
    let begun =
        acme.owner.post("/api/v1/billing/subscriptions", json!({ "plan": made.id() })).await.expect(201);
    assert_eq!(begun.body["plan"]["name"], "team");
    assert_eq!(acme.in_use("users").await, (1, Some(2)));
    kernel.operator().patch(&path, more).await.expect(200);
    until("the limits are spread", async || acme.in_use("users").await == (1, Some(7))).await;

    // One that is not offered is given by the platform only.
    plan(&kernel, "secret", json!({})).await;
    let hidden = json!({ "offered": false });
    let secret = kernel.operator().get("/api/v1/billing/plans?limit=100").await.expect(200);
    let secret = secret.data().iter().find(|plan| plan["name"] == "secret").unwrap().clone();
    let path = format!("/api/v1/billing/plans/{}", secret["id"].as_str().unwrap());
    kernel.operator().patch(&path, hidden).await.expect(200);
    let listed = acme.owner.get("/api/v1/billing/plans").await.expect(200);
    assert!(listed.data().iter().all(|plan| plan["name"] != "secret" && plan["name"] != "sandbox"));
    let other = register(&kernel, "Other").await;
    let wish = other.owner.post("/api/v1/billing/subscriptions", json!({ "plan": "secret" })).await;
    assert_eq!(wish.expect(400).body["errors"][0]["field"], "/plan");
    give(&kernel, other.id, "secret").await;
    assert_eq!(other.in_use("users").await, (1, None));
    let nobody = format!("/api/v1/billing/tenants/{}", Uuid::now_v7());
    kernel.operator().patch(&nobody, json!({ "plan": "pro" })).await.expect_problem(404, "not-found");
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dearer_plan_costs_the_rest_of_the_period_and_a_cheaper_one_waits_for_its_end() {
    let kernel = Kernel::empty().await;
    let mut acme = register(&kernel, "Acme").await;
    acme.subscription().await;
    let terms = format!("/api/v1/billing/tenants/{}", acme.id);
    kernel.operator().patch(&terms, json!({ "taxBasisPoints": 1_900 })).await.expect(200);
    acme.owner.patch(&terms, json!({ "taxBasisPoints": 0 })).await.expect_problem(403, "forbidden");
    let begun =
        acme.owner.post("/api/v1/billing/subscriptions", json!({ "plan": "growth" })).await.expect(201);
    let again = acme.owner.post("/api/v1/billing/subscriptions", json!({ "plan": "pro" })).await;
    again.expect_problem(409, "invalid-state");
    let first = &acme.invoices().await[0];
    assert_eq!(
        (&first["subtotal"], &first["tax"], &first["total"]),
        (&json!(4_900), &json!(931), &json!(5_831))
    );

    advance(&kernel, 10 * 24).await;
    acme.sign_in().await;
    let path = format!("/api/v1/billing/subscriptions/{}", begun.id());
    let change = async |acme: &Tenant, body: Value, version: i64| {
        let seen = format!("\"v{version}\"");
        acme.owner.send(Method::PATCH, &path, Some(body), &[("if-match", &seen)]).await
    };
    let version = begun.body["version"].as_i64().unwrap();
    change(&acme, json!({ "plan": "pro" }), version + 9).await.expect_problem(412, "precondition-failed");
    let pro = change(&acme, json!({ "plan": "pro" }), version).await.expect(200);
    assert_eq!(pro.body["plan"]["name"], "pro");
    assert_eq!(pro.body["periodEnd"], begun.body["periodEnd"], "the period goes on");
    let upgrade = &acme.invoices().await[0];
    let kinds: Vec<&str> =
        upgrade["lines"].as_array().unwrap().iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["unused", "proration", "tax"]);
    let total = upgrade["total"].as_i64().unwrap();
    // Two thirds of a month of the difference, with tax, give or take the length of the month.
    assert!((11_500..12_400).contains(&total), "{upgrade}");
    assert_eq!(acme.in_use("users").await.1, Some(250));

    let version = pro.body["version"].as_i64().unwrap();
    let later = change(&acme, json!({ "plan": "free" }), version).await.expect(200);
    assert_eq!(
        (&later.body["plan"]["name"], &later.body["nextPlan"]["name"]),
        (&json!("pro"), &json!("free"))
    );
    let kept = change(&acme, json!({ "cancelDowngrade": true }), version + 1).await.expect(200);
    assert_eq!(kept.body["nextPlan"], json!(null));
    acme.owner.patch(&path, json!({ "cancelDowngrade": true })).await.expect_problem(409, "invalid-state");
    acme.owner.patch(&path, json!({})).await.expect_problem(400, "validation-error");
    acme.owner.patch(&path, json!({ "plan": "growth" })).await.expect(200);
    advance(&kernel, 31 * 24).await;
    acme.sign_in().await;
    let now = acme.subscription().await;
    assert_eq!((&now["plan"]["name"], &now["periodStart"]), (&json!("growth"), &begun.body["periodEnd"]));
    assert_eq!(acme.invoices().await[0]["total"], 5_831);
    assert_eq!(acme.in_use("users").await.1, Some(25));

    // What is paid for is used up; then it only reads, until it begins anew.
    acme.owner.delete(&path).await.expect(204);
    let ending = acme.subscription().await;
    assert_eq!((&ending["state"], &ending["cancelAtPeriodEnd"]), (&json!("active"), &json!(true)));
    acme.simulate("renewal").await;
    assert_eq!(acme.subscription().await["state"], "canceled");
    until("the gateway hears of the end", async || acme.add_user("late").await.status.as_u16() == 402).await;
    acme.add_user("late").await.expect_problem(402, "subscription-suspended");
    acme.owner.post("/api/v1/billing/subscriptions", json!({ "plan": "growth" })).await.expect(201);
    until("the gateway hears of the beginning", async || acme.add_user("early").await.status.as_u16() == 201)
        .await;
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_pays_for_its_plan_and_has_a_month_behind_it() {
    let kernel = Kernel::demo().await;
    let owner = kernel.api().sign_in("admin@sandbox.localhost", DEMO_PASSWORD).await;
    let corp = Tenant::signed_in("00000000-0000-7000-0000-000000000001", owner, "admin@sandbox.localhost");
    let now = corp.subscription().await;
    assert_eq!((&now["state"], &now["plan"]["name"]), (&json!("active"), &json!("pro")));
    let invoices = corp.invoices().await;
    assert!(invoices.len() >= 2, "{invoices:?}");
    for invoice in &invoices {
        assert_eq!((&invoice["state"], &invoice["total"]), (&json!("paid"), &json!(23_880)));
    }
    let mut sql = kernel.owner_sql("default").await;
    let platform =
        "select count(*) from kernel.allowance where tenant_id = '00000000-0000-7000-0000-000000000000'
                    and most is not null";
    let limited: i64 = sqlx::query_scalar(platform).fetch_one(&mut sql).await.unwrap();
    assert_eq!(limited, 0, "the tenant that runs the platform has no limits");
    kernel.close().await;
}

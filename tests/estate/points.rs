//! Points to go back to, the clock, and seeds.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::{Api, Kernel};

use crate::{empty, make, show};

async fn marks(tenant: &Api) -> BTreeSet<String> {
    let listed = tenant.get("/api/v1/roles").await.expect(200);
    let own = listed.data().iter().filter(|role| role["kind"] == "custom");
    own.map(|role| role["name"].as_str().unwrap().to_owned()).collect()
}

/// Leaves something in the tenant that can be told apart.
async fn mark(tenant: &Api, name: &str) {
    let body = json!({ "name": name, "permissions": ["roles.list"] });
    tenant.post("/api/v1/roles", body).await.expect(201);
}

async fn key(tenant: &Api, name: &str) -> (Api, String) {
    let body = json!({ "name": name, "permissions": ["roles.list"] });
    let made = tenant.post("/api/v1/api-keys", body).await.expect(201);
    (tenant.with(made.body["key"].as_str().unwrap()), made.id())
}

async fn snapshot_databases(kernel: &Kernel) -> usize {
    let mut admin = kernel.admin_sql("postgres").await;
    let question = "select datname::text from pg_database where datname like 'pk\\_\\_snap\\_%'";
    sqlx::query_scalar::<_, String>(question).fetch_all(&mut admin).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_goes_back_to_a_snapshot_with_data_and_clock_and_nobody_is_signed_in_again() {
    let kernel = Kernel::start(empty()).await;
    let operator = kernel.operator();
    make(&kernel, "acme").await;
    let at = |action: &str| format!("/api/v1/sandboxes/acme{action}");
    let (owner, registered) = kernel.api().sandbox("acme").register("Acme Tools").await;
    let email = registered["user"]["email"].as_str().unwrap();
    mark(&owner, "before").await;
    let (kept, _) = key(&owner, "kept").await;
    let (revoked, id) = key(&owner, "revoked").await;

    let taken = operator.post(&at("/snapshots"), json!({ "label": "before" })).await.expect(201);
    assert_eq!(taken.body["label"], "before");
    let again = operator.post(&at("/snapshots"), json!({ "label": "before" })).await;
    again.expect_problem(409, "already-exists");
    // Taking it disturbs nobody.
    mark(&owner, "after").await;
    owner.delete(&format!("/api/v1/api-keys/{id}")).await.expect(204);
    operator.post(&at("/clock"), json!({ "mode": "advance", "seconds": 86_400 })).await.expect(200);
    owner.get("/api/v1/auth/me").await.expect_problem(401, "token-expired");

    operator.post(&at("/restore"), json!({ "snapshot": "none" })).await.expect_problem(404, "not-found");
    let generation = show(&kernel, "acme").await.body["generation"].as_i64().unwrap();
    let restored = operator.post(&at("/restore"), json!({ "snapshot": "before" })).await.expect(200);
    assert_eq!(restored.body["generation"].as_i64(), Some(generation + 1));
    let clock = operator.get(&at("/clock")).await.expect(200);
    assert_eq!((&clock.body["aheadSeconds"], &clock.body["frozen"]), (&json!(0), &json!(false)));
    owner.get("/api/v1/auth/me").await.expect_problem(401, "unauthorized");
    revoked.get("/api/v1/roles").await.expect_problem(401, "unauthorized");
    kept.get("/api/v1/roles").await.expect(200);
    let owner = owner.sign_in(email, "correct horse battery").await;
    assert_eq!(marks(&owner).await, BTreeSet::from(["before".to_owned()]));

    // A sandbox of its own comes from it, without keys; its reset leads back to the snapshot.
    let body = json!({ "name": "second", "template": "acme@before" });
    operator.post("/api/v1/sandboxes", body).await.expect(201);
    let second = kernel.api().sandbox("second").sign_in(email, "correct horse battery").await;
    assert_eq!(marks(&second).await.len(), 1);
    kept.sandbox("second").get("/api/v1/roles").await.expect_problem(401, "unauthorized");
    mark(&second, "more").await;
    operator.post("/api/v1/sandboxes/second/reset", json!({})).await.expect(200);
    let second = kernel.api().sandbox("second").sign_in(email, "correct horse battery").await;
    assert_eq!(marks(&second).await.len(), 1);

    let listed = operator.get(&at("/snapshots")).await.expect(200);
    assert_eq!(listed.data().len(), 1);
    operator.delete(&at("/snapshots/before")).await.expect(204);
    operator.delete(&at("/snapshots/before")).await.expect_problem(404, "not-found");
    let gone = operator.post("/api/v1/sandboxes/second/reset", json!({})).await;
    gone.expect_problem(409, "invalid-state");
    operator.post(&at("/snapshots"), json!({})).await.expect(201);
    operator.delete("/api/v1/sandboxes/second").await.expect(204);
    operator.delete(&at("")).await.expect(204);
    crate::remains::nothing_of(&kernel, "acme").await;
    testkit::within(std::time::Duration::from_secs(5), "the snapshots' databases are gone", async || {
        (snapshot_databases(&kernel).await == 0).then_some(())
    })
    .await;
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_goes_forward_only_and_stands_when_told_to() {
    let kernel = Kernel::start(empty()).await;
    let operator = kernel.operator();
    make(&kernel, "acme").await;
    let at = "/api/v1/sandboxes/acme/clock";
    let told = async |change: Value| operator.post(at, change).await.expect(200).body;
    let week = told(json!({ "mode": "advance", "seconds": 604_800 })).await;
    assert!((604_798..=604_800).contains(&week["aheadSeconds"].as_i64().unwrap()), "{week}");
    let past = operator.post(at, json!({ "mode": "set", "to": "2020-01-01T00:00:00Z" })).await;
    let past = past.expect_problem(400, "validation-error");
    assert_eq!(past.body["errors"][0]["field"], "/to", "{}", past.text);
    for (bad, field) in [
        (json!({ "mode": "set", "to": "3000-01-01T00:00:00Z" }), "/to"),
        (json!({ "mode": "advance", "seconds": u64::MAX }), "/seconds"),
    ] {
        let refused = operator.post(at, bad).await.expect_problem(400, "validation-error");
        assert_eq!(refused.body["errors"][0]["field"], field, "{}", refused.text);
    }
    operator.post(at, json!({ "mode": "back" })).await.expect_problem(400, "validation-error");

    let stands = told(json!({ "mode": "freeze" })).await;
    assert_eq!(operator.get(at).await.expect(200).body["now"], stands["now"]);
    let (owner, _) = kernel.api().sandbox("acme").register("Acme Tools").await;
    let body = json!({ "name": "frozen", "permissions": ["roles.list"] });
    let made = owner.post("/api/v1/roles", body).await.expect(201);
    assert_eq!(made.body["createdAt"], stands["now"], "{}", made.text);
    let runs = told(json!({ "mode": "follow" })).await;
    assert!(runs["now"].as_str() >= stands["now"].as_str() && runs["frozen"] == false, "{runs}");
    // Other sandboxes have clocks of their own.
    let other = operator.get("/api/v1/sandboxes/default/clock").await.expect(200);
    assert_eq!(other.body["aheadSeconds"], 0);
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_is_planted_in_a_running_sandbox_as_often_as_one_likes() {
    let kernel = Kernel::start(empty()).await;
    let operator = kernel.operator();
    make(&kernel, "acme").await;
    let at = "/api/v1/sandboxes/acme/seed";
    let yaml = "tenants:\n  - { slug: shop, name: Shop, kind: client }\n\
                users:\n  - { email: ann@shop.example, name: Ann, password: correct horse battery, verified: true,\n\
                \x20     memberships: { shop: owner }, lastTenant: shop }\n";
    for _ in 0..2 {
        let planted = operator.post(at, json!({ "yaml": yaml })).await.expect(200);
        assert_eq!((&planted.body["tenants"], &planted.body["users"]), (&json!(1), &json!(1)));
    }
    kernel.api().sandbox("acme").sign_in("ann@shop.example", "correct horse battery").await;
    for bad in [
        json!({}),
        json!({ "template": "demo", "yaml": yaml }),
        json!({ "yaml": "tenants:\n  - { slug: a, nmae: A, kind: client }\n" }),
        json!({ "yaml": "users:\n  - { email: b@x.example, name: B, password: correct horse battery,\n\
                         \x20     memberships: { nowhere: owner } }\n" }),
    ] {
        let refused = operator.post(at, bad).await;
        assert!((400..500).contains(&refused.status.as_u16()), "{}", refused.text);
    }
    kernel.close().await;
}

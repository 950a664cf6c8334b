use serde_json::{Value, json};
use testkit::{Api, DEMO_OWNER, DEMO_PASSWORD, until};

use crate::stage::Stage;

pub async fn install_crm(stage: &Stage, api: &Api) {
    let modules = api.get("/api/v1/modules").await.expect(200);
    let crm =
        modules.data().iter().find(|module| module["name"] == "@example/crm").expect("the demo has the CRM");
    let id = crm["id"].as_str().unwrap();
    api.post(&format!("/api/v1/modules/{id}/install"), json!({})).await.expect(200);
    stage.settle().await;
}

pub async fn count(api: &Api, list: &str) -> i64 {
    let separator = if list.contains('?') { '&' } else { '?' };
    let page = api.get(&format!("{list}{separator}limit=1&count=true")).await.expect(200);
    page.body["meta"]["total"].as_i64().expect("a total")
}

/// The main job, end to end: a tenant, a module, its records, events, audit trail, and a fork.
pub async fn play(stage: &Stage) {
    let stranger = stage.stranger();

    let (owner, registered) = stranger.register("Acme Tools").await;
    assert!(registered["refreshToken"].as_str().unwrap().starts_with("rt_"));
    let email = registered["user"]["email"].as_str().unwrap().to_owned();
    let acme = stranger.sign_in(&email, "correct horse battery").await;
    let me = acme.get("/api/v1/auth/me").await.expect(200);
    assert_eq!(me.body["tenant"]["id"], registered["tenant"]["id"]);

    // Before it is installed there is nothing there, not even a hint that others have it.
    acme.get("/api/v1/data/crm/contacts").await.expect_problem(404, "not-found");
    install_crm(stage, &acme).await;

    let subscription = acme
        .post(
            "/api/v1/events/subscriptions",
            json!({ "types": ["data.crm.*"], "target": { "kind": "pull" },
              "consumerGroup": "tour" }),
        )
        .await
        .expect(201)
        .id();

    let companies = acme
        .post(
            "/api/v1/data/crm/companies",
            json!([
                { "name": "Blue Harbor", "industry": "logistics", "country": "PT" },
                { "name": "Granite Works", "industry": "construction", "country": "AT" },
            ]),
        )
        .await
        .expect(201);
    let ids: Vec<String> =
        companies.data().iter().map(|company| company["id"].as_str().unwrap().to_owned()).collect();
    let contacts: Vec<Value> = (0..1000)
        .map(|n| {
            json!({ "first_name": format!("First{n}"), "last_name": format!("Last{:03}", n % 500),
                         "email": format!("person{n}@example.com"), "company_id": ids[n % 2] })
        })
        .collect();
    acme.post("/api/v1/data/crm/contacts", Value::Array(contacts)).await.expect(201);

    assert_eq!(count(&acme, "/api/v1/data/crm/contacts").await, 1000);
    assert_eq!(count(&acme, "/api/v1/data/crm/contacts?last_name=eq.Last007").await, 2);
    assert_eq!(count(&acme, "/api/v1/data/crm/contacts?company.industry=eq.logistics").await, 500);
    let joined = acme
        .get("/api/v1/data/crm/contacts?select=email,company(name,country)&company.country=eq.AT&sort=email&limit=3")
        .await
        .expect(200);
    assert_eq!(joined.data().len(), 3);
    assert_eq!(joined.data()[0]["company"], json!({ "name": "Granite Works", "country": "AT" }));

    let events = acme.aside();
    let mut seen = std::collections::BTreeSet::new();
    let subscription = format!("/api/v1/events/subscriptions/{subscription}");
    until("1,002 events", async || {
        let pulled = events.post(&format!("{subscription}/pull"), json!({ "max": 100 })).await.expect(200);
        let ids: Vec<&str> =
            pulled.data().iter().map(|event| event["event"]["id"].as_str().unwrap()).collect();
        for event in pulled.data() {
            assert!(event["event"]["type"].as_str().unwrap().starts_with("data.crm."));
            assert_eq!(event["event"]["tenantId"], registered["tenant"]["id"]);
        }
        if !ids.is_empty() {
            events.post(&format!("{subscription}/ack"), json!({ "eventIds": ids })).await.expect(200);
        }
        seen.extend(ids.into_iter().map(str::to_owned));
        (seen.len() == 1002).then_some(())
    })
    .await;

    let verified = acme.get("/api/v1/audit/verify").await.expect(200);
    assert_eq!(verified.body["valid"], true, "{}", verified.text);
    assert!(verified.body["head"]["seq"].as_i64().unwrap() >= 1002);
    let trail = acme.get("/api/v1/audit/records?action=data.crm.contacts.created&limit=1").await.expect(200);
    assert_eq!(trail.data().len(), 1);

    let operator = stage.operator();
    operator.post("/api/v1/sandboxes/default/fork", json!({ "name": "copy" })).await.expect(201);
    stage.settle().await;
    let copy = stranger.sandbox("copy").sign_in(&email, "correct horse battery").await;
    assert_eq!(count(&copy, "/api/v1/data/crm/contacts").await, 1000);
    assert_eq!(copy.get("/api/v1/audit/verify").await.expect(200).body["valid"], true);
    // A token of one is noise in the other, both ways.
    acme.sandbox("copy").get("/api/v1/auth/me").await.expect_problem(401, "unauthorized");
    copy.on("localhost").get("/api/v1/auth/me").await.expect_problem(401, "unauthorized");

    operator.post("/api/v1/sandboxes/copy/reset", json!({})).await.expect(200);
    stage.settle().await;
    let gone = stranger.sandbox("copy");
    gone.post("/api/v1/auth/login", json!({ "email": email, "password": "correct horse battery" }))
        .await
        .expect_problem(401, "invalid-credentials");
    let demo = gone.sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    assert_eq!(count(&demo, "/api/v1/data/crm/contacts").await, 200);
    // Forking ended nobody's session in the source.
    assert_eq!(count(&owner, "/api/v1/data/crm/contacts").await, 1000);

    let who = acme.get("/api/v1/m/crm/whoami").await.expect(200);
    assert!(who.text.contains(registered["tenant"]["id"].as_str().unwrap()), "{}", who.text);
    assert!(!who.text.contains(acme.token()), "the caller's own token does not reach a back-end");
    let pipeline = acme.get("/api/v1/m/crm/reports/pipeline").await.expect(200);
    assert!(pipeline.body.is_object());

    operator.delete("/api/v1/sandboxes/copy").await.expect(204);
    stage.settle().await;
    stranger.sandbox("copy").get("/api/v1/auth/me").await.expect_problem(404, "not-found");
}

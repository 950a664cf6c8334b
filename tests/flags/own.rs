use reqwest::Method;
use serde_json::json;
use testkit::Kernel;

use crate::{SHIPPED, define, ofrep};

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_own_flag_goes_before_the_installations_and_stays_its_own() {
    let kernel = Kernel::empty().await;
    let (acme, _) = kernel.api().register("Acme").await;
    let (blue, _) = kernel.api().register("Blue").await;
    let ada = json!({ "targetingKey": "ada" });
    assert_eq!(ofrep(&acme, SHIPPED, ada.clone()).await.expect(200).body["variant"], "none");

    let definition =
        json!({ "variations": { "mine": { "text": "Acme's own" } }, "defaultRule": { "variation": "mine" } });
    let made = define(&acme, SHIPPED, definition.clone()).await.expect(201);
    assert_eq!((&made.body["overrides"], &made.body["version"]), (&json!(true), &json!(1)));
    assert_eq!(ofrep(&acme, SHIPPED, ada.clone()).await.expect(200).body["value"]["text"], "Acme's own");
    assert_eq!(ofrep(&blue, SHIPPED, ada.clone()).await.expect(200).body["variant"], "none");
    define(&acme, SHIPPED, definition).await.expect_problem(409, "already-exists");
    let me = acme.get("/api/v1/auth/me").await.expect(200);
    assert_eq!(me.body["features"][SHIPPED]["text"], "Acme's own");

    // Another definition, only for who has seen the last one.
    let path = format!("/api/v1/flags/{}", made.id());
    let shown = acme.get(&path).await.expect(200);
    assert_eq!(shown.headers["etag"], "\"v1\"");
    blue.get(&path).await.expect_problem(404, "not-found");
    let patch = json!({ "definition": { "variations": { "new": { "text": "anew" } }, "defaultRule": { "variation": "new" } } });
    let seen = [("if-match", "\"v1\"")];
    acme.send(Method::PATCH, &path, Some(patch.clone()), &seen).await.expect(200);
    acme.send(Method::PATCH, &path, Some(patch), &seen).await.expect_problem(412, "precondition-failed");
    assert_eq!(ofrep(&acme, SHIPPED, ada.clone()).await.expect(200).body["value"]["text"], "anew");
    assert_eq!(acme.get("/api/v1/flags").await.expect(200).data().len(), 1);
    assert!(blue.get("/api/v1/flags").await.expect(200).data().is_empty());

    acme.delete(&path).await.expect(204);
    assert_eq!(ofrep(&acme, SHIPPED, ada).await.expect(200).body["variant"], "none");

    let trail = acme.get("/api/v1/audit/records?action=flag.").await.expect(200);
    let actions: Vec<_> = trail.data().iter().map(|record| record["action"].as_str().unwrap()).collect();
    assert_eq!(actions.len(), 3, "{actions:?}");
    for action in ["flag.created", "flag.updated", "flag.deleted"] {
        assert!(actions.contains(&action), "{actions:?}");
    }
    let wish = json!({ "types": ["flags.*"], "fromBeginning": true });
    let ears = acme.post("/api/v1/events/subscriptions", wish).await.expect(201).id();
    let mut changes = Vec::new();
    let give_up = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while changes.len() < 3 {
        assert!(std::time::Instant::now() < give_up, "{changes:?}");
        let pulled =
            acme.post(&format!("/api/v1/events/subscriptions/{ears}/pull"), json!({})).await.expect(200);
        let ids: Vec<_> = pulled.data().iter().map(|event| event["event"]["id"].clone()).collect();
        changes.extend(
            pulled.data().iter().map(|event| event["event"]["data"]["change"].as_str().unwrap().to_owned()),
        );
        if !ids.is_empty() {
            let ack = json!({ "eventIds": ids });
            acme.post(&format!("/api/v1/events/subscriptions/{ears}/ack"), ack).await.expect(200);
        }
    }
    assert_eq!(changes, ["created", "updated", "deleted"]);
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_evaluated_is_refused_with_the_place() {
    let kernel = Kernel::empty().await;
    let (acme, _) = kernel.api().register("Acme").await;
    let on = json!({ "on": true, "off": false });
    for (definition, field) in [
        (json!({ "variations": {}, "defaultRule": { "variation": "on" } }), "/definition/variations"),
        (
            json!({ "variations": on, "defaultRule": { "variation": "gone" } }),
            "/definition/defaultRule/variation",
        ),
        (
            json!({ "variations": on, "targeting": [{ "query": "age => 3", "variation": "on" }], "defaultRule": { "variation": "on" } }),
            "/definition/targeting/0/query",
        ),
        (
            json!({ "variations": on, "defaultRule": { "percentage": { "on": 0 } } }),
            "/definition/defaultRule/percentage",
        ),
        (json!({ "variations": on, "defaultRule": { "variation": "on" }, "needs": [] }), "/definition/needs"),
        (
            json!({ "variations": on, "defaultRule": { "variation": "on" }, "experimentation": { "start": "soon" } }),
            "/definition/experimentation/start",
        ),
    ] {
        let refused = define(&acme, "x", definition).await.expect_problem(400, "validation-error");
        assert_eq!(refused.body["errors"][0]["field"], field, "{}", refused.text);
    }
    let fine = json!({ "variations": on, "defaultRule": { "variation": "on" } });
    let refused = define(&acme, "not a key", fine.clone()).await.expect_problem(400, "validation-error");
    assert_eq!(refused.body["errors"][0]["field"], "/key");
    let large = json!({ "variations": { "on": "x".repeat(70_000) }, "defaultRule": { "variation": "on" } });
    define(&acme, "large", large).await.expect_problem(400, "validation-error");

    // Who may only look.
    let role = json!({ "name": "Nothing", "permissions": [] });
    let role = acme.post("/api/v1/roles", role).await.expect(201).id();
    let user = json!({ "email": "nobody@acme.example", "name": "Nobody", "password": "correct horse battery", "roleIds": [role] });
    acme.post("/api/v1/users", user).await.expect(201);
    let nobody = acme.sign_in("nobody@acme.example", "correct horse battery").await;
    define(&nobody, "x", fine).await.expect_problem(403, "forbidden");
    nobody.get("/api/v1/flags").await.expect_problem(403, "forbidden");
    nobody.post("/v1/flag/configuration", json!({})).await.expect_problem(403, "forbidden");
    ofrep(&nobody, SHIPPED, json!({ "targetingKey": "x" })).await.expect(200);
    kernel.close().await;
}

use reqwest::Method;
use serde_json::json;
use testkit::Kernel;

use crate::{SHIPPED, define, ofrep};

#[tokio::test(flavor = "multi_thread")]
async fn ofrep_speaks_its_own_form() {
    let kernel = Kernel::empty().await;
    let (acme, body) = kernel.api().register("Acme").await;
    let tenant = body["tenant"]["id"].as_str().unwrap();
    let ada = json!({ "targetingKey": "ada" });

    let gone = ofrep(&acme, "nowhere", ada.clone()).await.expect(404);
    assert_eq!((&gone.body["key"], &gone.body["errorCode"]), (&json!("nowhere"), &json!("FLAG_NOT_FOUND")));
    let keyless = ofrep(&acme, "console-new-navigation", json!({})).await.expect(400);
    assert_eq!(keyless.body["errorCode"], "TARGETING_KEY_MISSING");
    let odd = acme.post("/ofrep/v1/evaluate/flags/x", json!({ "context": 7 })).await.expect(400);
    assert_eq!(odd.body["errorCode"], "PARSE_ERROR");
    let off = ofrep(&acme, "read-only-mode", ada.clone()).await.expect(200);
    assert_eq!(off.body["reason"], "DISABLED");
    assert!(off.body.get("value").is_none(), "the client takes its own default: {}", off.text);
    kernel.api().post("/ofrep/v1/evaluate/flags/x", json!({})).await.expect_problem(401, "unauthorized");

    // The tenant in a context is always ours.
    let definition = json!({
        "variations": { "own": true, "other": false },
        "targeting": [{ "query": format!("tenantId eq \"{tenant}\""), "variation": "own" }],
        "defaultRule": { "variation": "other" },
    });
    define(&acme, "whose", definition).await.expect(201);
    let lie = json!({ "targetingKey": "ada", "tenantId": "00000000-0000-0000-0000-000000000000" });
    assert_eq!(ofrep(&acme, "whose", lie).await.expect(200).body["value"], true);

    let all = "/ofrep/v1/evaluate/flags";
    let first = acme.post(all, json!({ "context": ada })).await.expect(200);
    assert!(first.body["flags"].as_array().unwrap().len() >= 5);
    let tag = first.headers["etag"].to_str().unwrap();
    let same = acme.send(Method::POST, all, Some(json!({ "context": ada })), &[("if-none-match", tag)]).await;
    assert_eq!(same.expect(304).text, "");
    let some = json!({ "context": { "targetingKey": "ada", "gofeatureflag": { "flagList": ["whose"] } } });
    assert_eq!(acme.post(all, some).await.expect(200).body["flags"].as_array().unwrap().len(), 1);
    acme.get("/ofrep/v1/configuration").await.expect(200);
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_relays_addresses_answer_under_both_names_of_the_base() {
    let kernel = Kernel::empty().await;
    let (acme, body) = kernel.api().register("Acme").await;
    let who =
        json!({ "evaluationContext": { "key": "ada", "custom": { "plan": "business" } }, "defaultValue": 7 });
    for base in ["/v1", "/api/v1"] {
        let limit = acme.post(&format!("{base}/feature/upload-limit-mb/eval"), who.clone()).await.expect(200);
        assert_eq!((&limit.body["value"], &limit.body["reason"]), (&json!(250), &json!("TARGETING_MATCH")));
        assert_eq!(limit.body["metadata"]["evaluatedRuleName"], "big plans");
        let gone = acme.post(&format!("{base}/feature/nowhere/eval"), who.clone()).await.expect(200);
        assert_eq!((&gone.body["value"], &gone.body["failed"]), (&json!(7), &json!(true)));
        assert_eq!(gone.body["errorCode"], "FLAG_NOT_FOUND");
        let all = acme.post(&format!("{base}/allflags"), who.clone()).await.expect(200);
        assert_eq!(
            (&all.body["valid"], &all.body["flags"][SHIPPED]["variationType"]),
            (&json!(true), &json!("none"))
        );
    }
    acme.post("/v1/allflags", json!({})).await.expect_problem(400, "validation-error");

    let path = "/v1/flag/configuration";
    let told = acme.post(path, json!({ "flags": [SHIPPED] })).await.expect(200);
    assert_eq!(told.body["flags"].as_object().unwrap().len(), 1);
    assert_eq!(told.body["evaluationContextEnrichment"]["tenantId"], body["tenant"]["id"]);
    let tag = told.headers["etag"].to_str().unwrap();
    let asked = Some(json!({ "flags": [SHIPPED] }));
    acme.send(Method::POST, path, asked, &[("if-none-match", tag)]).await.expect(304);

    // A key of the tenant in the header that the relay's clients use.
    let key = json!({ "name": "flags", "permissions": ["flags.read"] });
    let key = acme.post("/api/v1/api-keys", key).await.expect(201).body["key"].as_str().unwrap().to_owned();
    let stranger = kernel.api();
    stranger.send(Method::POST, path, Some(json!({})), &[("x-api-key", &key)]).await.expect(200);
    stranger.send(Method::POST, path, Some(json!({})), &[("x-api-key", "pk_no_such")]).await.expect(401);

    let uses = json!({ "meta": {}, "events": [
        { "kind": "feature", "key": SHIPPED, "variation": "maintenance", "userKey": "u", "value": {}, "default": false },
        { "kind": "feature", "key": "made-up", "variation": "x" },
        { "kind": "tracking", "key": "bought" },
    ] });
    let taken = acme.post("/v1/data/collector", uses).await.expect(200);
    assert_eq!(taken.body["ingestedContentCount"], 3);
    let metrics = kernel.operator().get("/metrics").await.expect(200).text;
    for line in [
        "flag=\"console-banner\",variation=\"maintenance\",source=\"client\"} 1",
        "flag=\"(other)\",variation=\"(other)\",source=\"client\"} 1",
        "flag=\"upload-limit-mb\",variation=\"large\",source=\"server\"}",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
    kernel.close().await;
}

use std::path::Path;

use serde_json::{Value, json};
use testkit::Kernel;
use tokio::process::Command;

use crate::{define, ofrep};

/// People that each client evaluates for.
const PEOPLE: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn real_clients_get_the_same_over_the_wire_and_in_process() {
    let kernel = Kernel::empty().await;
    let (acme, body) = kernel.api().register("Acme").await;
    let tenant = body["tenant"]["id"].as_str().unwrap();
    for (flag, definition) in [
        (
            "shares",
            json!({ "variations": { "on": true, "off": false }, "defaultRule": { "percentage": { "on": 40, "off": 60 } } }),
        ),
        (
            "own-tenant",
            json!({
                "variations": { "ours": "ours", "theirs": "theirs" },
                "targeting": [{ "query": format!("tenantId eq \"{tenant}\""), "variation": "ours" }],
                "defaultRule": { "variation": "theirs" },
            }),
        ),
        (
            "shape",
            json!({
                "variations": { "a": { "size": 1, "deep": { "list": ["x"] } }, "b": { "size": 2 } },
                "targeting": [{ "query": "email sw \"p1\"", "variation": "b" }],
                "defaultRule": { "variation": "a" },
            }),
        ),
        (
            "number",
            json!({ "variations": { "few": 3, "many": 30 }, "targeting": [
            { "query": "{\"in\": [\"7\", {\"var\": \"email\"}]}", "variation": "many" }], "defaultRule": { "variation": "few" } }),
        ),
        (
            "off",
            json!({ "variations": { "on": true, "off": false }, "defaultRule": { "variation": "off" }, "disable": true }),
        ),
    ] {
        define(&acme, flag, definition).await.expect(201);
    }
    let key = json!({ "name": "clients", "permissions": ["flags.read"] });
    let key = acme.post("/api/v1/api-keys", key).await.expect(201).body["key"].as_str().unwrap().to_owned();

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ran = Command::new(root.join("tools/with-gofeatureflag.sh"))
        .args(["python3", root.join("tests/flags/clients.py").to_str().unwrap()])
        .args([kernel.url(), &key, &PEOPLE.to_string()])
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    let told: Value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));

    for number in 0..PEOPLE {
        let person = format!("person-{number}");
        let about = json!({ "targetingKey": person, "email": format!("p{number}@example.com") });
        for flag in ["shares", "own-tenant", "shape", "number"] {
            let own = ofrep(&acme, flag, about.clone()).await.expect(200).body;
            for client in ["ofrep", "remote", "inprocess"] {
                let got = &told[client][&person][flag];
                assert_eq!(
                    (&got[0], &got[1]),
                    (&own["value"], &own["variant"]),
                    "{client} {person} {flag}: {got}"
                );
                assert_eq!(got[3], Value::Null, "{client} {person} {flag}");
            }
        }
        for client in ["ofrep", "remote", "inprocess"] {
            let got = &told[client][&person];
            assert_eq!(got["own-tenant"][0], "ours", "{client}: a client does not say which tenant it is of");
            assert_eq!(
                (&got["off"][0], &got["off"][2]),
                (&json!(true), &json!("DISABLED")),
                "{client}: its own default"
            );
            assert_eq!(got["nowhere"][0], true, "{client}");
            assert!(
                got["nowhere"][3].as_str().unwrap().contains("FLAG_NOT_FOUND"),
                "{client}: {}",
                got["nowhere"]
            );
        }
    }
    let on = (0..PEOPLE).filter(|n| told["ofrep"][&format!("person-{n}")]["shares"][0] == true).count();
    assert!((10..40).contains(&on), "{on} of {PEOPLE} of 40 %");
    // What was evaluated in process was told afterwards.
    let metrics = kernel.operator().get("/metrics").await.expect(200).text;
    assert!(metrics.contains("variation=\"(other)\",source=\"client\"}"), "{metrics}");
    kernel.close().await;
}

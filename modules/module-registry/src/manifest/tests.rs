use kernel::check::Checks;
use serde_json::{Value, json};

use super::*;

fn crm() -> Value {
    json!({
        "name": "@example/crm", "version": "1.0.0", "kernelSdkVersion": ">=0.1.0",
        "backend": { "url": "http://127.0.0.1:8095", "routes": [
            { "method": "POST", "path": "/deals/{id}/win", "permission": "crm.deals.write" } ] },
        "permissions": ["crm.deals.write"],
        "events": { "publishes": ["crm.deal.won"], "subscribes": ["data.crm.*"] },
        "dataApi": { "models": [{ "name": "deals", "autoApi": true, "hidden": ["internal_note"] }] },
    })
}

fn mistakes(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut text = crm();
    change(&mut text);
    let manifest: Manifest = serde_json::from_value(text).unwrap();
    let mut checks = Checks::new();
    check(&manifest, "", &mut checks);
    checks
        .finish()
        .err()
        .map(|e| e.field_errors().iter().map(|f| f.field.clone()).collect())
        .unwrap_or_default()
}

#[test]
fn the_example_is_fine_and_reads_back() {
    assert!(mistakes(|_| {}).is_empty());
    let manifest: Manifest = serde_json::from_value(crm()).unwrap();
    let text = serde_json::to_value(&manifest).unwrap();
    assert_eq!(serde_json::from_value::<Manifest>(text).unwrap(), manifest);
}

#[test]
fn each_mistake_has_its_pointer() {
    type Change = fn(&mut Value);
    let cases: &[(&str, Change)] = &[
        ("/name", |m| m["name"] = json!("crm")),
        ("/name", |m| m["name"] = json!("@example/iam")),
        ("/name", |m| m["name"] = json!("@example/my-crm")),
        ("/version", |m| m["version"] = json!("1.0")),
        ("/version", |m| m["version"] = json!("1.0.0-beta")),
        ("/description", |m| m["description"] = json!("x".repeat(256))),
        ("/kernelSdkVersion", |m| m["kernelSdkVersion"] = json!("always")),
        ("/kernelSdkVersion", |m| m["kernelSdkVersion"] = json!(">=99.0.0")),
        ("/permissions/0", |m| m["permissions"] = json!(["system.shutdown", "crm.deals.write"])),
        ("/permissions/0", |m| m["permissions"] = json!(["erp.deals.read", "crm.deals.write"])),
        ("/permissions/0", |m| m["permissions"] = json!(["crm.*", "crm.deals.write"])),
        ("/permissions/1", |m| m["permissions"] = json!(["crm.deals.write", "crm.deals.write"])),
        ("/backend/url", |m| m["backend"]["url"] = json!("127.0.0.1:8095")),
        ("/backend/url", |m| m["backend"]["url"] = json!("file:///etc/passwd")),
        ("/backend/url", |m| m["backend"]["url"] = json!("http://user:pw@host")),
        ("/backend/timeoutMs", |m| m["backend"]["timeoutMs"] = json!(1)),
        ("/backend/routes/0/path", |m| m["backend"]["routes"][0]["path"] = json!("/a/../b")),
        ("/backend/routes/0/path", |m| m["backend"]["routes"][0]["path"] = json!("/{a}/{a}")),
        ("/backend/routes/0/method", |m| m["backend"]["routes"][0]["method"] = json!("PUT")),
        ("/backend/routes/0/permission", |m| m["backend"]["routes"][0]["permission"] = json!("crm.x.y")),
        ("/backend/routes/1", |m| {
            m["backend"]["routes"] =
                json!([{ "method": "GET", "path": "/a/{id}" }, { "method": "GET", "path": "/a/{x}" }])
        }),
        ("/events/publishes/0", |m| m["events"]["publishes"] = json!(["auth.user.created"])),
        ("/events/subscribes/0", |m| m["events"]["subscribes"] = json!(["*"])),
        ("/dataApi/models/0/name", |m| m["dataApi"]["models"][0]["name"] = json!("pg_catalog.pg_class")),
        ("/dataApi/models/0/hidden/0", |m| m["dataApi"]["models"][0]["hidden"] = json!(["tenant_id"])),
        ("/dataApi/hooks/x.create.before", |m| m["dataApi"]["hooks"] = json!({ "x.create.before": "/h" })),
        ("/dependencies/@example~1crm", |m| m["dependencies"] = json!({ "@example/crm": "^1" })),
        ("/dependencies/@example~1erp", |m| m["dependencies"] = json!({ "@example/erp": "newest" })),
        ("/entry", |m| m["entry"] = json!("javascript:alert(1)")),
        ("/route", |m| m["route"] = json!("crm")),
    ];
    for (pointer, change) in cases {
        assert_eq!(mistakes(change), [*pointer], "{pointer}");
    }
}

#[test]
fn an_unknown_member_is_refused() {
    let mut text = crm();
    text["backend"]["secret"] = json!("x");
    assert!(serde_json::from_value::<Manifest>(text).is_err());
}

#[test]
fn ranges_may_be_written_as_npm_writes_them() {
    for text in [">=0.1.0", ">=0.1.0, <2.0.0", ">=0.1.0 <2.0.0", ">= 0.1.0 < 2.0.0", "^0.1", "~0.1.0", "*"] {
        assert!(range(text).is_some(), "{text}");
    }
    for text in ["", "latest", "1.2.3.4", ">>1"] {
        assert!(range(text).is_none(), "{text}");
    }
}

#[test]
fn the_schema_names_every_member() {
    let schema = serde_json::to_value(json_schema()).unwrap();
    for member in ["name", "kernelSdkVersion", "backend", "permissions", "dataApi", "dependencies", "embeds"]
    {
        assert!(schema["properties"].get(member).is_some(), "{member}");
    }
    assert_eq!(schema["additionalProperties"], json!(false));
    assert_eq!(schema["required"], json!(["name", "version", "kernelSdkVersion"]));
}

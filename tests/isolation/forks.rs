//! Sandboxes: a credential of one is noise in the others, in its own copy, too.

use std::collections::BTreeMap;

use serde_json::json;
use testkit::{Api, Kernel};

const PASSWORD: &str = "correct horse battery";

async fn key_ids(api: &Api) -> Vec<String> {
    let keys = api.stranger().get("/.well-known/jwks.json").await.expect(200);
    let keys = keys.body["keys"].as_array().expect("keys").iter();
    keys.map(|key| key["kid"].as_str().expect("a key id").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_and_its_copy_do_not_take_each_others_credentials() {
    let kernel = Kernel::empty().await;
    let operator = kernel.operator();
    for name in ["source", "other"] {
        let made = json!({ "name": name, "template": "empty" });
        operator.post("/api/v1/sandboxes", made).await.expect(201);
    }
    let source = kernel.api().sandbox("source");
    let (at_source, body) = source.register("Fork Works").await;
    let email = body["user"]["email"].as_str().unwrap();
    let refresh = json!({ "refreshToken": body["refreshToken"] });
    let key = json!({ "name": "a key", "permissions": ["users.list"] });
    let key =
        at_source.post("/api/v1/api-keys", key).await.expect(201).body["key"].as_str().unwrap().to_owned();
    source.with(&key).get("/api/v1/users").await.expect(200);

    operator.post("/api/v1/sandboxes/source/fork", json!({ "name": "copy" })).await.expect(201);
    let copy = kernel.api().sandbox("copy");

    // What was copied are people and data, not what they showed at the source's door.
    copy.with(at_source.token()).get("/api/v1/auth/me").await.expect(401);
    copy.with(&key).get("/api/v1/users").await.expect(401);
    copy.post("/api/v1/auth/refresh", refresh.clone()).await.expect(401);
    let at_copy = copy.sign_in(email, PASSWORD).await;
    at_copy.get("/api/v1/auth/me").await.expect(200);
    source.with(at_copy.token()).get("/api/v1/auth/me").await.expect(401);
    for elsewhere in [kernel.api(), kernel.api().sandbox("other")] {
        for token in [at_source.token(), at_copy.token(), &key] {
            elsewhere.with(token).get("/api/v1/auth/me").await.expect(401);
        }
    }
    // The header that names a sandbox opens no other door than the host does.
    let by_header = kernel.api().with(at_copy.token());
    let get = axum::http::Method::GET;
    by_header.send(get.clone(), "/api/v1/auth/me", None, &[("x-kernel-sandbox", "copy")]).await.expect(200);
    by_header.send(get, "/api/v1/auth/me", None, &[("x-kernel-sandbox", "source")]).await.expect(401);

    // What happens in the copy stays there.
    at_copy.post("/api/v1/roles", json!({ "name": "Of the copy", "permissions": [] })).await.expect(201);
    let roles = at_source.get("/api/v1/roles").await.expect(200);
    assert!(!roles.text.contains("Of the copy"), "{}", roles.text);
    source.with(&key).get("/api/v1/users").await.expect(200);
    source.post("/api/v1/auth/refresh", refresh).await.expect(200);

    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    for name in ["default", "source", "copy", "other"] {
        for kid in key_ids(&kernel.api().sandbox(name)).await {
            let earlier = owners.insert(kid.clone(), name);
            assert_eq!(earlier, None, "{kid} signs in two sandboxes: {name} and {earlier:?}");
        }
    }
    assert!(owners.len() >= 4, "{owners:?}");
    kernel.close().await;
}

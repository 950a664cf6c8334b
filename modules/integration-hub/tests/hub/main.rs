//! Providers and calls over HTTP, against a third party on loopback.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "tests: a panic is a failed test")]

mod support;

use axum::http::Method;
use serde_json::{Value, json};
use testkit::until;

use support::{CALL, DLQ, PROVIDERS, Place};

#[tokio::test(flavor = "multi_thread")]
async fn the_way_out() {
    let mut place = Place::open().await;
    a_provider_comes_changes_and_goes(&mut place).await;
    no_provider_is_inside(&place).await;
    a_call_is_answered_and_leaves_no_secret(&mut place).await;
    a_key_makes_a_call_once(&place).await;
    what_fails_is_tried_again_under_one_key(&place).await;
    a_refusal_is_told_and_not_repeated(&mut place).await;
    what_fails_for_good_can_be_made_again(&mut place).await;
    five_failures_open_the_circuit(&mut place).await;
    a_provider_keeps_its_pace(&place).await;
    a_token_is_fetched_once(&place).await;
    a_redirect_leads_nowhere_inside(&place).await;
    a_provider_can_be_tried(&place).await;
    each_tenant_has_its_own(&place).await;
    a_copy_has_no_credentials(&mut place).await;
    place.kernel.close().await;
}

async fn a_provider_comes_changes_and_goes(place: &mut Place) {
    let bearer = json!({ "authType": "bearer", "credentials": { "token": "secret-token" } });
    let id = place.provider_with("Payments", bearer, json!({})).await;
    let at = format!("{PROVIDERS}/{id}");
    let got = place.owner.get(&at).await.expect(200);
    assert_eq!(got.body["credentialsSet"], true);
    assert_eq!(got.body["circuitBreakerState"], "closed");
    assert_eq!(got.body["config"], json!({ "timeoutMs": 10000, "retries": 5, "headers": {}, "rps": 100 }));
    assert!(!got.text.contains("secret-token"));
    assert_eq!(got.headers["etag"], "\"v1\"");

    let taken =
        json!({ "name": "Payments", "type": "custom", "baseUrl": "kernel://echo", "authType": "none" });
    place.owner.post(PROVIDERS, taken).await.expect_problem(409, "already-exists");
    let named =
        place.owner.patch(&at, json!({ "name": "Money", "config": { "retries": 1 } })).await.expect(200);
    assert_eq!((&named.body["version"], &named.body["config"]["retries"]), (&json!(2), &json!(1)));
    let stale =
        place.owner.send(Method::PATCH, &at, Some(json!({ "name": "X" })), &[("if-match", "\"v1\"")]).await;
    stale.expect_problem(412, "precondition-failed");
    // Credentials don't follow to another server.
    let moved = place.owner.patch(&at, json!({ "baseUrl": "https://evil.example" })).await;
    let moved = moved.expect_problem(400, "validation-error");
    assert_eq!(moved.body["errors"][0]["field"], "/credentials");
    let deeper = json!({ "baseUrl": format!("{}/v1", place.party.url) });
    place.owner.patch(&at, deeper).await.expect(200);

    place.owner.delete(&at).await.expect(204);
    place.owner.get(&at).await.expect_problem(404, "not-found");
    for verb in ["created", "updated", "deleted"] {
        let kind = format!("integration.provider.{verb}");
        assert!(place.told(&kind).await > 0, "{kind}");
        let kept = place.audited(&kind).await;
        assert!(!kept.is_empty() && !Value::from(kept).to_string().contains("secret-token"), "{kind}");
    }
    // In the database it is sealed.
    let id = place.provider_with(
        "Sealed",
        json!({ "authType": "basic", "credentials": { "username": "ada", "password": "secret-password" } }),
        json!({}),
    );
    let id: uuid::Uuid = id.await.parse().unwrap();
    let row: String =
        sqlx::query_scalar("select to_jsonb(p)::text from integration.provider p where id = $1")
            .bind(id)
            .fetch_one(&mut place.sql)
            .await
            .unwrap();
    let hex: String = "secret-password".bytes().map(|byte| format!("{byte:02x}")).collect();
    assert!(!row.contains("secret-password") && !row.contains(&hex) && row.contains("credentials"));
}

async fn no_provider_is_inside(place: &Place) {
    for url in [
        "http://10.0.0.1/",
        "http://192.168.0.1:8080/",
        "http://169.254.169.254/latest/meta-data/",
        "http://100.100.100.200/",
        "http://[fe80::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://0251.0376.0251.0376/",
        "http://0.0.0.0/",
        "file:///etc/passwd",
        "https://user:pass@example.com/",
    ] {
        let new = json!({ "name": "Inside", "type": "custom", "baseUrl": url, "authType": "none" });
        let refused = place.owner.post(PROVIDERS, new).await.expect_problem(400, "validation-error");
        assert_eq!(refused.body["errors"][0]["field"], "/baseUrl", "{url}");
        let new = json!({ "name": "Inside", "type": "custom", "baseUrl": "https://api.example.com", "authType": "oauth2",
                          "credentials": { "tokenUrl": url, "clientId": "c", "clientSecret": "s" } });
        let refused = place.owner.post(PROVIDERS, new).await.expect_problem(400, "validation-error");
        assert_eq!(refused.body["errors"][0]["field"], "/credentials/tokenUrl", "{url}");
    }
    let new = json!({ "name": "Odd", "type": "bank", "baseUrl": "kernel://echo", "authType": "none" });
    let odd = place.owner.post(PROVIDERS, new).await.expect_problem(400, "validation-error");
    assert_eq!(odd.body["errors"][0]["field"], "/type");
}

async fn a_call_is_answered_and_leaves_no_secret(place: &mut Place) {
    let echo = json!({ "name": "Echo", "type": "custom", "baseUrl": "kernel://echo", "authType": "bearer",
                       "credentials": { "token": "secret-token" }, "config": { "headers": { "X-App": "acme" } } });
    let echo = place.owner.post(PROVIDERS, echo).await.expect(201).id();
    let wish = json!({ "providerId": echo, "method": "POST", "path": "/v1/things?api_key=key-of-mine&page=2",
                       "headers": { "X-Mine": "yes" }, "body": { "card_number": "4242", "n": 1 } });
    let answer = place.owner.post(CALL, wish).await.expect(200);
    assert_eq!(answer.body["status"], 200);
    let told = &answer.body["body"];
    assert_eq!(
        (&told["method"], &told["path"], &told["query"]),
        (&json!("POST"), &json!("/v1/things"), &json!("api_key=key-of-mine&page=2"))
    );
    assert_eq!(told["body"], json!({ "card_number": "4242", "n": 1 }));
    let headers = &told["headers"];
    assert_eq!((&headers["x-app"], &headers["x-mine"]), (&json!("acme"), &json!("yes")));
    assert!(headers["traceparent"].is_string() && headers["idempotency-key"].is_string());
    // The echo tells what it was sent, but not the credentials to somebody who may only call.
    assert_eq!(headers["authorization"], "Bearer ***");
    assert!(!answer.text.contains("secret-token"), "{}", answer.text);

    let log = place.owner.get(&format!("/api/v1/integrations/calls?providerId={echo}")).await.expect(200);
    let entry = &log.data()[0];
    assert_eq!(
        (&entry["state"], &entry["attempts"], &entry["origin"]),
        (&json!("answered"), &json!(1), &json!("call"))
    );
    assert_eq!(entry["path"], "/v1/things?api_key=***&page=2");
    assert_eq!(entry["requestBody"], r#"{"card_number":"***","n":1}"#);
    for secret in ["secret-token", "4242", "key-of-mine"] {
        assert!(!log.text.contains(secret), "{secret}: {}", log.text);
    }
    for (wrong, field) in [
        (json!({ "path": "/../x" }), "/path"),
        (json!({ "path": "//evil.example/" }), "/path"),
        (json!({ "headers": { "Authorization": "x" } }), "/headers/Authorization"),
        (json!({ "method": "GET" }), "/body"),
        (json!({ "method": "CONNECT" }), "/method"),
        (json!({ "url": "x" }), "/url"),
    ] {
        let mut wish = json!({ "providerId": echo, "method": "POST", "path": "/", "body": 1 });
        wish.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        let refused = place.owner.post(CALL, wish).await.expect_problem(400, "validation-error");
        assert_eq!(refused.body["errors"][0]["field"], field);
    }
}

async fn a_key_makes_a_call_once(place: &Place) {
    let id = place.provider("Once", json!({})).await;
    let wish = json!({ "providerId": id, "method": "POST", "path": "/once", "body": "text" });
    let key = uuid::Uuid::now_v7().to_string();
    let headers = [("idempotency-key", key.as_str())];
    let send = || place.owner.send(Method::POST, CALL, Some(wish.clone()), &headers);
    let first = send().await.expect(200);
    let again = send().await.expect(200);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(first.body, again.body);
    let seen = place.party.seen("/once");
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (seen[0].header("idempotency-key"), seen[0].header("content-type")),
        (key.as_str(), "text/plain; charset=utf-8")
    );
    assert_eq!((seen[0].method.as_str(), &seen[0].body[..]), ("POST", b"text" as &[u8]));

    // While one is under way, the same key is refused.
    let wish = json!({ "providerId": id, "method": "GET", "path": "/hangs" });
    let slow = json!({ "config": { "timeoutMs": 1500, "retries": 0 } });
    place.owner.patch(&format!("{PROVIDERS}/{id}"), slow).await.expect(200);
    let key = uuid::Uuid::now_v7().to_string();
    let headers = [("idempotency-key", key.as_str())];
    let first = place.owner.send(Method::POST, CALL, Some(wish.clone()), &headers);
    let second = async {
        until("the first call is under way", || async {
            (!place.party.seen("/hangs").is_empty()).then_some(())
        })
        .await;
        place.owner.send(Method::POST, CALL, Some(wish.clone()), &headers).await
    };
    let (first, second) = tokio::join!(first, second);
    second.expect_problem(409, "idempotency-in-progress");
    first.expect_problem(502, "upstream-failed");
}

async fn what_fails_is_tried_again_under_one_key(place: &Place) {
    let id = place.provider("Flaky", json!({})).await;
    for path in ["/flaky", "/busy"] {
        let answer = place.call(&id, path).await.expect(200);
        assert_eq!(answer.body["attempts"], 2, "{path}");
        let seen = place.party.seen(path);
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].header("idempotency-key"), seen[1].header("idempotency-key"));
        assert!(answer.body["durationMs"].as_u64().unwrap() >= 750);
        assert!(answer.body["headers"].get("set-cookie").is_none());
    }
}

async fn a_refusal_is_told_and_not_repeated(place: &mut Place) {
    let bearer = json!({ "authType": "bearer", "credentials": { "token": "secret-token" } });
    let id = place.provider_with("Strict", bearer, json!({})).await;
    let refused = place.call(&id, "/missing").await.expect_problem(502, "upstream-failed");
    let detail = refused.body["detail"].as_str().unwrap();
    assert_eq!(detail, "Strict answered 404 Not Found: No such customer; you sent ***");
    assert_eq!(place.party.seen("/missing").len(), 1);
    assert_eq!(place.party.seen("/missing")[0].header("authorization"), "Bearer secret-token");
    let letters = place.owner.get(&format!("{DLQ}?providerId={id}")).await.expect(200);
    assert!(letters.data().is_empty());
    let log = place.owner.get("/api/v1/integrations/calls?state=rejected").await.expect(200);
    assert_eq!(log.data()[0]["status"], 404);
}

async fn what_fails_for_good_can_be_made_again(place: &mut Place) {
    let id = place.provider("Moody", json!({ "retries": 0 })).await;
    place.party.set_well(false);
    let failed = place.call(&id, "/moody").await.expect_problem(502, "upstream-failed");
    let letters = place.owner.get(&format!("{DLQ}?providerId={id}")).await.expect(200);
    let letter = letters.data()[0].clone();
    let letter_id = letter["id"].as_str().unwrap();
    assert!(failed.body["detail"].as_str().unwrap().contains(letter_id), "{}", failed.text);
    assert_eq!(
        (&letter["state"], &letter["status"], &letter["attempts"]),
        (&json!("waiting"), &json!(500), &json!(1))
    );
    assert_eq!(letter["error"], "answered 500 Internal Server Error: out of order");
    assert_eq!(
        place.told("integration.call.failed").await,
        1 + i64::from(!place.party.seen("/hangs").is_empty())
    );

    let at = format!("{DLQ}/{letter_id}");
    let retried = place.owner.post(&format!("{at}/retry"), json!({})).await.expect(202);
    assert_eq!(retried.body["state"], "queued");
    until("it failed again", || async {
        let letter = place.owner.get(&at).await.expect(200).body;
        (letter["state"] == "waiting" && letter["attempts"] == 2).then_some(())
    })
    .await;
    place.party.set_well(true);
    let all = place.owner.post(&format!("{DLQ}/retry-all"), json!({ "providerId": id })).await.expect(202);
    assert_eq!(all.body, json!({ "queued": 1, "hasMore": false }));
    until("it goes", || async { (place.owner.get(&at).await.status == 404).then_some(()) }).await;
    let seen = place.party.seen("/moody");
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|seen| seen.header("idempotency-key") == letter["idempotencyKey"]));
    assert!(seen.iter().all(|seen| &seen.body[..] == br#"{"n":1}"#));
    assert_eq!(place.told("integration.call.recovered").await, 1);
    assert_eq!(place.audited("integration.dead_letter.delivered").await.len(), 1);

    place.party.set_well(false);
    place.call(&id, "/moody").await.expect(502);
    let letters = place.owner.get(&format!("{DLQ}?providerId={id}")).await.expect(200);
    let at = format!("{DLQ}/{}", letters.data()[0]["id"].as_str().unwrap());
    place.owner.delete(&at).await.expect(204);
    place.owner.get(&at).await.expect(404);
    place.owner.post(&format!("{at}/retry"), json!({})).await.expect_problem(404, "not-found");
}

async fn five_failures_open_the_circuit(place: &mut Place) {
    let id = place.provider("Down", json!({ "retries": 0 })).await;
    for _ in 0..5 {
        place.call(&id, "/down").await.expect_problem(502, "upstream-failed");
    }
    let open = place.call(&id, "/down").await.expect_problem(503, "circuit-open");
    let wait: u64 = open.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
    assert_eq!(place.party.seen("/down").len(), 5);
    let at = format!("{PROVIDERS}/{id}");
    assert_eq!(place.owner.get(&at).await.expect(200).body["circuitBreakerState"], "open");
    assert_eq!(place.told("integration.circuit.opened").await, 1);
    // Another provider is none the worse, and a changed one begins anew.
    let other = place.provider("Up", json!({})).await;
    place.call(&other, "/up").await.expect(200);
    place.owner.patch(&at, json!({ "name": "Down no more" })).await.expect(200);
    place.call(&id, "/up").await.expect(200);
    // A call that fails at once is not tried on once the circuit is open.
    let id = place.provider("Dying", json!({ "retries": 5 })).await;
    let failed = place.call(&id, "/down").await.expect_problem(502, "upstream-failed");
    assert!(failed.body["detail"].as_str().unwrap().contains("in 5 attempts"), "{}", failed.text);
}

async fn a_provider_keeps_its_pace(place: &Place) {
    let id = place.provider("Slow", json!({ "rps": 1 })).await;
    place.call(&id, "/paced").await.expect(200);
    let refused = place.call(&id, "/paced").await.expect_problem(429, "rate-limited");
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(place.party.seen("/paced").len(), 1);
    place.owner.patch(&format!("{PROVIDERS}/{id}"), json!({ "status": "disabled" })).await.expect(200);
    place.call(&id, "/paced").await.expect_problem(409, "invalid-state");
}

async fn a_token_is_fetched_once(place: &Place) {
    let credentials = json!({ "tokenUrl": format!("{}/token", place.party.url), "clientId": "me", "clientSecret": "client-secret", "scope": "a b" });
    let id = place
        .provider_with("OAuth", json!({ "authType": "oauth2", "credentials": credentials }), json!({}))
        .await;
    let calls = (0..10).map(|_| place.call(&id, "/guarded"));
    for answer in futures_all(calls).await {
        let answer = answer.expect(200);
        assert_eq!(answer.body["body"]["authorization"], "Bearer ***", "{}", answer.text);
    }
    assert_eq!(place.party.tokens(), 1, "one fetched it for all");
    let asked = &place.party.seen("/token")[0];
    assert_eq!(&asked.body[..], b"grant_type=client_credentials&scope=a+b");
    assert_eq!(asked.header("authorization"), "Basic bWU6Y2xpZW50LXNlY3JldA==");
    // It is taken back: the call gets another one by itself.
    let answer = place.call(&id, "/guarded").await.expect(200);
    assert_eq!((place.party.tokens(), &answer.body["attempts"]), (2, &json!(1)));
}

async fn futures_all<T>(calls: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = calls.map(Box::pin).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|cx| {
        waiting.retain_mut(|call| match call.as_mut().poll(cx) {
            std::task::Poll::Ready(answer) => {
                done.push(answer);
                false
            }
            std::task::Poll::Pending => true,
        });
        if waiting.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

async fn a_redirect_leads_nowhere_inside(place: &Place) {
    let key = json!({ "authType": "api_key", "credentials": { "key": "secret-key", "name": "X-Key" } });
    let id = place.provider_with("Wanderer", key, json!({ "retries": 0 })).await;
    let get =
        |path: String| place.owner.post(CALL, json!({ "providerId": id, "method": "GET", "path": path }));
    for inside in [
        "http://169.254.169.254/latest",
        "http://[::ffff:10.0.0.1]/",
        "http://0x0a000001/",
        "ftp://127.0.0.1/",
    ] {
        let refused = get(format!("/away?{inside}")).await.expect_problem(502, "upstream-failed");
        assert!(!refused.text.contains("meta-data"));
    }
    let port = place.party.url.rsplit(':').next().unwrap();
    get("/away?/here".to_owned()).await.expect(200);
    assert_eq!(place.party.seen("/here")[0].header("x-key"), "secret-key");
    // Another host: the key stays behind.
    get(format!("/away?http://localhost:{port}/there")).await.expect(200);
    assert_eq!(place.party.seen("/there")[0].header("x-key"), "");
}

async fn a_provider_can_be_tried(place: &Place) {
    let id = place.provider("Tried", json!({})).await;
    let test = |wish: Value| {
        let at = format!("{PROVIDERS}/{id}/test");
        async move { place.owner.post(&at, wish).await }
    };
    let good = test(json!({ "path": "/tried" })).await.expect(200).body;
    assert_eq!((&good["ok"], &good["status"], &good["error"]), (&json!(true), &json!(200), &Value::Null));
    let bad = test(json!({ "path": "/down" })).await.expect(200).body;
    assert_eq!((&bad["ok"], &bad["status"]), (&json!(false), &json!(500)));
    test(json!({ "method": "DELETE" })).await.expect_problem(400, "validation-error");
    let log = place.owner.get(&format!("/api/v1/integrations/calls?providerId={id}")).await.expect(200);
    assert!(log.data().iter().all(|entry| entry["origin"] == "test"));
    assert_eq!(log.data().len(), 2);
}

async fn each_tenant_has_its_own(place: &Place) {
    let id = place.provider("Mine", json!({})).await;
    let (other, _) = place.kernel.api().register("Other").await;
    other.get(&format!("{PROVIDERS}/{id}")).await.expect_problem(404, "not-found");
    let wish = json!({ "providerId": id, "method": "GET", "path": "/stolen" });
    other.post(CALL, wish).await.expect_problem(404, "not-found");
    assert!(other.get(PROVIDERS).await.expect(200).data().is_empty());
    assert!(other.get("/api/v1/integrations/calls").await.expect(200).data().is_empty());
    assert!(place.party.seen("/stolen").is_empty());
}

async fn a_copy_has_no_credentials(place: &mut Place) {
    let bearer = json!({ "authType": "bearer", "credentials": { "token": "secret-token" } });
    let id = place.provider_with("Copied", bearer, json!({})).await;
    place.call(&id, "/copied").await.expect(200);
    let operator = place.kernel.operator();
    operator.post("/api/v1/sandboxes/default/fork", json!({ "name": "copy" })).await.expect(201);
    let mut sql = place.kernel.owner_sql("copy").await;
    let left: (i64, i64, i64) = sqlx::query_as(
        "select (select count(*) from integration.data_key), (select count(*) from integration.dead_letter),
                (select count(*) from integration.provider where credentials is not null)",
    )
    .fetch_one(&mut sql)
    .await
    .unwrap();
    assert_eq!(left, (0, 0, 0));
    // The source is as it was: its sessions ended with the fork, its secrets did not.
    let email: String = sqlx::query_scalar("select email from iam.user_account order by created_at limit 1")
        .fetch_one(&mut sql)
        .await
        .unwrap();
    let at_copy = place.kernel.api().sandbox("copy").sign_in(&email, "correct horse battery").await;
    let provider = at_copy.get(&format!("{PROVIDERS}/{id}")).await.expect(200);
    assert_eq!(provider.body["credentialsSet"], false);
    let wish = json!({ "providerId": id, "method": "GET", "path": "/copied" });
    at_copy.post(CALL, wish).await.expect_problem(409, "invalid-state");
    assert_eq!(place.party.seen("/copied").len(), 1);
}

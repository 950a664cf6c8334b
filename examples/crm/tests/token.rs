//! Which tokens the back-end believes.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::{Crm, HOST, ISSUER, Signer, TENANT, claims, outcome};

const UNAUTHORIZED: (u16, &str) = (401, "unauthorized");

fn as_str((status, slug): &(u16, String)) -> (u16, &str) {
    (*status, slug)
}

#[tokio::test]
async fn a_token_of_the_gateway_is_believed_and_nothing_else_of_it_is_echoed() {
    let crm = Crm::start().await;
    let answer = crm
        .as_alice("GET", "/whoami", &["crm.deals.read"])
        .header("X-Request-ID", "0198f3a0-0000-7000-8000-000000000001")
        .header("X-Two", "a")
        .header("X-Two", "b")
        .header("Cookie", "session=1")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let me: Value = answer.json().await.unwrap();
    assert_eq!(
        me,
        json!({"user": "alice", "tenant": TENANT, "issuer": ISSUER, "permissions": ["crm.deals.read"],
               "headers": {"x-request-id": "0198f3a0-0000-7000-8000-000000000001", "x-two": "a, b"},
               "authorizationSeen": false, "cookieSeen": true})
    );
}

#[tokio::test]
async fn every_other_token_is_refused_alike() {
    let crm = Crm::start().await;
    let change = |change: fn(&mut Value)| {
        let mut claims = claims(ISSUER, &[]);
        change(&mut claims);
        crm.signer.sign(&crm.signer.header(), &claims)
    };
    let good = crm.signer.token(ISSUER, &[]);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = message.split_once('.').unwrap();
    let other_claims = crm.signer.token(ISSUER, &["*"]);
    let swapped = format!("{header}.{}.{signature}", other_claims.split('.').nth(1).unwrap());
    let stranger = Signer::new("first").token(ISSUER, &[]);
    let with_header = |header: Value| crm.signer.sign(&header, &claims(ISSUER, &[]));

    let refused = [
        ("", "empty"),
        ("a.b.c", "not a token"),
        (message, "no signature"),
        (&format!("{message}."), "an empty signature"),
        (&format!("{message}.AAAA"), "a short signature"),
        (&swapped, "the claims of another token"),
        (&stranger, "signed with another key under the same id"),
        (&with_header(json!({"alg": "none", "kid": "first"})), "alg none"),
        (&with_header(json!({"alg": "HS256", "kid": "first"})), "alg HS256"),
        (&with_header(json!({"alg": "ES384", "kid": "first"})), "alg ES384"),
        (&with_header(json!({"alg": "ES256"})), "no key id"),
        (&with_header(json!({"alg": "ES256", "kid": "first", "crit": ["b64"]})), "a critical extension"),
        (&change(|c| c["aud"] = json!("platform-kernel")), "a user's access token"),
        (&change(|c| c["aud"] = json!("@example/shop")), "another module's token"),
        (&change(|c| c["tenantId"] = json!("acme")), "a tenant that is no id"),
        (&change(|c| c["iss"] = json!("localhost")), "an issuer that is no address"),
        (&change(|c| drop(c.as_object_mut().unwrap().remove("exp"))), "no end"),
        (&change(|c| drop(c.as_object_mut().unwrap().remove("tenantId"))), "no tenant"),
        (&change(|c| c["exp"] = json!(c["iat"].as_u64().unwrap() + 86_400)), "a day long"),
        (
            &change(|c| {
                c["iat"] = json!(c["iat"].as_u64().unwrap() - 100);
                c["exp"] = json!(c["exp"].as_u64().unwrap() - 100)
            }),
            "over",
        ),
        (
            &change(|c| {
                c["iat"] = json!(c["iat"].as_u64().unwrap() + 60);
                c["exp"] = json!(c["exp"].as_u64().unwrap() + 60)
            }),
            "not begun",
        ),
        (&"a".repeat(9_000), "too long"),
    ];
    for (token, why) in refused {
        assert_eq!(as_str(&crm.try_token(token).await), UNAUTHORIZED, "{why}");
    }
    assert_eq!(crm.try_token(&good).await.0, 200, "while the good one is good");
}

#[tokio::test]
async fn a_request_with_no_token_or_with_two_is_refused_whatever_else_it_brings() {
    let crm = Crm::start().await;
    let token = crm.signer.token(ISSUER, &["*"]);
    let bearer = crm.request("GET", "/whoami").header("Authorization", format!("Bearer {token}"));
    assert_eq!(as_str(&outcome(bearer.send().await.unwrap()).await), UNAUTHORIZED);
    let twice = crm.as_alice("GET", "/whoami", &[]).header("X-Kernel-Module-Token", token);
    assert_eq!(as_str(&outcome(twice.send().await.unwrap()).await), UNAUTHORIZED);
    for (method, path) in [
        ("GET", "/reports/pipeline"),
        ("POST", "/deals/x/win"),
        ("GET", "/slow"),
        ("GET", "/stream"),
        ("GET", "/ws"),
    ] {
        let answer = crm.request(method, path).send().await.unwrap();
        assert_eq!(as_str(&outcome(answer).await), UNAUTHORIZED, "{path}");
    }
    assert_eq!(crm.request("GET", "/health").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn each_sandbox_is_asked_for_its_own_keys_once() {
    let crm = Crm::start().await;
    let acme = Signer::new("first");
    crm.kernel.knows("acme.localhost:8080", &[&acme]);
    for _ in 0..3 {
        assert_eq!(crm.try_token(&acme.token("http://acme.localhost:8080", &[])).await.0, 200);
        assert_eq!(crm.try_token(&crm.signer.token(ISSUER, &[])).await.0, 200);
    }
    assert_eq!(crm.kernel.keys_asked_of(), ["acme.localhost:8080", HOST]);

    let crossed = crm.try_token(&acme.token(ISSUER, &[])).await;
    assert_eq!(as_str(&crossed), UNAUTHORIZED, "a key of one sandbox is noise in another");
    let elsewhere = crm.try_token(&acme.token("http://nowhere.localhost:8080", &[])).await;
    assert_eq!(as_str(&elsewhere), UNAUTHORIZED, "and an unknown sandbox is none");
}

#[tokio::test]
async fn unknown_keys_cause_one_question_in_five_seconds() {
    let crm = Crm::start().await;
    assert_eq!(crm.try_token(&crm.signer.token(ISSUER, &[])).await.0, 200);
    let rotated = Signer::new("second");
    crm.kernel.knows(HOST, &[&rotated]);
    for _ in 0..20 {
        assert_eq!(as_str(&crm.try_token(&rotated.token(ISSUER, &[])).await), UNAUTHORIZED);
    }
    assert_eq!(crm.kernel.keys_asked_of().len(), 1);
    assert_eq!(crm.try_token(&crm.signer.token(ISSUER, &[])).await.0, 200, "the known key still serves");
}

#[tokio::test]
async fn many_requests_at_once_ask_for_the_keys_once() {
    let crm = Crm::start().await;
    let token = crm.signer.token(ISSUER, &[]);
    let all = futures::future::join_all((0..32).map(|_| crm.try_token(&token))).await;
    assert!(all.iter().all(|(status, _)| *status == 200), "{all:?}");
    assert_eq!(crm.kernel.keys_asked_of(), [HOST]);
}

#[tokio::test]
async fn keys_that_cannot_be_read_are_the_kernels_fault_and_not_the_tokens() {
    let crm = Crm::start().await;
    crm.kernel.script.lock().unwrap().jwks_fault = Some(http::StatusCode::SERVICE_UNAVAILABLE);
    let token = crm.signer.token(ISSUER, &[]);
    for _ in 0..2 {
        let answer =
            crm.request("GET", "/whoami").header("X-Kernel-Module-Token", &token).send().await.unwrap();
        assert!(answer.headers().contains_key("retry-after"));
        assert_eq!(as_str(&outcome(answer).await), (503, "dependency-unavailable"));
    }
    assert_eq!(crm.kernel.keys_asked_of().len(), 1);
}

#[tokio::test]
async fn only_the_named_issuers_are_taken_when_some_are_named() {
    let crm = Crm::start_with(|options| options.only_issuers(["http://acme.localhost:8080"])).await;
    assert_eq!(as_str(&crm.try_token(&crm.signer.token(ISSUER, &[])).await), UNAUTHORIZED);
    assert!(crm.kernel.keys_asked_of().is_empty(), "nobody is asked about the others");
}

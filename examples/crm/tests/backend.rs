//! What the back-end does for a caller it believes.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use support::{COMPANY, Crm, DEAL, EVENT, HOST, ISSUER, TENANT, deal, outcome, problem};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

fn page(rows: Value, cursor: Option<&str>) -> Value {
    json!({"data": rows, "meta": {"cursor": cursor, "hasMore": cursor.is_some()}})
}

fn published() -> Value {
    json!({"eventId": EVENT, "topic": "platform.crm.events", "status": "queued"})
}

#[tokio::test]
async fn the_pipeline_is_summed_over_all_pages_with_the_callers_token() {
    let crm = Crm::start().await;
    let row = |stage, amount, currency| json!({"stage": stage, "amount": amount, "currency": currency});
    crm.kernel
        .will_answer(200, page(json!([row("won", 100, "EUR"), row("lead", 1, "EUR")]), Some("a+b/c=&d")));
    crm.kernel.will_answer(200, page(json!([row("lead", 2, "EUR"), row("lead", 3, "USD")]), None));

    let token = crm.signer.token(ISSUER, &["crm.reports.read"]);
    let request = crm.request("GET", "/reports/pipeline").header("X-Kernel-Module-Token", &token);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let answer = request.header("traceparent", trace).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.json::<Value>().await.unwrap(),
        json!({"complete": true, "stages": [
            {"stage": "lead", "currency": "EUR", "deals": 2, "amount": 3},
            {"stage": "lead", "currency": "USD", "deals": 1, "amount": 3},
            {"stage": "won", "currency": "EUR", "deals": 1, "amount": 100},
        ]})
    );

    let asked = crm.kernel.asked();
    let paths: Vec<&str> = asked.iter().map(|asked| asked.path.as_str()).collect();
    let first = "/api/v1/data/crm/deals?select=stage%2Camount%2Ccurrency&limit=100";
    assert_eq!(paths, [first, &format!("{first}&cursor=a%2Bb%2Fc%3D%26d")]);
    for asked in asked {
        assert_eq!(asked.header("authorization"), format!("Bearer {token}"));
        assert_eq!((asked.header("host"), asked.header("traceparent")), (HOST, trace));
        assert_eq!(asked.header("x-kernel-module-token"), "");
    }
}

#[tokio::test]
async fn a_report_takes_its_permission_also_behind_the_gateway() {
    let crm = Crm::start().await;
    let answer = crm.as_alice("GET", "/reports/pipeline", &["crm.deals.read"]).send().await.unwrap();
    assert_eq!(outcome(answer).await, (403, "forbidden".to_owned()));
    let answer =
        crm.as_alice("POST", &format!("/deals/{DEAL}/win"), &["crm.deals.read"]).send().await.unwrap();
    assert_eq!(outcome(answer).await, (403, "forbidden".to_owned()));
    assert!(crm.kernel.asked().is_empty());
}

#[tokio::test]
async fn a_deal_is_won_and_the_event_told_with_the_users_token() {
    let crm = Crm::start().await;
    crm.kernel.will_answer(200, deal("proposal"));
    crm.kernel.will_answer(200, deal("won"));
    crm.kernel.will_answer(202, published());

    let answer = crm.as_alice("POST", &format!("/deals/{DEAL}/win"), &["crm.*"]).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let won: Value = answer.json().await.unwrap();
    assert_eq!((&won["eventId"], &won["deal"]["stage"]), (&json!(EVENT), &json!("won")));

    let [read, change, publish] = crm.kernel.asked().try_into().unwrap();
    assert!(read.path.starts_with(&format!("/api/v1/data/crm/deals/{DEAL}?select=id,")), "{}", read.path);
    assert_eq!((change.method.as_str(), &change.body), ("PATCH", &json!({"stage": "won"})));
    assert_eq!(change.header("if-match"), "\"7\"");
    assert_eq!((publish.method.as_str(), publish.path.as_str()), ("POST", "/api/v1/events/publish"));
    assert_eq!(
        publish.body,
        json!({"type": "crm.deal.won", "key": DEAL, "data":
            {"dealId": DEAL, "companyId": COMPANY, "reference": "D-1", "amount": 5000, "currency": "EUR"}})
    );
    assert!(publish.header("authorization").starts_with("Bearer ey"));
}

#[tokio::test]
async fn winning_again_changes_nothing_and_publishes_under_the_same_idempotency_key() {
    let crm = Crm::start().await;
    for _ in 0..2 {
        crm.kernel.will_answer(200, deal("won"));
        crm.kernel.will_answer(202, published());
        let answer = crm.as_alice("POST", &format!("/deals/{DEAL}/win"), &["*"]).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    let asked = crm.kernel.asked();
    let methods: Vec<&str> = asked.iter().map(|asked| asked.method.as_str()).collect();
    assert_eq!(methods, ["GET", "POST", "GET", "POST"]);
    let key = asked[1].header("idempotency-key");
    assert!(key.len() == 36 && key == asked[3].header("idempotency-key"), "{key}");
}

#[tokio::test]
async fn a_module_key_publishes_for_its_own_tenant_only() {
    for (tenant, bearer) in
        [(TENANT, "Bearer pk_crm_1"), ("00000000-0000-7000-0000-000000000009", "Bearer ey")]
    {
        let crm = Crm::start_with(Crm::with_keys(&format!("{tenant}@{HOST}=pk_crm_1"))).await;
        crm.kernel.will_answer(200, deal("won"));
        crm.kernel.will_answer(202, published());
        crm.as_alice("POST", &format!("/deals/{DEAL}/win"), &["*"]).send().await.unwrap();
        let [read, publish] = crm.kernel.asked().try_into().unwrap();
        assert!(read.header("authorization").starts_with("Bearer ey"), "records are read as the user");
        assert!(publish.header("authorization").starts_with(bearer), "{tenant}");
    }
}

#[tokio::test]
async fn what_the_kernel_refuses_reaches_the_caller_in_the_kernels_words() {
    let crm = Crm::start().await;
    let win = || crm.as_alice("POST", &format!("/deals/{DEAL}/win"), &["*"]).send();
    assert_eq!(outcome(win().await.unwrap()).await, (404, "not-found".to_owned()), "an unknown deal");

    crm.kernel.will_answer(200, deal("lost"));
    assert_eq!(outcome(win().await.unwrap()).await, (409, "invalid-state".to_owned()), "a lost one");

    crm.kernel.will_answer(200, deal("lead"));
    crm.kernel.will_answer(412, problem("precondition-failed", 412, "Stale."));
    assert_eq!(outcome(win().await.unwrap()).await, (409, "conflict".to_owned()), "changed meanwhile");

    crm.kernel.will_answer(200, deal("won"));
    crm.kernel.will_answer(403, problem("event-not-declared", 403, "Declare it."));
    assert_eq!(outcome(win().await.unwrap()).await, (403, "event-not-declared".to_owned()));

    crm.kernel.will_answer(401, problem("unauthorized", 401, "No."));
    assert_eq!(
        outcome(win().await.unwrap()).await,
        (502, "upstream-failed".to_owned()),
        "the user stays signed in"
    );

    crm.kernel.will_answer(500, problem("internal", 500, "Oh."));
    assert_eq!(outcome(win().await.unwrap()).await, (502, "upstream-failed".to_owned()));

    crm.kernel.will_answer(200, json!({"stage": "imagined"}));
    assert_eq!(outcome(win().await.unwrap()).await, (502, "upstream-failed".to_owned()));

    let other = crm.as_alice("POST", "/deals/not-an-id/win", &["*"]).send().await.unwrap();
    assert_eq!(outcome(other).await, (404, "not-found".to_owned()));
    for (method, path) in [("GET", "/nothing"), ("DELETE", "/whoami")] {
        let answer = crm.as_alice(method, path, &["*"]).send().await.unwrap();
        assert_eq!(outcome(answer).await, (404, "not-found".to_owned()), "{method} {path}");
    }
}

#[tokio::test]
async fn streams_arrive_line_by_line_and_are_bounded() {
    let crm = Crm::start().await;
    let answer = crm.as_alice("GET", "/stream?chunks=3&everyMs=1", &[]).send().await.unwrap();
    assert_eq!(answer.headers()["transfer-encoding"], "chunked");
    assert_eq!(
        answer.text().await.unwrap(),
        "{\"line\":1,\"of\":3}\n{\"line\":2,\"of\":3}\n{\"line\":3,\"of\":3}\n"
    );
    let began = std::time::Instant::now();
    let answer = crm.as_alice("GET", "/slow?ms=300", &[]).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap().lines().count(), 2);
    assert!(began.elapsed() >= std::time::Duration::from_millis(300));
    for path in [
        "/slow?ms=60001",
        "/slow?ms=-1",
        "/slow?seconds=1",
        "/stream?chunks=0",
        "/stream?chunks=1001",
        "/stream?chunks=1000&everyMs=61",
    ] {
        let answer = crm.as_alice("GET", path, &[]).send().await.unwrap();
        assert_eq!(outcome(answer).await, (400, "validation-error".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn the_websocket_echoes_and_says_goodbye_when_the_back_end_stops() {
    let mut crm = Crm::start().await;
    let mut request = format!("ws://{}/ws", crm.address).into_client_request().unwrap();
    let token = crm.signer.token(ISSUER, &[]);
    request.headers_mut().insert("x-kernel-module-token", token.parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    for message in [Message::text("hello"), Message::binary(vec![1, 2, 3])] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    crm.stop();
    match socket.next().await {
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(frame.code, CloseCode::Away),
        other => panic!("expected a close frame, got {other:?}"),
    }
    crm.running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_websocket_takes_a_token_like_everything_else() {
    let crm = Crm::start().await;
    let request = format!("ws://{}/ws", crm.address).into_client_request().unwrap();
    match tokio_tungstenite::connect_async(request).await {
        Err(Error::Http(answer)) => assert_eq!(answer.status(), 401),
        other => panic!("expected 401, got {other:?}"),
    }
}

#[tokio::test]
async fn a_stop_lets_the_answer_under_way_finish() {
    let mut crm = Crm::start().await;
    let answer = crm.as_alice("GET", "/slow?ms=500", &[]).send().await.unwrap();
    crm.stop();
    assert_eq!(answer.text().await.unwrap().lines().count(), 2);
    crm.running.await.unwrap().unwrap();
    let late = reqwest::get(format!("http://{}/health", crm.address)).await;
    assert!(late.is_err(), "and nothing new is taken");
}

#[tokio::test]
async fn options_that_do_not_hold_are_refused_with_a_sentence() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = listener.local_addr().unwrap();
    let said = crm_example::serve(crm_example::Options::new(taken, "http://127.0.0.1:1")).await.unwrap_err();
    assert!(said.to_string().contains(&taken.to_string()), "{said}");
    let said =
        crm_example::serve(crm_example::Options::new(listener, "https://127.0.0.1:1")).await.unwrap_err();
    assert!(said.to_string().contains("http://"), "{said}");
}

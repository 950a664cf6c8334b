//! Live data over the websocket.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use testkit::{Api, DEMO_MEMBER, DEMO_OWNER, DEMO_PASSWORD, Kernel};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use crate::support::{advance, eventually, send, user_id};

/// A client of the websocket.
struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn open(kernel: &Kernel, host: &str) -> Self {
        let url = kernel.url().replacen("http", "ws", 1) + "/api/v1/ws";
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("host", host.parse().unwrap());
        let (socket, answer) = tokio_tungstenite::connect_async(request).await.unwrap();
        assert_eq!(answer.status(), 101);
        let mut socket = Self(socket);
        assert_eq!(socket.hear().await["type"], "auth_required");
        socket
    }

    /// Opened, and signed in as the caller.
    async fn of(kernel: &Kernel, api: &Api) -> Self {
        let mut socket = Self::open(kernel, "localhost").await;
        socket.say(json!({ "type": "auth", "token": api.token() })).await;
        let known = socket.hear().await;
        assert_eq!(known["type"], "auth_ok", "{known}");
        assert!(known["connId"].is_string() && known["tenantId"].is_string());
        socket
    }

    async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn next(&mut self) -> Message {
        let next = timeout(Duration::from_secs(90), self.0.next()).await.expect("a message within 90 s");
        next.expect("the socket is open").unwrap()
    }

    /// The next message. A client that waits long says that it is there, as clients do.
    async fn hear(&mut self) -> Value {
        let mut pings = 0;
        loop {
            let message = match timeout(Duration::from_secs(10), self.0.next()).await {
                Ok(message) => message.expect("the socket is open").unwrap(),
                Err(_) => {
                    pings += 1;
                    assert!(pings < 12, "no message within two minutes");
                    self.say(json!({ "type": "ping" })).await;
                    continue;
                }
            };
            match message {
                Message::Text(text) if pings > 0 && text.contains("\"pong\"") => pings -= 1,
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                other => panic!("not a message: {other:?}"),
            }
        }
    }

    async fn subscribe(&mut self, channels: &[&str]) -> Value {
        self.say(json!({ "type": "subscribe", "channels": channels })).await;
        let answer = self.hear().await;
        assert_eq!(answer["type"], "subscribed", "{answer}");
        answer
    }

    /// The code with which the kernel closes.
    async fn closed(&mut self) -> u16 {
        loop {
            if let Message::Close(frame) = self.next().await {
                return frame.expect("a reason").code.into();
            }
        }
    }
}

async fn with_crm(kernel: &Kernel, name: &str) -> Api {
    let (owner, _) = kernel.api().register(name).await;
    owner.post("/api/v1/modules/crm/install", json!({})).await.expect(200);
    owner
}

async fn contact(api: &Api, name: &str) -> String {
    let email = format!("{}@example.com", uuid::Uuid::now_v7().simple());
    let body = json!({ "first_name": name, "last_name": "L", "email": email });
    api.post("/api/v1/data/crm/contacts", body).await.expect(201).id()
}

#[tokio::test]
async fn a_socket_sees_a_record_of_another_request_and_nothing_of_another_tenant() {
    let kernel = Kernel::demo().await;
    let (acme, other) = (with_crm(&kernel, "Acme").await, with_crm(&kernel, "Other").await);
    let mut socket = Socket::of(&kernel, &acme).await;
    let subscribed = socket.subscribe(&["data.crm.contacts", "events", "data.crm.nothing", "shout"]).await;
    assert_eq!(subscribed["channels"], json!(["data.crm.contacts", "events"]));
    let codes: Vec<&Value> =
        subscribed["refused"].as_array().unwrap().iter().map(|refused| &refused["code"]).collect();
    assert_eq!(codes, ["not-found", "validation-error"]);

    contact(&other, "Theirs").await;
    let id = contact(&acme, "Ada").await;
    acme.patch(&format!("/api/v1/data/crm/contacts/{id}"), json!({ "first_name": "Augusta" }))
        .await
        .expect(200);
    acme.delete(&format!("/api/v1/data/crm/contacts/{id}")).await.expect(204);
    contact(&other, "Theirs, too").await;
    let last = contact(&acme, "Last").await;

    let mut told = Vec::new();
    loop {
        let message = socket.hear().await;
        assert!(!message.to_string().contains("Theirs"), "{message}");
        if message["type"] == "data" {
            let done = message["id"] == json!(last);
            told.push((
                message["action"].as_str().unwrap().to_owned(),
                message["record"]["first_name"].as_str().unwrap().to_owned(),
                message["id"].clone(),
            ));
            if done {
                break;
            }
        } else {
            assert_eq!(message["type"], "event");
            assert_eq!(message["event"]["tenantId"], acme.get("/api/v1/auth/me").await.body["tenant"]["id"]);
        }
    }
    let of_ada: Vec<(&str, &str)> = told
        .iter()
        .filter(|(.., key)| *key == json!(id))
        .map(|(action, name, _)| (action.as_str(), name.as_str()))
        .collect();
    assert_eq!(of_ada, [("created", "Ada"), ("updated", "Augusta"), ("deleted", "Augusta")]);
    kernel.close().await;
}

#[tokio::test]
async fn who_does_not_say_who_they_are_is_sent_away() {
    let kernel = Kernel::demo().await;
    let (acme, registered) = kernel.api().register("Acme").await;
    let mut silent = Socket::open(&kernel, "localhost").await;
    let mut wrong = Socket::open(&kernel, "localhost").await;
    wrong.say(json!({ "type": "subscribe", "channels": ["events"] })).await;
    assert_eq!(wrong.hear().await["code"], "unauthorized");
    wrong.say(json!({ "type": "auth", "token": "nonsense" })).await;
    assert_eq!(wrong.hear().await["code"], "unauthorized");
    // A host of a tenant is that tenant's.
    let slug = registered["tenant"]["slug"].as_str().unwrap();
    let mut there = Socket::open(&kernel, &format!("{slug}.default.localhost")).await;
    let elsewhere = kernel.api().sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    there.say(json!({ "type": "auth", "token": elsewhere.token() })).await;
    assert_eq!(there.hear().await["code"], "not-found");
    there.say(json!({ "type": "auth", "token": acme.token() })).await;
    assert_eq!(there.hear().await["type"], "auth_ok");
    // A token is one caller's to the end.
    there.say(json!({ "type": "auth", "token": elsewhere.token() })).await;
    assert_eq!(there.hear().await["code"], "not-found");
    let mut one = Socket::of(&kernel, &acme).await;
    one.say(json!({ "type": "auth", "token": elsewhere.token() })).await;
    assert_eq!(one.closed().await, 4401);
    assert_eq!(silent.closed().await, 4401);
    assert_eq!(wrong.closed().await, 4401);
    kernel.api().get("/api/v1/ws").await.expect_problem(400, "validation-error");
    kernel.close().await;
}

#[tokio::test]
async fn only_short_json_text_is_taken_and_silence_ends() {
    let kernel = Kernel::demo().await;
    let (acme, _) = kernel.api().register("Acme").await;
    let mut idle = Socket::of(&kernel, &acme).await;
    let mut socket = Socket::of(&kernel, &acme).await;
    socket.say(json!({ "type": "ping" })).await;
    assert_eq!(socket.hear().await, json!({ "type": "pong" }));
    for bad in [json!({ "type": "shout" }), json!({ "type": "ping", "x": 1 }), json!([1])] {
        socket.say(bad).await;
        assert_eq!(socket.hear().await["code"], "validation-error");
    }
    let channels: Vec<String> = (0..60).map(|n| format!("data.crm.m{n}")).collect();
    let refused = socket.subscribe(&channels.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(refused["refused"].as_array().unwrap().len(), 60);
    socket.0.send(Message::binary(vec![1])).await.unwrap();
    assert_eq!(socket.closed().await, 1003);
    let mut long = Socket::of(&kernel, &acme).await;
    long.say(json!({ "type": "auth", "token": "x".repeat(5_000) })).await;
    assert_eq!(long.closed().await, 1009);
    let mut loud = Socket::of(&kernel, &acme).await;
    for _ in 0..101 {
        loud.say(json!({ "type": "ping" })).await;
    }
    assert_eq!(loud.closed().await, 1008);
    assert_eq!(idle.closed().await, 4408);
    kernel.close().await;
}

#[tokio::test]
async fn a_drop_misses_nothing_and_a_token_that_ends_is_asked_for_again() {
    let kernel = Kernel::demo().await;
    let acme = with_crm(&kernel, "Acme").await;
    let (_, email) =
        (0, acme.get("/api/v1/auth/me").await.expect(200).body["user"]["email"].as_str().unwrap().to_owned());
    let mut socket = Socket::of(&kernel, &acme).await;
    socket.subscribe(&["data.crm.contacts"]).await;
    contact(&acme, "First").await;
    let first = socket.hear().await;
    drop(socket);
    let missed = contact(&acme, "Missed").await;
    let mut socket = Socket::of(&kernel, &acme).await;
    socket.say(json!({ "type": "subscribe", "channels": ["data.crm.contacts"], "lastEventId": first["eventId"] })).await;
    assert_eq!(socket.hear().await["resumed"], true);
    assert_eq!(socket.hear().await["id"], json!(missed));
    let mut lost = Socket::of(&kernel, &acme).await;
    lost.say(json!({ "type": "subscribe", "channels": ["data.crm.contacts"], "lastEventId": "nonsense" }))
        .await;
    assert_eq!(lost.hear().await["resumed"], false);

    advance(&kernel, 16 * 60).await;
    let fresh = acme.sign_in(&email, "correct horse battery").await;
    let meanwhile = contact(&fresh, "Meanwhile").await;
    assert_eq!(socket.hear().await["type"], "auth_required");
    socket.say(json!({ "type": "auth", "token": fresh.token() })).await;
    assert_eq!(socket.hear().await["type"], "auth_ok");
    let message = socket.hear().await;
    assert_eq!((&message["id"], &message["record"]["first_name"]), (&json!(meanwhile), &json!("Meanwhile")));
    kernel.close().await;
}

#[tokio::test]
async fn a_right_that_was_lost_ends_a_channel_at_once() {
    let kernel = Kernel::demo().await;
    let owner = kernel.api().sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    let viewer = kernel.api().sign_in(DEMO_MEMBER, DEMO_PASSWORD).await;
    let mut socket = Socket::of(&kernel, &viewer).await;
    socket.subscribe(&["data.crm.contacts"]).await;
    contact(&owner, "Seen").await;
    assert_eq!(socket.hear().await["record"]["first_name"], "Seen");
    let nothing =
        owner.post("/api/v1/roles", json!({ "name": "Nothing", "permissions": [] })).await.expect(201).id();
    let id = user_id(&viewer).await;
    owner.post(&format!("/api/v1/users/{id}/roles"), json!({ "roleIds": [nothing] })).await.expect(200);
    contact(&owner, "Hidden").await;
    let told = socket.hear().await;
    assert_eq!(
        (&told["type"], &told["channels"], &told["reason"]),
        (&json!("unsubscribed"), &json!(["data.crm.contacts"]), &json!("forbidden"))
    );
    let refused = socket.subscribe(&["data.crm.contacts", "events"]).await;
    assert_eq!(refused["channels"], json!([]));
    kernel.close().await;
}

#[tokio::test]
async fn a_message_for_somebody_reaches_their_sockets_alone() {
    let kernel = Kernel::demo().await;
    let owner = kernel.api().sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    let viewer = kernel.api().sign_in(DEMO_MEMBER, DEMO_PASSWORD).await;
    let (mut mine, mut theirs) = (Socket::of(&kernel, &owner).await, Socket::of(&kernel, &viewer).await);
    mine.subscribe(&["notifications"]).await;
    theirs.subscribe(&["notifications"]).await;
    let wish = |subject: &str, user: &str| json!({ "channel": "in_app", "recipient": { "userId": user }, "subject": subject, "body": "b" });
    let id = send(&owner, wish("For the viewer", &user_id(&viewer).await)).await;
    let told = theirs.hear().await;
    assert_eq!(
        (&told["type"], &told["action"], &told["notification"]["subject"], &told["unread"]),
        (&json!("notification"), &json!("created"), &json!("For the viewer"), &json!(1))
    );
    viewer.post(&format!("/api/v1/inbox/{id}/read"), json!({})).await.expect(200);
    let told = theirs.hear().await;
    assert_eq!((&told["action"], &told["id"], &told["unread"]), (&json!("read"), &json!(id), &json!(0)));
    send(&owner, wish("For the owner", &user_id(&owner).await)).await;
    assert_eq!(mine.hear().await["notification"]["subject"], "For the owner");
    kernel.close().await;
}

#[tokio::test]
async fn open_sockets_keep_a_sandbox_awake_and_end_when_it_is_closed() {
    let kernel = Kernel::demo().await;
    let (acme, _) = kernel.api().register("Acme").await;
    let mut socket = Socket::of(&kernel, &acme).await;
    let cell = kernel.cell("default").await;
    assert_eq!(cell.gateway().open_streams(), 1);
    let closing = tokio::spawn({
        let cell = cell.clone();
        async move { cell.gateway().drain().await }
    });
    assert_eq!(socket.closed().await, 1012);
    closing.await.unwrap();
    eventually("the stream is over", async || (cell.gateway().open_streams() == 0).then_some(())).await;
    kernel.close().await;
}

#[tokio::test]
async fn a_closed_tenant_hears_nothing_more() {
    let kernel = Kernel::demo().await;
    let acme = with_crm(&kernel, "Acme").await;
    let mut socket = Socket::of(&kernel, &acme).await;
    socket.subscribe(&["data.crm.contacts"]).await;
    let mut admin = kernel.admin_sql("pk_default").await;
    let close = "update billing.subscription set state = 'terminated', past_due_since = kernel.now(), ended_at = kernel.now()
                 where state = 'trialing'";
    sqlx::raw_sql(close).execute(&mut admin).await.unwrap();
    // Nobody told the socket; it finds out by itself within some seconds.
    let code: u16 = loop {
        socket.say(json!({ "type": "subscribe", "channels": ["data.crm.contacts"] })).await;
        match socket.next().await {
            Message::Close(frame) => break frame.expect("a reason").code.into(),
            _ => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    };
    assert_eq!(code, 4402);
    let mut again = Socket::open(&kernel, "localhost").await;
    again.say(json!({ "type": "auth", "token": acme.token() })).await;
    assert_eq!(again.hear().await["code"], "subscription-terminated");
    kernel.close().await;
}

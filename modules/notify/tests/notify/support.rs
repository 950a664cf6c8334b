//! What the tests have in common.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testkit::{Api, Kernel};

/// Waits until a condition holds; the test fails when it does not in time.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let give_up = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < give_up, "{what}: not within 30 s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The newest mail to an address that the caller can read in the outbox, whole.
pub async fn mail_to(api: &Api, address: &str) -> Value {
    let list = format!("/api/v1/sandbox/outbox?to={address}");
    let id = eventually(&format!("a mail to {address}"), async || {
        api.get(&list).await.expect(200).data().first().map(|mail| mail["id"].as_str().unwrap().to_owned())
    })
    .await;
    api.get(&format!("/api/v1/sandbox/outbox/{id}")).await.expect(200).body
}

/// The token in a mail's link.
pub fn token_in(mail: &Value) -> String {
    let text = mail["text"].as_str().unwrap();
    let link =
        text.lines().find(|line| line.starts_with("http")).unwrap_or_else(|| panic!("no link in {text}"));
    link.split_once("#token=").unwrap_or_else(|| panic!("no token in {link}")).1.to_owned()
}

/// Waits until a notification has come to a state; answers it with its attempts.
pub async fn settled(api: &Api, id: &str, status: &str) -> Value {
    eventually(&format!("{id} {status}"), async || {
        let body = api.get(&format!("/api/v1/notifications/{id}")).await.expect(200).body;
        (body["status"] == status).then_some(body)
    })
    .await
}

/// Sends a notification; answers its id.
pub async fn send(api: &Api, body: Value) -> String {
    let sent = api.post("/api/v1/notifications", body).await.expect(202);
    sent.body["notificationId"].as_str().unwrap().to_owned()
}

/// A mail to an address.
pub fn mail(address: &str, subject: &str) -> Value {
    json!({ "channel": "email", "recipient": { "email": address }, "subject": subject, "body": "Hello.\n\nGoodbye." })
}

/// Who the caller is.
pub async fn user_id(api: &Api) -> String {
    api.get("/api/v1/auth/me").await.expect(200).body["user"]["id"].as_str().unwrap().to_owned()
}

/// The types of a tenant's events in a topic.
pub async fn events(api: &Api, topic: &str) -> Vec<Value> {
    let path = format!("/api/v1/events/topics/platform.{topic}.events/messages?limit=100&from=beginning");
    api.get(&path).await.expect(200).data().clone()
}

/// Waits for an event of a type.
pub async fn event(api: &Api, topic: &str, kind: &str) -> Value {
    eventually(kind, async || events(api, topic).await.into_iter().find(|event| event["type"] == kind)).await
}

/// Moves the default sandbox's clock forward, as the running cell sees it.
pub async fn advance(kernel: &Kernel, seconds: i64) {
    let mut owner = kernel.admin_sql("pk_default").await;
    let moved = "update kernel.clock set offset_micros = offset_micros + $1 returning offset_micros";
    let offset_micros: i64 =
        sqlx::query_scalar(moved).bind(seconds * 1_000_000).fetch_one(&mut owner).await.unwrap();
    let clock = kernel.cell("default").await.clock().clone();
    clock.adjust(kernel::ClockSetting { offset_micros, frozen_at: None });
}

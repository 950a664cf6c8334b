//! What is sent, where it comes to lie, and what becomes of it.

use kernel::Timestamp;
use serde_json::{Value, json};
use testkit::{Api, DEMO_ADMIN, DEMO_OWNER, DEMO_PASSWORD, Kernel};

use crate::support::{advance, event, events, eventually, mail, mail_to, send, settled, user_id};

async fn demo() -> (Kernel, Api) {
    let kernel = Kernel::demo().await;
    let owner = kernel.api().sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    (kernel, owner)
}

#[tokio::test]
async fn a_message_lies_in_its_inbox_once_and_is_read() {
    let (kernel, owner) = demo().await;
    let dev = kernel.api().sign_in(DEMO_ADMIN, DEMO_PASSWORD).await;
    let seeded = owner.get("/api/v1/inbox?unread=true").await.expect(200);
    assert_eq!(seeded.data().len(), 3, "the demo's inbox holds something to look at");
    let before = dev.get("/api/v1/inbox/unread-count").await.expect(200).body["unread"].as_i64().unwrap();

    let wish = json!({ "channel": "in_app", "recipient": { "userId": user_id(&dev).await }, "type": "crm.deals",
                       "subject": "A deal was won", "body": "Have a look.", "priority": "high", "meta": { "deal": 7 } });
    let key = ("idempotency-key", "0192f0c1-7a3e-7c55-9f3a-5b8f0c1d2e3f");
    let post = async || {
        owner
            .send(reqwest::Method::POST, "/api/v1/notifications", Some(wish.clone()), &[key])
            .await
            .expect(202)
    };
    let first = post().await;
    assert_eq!(first.body["status"], "queued");
    let id = first.body["notificationId"].as_str().unwrap().to_owned();
    assert_eq!(post().await.body, first.body, "the same request again is the same notification");
    let told = settled(&owner, &id, "delivered").await;
    assert_eq!(told["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(told["attempts"][0]["error"], Value::Null);

    let inbox = dev.get("/api/v1/inbox").await.expect(200);
    let mine: Vec<&Value> = inbox.data().iter().filter(|entry| entry["id"] == json!(id)).collect();
    assert_eq!(mine.len(), 1);
    assert_eq!(
        (&mine[0]["meta"], &mine[0]["type"], &mine[0]["readAt"]),
        (&json!({ "deal": 7 }), &json!("crm.deals"), &Value::Null)
    );
    let unread =
        async || dev.get("/api/v1/inbox/unread-count").await.expect(200).body["unread"].as_i64().unwrap();
    assert_eq!(unread().await, before + 1);
    // Another person's inbox is another person's, be they the Owner.
    owner.post(&format!("/api/v1/inbox/{id}/read"), json!({})).await.expect_problem(404, "not-found");
    let read = dev.post(&format!("/api/v1/inbox/{id}/read"), json!({})).await.expect(200);
    assert!(read.body["readAt"].is_string());
    assert_eq!(dev.post(&format!("/api/v1/inbox/{id}/read"), json!({})).await.expect(200).body, read.body);
    assert_eq!(unread().await, before);
    assert_eq!(
        dev.post("/api/v1/inbox/read-all", json!({})).await.expect(200).body,
        json!({ "read": before })
    );
    assert_eq!(unread().await, 0);

    event(&owner, "notify", "notify.inbox.read").await;
    let all = events(&owner, "notify").await;
    let of_it: Vec<&str> =
        all.iter().filter(|e| e["key"] == json!(id)).map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(of_it, ["notify.notification.queued", "notify.notification.delivered"]);
    assert!(
        !serde_json::to_string(&all).unwrap().contains("Have a look"),
        "events carry no words of a message"
    );
    kernel.close().await;
}

#[tokio::test]
async fn a_mail_without_a_server_lies_in_the_outbox() {
    let (kernel, owner) = demo().await;
    let id = send(&owner, mail("ada@example.com", "Your <order>")).await;
    settled(&owner, &id, "sent").await;
    let kept = mail_to(&owner, "ada@example.com").await;
    assert_eq!(
        (&kept["id"], &kept["status"], &kept["private"]),
        (&json!(id), &json!("captured"), &json!(false))
    );
    assert_eq!(kept["text"], "Hello.\n\nGoodbye.");
    assert!(kept["html"].as_str().unwrap().contains("<p>Hello.</p><p>Goodbye.</p>"));
    let (other, _) = kernel.api().register("Elsewhere").await;
    other.get(&format!("/api/v1/sandbox/outbox/{id}")).await.expect_problem(404, "not-found");
    other.get(&format!("/api/v1/notifications/{id}")).await.expect_problem(404, "not-found");
    other
        .post(&format!("/api/v1/notifications/{id}/retry"), json!({}))
        .await
        .expect_problem(404, "not-found");
    owner
        .post(&format!("/api/v1/notifications/{id}/retry"), json!({}))
        .await
        .expect_problem(409, "invalid-state");
    kernel.close().await;
}

#[tokio::test]
async fn bad_wishes_are_refused_with_the_field_and_nothing_is_sent() {
    let (kernel, owner) = demo().await;
    let (other, _) = kernel.api().register("Elsewhere").await;
    let stranger = user_id(&other).await;
    for (wish, field) in [
        (json!({ "channel": "sms", "recipient": { "phone": "+431" }, "body": "b" }), "/channel"),
        (json!({ "channel": "email", "recipient": {}, "subject": "s", "body": "b" }), "/recipient"),
        (
            json!({ "channel": "in_app", "recipient": { "userId": stranger }, "body": "b" }),
            "/recipient/userId",
        ),
        (
            json!({ "channel": "email", "recipient": { "email": "a@b.example" }, "subject": "a\nBcc: c@d.example", "body": "b" }),
            "/subject",
        ),
        (
            json!({ "channel": "email", "recipient": { "email": "a@b.example" }, "subject": "s", "body": "b", "priority": "urgent" }),
            "/priority",
        ),
        (
            json!({ "channel": "email", "recipient": { "email": "a@b.example" }, "subject": "s", "body": "b", "bcc": "x" }),
            "/bcc",
        ),
    ] {
        let refused =
            owner.post("/api/v1/notifications", wish.clone()).await.expect_problem(400, "validation-error");
        assert_eq!(refused.body["errors"][0]["field"], field, "{wish}: {}", refused.text);
    }
    // All or nobody.
    let batch = json!({ "notifications": [mail("a@b.example", "fine"), mail("nobody", "not fine")] });
    let refused =
        owner.post("/api/v1/notifications/batch", batch).await.expect_problem(400, "validation-error");
    assert_eq!(refused.body["errors"][0]["field"], "/notifications/1/recipient/email");
    let many: Vec<Value> = (0..101).map(|n| mail("a@b.example", &n.to_string())).collect();
    let refused = owner.post("/api/v1/notifications/batch", json!({ "notifications": many })).await;
    assert_eq!(refused.expect_problem(400, "validation-error").body["errors"][0]["field"], "/notifications");
    assert!(owner.get("/api/v1/notifications").await.expect(200).data().is_empty());

    let fine: Vec<Value> = (0..100).map(|n| mail("a@b.example", &n.to_string())).collect();
    let sent = owner.post("/api/v1/notifications/batch", json!({ "notifications": fine })).await.expect(202);
    assert_eq!(sent.body["notifications"].as_array().unwrap().len(), 100);
    let page = owner.get("/api/v1/notifications?channel=email&limit=60").await.expect(200);
    let next = page.body["meta"]["cursor"].as_str().unwrap();
    let rest =
        owner.get(&format!("/api/v1/notifications?channel=email&limit=60&cursor={next}")).await.expect(200);
    assert_eq!((page.data().len(), rest.data().len()), (60, 40));
    kernel.close().await;
}

#[tokio::test]
async fn what_a_person_does_not_want_is_not_sent_and_nights_are_quiet() {
    let (kernel, owner) = demo().await;
    let me = user_id(&owner).await;
    let path = "/api/v1/notifications/preferences";
    assert_eq!(owner.get(path).await.expect(200).body["version"], 0);
    // Quiet now, for an hour more.
    let minutes = Timestamp::real().unix_seconds() / 60 % 1440;
    let time = |minutes: i64| format!("{:02}:{:02}", minutes.rem_euclid(1440) / 60, minutes.rem_euclid(60));
    let quiet = json!({ "from": time(minutes - 60), "to": time(minutes + 60), "utcOffset": "+00:00" });
    let rules = json!([{ "type": "orders.*", "channel": "email", "enabled": false }]);
    let set = owner.patch(path, json!({ "rules": rules, "quietHours": quiet })).await.expect(200);
    assert_eq!((&set.body["version"], &set.body["quietHours"]["to"]), (&json!(1), &quiet["to"]));
    let bad = json!({ "rules": [{ "type": "A B", "enabled": true }], "quietHours": { "from": "25:00", "to": "07:00", "utcOffset": "CET" } });
    let refused = owner.patch(path, bad).await.expect_problem(400, "validation-error");
    assert_eq!(refused.body["errors"].as_array().unwrap().len(), 3, "{}", refused.text);
    let stale = owner
        .send(reqwest::Method::PATCH, path, Some(json!({ "rules": [] })), &[("if-match", "\"v0\"")])
        .await;
    stale.expect_problem(412, "precondition-failed");

    let wish = |kind: &str, priority: &str| {
        json!({ "channel": "email", "recipient": { "userId": me }, "type": kind,
        "subject": format!("{kind} {priority}"), "body": "b", "priority": priority })
    };
    let unwanted = owner.post("/api/v1/notifications", wish("orders.shipped", "critical")).await.expect(202);
    assert_eq!(unwanted.body["status"], "suppressed");
    let urgent = send(&owner, wish("alerts", "critical")).await;
    settled(&owner, &urgent, "sent").await;
    let later = send(&owner, wish("news", "high")).await;
    let waits = owner.get(&format!("/api/v1/notifications/{later}")).await.expect(200);
    assert_eq!(waits.body["status"], "queued");
    assert!(waits.body["dueAt"].as_str() > waits.body["createdAt"].as_str());
    advance(&kernel, 3601).await;
    let owner = kernel.api().sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    settled(&owner, &later, "sent").await;
    kernel.close().await;
}

#[tokio::test]
async fn the_urgent_goes_first() {
    let (kernel, owner) = demo().await;
    let me = user_id(&owner).await;
    let minutes = Timestamp::real().unix_seconds() / 60 % 1440;
    let time = |minutes: i64| format!("{:02}:{:02}", minutes.rem_euclid(1440) / 60, minutes.rem_euclid(60));
    let quiet = json!({ "from": time(minutes - 60), "to": time(minutes + 60), "utcOffset": "+00:00" });
    owner.patch("/api/v1/notifications/preferences", json!({ "quietHours": quiet })).await.expect(200);
    let wish = |priority: &str| json!({ "channel": "email", "recipient": { "userId": me }, "subject": priority, "body": "b", "priority": priority });
    let mut wishes: Vec<Value> = (0..60).map(|_| wish("low")).collect();
    wishes.push(wish("high"));
    owner.post("/api/v1/notifications/batch", json!({ "notifications": wishes })).await.expect(202);
    advance(&kernel, 3601).await;
    let owner = kernel.api().sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    eventually("all are sent", async || {
        let waiting = owner.get("/api/v1/notifications?status=queued&limit=1").await.expect(200);
        waiting.data().is_empty().then_some(())
    })
    .await;
    let mut sql = kernel.admin_sql("pk_default").await;
    let before: i64 = sqlx::query_scalar(
        "select count(*) from notify.notification l join notify.notification h on h.priority = 2
         where l.priority = 0 and l.settled_at < h.settled_at",
    )
    .fetch_one(&mut sql)
    .await
    .unwrap();
    assert!(before < 20, "{before} of 60 went before the one that was urgent");
    kernel.close().await;
}

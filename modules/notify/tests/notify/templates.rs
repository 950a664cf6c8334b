//! Words that are written once and sent often.

use serde_json::{Value, json};
use testkit::{DEMO_MEMBER, DEMO_OWNER, DEMO_PASSWORD, Kernel};

use crate::support::{mail_to, settled};

const PATH: &str = "/api/v1/notifications/templates";

#[tokio::test]
async fn a_template_is_written_previewed_changed_and_sent() {
    let kernel = Kernel::demo().await;
    let owner = kernel.api().sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    let words = json!({ "key": "orders.shipped", "channel": "email", "subject": "Order {{order.number}}",
                        "body": "Hello {{name}}, it is on its way.", "html": "<p>Hello {{name}}, <b>{{order.number}}</b> is on its way.</p>" });
    let made = owner.post(PATH, words.clone()).await.expect(201);
    assert_eq!((&made.body["version"], &made.body["locale"]), (&json!(1), &json!("en")));
    owner.post(PATH, words.clone()).await.expect_problem(409, "already-exists");
    let mut german = words.clone();
    german["locale"] = json!("de");
    german["subject"] = json!("Bestellung {{order.number}}");
    owner.post(PATH, german).await.expect(201);
    let one = format!("{PATH}/{}", made.id());

    let preview =
        owner.post(&format!("{one}/preview"), json!({ "variables": { "name": "<Ada>" } })).await.expect(200);
    assert_eq!(preview.body["missing"], json!(["order.number"]));
    assert_eq!(preview.body["html"], "<p>Hello &lt;Ada&gt;, <b></b> is on its way.</p>");
    assert_eq!(
        (&preview.body["subject"], &preview.body["text"]),
        (&json!("Order "), &json!("Hello <Ada>, it is on its way."))
    );

    let bad =
        owner.patch(&one, json!({ "body": "one\n{{two" })).await.expect_problem(400, "validation-error");
    assert_eq!(bad.body["errors"][0]["field"], "/body");
    assert!(bad.body["errors"][0]["message"].as_str().unwrap().contains("line 2"));
    let second = owner.patch(&one, json!({ "subject": "On its way: {{order.number}}" })).await.expect(200);
    assert_eq!(second.headers["etag"], "\"v2\"");
    let stale = owner
        .send(reqwest::Method::PATCH, &one, Some(json!({ "body": "x" })), &[("if-match", "\"v1\"")])
        .await;
    stale.expect_problem(412, "precondition-failed");
    let first = owner.get(&format!("{one}?version=1")).await.expect(200);
    assert_eq!(first.body["subject"], "Order {{order.number}}");
    let versions = owner.get(&format!("{one}/versions")).await.expect(200);
    assert_eq!(versions.data().iter().map(|v| v["version"].as_i64().unwrap()).collect::<Vec<_>>(), [2, 1]);

    let send = async |locale: &str, to: &str| {
        let wish = json!({ "template": "orders.shipped", "channel": "email", "recipient": { "email": to }, "locale": locale,
                           "variables": { "name": "Ada", "order": { "number": 42 } } });
        owner.post("/api/v1/notifications/send-template", wish).await.expect(202).body
    };
    let sent = send("fr", "fr@example.com").await;
    assert_eq!(sent["missing"], json!([]));
    settled(&owner, sent["notificationId"].as_str().unwrap(), "sent").await;
    let mail = mail_to(&owner, "fr@example.com").await;
    assert_eq!(
        (&mail["subject"], &mail["html"]),
        (&json!("On its way: 42"), &json!("<p>Hello Ada, <b>42</b> is on its way.</p>"))
    );
    send("de-CH", "de@example.com").await;
    assert_eq!(mail_to(&owner, "de@example.com").await["subject"], "Bestellung 42");
    let unknown =
        json!({ "template": "nothing", "channel": "email", "recipient": { "email": "a@b.example" } });
    let refused = owner
        .post("/api/v1/notifications/send-template", unknown)
        .await
        .expect_problem(400, "validation-error");
    assert_eq!(refused.body["errors"][0]["field"], "/template");

    let viewer = kernel.api().sign_in(DEMO_MEMBER, DEMO_PASSWORD).await;
    viewer.get(&one).await.expect(200);
    viewer.patch(&one, json!({ "subject": "mine" })).await.expect_problem(403, "forbidden");
    let (other, _) = kernel.api().register("Elsewhere").await;
    other.get(&one).await.expect_problem(404, "not-found");
    other.delete(&one).await.expect_problem(404, "not-found");
    owner.delete(&one).await.expect(204);
    owner.get(&one).await.expect_problem(404, "not-found");
    let trail = owner.get("/api/v1/audit/records?action=notification_template.&limit=100").await.expect(200);
    let actions: Vec<&Value> = trail.data().iter().map(|record| &record["action"]).collect();
    assert_eq!(actions.len(), 4, "{actions:?}");
    kernel.close().await;
}

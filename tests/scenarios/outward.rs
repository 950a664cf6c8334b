use serde_json::json;
use testkit::until;

use crate::stage::Stage;

/// What goes out: messages, events that a module tells, calls to others, feature flags.
pub async fn play(stage: &Stage) {
    let (owner, _) = stage.stranger().register("Loud And Clear").await;
    let template = json!({ "key": "orders.shipped", "channel": "email", "locale": "en", "subject": "Your order, {{name}}",
        "body": "Hello {{name}}, it was shipped." });
    let template = owner.post("/api/v1/notifications/templates", template).await.expect(201).id();
    let preview = json!({ "variables": { "name": "Ada" } });
    owner.post(&format!("/api/v1/notifications/templates/{template}/preview"), preview).await.expect(200);
    let send = json!({ "template": "orders.shipped", "channel": "email", "recipient": { "email": "ada@example.com" },
        "variables": { "name": "Ada" } });
    owner.post("/api/v1/notifications/send-template", send).await.expect(202);
    let aside = owner.aside();
    until("a message", async || {
        let mails = aside.get("/api/v1/sandbox/outbox?to=ada@example.com").await.expect(200);
        (mails.data().len() == 1).then_some(())
    })
    .await;
    owner.get("/api/v1/sandbox/outbox?to=ada@example.com").await.expect(200);
    owner.get("/api/v1/notifications/preferences").await.expect(200);

    let echo = json!({ "name": "Echo", "type": "custom", "baseUrl": "kernel://echo" });
    let echo = owner.post("/api/v1/integrations/providers", echo).await.expect(201).id();
    let call =
        json!({ "providerId": echo, "method": "POST", "path": "/hello", "body": { "hello": "world" } });
    let answer = owner.aside().post("/api/v1/integrations/call", call).await.expect(200);
    assert_eq!(answer.body["status"], 200, "{}", answer.text);
    owner.get("/api/v1/integrations/providers").await.expect(200);
    let bad = json!({ "name": "Inside", "type": "custom", "baseUrl": "http://169.254.169.254" });
    owner.post("/api/v1/integrations/providers", bad).await;

    let ask = json!({ "context": { "targetingKey": "ada" } });
    owner.post("/ofrep/v1/evaluate/flags/console-banner", ask.clone()).await.expect(200);
    owner.post("/ofrep/v1/evaluate/flags/no-such-flag", ask).await;
    owner.post("/api/v1/domains", json!({ "hostname": "app.customer.example" })).await;
    owner.get("/api/v1/domains").await.expect(200);

    let demo = stage.demo_owner().await;
    let pull = json!({ "types": ["crm.*"], "target": { "kind": "pull" }, "consumerGroup": "loud" });
    let subscription = demo.post("/api/v1/events/subscriptions", pull).await.expect(201).id();
    demo.post(
        "/api/v1/events/publish",
        json!({ "type": "crm.deal.won", "data": { "id": "d1" }, "key": "d1" }),
    )
    .await;
    demo.post("/api/v1/events/publish", json!({ "type": "no good type", "data": {} })).await.expect(400);
    demo.get("/api/v1/events/subscriptions").await.expect(200);
    demo.delete(&format!("/api/v1/events/subscriptions/{subscription}")).await.expect(204);
    demo.get("/api/v1/events/topics").await.expect(200);
    demo.get("/api/v1/audit/verify").await.expect(200);
}

use serde_json::json;
use testkit::{DEMO_ADMIN, DEMO_MEMBER, DEMO_PASSWORD, until};

use crate::stage::Stage;

const PASSWORD: &str = "tandem-gravel-42-owl";

/// People: made, given roles, blocked, signed out; keys; mails that show whose an address is.
pub async fn play(stage: &Stage) {
    let stranger = stage.stranger();
    let (owner, registered) = stranger.register("Granite Works").await;
    let email = registered["user"]["email"].as_str().unwrap().to_owned();
    owner.get("/api/v1/auth/me").await.expect(200);
    stranger
        .post("/api/v1/auth/login", json!({ "email": email, "password": "wrong-gravel-42-owl" }))
        .await
        .expect(401);
    stranger
        .post("/api/v1/auth/register", json!({ "email": "x", "password": "x", "name": "" }))
        .await
        .expect(400);

    // The mail comes by the outbox; asked for aside, because it takes its time.
    let aside = owner.aside();
    let mail = until("a mail", async || {
        let mails = aside.get("/api/v1/sandbox/outbox").await.expect(200);
        mails.data().iter().find(|mail| mail["template"] == "iam.verify-email").map(|mail| mail["id"].clone())
    })
    .await;
    let mail = owner.get(&format!("/api/v1/sandbox/outbox/{}", mail.as_str().unwrap())).await.expect(200);
    let text = mail.body["text"].as_str().unwrap();
    let link = text.split_whitespace().find(|word| word.contains("#token=")).unwrap();
    let token = link.split_once("#token=").unwrap().1;
    stranger.post("/api/v1/auth/verify-email", json!({ "token": token })).await.expect(200);
    stranger.post("/api/v1/auth/verify-email", json!({ "token": token })).await.expect(400);

    let grace = json!({ "email": "grace@granite.example", "name": "Grace", "password": PASSWORD });
    let id = owner.post("/api/v1/users", grace.clone()).await.expect(201).id();
    owner.post("/api/v1/users", grace).await.expect(409);
    let role = json!({ "name": "Reader", "permissions": ["users.list", "files.read"] });
    let role = owner.post("/api/v1/roles", role).await.expect(201).id();
    owner.post(&format!("/api/v1/users/{id}/roles"), json!({ "roleIds": [role] })).await.expect(200);
    stage.settle().await;
    let grace = stranger.sign_in("grace@granite.example", PASSWORD).await;
    grace.get("/api/v1/auth/me").await.expect(200);
    grace.get("/api/v1/users?limit=10").await.expect(200);
    grace.get("/api/v1/wallets").await.expect_problem(403, "forbidden");
    grace
        .post("/api/v1/roles", json!({ "name": "Mine", "permissions": ["*"] }))
        .await
        .expect_problem(403, "forbidden");
    owner.post(&format!("/api/v1/users/{id}/block"), json!({})).await.expect(200);
    stage.settle().await;
    grace.get("/api/v1/auth/me").await.expect_problem(401, "unauthorized");
    owner.post(&format!("/api/v1/users/{id}/unblock"), json!({})).await.expect(200);
    stage.settle().await;
    let grace = stranger.sign_in("grace@granite.example", PASSWORD).await;
    let change = json!({ "currentPassword": PASSWORD, "newPassword": "another-gravel-43-owl" });
    grace.post("/api/v1/auth/change-password", change).await.expect(200);
    stranger
        .post("/api/v1/auth/login", json!({ "email": "grace@granite.example", "password": PASSWORD }))
        .await
        .expect(401);
    grace.post("/api/v1/auth/logout", json!({})).await.expect(200);
    stage.settle().await;
    grace.get("/api/v1/auth/me").await.expect(401);

    let key = json!({ "name": "Nightly", "permissions": ["users.list"] });
    let key = owner.post("/api/v1/api-keys", key).await.expect(201);
    let text = key.body["key"].as_str().expect("the key, once").to_owned();
    let robot = stranger.with(&text);
    robot.get("/api/v1/users?limit=1").await.expect(200);
    robot.get("/api/v1/roles").await.expect_problem(403, "forbidden");
    owner.delete(&format!("/api/v1/api-keys/{}", key.id())).await.expect(204);
    stage.settle().await;
    robot.get("/api/v1/users?limit=1").await.expect(401);
    owner.delete(&format!("/api/v1/users/{id}")).await.expect(204);
    owner.get(&format!("/api/v1/users/{id}")).await;
    owner.get("/api/v1/roles").await.expect(200);
    owner.get("/api/v1/permissions").await.expect(200);

    for email in [DEMO_ADMIN, DEMO_MEMBER] {
        let person = stranger.sign_in(email, DEMO_PASSWORD).await;
        person.get("/api/v1/auth/me").await.expect(200);
        person.get("/api/v1/users?limit=3").await;
        person.get("/api/v1/audit/records?action=nothing.happened").await;
    }
}

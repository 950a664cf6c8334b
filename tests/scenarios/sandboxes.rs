use serde_json::json;
use testkit::{DEMO_OWNER, DEMO_PASSWORD};

use crate::{main_job::count, stage::Stage};

/// Sandboxes: made, marked, taken back, ended; and what they refuse.
pub async fn play(stage: &Stage) {
    let (operator, stranger) = (stage.operator(), stage.stranger());
    operator.post("/api/v1/sandboxes", json!({ "name": "spring", "template": "demo" })).await.expect(201);
    operator.post("/api/v1/sandboxes", json!({ "name": "spring", "template": "demo" })).await.expect(409);
    operator.post("/api/v1/sandboxes", json!({ "name": "No Name", "template": "demo" })).await.expect(400);
    operator.post("/api/v1/sandboxes", json!({ "name": "x", "template": "nothing" })).await.expect(400);
    stage.settle().await;
    let spring = stranger.sandbox("spring");
    let demo = spring.sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    operator.post("/api/v1/sandboxes/spring/snapshots", json!({ "label": "before" })).await.expect(201);
    stage.settle().await;
    demo.post("/api/v1/data/crm/companies", json!({ "name": "Later" })).await.expect(201);
    operator.post("/api/v1/sandboxes/spring/restore", json!({ "snapshot": "before" })).await.expect(200);
    stage.settle().await;
    let demo = spring.sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    assert_eq!(count(&demo, "/api/v1/data/crm/companies?name=eq.Later").await, 0);
    operator.get("/api/v1/sandboxes/spring/snapshots").await.expect(200);
    operator.post("/api/v1/sandboxes/spring/expire", json!({ "expiresInSeconds": 3600 })).await.expect(200);
    operator.get("/api/v1/sandboxes/spring").await.expect(200);
    demo.get("/api/v1/sandboxes").await.expect(403);
    operator.delete("/api/v1/sandboxes/spring").await.expect(204);
    operator.get("/api/v1/sandboxes/spring").await.expect(404);
    stage.settle().await;
    spring.get("/api/v1/auth/me").await.expect(404);
}

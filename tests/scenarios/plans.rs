use serde_json::json;

use crate::stage::Stage;

/// Plans: what a tenant has, what it may, and what happens when it does not pay.
pub async fn play(stage: &Stage) {
    let operator = stage.operator();
    operator.post("/api/v1/sandboxes/default/fork", json!({ "name": "winter" })).await.expect(201);
    stage.settle().await;
    let (owner, registered) = stage.stranger().sandbox("winter").register("Ice Works").await;
    let email = registered["user"]["email"].as_str().unwrap().to_owned();
    owner.get("/api/v1/billing/plans").await.expect(200);
    owner.get("/api/v1/billing/subscriptions/current").await.expect(200);
    owner.get("/api/v1/billing/usage").await;
    for n in 2..=26 {
        let person = json!({ "email": format!("p{n}@ice.example"), "name": format!("P {n}"), "password": "tandem-gravel-42-owl" });
        owner.post("/api/v1/users", person).await;
    }
    owner.post("/api/v1/billing/simulate", json!({ "event": "payment_failed" })).await;
    owner.get("/api/v1/billing/subscriptions/current").await.expect(200);
    let day = 86_400;
    operator
        .post("/api/v1/sandboxes/winter/clock", json!({ "mode": "advance", "seconds": 10 * day }))
        .await
        .expect(200);
    stage.settle().await;
    operator.get("/api/v1/sandboxes/winter/clock").await.expect(200);
    let owner = stage.stranger().sandbox("winter").sign_in(&email, "correct horse battery").await;
    owner.get("/api/v1/billing/subscriptions/current").await.expect(200);
    owner.get("/api/v1/billing/invoices").await.expect(200);
    operator.delete("/api/v1/sandboxes/winter").await.expect(204);
    stage.settle().await;
}

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Answer, Api};

use crate::stage::Stage;

/// A request with an Idempotency-Key of its own, or a given one.
async fn pay(api: &Api, path: &str, body: Value, key: Option<&str>) -> Answer {
    let fresh = uuid::Uuid::new_v4().to_string();
    api.send(Method::POST, path, Some(body), &[("idempotency-key", key.unwrap_or(&fresh))]).await
}

/// Money: wallets, transfers that count once, holds, reversals, and what can't be.
pub async fn play(stage: &Stage) {
    // Whoever moves money has shown whose address theirs is.
    let owner = stage.demo_owner().await;
    let wallet = async |label: &str| {
        let made =
            owner.post("/api/v1/wallets", json!({ "currency": "EUR", "label": label })).await.expect(201);
        made.id()
    };
    let (cash, trip) = (wallet("Cash").await, wallet("Travel").await);
    let at = |id: &str, act: &str| format!("/api/v1/wallets/{id}/{act}");
    let credit = json!({ "amount": 100_000, "description": "Opening" });
    owner.post(&at(&cash, "credit"), credit.clone()).await.expect(400);
    pay(&owner, &at(&cash, "credit"), credit, None).await.expect(201);
    let move_it = json!({ "from": cash, "to": trip, "amount": 2_500, "description": "Train" });
    let key = uuid::Uuid::new_v4().to_string();
    let first = pay(&owner, "/api/v1/transfers", move_it.clone(), Some(&key)).await.expect(201);
    let second = pay(&owner, "/api/v1/transfers", move_it.clone(), Some(&key)).await.expect(201);
    assert_eq!(first.body, second.body);
    let other = json!({ "from": cash, "to": trip, "amount": 1 });
    assert!(pay(&owner, "/api/v1/transfers", other, Some(&key)).await.status.is_client_error());
    let too_much = json!({ "from": trip, "to": cash, "amount": 2_501 });
    assert!(pay(&owner, "/api/v1/transfers", too_much, None).await.status.is_client_error());
    for wrong in [json!({ "amount": 0 }), json!({ "amount": -1 }), json!({ "amount": 1.5 }), json!({})] {
        assert!(pay(&owner, &at(&cash, "debit"), wrong, None).await.status.is_client_error());
    }
    let hold = pay(&owner, &at(&cash, "hold"), json!({ "amount": 10_000, "ttlSeconds": 3600 }), None)
        .await
        .expect(201);
    owner.get(&at(&cash, "balance")).await.expect(200);
    let hold = json!({ "transactionId": hold.id() });
    pay(&owner, &at(&cash, "confirm"), hold.clone(), None).await;
    pay(&owner, &at(&cash, "cancel"), hold, None).await;
    let wrong_one = json!({ "transactionId": first.id(), "reason": "Sent to the wrong person" });
    pay(&owner, &at(&cash, "reversal"), wrong_one, None).await;
    owner.post(&at(&trip, "freeze"), json!({ "reason": "disputed" })).await.expect(200);
    assert!(pay(&owner, "/api/v1/transfers", move_it, None).await.status.is_client_error());
    owner.post(&at(&trip, "unfreeze"), json!({})).await.expect(200);
    for id in [&cash, &trip] {
        owner.get(&at(id, "balance")).await.expect(200);
        owner.get(&at(id, "transactions?limit=10")).await.expect(200);
        owner.get(&format!("/api/v1/wallets/{id}")).await.expect(200);
    }
    owner.get("/api/v1/ledger/verify").await.expect(200);
    owner.get("/api/v1/ledger/accounts").await;
}

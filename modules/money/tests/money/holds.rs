use serde_json::json;
use testkit::until;
use uuid::Uuid;

use crate::support::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_confirmed_in_part_returns_the_rest() {
    let mut stage = Stage::open().await;
    let wallet = stage.wallet("EUR", 1_000).await;
    let hold = stage.act(&wallet, "hold", json!({ "amount": 600 })).await.expect(201);
    assert_eq!((&hold.body["state"], stage.has(&wallet).await), (&json!("held"), (400, 600)));
    let hold = hold.id();
    stage.act(&wallet, "debit", json!({ "amount": 401 })).await.expect_problem(422, "insufficient-funds");
    let confirm = |amount| json!({ "transactionId": hold, "amount": amount });
    stage.act(&wallet, "confirm", confirm(601)).await.expect_problem(400, "invalid-amount");
    let done = stage.act(&wallet, "confirm", confirm(450)).await.expect(201).body;
    assert_eq!((&done["amount"], &done["holdId"]), (&json!(450), &json!(hold)));
    assert_eq!(stage.has(&wallet).await, (550, 0));
    stage.act(&wallet, "confirm", confirm(1)).await.expect_problem(409, "invalid-state");
    stage.act(&wallet, "cancel", json!({ "transactionId": hold })).await.expect_problem(409, "invalid-state");
    let read = stage.owner.get(&format!("/api/v1/transactions/{hold}")).await.expect(200).body;
    assert_eq!(read["state"], "confirmed");

    let other = stage.wallet("EUR", 0).await;
    let cancelled = stage.act(&wallet, "hold", json!({ "amount": 550 })).await.expect(201).id();
    let cancel = json!({ "transactionId": cancelled });
    stage.act(&other, "cancel", cancel.clone()).await.expect_problem(404, "not-found");
    stage
        .act(&wallet, "cancel", json!({ "transactionId": Uuid::now_v7() }))
        .await
        .expect_problem(404, "not-found");
    stage.act(&wallet, "cancel", cancel).await.expect(201);
    assert_eq!(stage.has(&wallet).await, (550, 0));
    for bad in [0, 604_801] {
        let hold = json!({ "amount": 1, "ttlSeconds": bad });
        stage.act(&wallet, "hold", hold).await.expect_problem(400, "validation-error");
    }
    let told = stage.told().await;
    let of_holds: Vec<&str> = told.iter().filter_map(|kind| kind.strip_prefix("money.hold.")).collect();
    assert_eq!(of_holds, ["placed", "confirmed", "placed", "canceled"]);
    stage.adds_up().await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_ends_on_the_sandboxs_clock() {
    let mut stage = Stage::open().await;
    let (wallet, other) = (stage.wallet("EUR", 100).await, stage.wallet("EUR", 100).await);
    let hold = |amount| json!({ "amount": amount, "ttlSeconds": 600 });
    let ending = stage.act(&wallet, "hold", hold(80)).await.expect(201).id();
    stage.act(&other, "hold", hold(30)).await.expect(201);
    stage.later(599).await;
    assert_eq!(stage.has(&wallet).await, (20, 80));
    stage.later(2).await;
    // Whoever looks at it or uses it finds it over at once, whether or not the job has come by.
    assert_eq!(stage.has(&wallet).await, (100, 0));
    let confirm = json!({ "transactionId": ending });
    stage.act(&wallet, "confirm", confirm).await.expect_problem(409, "invalid-state");
    stage.act(&wallet, "debit", json!({ "amount": 100 })).await.expect(201);
    // The job writes down what nobody touches.
    stage.later(60).await;
    let mut sql = stage.kernel.owner_sql("default").await;
    until("the job", async || {
        let open = "select count(*) from money.hold where state = 'held'";
        sqlx::query_scalar::<_, i64>(open).fetch_one(&mut sql).await.unwrap() == 0
    })
    .await;
    assert_eq!(stage.told().await.iter().filter(|kind| *kind == "money.hold.expired").count(), 2);
    stage.adds_up().await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_has_a_hundred_open_holds_and_all_of_them_end() {
    let mut stage = Stage::open().await;
    let wallet = stage.wallet("EUR", 1_000).await;
    let holds = (0..101).map(|_| stage.act(&wallet, "hold", json!({ "amount": 2, "ttlSeconds": 60 })));
    let answers = futures::future::join_all(holds).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 201).collect();
    assert_eq!((refused.len(), refused[0].status.as_u16()), (1, 422));
    assert_eq!(stage.has(&wallet).await, (800, 200));
    stage.later(61).await;
    stage.act(&wallet, "debit", json!({ "amount": 1_000 })).await.expect(201);
    assert_eq!(stage.has(&wallet).await, (0, 0));
    stage.adds_up().await;
    stage.close().await;
}

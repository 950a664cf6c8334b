use std::time::Instant;

use kernel::CtxBuilder;
use ports::KernelService as _;
use serde_json::json;

use crate::support::Stage;

fn cx(stage: &Stage) -> kernel::Ctx {
    let own: CtxBuilder = kernel::Ctx::build(stage.cell.name().clone(), stage.cell.clock().clone());
    own.deadline(Instant::now() + std::time::Duration::from_secs(60)).finish()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_balance_that_was_tampered_with_is_found_frozen_and_told() {
    let mut stage = Stage::open().await;
    let (good, bad) = (stage.wallet("EUR", 100).await, stage.wallet("EUR", 100).await);
    let verify = || async { stage.owner.get("/api/v1/ledger/verify").await.expect(200).body };
    assert_eq!(verify().await["valid"], true);
    // Only who may switch triggers off gets there.
    let mut admin = stage.kernel.admin_sql("pk_default").await;
    sqlx::raw_sql("set session_replication_role = replica").execute(&mut admin).await.unwrap();
    let tamper = "update money.wallet set available = available + 1 where id = $1::uuid";
    sqlx::query(tamper).bind(&bad).execute(&mut admin).await.unwrap();

    let found = verify().await;
    assert_eq!(found["valid"], false);
    let difference =
        json!([{ "what": "available", "id": bad, "currency": "EUR", "stored": 101, "counted": 100 }]);
    assert_eq!(found["differences"], difference);

    let task = stage.money().tasks().remove(0);
    (task.run)(cx(&stage)).await.unwrap();
    let state = |wallet: String| {
        let owner = stage.owner.clone();
        async move { owner.get(&format!("/api/v1/wallets/{wallet}")).await.expect(200).body["state"].clone() }
    };
    assert_eq!((state(good).await, state(bad.clone()).await), (json!("active"), json!("frozen")));
    stage.act(&bad, "debit", json!({ "amount": 1 })).await.expect_problem(409, "invalid-state");
    let told = stage.told().await;
    let alarm = ["money.wallet.frozen".to_owned(), "money.ledger.differs".to_owned()];
    assert!(told.ends_with(&alarm), "{told:?}");
    stage.close().await;
}

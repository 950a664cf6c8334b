//! What Postgres refuses by itself, whoever asks.

use fabric::postgres::Login;
use serde_json::json;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::support::Stage;

async fn refusal(sql: &mut PgConnection, statement: String) -> String {
    let refused = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(sql).await;
    let error = refused.err().unwrap_or_else(|| panic!("this went through: {statement}"));
    let error = error.into_database_error().unwrap();
    format!("{} {}", error.code().unwrap(), error.message())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_stays_for_every_role() {
    let stage = Stage::open().await;
    let wallet = stage.wallet("EUR", 100).await;
    stage.act(&wallet, "hold", json!({ "amount": 10 })).await.expect(201);
    for login in [Login::Owner, Login::App, Login::System, Login::Data] {
        let mut sql = stage.kernel.sql("default", login).await;
        let bind = format!("select set_config('kernel.tenant', '{}', false)", stage.tenant);
        sqlx::raw_sql(AssertSqlSafe(bind)).execute(&mut sql).await.unwrap();
        for statement in [
            "update money.transaction set amount = amount",
            "delete from money.transaction",
            "truncate money.transaction",
            "update money.entry set amount = amount",
            "delete from money.entry",
            "truncate money.entry",
            "update money.wallet set available = available + 1",
            "update money.wallet set frozen = 0",
            "update money.wallet set currency = 'USD'",
            "delete from money.wallet",
            "update money.account set balance = balance + 1",
            "insert into money.account values (kernel.new_id(), 'fees', 'EUR', 1)",
            "delete from money.account",
            "update money.hold set amount = 5",
            "delete from money.hold",
        ] {
            let told = refusal(&mut sql, statement.to_owned()).await;
            // No right, or a trigger that says why.
            assert!(told.starts_with("42501") || told.starts_with("23001"), "{login:?} {statement}: {told}");
        }
    }
    stage.adds_up().await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unbalanced_partial_and_uncovered_postings_are_refused() {
    let stage = Stage::open().await;
    let (wallet, yen) = (stage.wallet("EUR", 100).await, stage.wallet("JPY", 0).await);
    let known = stage.act(&wallet, "credit", json!({ "amount": 1 })).await.expect(201).id();
    let mut app = stage.kernel.sql("default", Login::App).await;
    let tenant = stage.tenant;
    let bind = format!("select set_config('kernel.tenant', '{tenant}', false)");
    sqlx::raw_sql(AssertSqlSafe(bind)).execute(&mut app).await.unwrap();
    let id = "0198f0c4-7d55-7e10-8d4d-6b9c5f3e2a10";
    let at = "2026-01-01T00:00:00Z";
    let transaction =
        json!([{ "id": id, "kind": "debit", "wallet": wallet, "amount": 5, "currency": "EUR", "at": at }]);
    let entry = |transaction: &str, line: i32, account: &str, wallet: Option<&str>, amount: i64| {
        json!({ "transaction": transaction, "line": line, "account": account, "wallet": wallet, "amount": amount,
                "currency": "EUR", "leads": true, "at": at })
    };
    let post = |tenant: String, transactions: &serde_json::Value, entries: serde_json::Value| {
        format!("select money.post('{tenant}', '{transactions}', '{entries}', '[]', '[]')")
    };
    let of_wallet = Some(wallet.as_str());
    let own = tenant.to_string();
    let refused = [
        ("not balanced", json!([entry(id, 1, "wallet", of_wallet, -5), entry(id, 2, "external", None, 4)])),
        ("is not balanced", json!([entry(id, 1, "wallet", of_wallet, -5)])),
        (
            "wallet_available",
            json!([entry(id, 1, "wallet", of_wallet, -500), entry(id, 2, "external", None, 500)]),
        ),
        ("wallet_frozen", json!([entry(id, 1, "holds", of_wallet, -5), entry(id, 2, "external", None, 5)])),
        (
            "a wallet that is not there",
            json!([entry(id, 1, "wallet", Some(&yen), -5), entry(id, 2, "external", None, 5)]),
        ),
        ("come at once", json!([entry(id, 2, "wallet", of_wallet, -5), entry(id, 3, "external", None, 5)])),
        // More entries for a transaction that is there.
        (
            "entry_pkey",
            json!([entry(&known, 1, "wallet", of_wallet, 5), entry(&known, 2, "external", None, -5)]),
        ),
        (
            "come at once",
            json!([entry(&known, 3, "wallet", of_wallet, 5), entry(&known, 4, "external", None, -5)]),
        ),
    ];
    for (why, entries) in refused {
        let told = refusal(&mut app, post(own.clone(), &transaction, entries.clone())).await;
        assert!(told.contains(why), "{entries}: {told}");
    }
    let fine = json!([entry(id, 1, "wallet", of_wallet, -5), entry(id, 2, "external", None, 5)]);
    let told = refusal(&mut app, post(kernel::TenantId::new().to_string(), &transaction, fine.clone())).await;
    assert!(told.starts_with("42501"), "for another tenant: {told}");
    for login in [Login::System, Login::Data] {
        let mut sql = stage.kernel.sql("default", login).await;
        let told = refusal(&mut sql, post(own.clone(), &transaction, fine.clone())).await;
        assert!(told.starts_with("42501"), "{login:?}: {told}");
    }
    // Bound to nobody, and to somebody else.
    for bound in [String::new(), kernel::TenantId::new().to_string()] {
        let mut sql = stage.kernel.sql("default", Login::App).await;
        let bind = format!("select set_config('kernel.tenant', '{bound}', false)");
        sqlx::raw_sql(AssertSqlSafe(bind)).execute(&mut sql).await.unwrap();
        let told = refusal(&mut sql, post(own.clone(), &transaction, fine.clone())).await;
        assert!(told.starts_with("42501"), "bound to {bound:?}: {told}");
    }
    sqlx::raw_sql(AssertSqlSafe(post(own, &transaction, fine))).execute(&mut app).await.unwrap();
    assert_eq!(stage.has(&wallet).await, (96, 0));
    stage.adds_up().await;
    stage.close().await;
}

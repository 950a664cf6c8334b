use kernel::Slug;
use ports::Money as _;
use serde_json::json;
use testkit::{DEMO_MEMBER, DEMO_OWNER, DEMO_PASSWORD, Kernel};
use uuid::Uuid;

use crate::support::{Stage, keyed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_comes_in_goes_over_and_goes_out() {
    let mut stage = Stage::open().await;
    let wallets = stage.owner.get("/api/v1/wallets").await;
    assert_eq!(
        (&wallets.data()[0]["kind"], &wallets.data()[0]["currency"]),
        (&json!("owner"), &json!("USD"))
    );
    assert_eq!(wallets.data()[0]["userId"], json!(stage.user));

    let (a, b) = (stage.wallet("EUR", 1_000).await, stage.wallet("EUR", 0).await);
    let moved = stage.transfer(&a, &b, 400).await.expect(201).body;
    assert_eq!(
        (&moved["kind"], &moved["state"], &moved["exponent"]),
        (&json!("transfer"), &json!("completed"), &json!(2))
    );
    let entries = json!([
        { "account": "wallet", "walletId": a, "amount": -400 }, { "account": "wallet", "walletId": b, "amount": 400 },
    ]);
    assert_eq!(moved["entries"], entries);
    stage.act(&b, "debit", json!({ "amount": 150, "description": "Payout" })).await.expect(201);
    assert_eq!((stage.has(&a).await, stage.has(&b).await), ((600, 0), (250, 0)));

    // Too much, to itself, to nobody, in another currency: nothing moves.
    stage.transfer(&a, &b, 601).await.expect_problem(422, "insufficient-funds");
    stage.transfer(&a, &a, 1).await.expect_problem(400, "validation-error");
    stage.transfer(&a, &Uuid::now_v7().to_string(), 1).await.expect_problem(404, "not-found");
    let yen = stage.wallet("JPY", 5).await;
    stage.transfer(&a, &yen, 1).await.expect_problem(400, "validation-error");
    assert_eq!((stage.has(&a).await, stage.has(&b).await), ((600, 0), (250, 0)));

    let read = stage.owner.get(&format!("/api/v1/transactions/{}", moved["id"].as_str().unwrap())).await;
    assert_eq!(read.expect(200).body, moved);
    let told = [
        "money.wallet.created",
        "money.wallet.created",
        "money.wallet.credited",
        "money.wallet.created",
        "money.transfer.completed",
        "money.wallet.debited",
        "money.wallet.created",
        "money.wallet.credited",
    ];
    assert_eq!(stage.told().await, told);
    assert_eq!(stage.kept().await, told);
    stage.adds_up().await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_has_one_effect_and_a_wrong_one_has_none() {
    let mut stage = Stage::open().await;
    let wallet = stage.wallet("EUR", 0).await;
    let (path, key) = (format!("/api/v1/wallets/{wallet}/credit"), Uuid::now_v7());
    let first = stage.keyed(&path, json!({ "amount": 700 }), key).await.expect(201);
    let again = stage.keyed(&path, json!({ "amount": 700 }), key).await.expect(201);
    assert_eq!((again.headers["idempotent-replayed"].to_str().unwrap(), again.body), ("true", first.body));
    stage.keyed(&path, json!({ "amount": 701 }), key).await.expect_problem(422, "idempotency-key-reused");
    stage.owner.post(&path, json!({ "amount": 1 })).await.expect_problem(400, "idempotency-key-required");
    // A refusal is not kept: the same key may be tried again when there is money.
    let (path, key) = (format!("/api/v1/wallets/{wallet}/debit"), Uuid::now_v7());
    stage.keyed(&path, json!({ "amount": 701 }), key).await.expect_problem(422, "insufficient-funds");
    stage.act(&wallet, "credit", json!({ "amount": 1 })).await.expect(201);
    stage.keyed(&path, json!({ "amount": 701 }), key).await.expect(201);
    assert_eq!(stage.has(&wallet).await, (0, 0));
    assert_eq!(stage.count("money.transaction").await, 3);

    for bad in [json!(0), json!(-1), json!(1.5), json!("5"), json!(9_007_199_254_740_992_i64)] {
        let refused = stage.act(&wallet, "credit", json!({ "amount": bad })).await;
        assert_eq!(refused.expect_problem(400, "invalid-amount").body["errors"][0]["field"], "/amount");
    }
    stage.act(&wallet, "credit", json!({})).await.expect_problem(400, "validation-error");
    stage.act(&wallet, "credit", json!({ "amount": 10_000_001 })).await.expect_problem(422, "limit-exceeded");
    stage.act(&wallet, "credit", json!({ "amount": 10_000_000 })).await.expect(201);
    // The plan may say otherwise.
    sqlx::query("insert into kernel.allowance (tenant_id, name, most) values ($1, 'moneyPerOperation', 5)")
        .bind(stage.tenant.uuid())
        .execute(&mut stage.sql)
        .await
        .unwrap();
    stage.act(&wallet, "debit", json!({ "amount": 6 })).await.expect_problem(422, "limit-exceeded");
    stage.act(&wallet, "debit", json!({ "amount": 5 })).await.expect(201);
    stage.adds_up().await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transfers_need_a_verified_address() {
    let mut stage = Stage::open().await;
    let (a, b) = (stage.wallet("EUR", 10).await, stage.wallet("EUR", 0).await);
    let key = json!({ "name": "bookkeeping", "permissions": ["wallets.read", "wallets.write"] });
    let key =
        stage.owner.post("/api/v1/api-keys", key).await.expect(201).body["key"].as_str().unwrap().to_owned();
    let program = stage.owner.stranger().with(&key);
    let body = json!({ "from": a, "to": b, "amount": 1 });
    // A program may transfer when an Owner is verified.
    keyed(&program, "/api/v1/transfers", body.clone(), Uuid::now_v7()).await.expect(201);

    let (stranger, told) = stage.kernel.api().register("Unverified").await;
    let mut wallets = Vec::new();
    for _ in 0..2 {
        wallets.push(stranger.post("/api/v1/wallets", json!({ "currency": "EUR" })).await.expect(201).id());
    }
    keyed(
        &stranger,
        &format!("/api/v1/wallets/{}/credit", wallets[0]),
        json!({ "amount": 5 }),
        Uuid::now_v7(),
    )
    .await
    .expect(201);
    let body = json!({ "from": wallets[0], "to": wallets[1], "amount": 1 });
    let list = json!({ "transfers": [body] });
    keyed(&stranger, "/api/v1/transfers", body.clone(), Uuid::now_v7())
        .await
        .expect_problem(403, "email-not-verified");
    keyed(&stranger, "/api/v1/transfers/batch", list, Uuid::now_v7())
        .await
        .expect_problem(403, "email-not-verified");
    let key = json!({ "name": "way round", "permissions": ["wallets.write"] });
    let key =
        stranger.post("/api/v1/api-keys", key).await.expect(201).body["key"].as_str().unwrap().to_owned();
    let program = stranger.stranger().with(&key);
    keyed(&program, "/api/v1/transfers", body.clone(), Uuid::now_v7())
        .await
        .expect_problem(403, "email-not-verified");
    // From the moment on at which it is verified.
    crate::support::verify(&mut stage.sql, told["user"]["email"].as_str().unwrap()).await;
    keyed(&stranger, "/api/v1/transfers", body, Uuid::now_v7()).await.expect(201);
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_transfers_is_done_whole_or_not_at_all() {
    let mut stage = Stage::open().await;
    let (a, b) = (stage.wallet("EUR", 2_000).await, stage.wallet("EUR", 0).await);
    let before = stage.told().await.len();
    let list = |amounts: Vec<i64>| {
        let one = |amount| json!({ "from": a, "to": b, "amount": amount });
        json!({ "transfers": amounts.into_iter().map(one).collect::<Vec<_>>() })
    };
    let path = "/api/v1/transfers/batch";
    let refused = stage.keyed(path, list(vec![1_500, 500, 1]), Uuid::now_v7()).await;
    let refused = refused.expect_problem(422, "insufficient-funds").body;
    assert!(refused["detail"].as_str().unwrap().starts_with("Transfer 2"), "{refused}");
    let refused =
        stage.keyed(path, list(vec![1, 0]), Uuid::now_v7()).await.expect_problem(400, "invalid-amount");
    assert_eq!(refused.body["errors"][0]["field"], "/transfers/1/amount");
    stage.keyed(path, list(vec![]), Uuid::now_v7()).await.expect_problem(400, "validation-error");
    stage.keyed(path, list(vec![1; 1_001]), Uuid::now_v7()).await.expect_problem(400, "validation-error");
    assert_eq!((stage.has(&a).await, stage.has(&b).await), ((2_000, 0), (0, 0)));

    let (key, thousand) = (Uuid::now_v7(), list(vec![2; 1_000]));
    let made = stage.keyed(path, thousand.clone(), key).await.expect(201).body;
    assert_eq!(made["transactions"].as_array().unwrap().len(), 1_000);
    assert_eq!(stage.keyed(path, thousand, key).await.expect(201).body, made);
    // A list of one is answered as a list, also when it is repeated.
    stage.act(&a, "credit", json!({ "amount": 1 })).await.expect(201);
    let key = Uuid::now_v7();
    for _ in 0..2 {
        let one = stage.keyed(path, list(vec![1]), key).await.expect(201).body;
        assert_eq!(one["transactions"].as_array().unwrap().len(), 1);
    }
    assert_eq!((stage.has(&a).await, stage.has(&b).await), ((0, 0), (2_001, 0)));
    assert_eq!(stage.told().await.len(), before + 1_002);
    stage.adds_up().await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_is_reversed_once() {
    let mut stage = Stage::open().await;
    let (a, b) = (stage.wallet("EUR", 100).await, stage.wallet("EUR", 0).await);
    let moved = stage.transfer(&a, &b, 60).await.expect(201).id();
    let reversal = json!({ "transactionId": moved, "reason": "Wrong person" });
    let back = stage.act(&b, "reversal", reversal.clone()).await.expect(201).body;
    assert_eq!((&back["reverses"], &back["description"]), (&json!(moved), &json!("Wrong person")));
    assert_eq!((stage.has(&a).await, stage.has(&b).await), ((100, 0), (0, 0)));
    let read = stage.owner.get(&format!("/api/v1/transactions/{moved}")).await.expect(200).body;
    assert_eq!((&read["state"], &read["reversedBy"]), (&json!("reversed"), &back["id"]));
    stage.act(&a, "reversal", reversal.clone()).await.expect_problem(409, "invalid-state");
    let again = json!({ "transactionId": back["id"], "reason": "No, the right one" });
    stage.act(&a, "reversal", again).await.expect_problem(409, "invalid-state");
    let other = stage.wallet("EUR", 0).await;
    stage.act(&other, "reversal", reversal).await.expect_problem(404, "not-found");
    // What came in is spent.
    let credit = stage.act(&other, "credit", json!({ "amount": 5 })).await.expect(201).id();
    stage.act(&other, "debit", json!({ "amount": 1 })).await.expect(201);
    let reversal = json!({ "transactionId": credit, "reason": "Bounced" });
    stage.act(&other, "reversal", reversal).await.expect_problem(422, "insufficient-funds");
    // A year later it is too late.
    let late = stage.act(&other, "credit", json!({ "amount": 5 })).await.expect(201).id();
    stage.later(366 * 86_400).await;
    let owner = stage.kernel.api().sign_in(&stage.email, "correct horse battery").await;
    let reversal = json!({ "transactionId": late, "reason": "Late" });
    keyed(&owner, &format!("/api/v1/wallets/{other}/reversal"), reversal, Uuid::now_v7())
        .await
        .expect_problem(409, "invalid-state");
    stage.owner = owner;
    stage.adds_up().await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_statements_tell_what_happened() {
    let stage = Stage::open().await;
    let (a, b) = (stage.wallet("EUR", 1_000).await, stage.wallet("EUR", 0).await);
    let middle = kernel::Timestamp::real();
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    stage.transfer(&a, &b, 300).await.expect(201);
    let hold = stage.act(&a, "hold", json!({ "amount": 200 })).await.expect(201).id();
    stage.act(&a, "confirm", json!({ "transactionId": hold, "amount": 150 })).await.expect(201);

    let mut kinds = Vec::new();
    let mut cursor = String::new();
    loop {
        let page =
            stage.owner.get(&format!("/api/v1/wallets/{a}/transactions?limit=3{cursor}")).await.expect(200);
        kinds.extend(page.data().iter().map(|one| one["kind"].as_str().unwrap().to_owned()));
        match page.body["meta"]["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(kinds, ["confirm", "hold", "transfer", "credit"]);
    let theirs = stage.owner.get(&format!("/api/v1/wallets/{b}/transactions")).await.expect(200);
    assert_eq!(theirs.data().len(), 1);

    let path = format!("/api/v1/wallets/{a}/statement?from={middle}");
    let statement = stage.owner.get(&path).await.expect(200).body;
    assert_eq!((&statement["openingBalance"], &statement["closingBalance"]), (&json!(1_000), &json!(550)));
    let lines: Vec<(i64, i64)> = statement["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["amount"].as_i64().unwrap(), line["balance"].as_i64().unwrap()))
        .collect();
    assert_eq!(lines, [(-300, 700), (-200, 500), (50, 550)]);
    let csv = stage.owner.get(&format!("{path}&format=csv")).await.expect(200);
    assert!(csv.headers["content-type"].to_str().unwrap().starts_with("text/csv"));
    let rows: Vec<&str> = csv.text.lines().collect();
    assert_eq!(rows.len(), 4);
    assert!(rows[1].contains(",transfer,-3.00,7.00,EUR,"), "{}", rows[1]);
    let empty = stage.owner.get(&format!("/api/v1/wallets/{a}/statement?to=2020-01-01T00:00:00Z")).await;
    assert_eq!(empty.expect(200).body["lines"], json!([]));
    let backwards = format!("{path}&to=2020-01-01T00:00:00Z");
    stage.owner.get(&backwards).await.expect_problem(400, "validation-error");
    let nobodys = Uuid::now_v7();
    for of in ["", "/balance", "/transactions", "/statement"] {
        stage.owner.get(&format!("/api/v1/wallets/{nobodys}{of}")).await.expect_problem(404, "not-found");
    }
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_wallet_stands_still_until_it_is_unfrozen() {
    let mut stage = Stage::open().await;
    let (a, b) = (stage.wallet("EUR", 100).await, stage.wallet("EUR", 100).await);
    let hold = stage.act(&a, "hold", json!({ "amount": 10 })).await.expect(201).id();
    let path = format!("/api/v1/wallets/{a}");
    let frozen =
        stage.owner.post(&format!("{path}/freeze"), json!({ "reason": "Disputed" })).await.expect(200).body;
    assert_eq!((&frozen["state"], &frozen["reason"]), (&json!("frozen"), &json!("Disputed")));
    stage
        .owner
        .post(&format!("{path}/freeze"), json!({ "reason": "x" }))
        .await
        .expect_problem(409, "invalid-state");
    stage.act(&a, "credit", json!({ "amount": 1 })).await.expect_problem(409, "invalid-state");
    stage.act(&a, "confirm", json!({ "transactionId": hold })).await.expect_problem(409, "invalid-state");
    stage.transfer(&b, &a, 1).await.expect_problem(409, "invalid-state");
    stage.act(&a, "cancel", json!({ "transactionId": hold })).await.expect(201);
    assert_eq!(stage.has(&a).await, (100, 0));
    stage.owner.send(reqwest::Method::POST, &format!("{path}/unfreeze"), None, &[]).await.expect(200);
    stage.transfer(&b, &a, 1).await.expect(201);
    let kept = stage.kept().await;
    assert!(kept.contains(&"money.wallet.frozen".into()) && kept.contains(&"money.wallet.unfrozen".into()));
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_service_opens_a_wallet_and_charges_once() {
    let stage = Stage::open().await;
    let (money, cx) = (stage.money(), stage.cx());
    let wallet = money.open_system_wallet(&cx, stage.tenant).await.unwrap();
    assert_eq!(money.open_system_wallet(&cx, stage.tenant).await.unwrap(), wallet);
    assert!(money.open_system_wallet(&cx, kernel::TenantId::new()).await.is_err());
    stage.act(&wallet.to_string(), "credit", json!({ "amount": 5_000 })).await.expect(201);
    let key = Uuid::now_v7();
    let charged = money.charge(&cx, wallet, 2_900, key, "Plan".into()).await.unwrap();
    assert_eq!(money.charge(&stage.cx(), wallet, 2_900, key, "Plan".into()).await.unwrap(), charged);
    let other = money.charge(&cx, wallet, 2_901, key, "Plan".into()).await.unwrap_err();
    assert_eq!(other.slug(), Slug::IdempotencyKeyReused);
    let poor = money.charge(&cx, wallet, 2_101, Uuid::now_v7(), "Plan".into()).await.unwrap_err();
    assert_eq!(poor.slug(), Slug::InsufficientFunds);
    let has = money.balance(&cx, wallet).await.unwrap();
    assert_eq!((has.available, has.frozen, has.currency.as_str()), (2_100, 0, "USD"));
    stage.adds_up().await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_want_the_last_of_a_wallet_each_is_told_for_itself() {
    let stage = Stage::open().await;
    let wallet = stage.wallet("EUR", 40).await;
    let debits = (0..64).map(|_| stage.act(&wallet, "debit", json!({ "amount": 1 })));
    let answers = futures::future::join_all(debits).await;
    let of = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((of(201), of(422)), (40, 24));
    assert_eq!(stage.has(&wallet).await, (0, 0));
    stage.adds_up().await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_has_wallets_with_money_in_two_currencies() {
    let kernel = Kernel::demo().await;
    let owner = kernel.api().sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    let wallets = owner.get("/api/v1/wallets").await.expect(200);
    for currency in ["USD", "EUR"] {
        let rich =
            wallets.data().iter().any(|w| w["currency"] == currency && w["available"].as_i64() > Some(0));
        assert!(rich, "{}", wallets.text);
    }
    assert_eq!(owner.get("/api/v1/ledger/verify").await.expect(200).body["valid"], true);
    let viewer = kernel.api().sign_in(DEMO_MEMBER, DEMO_PASSWORD).await;
    viewer.get("/api/v1/wallets").await.expect(200);
    viewer.post("/api/v1/wallets", json!({ "currency": "EUR" })).await.expect_problem(403, "forbidden");
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seed_planted_twice_leaves_what_it_left_at_first() {
    const SEED: &str = "
tenants:
  - { slug: platform, name: Platform, kind: platform }
  - { slug: corp, name: Corp, kind: client, parent: platform }
users:
  - { email: ada@corp.example, name: Ada, password: correct horse battery, memberships: { corp: Owner } }
wallets:
  - { ref: one, tenant: corp, user: ada@corp.example, currency: EUR, label: One, opening: 900 }
  - { ref: two, tenant: corp, user: ada@corp.example, currency: EUR, label: Two }
transfers:
  - { from: one, to: two, amount: 250, description: To begin with }
";
    let folder = testkit::data_folder();
    let path = folder.path().join("seed.yaml");
    std::fs::write(&path, SEED).unwrap();
    let seed = sandbox::Seed::named(path.to_str().unwrap()).unwrap().unwrap();
    let kernel = Kernel::empty().await;
    let cell = kernel.cell("default").await;
    for _ in 0..2 {
        assert_eq!(seed.plant(&cell).await.unwrap().wallets, 2);
        let ada = kernel.api().sign_in("ada@corp.example", "correct horse battery").await;
        let wallets = ada.get("/api/v1/wallets").await.expect(200);
        let has: Vec<i64> =
            wallets.data().iter().map(|wallet| wallet["available"].as_i64().unwrap()).collect();
        assert_eq!(has, [650, 250]);
    }
    drop(cell);
    kernel.close().await;
}

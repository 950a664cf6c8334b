//! Random operations of many tasks, with repeats, against the oracle: no overdraft, no effect twice, nothing lost, sum
//! zero. `MONEY_OPERATIONS` says how many (5,000 unless set; `make soak` takes 50,000).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Instant,
};

use kernel::{Ctx, Slug, WalletId};
use money::{CancelIn, ConfirmIn, HoldIn, MoveIn, ReversalIn, TransactionOut, TransferIn, TransfersIn};
use uuid::Uuid;

use crate::{
    oracle::{Done, Oracle},
    support::Stage,
};

const TASKS: usize = 16;
const WALLETS: usize = 6;

fn operations() -> usize {
    std::env::var("MONEY_OPERATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(5_000)
}

/// Small, quick, and the same for the same seed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % sides
    }
}

#[derive(Debug, Clone)]
enum Wish {
    Credit(WalletId, i64),
    Debit(WalletId, i64),
    Transfer(WalletId, WalletId, i64),
    Transfers(Vec<(WalletId, WalletId, i64)>),
    Hold(WalletId, i64),
    Confirm(WalletId, Uuid, i64),
    Cancel(WalletId, Uuid),
    Reverse(WalletId, Uuid),
}

/// What is known of earlier transactions, so that others can be built on them.
type Known = Arc<Mutex<Vec<(Uuid, WalletId)>>>;

fn wish(dice: &mut Dice, wallets: &[WalletId], known: &Known) -> Wish {
    let wallet = wallets[dice.roll(wallets.len())];
    let other = wallets[dice.roll(wallets.len())];
    let amount = dice.roll(300) as i64 + 1;
    let (earlier, of) = {
        let known = known.lock().unwrap();
        // The latest: an early one is mostly settled.
        let from = known.len().saturating_sub(40);
        known.get(from + dice.roll(40)).copied().unwrap_or((Uuid::now_v7(), wallet))
    };
    match dice.roll(16) {
        0..=2 => Wish::Credit(wallet, amount),
        3..=4 => Wish::Debit(wallet, amount),
        5..=8 => Wish::Transfer(wallet, other, amount),
        9 => Wish::Transfers(vec![(wallet, other, amount), (other, wallet, amount / 2 + 1)]),
        10..=11 => Wish::Hold(wallet, amount),
        12..=13 => Wish::Confirm(of, earlier, amount),
        14 => Wish::Cancel(of, earlier),
        _ => Wish::Reverse(of, earlier),
    }
}

async fn fulfil(stage: &Stage, cx: &Ctx, wish: &Wish, name: &str) -> kernel::Result<Vec<TransactionOut>> {
    let money = stage.money();
    let description = Some(name.to_owned());
    let transfer = |(from, to, amount): (WalletId, WalletId, i64)| TransferIn {
        from,
        to,
        amount: amount.into(),
        description: Some(name.to_owned()),
        metadata: None,
    };
    let moved =
        |amount: i64| MoveIn { amount: amount.into(), description: description.clone(), metadata: None };
    let one = match wish.clone() {
        Wish::Credit(wallet, amount) => money.credit(cx, wallet, moved(amount)).await?,
        Wish::Debit(wallet, amount) => money.debit(cx, wallet, moved(amount)).await?,
        Wish::Transfer(from, to, amount) => money.transfer(cx, transfer((from, to, amount))).await?,
        Wish::Transfers(list) => {
            let transfers = list.into_iter().map(transfer).collect();
            return Ok(money.transfer_all(cx, TransfersIn { transfers }).await?.transactions);
        }
        Wish::Hold(wallet, amount) => {
            let body = HoldIn { amount: amount.into(), ttl_seconds: None, description, metadata: None };
            money.hold(cx, wallet, body).await?
        }
        Wish::Confirm(wallet, hold, amount) => {
            let body = ConfirmIn { transaction_id: hold.into(), amount: Some(amount.into()) };
            money.confirm(cx, wallet, body).await?
        }
        Wish::Cancel(wallet, hold) => {
            money.cancel(cx, wallet, CancelIn { transaction_id: hold.into() }).await?
        }
        Wish::Reverse(wallet, transaction) => {
            let body = ReversalIn { transaction_id: transaction.into(), reason: name.to_owned() };
            money.reverse(cx, wallet, body).await?
        }
    };
    Ok(vec![one])
}

/// What a caller saw under one key.
#[derive(Default)]
struct Seen {
    acknowledged: Vec<Uuid>,
    repeats: usize,
}

async fn task(stage: Arc<Stage>, number: usize, wallets: Arc<Vec<WalletId>>, known: Known) -> Seen {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(number as u64 + 1));
    let mut seen = Seen::default();
    for turn in 0..operations() / TASKS {
        let wish = wish(&mut dice, &wallets, &known);
        let (cx, name) = (stage.cx(), format!("{number}/{turn}"));
        // Every fourth is sent twice at the same time, every other fourth once more afterwards.
        let first = match dice.roll(4) {
            0 => {
                let (one, other) =
                    tokio::join!(fulfil(&stage, &cx, &wish, &name), fulfil(&stage, &cx, &wish, &name));
                seen.repeats += 1;
                match (one, other) {
                    (Ok(made), other) => {
                        told_again(&made, other);
                        Ok(made)
                    }
                    (Err(told), Ok(made)) => {
                        told_again(&made, Err(told));
                        Ok(made)
                    }
                    (Err(one), Err(_)) => Err(one),
                }
            }
            _ => fulfil(&stage, &cx, &wish, &name).await,
        };
        match first {
            Ok(made) => {
                if dice.roll(4) == 0 {
                    seen.repeats += 1;
                    told_again(&made, fulfil(&stage, &cx, &wish, &name).await);
                }
                seen.acknowledged.extend(made.iter().map(|one| one.id.uuid()));
                known.lock().unwrap().extend(made.iter().map(|one| (one.id.uuid(), one.wallet_id)));
            }
            Err(refused) => {
                let expected = [
                    Slug::InsufficientFunds,
                    Slug::InvalidState,
                    Slug::NotFound,
                    Slug::InvalidAmount,
                    Slug::LimitExceeded,
                    Slug::ValidationError,
                    Slug::IdempotencyInProgress,
                ];
                assert!(expected.contains(&refused.slug()), "{wish:?}: {refused:?}");
            }
        }
    }
    seen
}

/// A repeat gets the first answer, or is told that the first is still running.
fn told_again(made: &[TransactionOut], again: kernel::Result<Vec<TransactionOut>>) {
    let told = again.expect_err("a repeated request was done twice");
    match told.replayed_answer() {
        Some(answer) => {
            let text = String::from_utf8(answer.to_vec()).unwrap();
            assert!(made.iter().all(|one| text.contains(&one.id.to_string())), "{text}");
        }
        None => assert_eq!(told.slug(), Slug::IdempotencyInProgress, "{told:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_operations_leave_what_the_oracle_says() {
    let mut stage = Stage::open().await;
    let mut wallets: Vec<WalletId> = Vec::new();
    for _ in 0..WALLETS {
        wallets.push(stage.wallet("EUR", 0).await.parse().unwrap());
    }
    let (wallets, known) = (Arc::new(wallets), Known::default());
    let begun = Instant::now();
    let shared = Arc::new(stage);
    let tasks: Vec<_> = (0..TASKS)
        .map(|number| {
            tokio::spawn(task(Arc::clone(&shared), number, Arc::clone(&wallets), Arc::clone(&known)))
        })
        .collect();
    let mut acknowledged: HashMap<Uuid, usize> = HashMap::new();
    let mut repeats = 0;
    for task in tasks {
        let seen = task.await.unwrap();
        repeats += seen.repeats;
        seen.acknowledged.into_iter().for_each(|id| *acknowledged.entry(id).or_default() += 1);
    }
    let took = begun.elapsed();
    stage = Arc::into_inner(shared).expect("the tasks have ended");

    // In the order in which the ledger wrote them, every one was allowed.
    let done: Vec<Done> = sqlx::query_as(
        "select t.id, t.kind, t.wallet_id, t.counterparty_id, t.amount, t.hold_id, t.reverses
         from money.transaction t join money.entry e on e.transaction_id = t.id and e.line = 1 order by e.place",
    )
    .fetch_all(&mut stage.sql)
    .await
    .unwrap();
    let mut oracle = Oracle::default();
    for one in &done {
        if let Err(why) = oracle.replay(one) {
            panic!("{one:?}: {why}");
        }
    }
    for wallet in wallets.iter() {
        assert_eq!(stage.has(&wallet.to_string()).await, oracle.has(wallet.uuid()));
    }
    // Nothing acknowledged is lost, nothing is there that nobody was told of, no repeat was done twice.
    let written: HashMap<Uuid, &Done> = done.iter().map(|one| (one.id, one)).collect();
    assert!(acknowledged.keys().all(|id| written.contains_key(id)), "an acknowledged transaction is lost");
    assert!(acknowledged.values().all(|times| *times == 1));
    assert_eq!(written.len(), acknowledged.len(), "a transaction is there that nobody was told of");
    stage.adds_up().await;
    let events = stage.told().await.len();
    assert_eq!(
        events - done.len(),
        stage.count("money.wallet").await as usize,
        "an event for each, and each wallet"
    );
    println!("{} operations, {repeats} repeats, {} transactions in {took:.1?}", operations(), done.len());
    stage.close().await;
}

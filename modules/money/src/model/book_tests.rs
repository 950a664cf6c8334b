use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::model::{AmountIn, HoldChange, TransferOrder};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000).unwrap()
}

fn eur() -> Currency {
    "EUR".parse().unwrap()
}

fn amount(minor_units: i64) -> Amount {
    AmountIn::from(minor_units).read("/amount").unwrap()
}

/// A book at `now` with wallets that have this much.
fn book(now: i64, wallets: &[i64]) -> (Book, Vec<WalletId>) {
    let mut book = Book::new(at(now), None);
    let ids: Vec<WalletId> = wallets.iter().map(|_| WalletId::new()).collect();
    for (id, available) in ids.iter().zip(wallets) {
        let balance = WalletBalance { wallet: *id, available: *available, frozen: 0 };
        book.wallet(balance, eur(), 0, WalletState::Active);
    }
    (book, ids)
}

fn posted(book: &mut Book, operation: Operation) -> Result<Posting> {
    match book.apply(&operation, &Note::default())? {
        Outcome::Posted(mut made) => Ok(made.pop().expect("one transaction")),
        Outcome::Charged(_) => panic!("charged before"),
    }
}

fn refused(book: &mut Book, operation: Operation) -> Slug {
    let before = format!("{:?}", sorted(book));
    let error = posted(book, operation).unwrap_err();
    assert_eq!(format!("{:?}", sorted(book)), before, "a refusal left a trace");
    error.slug()
}

fn sorted(book: &Book) -> Vec<(WalletId, i64, i64, i16)> {
    let mut all: Vec<_> =
        book.wallets.iter().map(|(id, w)| (*id, w.available, w.frozen, w.open_holds)).collect();
    all.sort_unstable();
    all
}

fn has(book: &Book, wallet: WalletId) -> (i64, i64) {
    (book.wallets[&wallet].available, book.wallets[&wallet].frozen)
}

fn transfer(from: WalletId, to: WalletId, minor_units: i64) -> TransferOrder {
    TransferOrder { from, to, amount: amount(minor_units), note: Note::default() }
}

#[test]
fn a_hold_confirmed_in_part_returns_the_rest() {
    let (mut book, ids) = book(0, &[1_000]);
    let wallet = ids[0];
    let hold = posted(&mut book, Operation::Hold { wallet, amount: amount(600), ttl_seconds: 60 }).unwrap();
    assert_eq!(has(&book, wallet), (400, 600));
    assert!(matches!(hold.hold, Some(HoldChange::Placed { expires_at }) if expires_at == at(60)));
    let confirm = |taken| Operation::Confirm { wallet, hold: hold.id, amount: Some(amount(taken)) };
    assert_eq!(refused(&mut book, confirm(601)), Slug::InvalidAmount);
    assert_eq!(posted(&mut book, confirm(450)).unwrap().amount, 450);
    assert_eq!(has(&book, wallet), (550, 0));
    assert_eq!(refused(&mut book, confirm(1)), Slug::InvalidState);
    assert_eq!(refused(&mut book, Operation::Cancel { wallet, hold: hold.id }), Slug::InvalidState);
}

#[test]
fn a_hold_ends_at_its_time_and_not_before() {
    for (expires, ended) in [(11, 0), (10, 1), (9, 1)] {
        let (mut book, ids) = book(10, &[5]);
        let id = TransactionId::new();
        let wallet = WalletBalance { wallet: ids[0], available: 5, frozen: 7 };
        book.wallet(wallet, eur(), 1, WalletState::Frozen);
        book.hold(HoldRow { id, wallet: ids[0], amount: 7, expires_at: at(expires), state: HoldState::Held });
        assert_eq!(book.expire().unwrap().len(), ended, "also in a frozen wallet");
        assert_eq!(has(&book, ids[0]), if ended == 1 { (12, 0) } else { (5, 7) });
        assert!(book.expire().unwrap().is_empty(), "once");
    }
}

#[test]
fn a_list_of_transfers_is_done_whole_or_not_at_all() {
    let (mut book, ids) = book(0, &[100, 0, 0]);
    let (a, b, c) = (ids[0], ids[1], ids[2]);
    let chain =
        |last| Operation::Transfers(vec![transfer(a, b, 100), transfer(b, c, 60), transfer(c, a, last)]);
    let before = sorted(&book);
    let error = book.apply(&chain(61), &Note::default()).unwrap_err();
    assert_eq!(error.slug(), Slug::InsufficientFunds);
    assert!(error.detail().starts_with("Transfer 2"), "{}", error.detail());
    assert_eq!(sorted(&book), before);
    let Outcome::Posted(made) = book.apply(&chain(60), &Note::default()).unwrap() else { panic!() };
    assert_eq!(made.len(), 3);
    assert_eq!((has(&book, a).0, has(&book, b).0, has(&book, c).0), (60, 40, 0));
}

#[test]
fn money_of_two_currencies_and_of_one_wallet_is_not_transferred() {
    let (mut book, ids) = book(0, &[100]);
    let other = WalletId::new();
    let balance = WalletBalance { wallet: other, available: 0, frozen: 0 };
    book.wallet(balance, Currency::USD, 0, WalletState::Active);
    assert_eq!(refused(&mut book, Operation::Transfer(transfer(ids[0], other, 1))), Slug::ValidationError);
    assert_eq!(refused(&mut book, Operation::Transfer(transfer(ids[0], ids[0], 1))), Slug::ValidationError);
    let nobodys = WalletId::new();
    assert_eq!(refused(&mut book, Operation::Transfer(transfer(ids[0], nobodys, 1))), Slug::NotFound);
}

#[test]
fn the_plan_and_the_wallet_have_their_limits() {
    let (mut book, ids) = book(0, &[LARGEST - 1]);
    let wallet = ids[0];
    let credit = |minor_units| Operation::Credit { wallet, amount: amount(minor_units) };
    assert_eq!(refused(&mut book, credit(MOST_PER_OPERATION + 1)), Slug::LimitExceeded);
    assert_eq!(refused(&mut book, credit(2)), Slug::LimitExceeded);
    assert!(posted(&mut book, credit(1)).is_ok());
    for _ in 0..MOST_OPEN_HOLDS {
        posted(&mut book, Operation::Hold { wallet, amount: amount(1), ttl_seconds: 1 }).unwrap();
    }
    let one_more = Operation::Hold { wallet, amount: amount(1), ttl_seconds: 1 };
    assert_eq!(refused(&mut book, one_more), Slug::LimitExceeded);
    // What is set aside comes back, so its room is not given away.
    assert_eq!(refused(&mut book, credit(1)), Slug::LimitExceeded);
}

#[test]
fn a_frozen_wallet_takes_nothing_and_gives_nothing() {
    let (mut book, ids) = book(0, &[100, 100]);
    let wallet = ids[0];
    book.wallet(WalletBalance { wallet, available: 100, frozen: 0 }, eur(), 0, WalletState::Frozen);
    for operation in [
        Operation::Credit { wallet, amount: amount(1) },
        Operation::Debit { wallet, amount: amount(1) },
        Operation::Hold { wallet, amount: amount(1), ttl_seconds: 1 },
        Operation::Transfer(transfer(wallet, ids[1], 1)),
        Operation::Transfer(transfer(ids[1], wallet, 1)),
        Operation::Charge { wallet, amount: amount(1), key: Uuid::from_u128(1) },
    ] {
        assert_eq!(refused(&mut book, operation), Slug::InvalidState);
    }
}

#[test]
fn a_transaction_is_reversed_once_within_a_year_and_by_its_own() {
    let year = 365 * 24 * 3_600;
    let made = |kind, wallet, counterparty, at| Original {
        id: TransactionId::new(),
        kind,
        wallet,
        counterparty,
        amount: 40,
        at,
        reversed: false,
    };
    let (mut book, ids) = book(year, &[100, 100]);
    let (a, b) = (ids[0], ids[1]);
    let transferred = made(Kind::Transfer, a, Some(b), at(0));
    let old = made(Kind::Credit, a, None, at(-1));
    let hold = made(Kind::Hold, a, None, at(0));
    let charge = made(Kind::Charge, a, None, at(0));
    for original in [&transferred, &old, &hold, &charge] {
        book.original(original.clone());
    }
    let reverse = |wallet, transaction| Operation::Reverse { wallet, transaction };
    assert_eq!(refused(&mut book, reverse(a, old.id)), Slug::InvalidState);
    assert_eq!(refused(&mut book, reverse(a, hold.id)), Slug::InvalidState);
    assert_eq!(refused(&mut book, reverse(a, charge.id)), Slug::InvalidState);
    assert_eq!(refused(&mut book, reverse(b, old.id)), Slug::NotFound);
    let back = posted(&mut book, reverse(b, transferred.id)).unwrap();
    assert_eq!((back.reverses, has(&book, a).0, has(&book, b).0), (Some(transferred.id), 140, 60));
    assert_eq!(refused(&mut book, reverse(a, transferred.id)), Slug::InvalidState);
}

#[test]
fn a_charge_is_made_once_under_its_key() {
    let (mut book, ids) = book(0, &[100]);
    let charge = |minor_units| Operation::Charge {
        wallet: ids[0],
        amount: amount(minor_units),
        key: Uuid::from_u128(7),
    };
    let made = posted(&mut book, charge(30)).unwrap();
    let again = book.apply(&charge(30), &Note::default()).unwrap();
    assert!(matches!(again, Outcome::Charged(id) if id == made.id));
    assert_eq!(refused(&mut book, charge(31)), Slug::IdempotencyKeyReused);
    assert_eq!(has(&book, ids[0]), (70, 0));
}

proptest! {
    /// Whatever is asked: each transaction balances, no wallet falls below zero, and wallets and entries agree.
    #[test]
    fn balances_are_what_entries_add_up_to(steps in prop::collection::vec((0_u8..7, 0_usize..4, 0_usize..4, 1_i64..400), 1..80)) {
        let (mut book, ids) = book(0, &[500, 0, 250, 1]);
        let mut counted: HashMap<(WalletId, Account), i64> =
            ids.iter().zip([500, 0, 250, 1]).map(|(id, has)| ((*id, Account::Wallet), has)).collect();
        let mut made: Vec<Posting> = Vec::new();
        for (kind, one, other, minor_units) in steps {
            let (wallet, amount) = (ids[one], amount(minor_units));
            let earlier = made.get(other.wrapping_mul(31) % made.len().max(1)).map(|posting| posting.id);
            let earlier = earlier.unwrap_or_default();
            let operation = match kind {
                0 => Operation::Credit { wallet, amount },
                1 => Operation::Debit { wallet, amount },
                2 => Operation::Hold { wallet, amount, ttl_seconds: 1 },
                3 => Operation::Confirm { wallet, hold: earlier, amount: Some(amount) },
                4 => Operation::Cancel { wallet, hold: earlier },
                5 => Operation::Transfers(vec![transfer(wallet, ids[other], minor_units), transfer(ids[other], wallet, 1)]),
                _ => Operation::Transfer(transfer(wallet, ids[other], minor_units)),
            };
            let Ok(Outcome::Posted(postings)) = book.apply(&operation, &Note::default()) else { continue };
            for posting in postings {
                prop_assert_eq!(posting.imbalance(), 0);
                for line in &posting.lines {
                    if let Some(wallet) = line.wallet {
                        *counted.entry((wallet, line.account)).or_default() += line.amount;
                    }
                }
                made.push(posting);
            }
            for id in &ids {
                let (available, frozen) = has(&book, *id);
                prop_assert!(available >= 0 && frozen >= 0);
                prop_assert_eq!(available, counted[&(*id, Account::Wallet)]);
                prop_assert_eq!(frozen, counted.get(&(*id, Account::Holds)).copied().unwrap_or(0));
            }
        }
    }
}

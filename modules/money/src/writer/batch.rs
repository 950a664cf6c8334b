use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use fabric::{
    jobs::{self, NewJob},
    postgres::{Database, Tx},
};
use kernel::{Actor, Caller, Ctx, Error, Result, Slug, Timestamp, TransactionId, WalletId};

use super::{Answer, Item};
use crate::{
    NAME,
    events::Movement,
    http::transactions::{TransactionOut, TransfersOut},
    model::{
        Book, HoldChange, HoldState, MOST_EXPIRIES, Operation, Outcome, Posting, WalletBalance, WalletState,
    },
    store::{batch as store, holds},
    tasks::EXPIRE,
};

/// Pauses before a batch is tried again that Postgres undid because of another one.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(200), Duration::from_millis(400)];

/// Does operations of one tenant in one transaction and answers each. If that transaction fails as a whole, each gets
/// one of its own: none fails for the sake of another.
pub(super) async fn write(db: &Database, items: Vec<Item>) {
    match persistently(db, &items).await {
        Ok(answers) => {
            for (item, answer) in items.into_iter().zip(answers) {
                // Who has gone will ask again with the same key.
                let _ = item.answer.send(answer);
            }
        }
        Err(failed) if items.len() > 1 && failed.slug() != Slug::DependencyUnavailable => {
            tracing::warn!(error = ?failed, operations = items.len(), "a batch failed; its operations are done singly");
            for item in items {
                let answer = persistently(db, std::slice::from_ref(&item)).await;
                let _ = item.answer.send(answer.and_then(only));
            }
        }
        Err(failed) => {
            for item in items {
                let copy = Error::new(failed.slug(), failed.detail().to_owned()).because(failed.causes());
                let _ = item.answer.send(Err(copy));
            }
        }
    }
}

fn only(mut answers: Vec<Result<Answer>>) -> Result<Answer> {
    answers.pop().unwrap_or_else(|| Err(Error::internal("an operation was not answered")))
}

/// Repeats what Postgres undid for the sake of another process's transaction.
async fn persistently(db: &Database, items: &[Item]) -> Result<Vec<Result<Answer>>> {
    let mut pauses = PAUSES.iter();
    loop {
        match once(db, items).await {
            Err(failed) if was_in_the_way(&failed) => match pauses.next() {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => return Err(failed),
            },
            Ok(Round::Done(answers)) => return Ok(answers),
            // Overdue holds were ended; there may be more.
            Ok(Round::Again) => {}
            Err(failed) => return Err(failed),
        }
    }
}

/// Serialisation failure or deadlock.
fn was_in_the_way(error: &Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<sqlx::Error>());
    let code = source.and_then(sqlx::Error::as_database_error).and_then(|error| error.code());
    matches!(code.as_deref(), Some("40001" | "40P01"))
}

enum Round {
    Done(Vec<Result<Answer>>),
    Again,
}

async fn once(db: &Database, items: &[Item]) -> Result<Round> {
    let Some(first) = items.first() else { return Ok(Round::Done(Vec::new())) };
    let cx = own_cx(&first.cx)?;
    let mut tx = db.tenant(&cx)?.begin().await?;
    let contexts: Vec<&Ctx> = items.iter().map(|item| &item.cx).collect();
    let mut answers: Vec<Option<Result<Answer>>> =
        tx.open_requests(&contexts).await?.into_iter().map(|told| told.map(Err)).collect();
    let asked: Vec<&Operation> = items
        .iter()
        .zip(&answers)
        .filter(|(_, told)| told.is_none())
        .map(|(item, _)| &item.operation)
        .collect();
    let (mut book, many_overdue) = read(&mut tx, &asked, cx.now()).await?;

    let overdue = book.expire()?;
    let mut postings: Vec<(&Ctx, Posting)> = overdue.into_iter().map(|posting| (&cx, posting)).collect();
    if many_overdue {
        leave(&mut tx, &postings).await?;
        tx.commit(()).await?;
        return Ok(Round::Again);
    }
    for (item, place) in items.iter().zip(&mut answers) {
        if place.is_some() {
            continue;
        }
        *place = Some(match book.apply(&item.operation, &item.note) {
            Ok(outcome) => {
                let (answer, posted) = answered(&item.operation, outcome);
                postings.extend(posted.into_iter().map(|posting| (&item.cx, posting)));
                tx.answer_of(&item.cx, &answer)?;
                Ok(answer)
            }
            Err(refused) => Err(refused),
        });
    }
    if postings.is_empty() {
        tx.rollback().await;
    } else {
        leave(&mut tx, &postings).await?;
        tx.commit(()).await?;
    }
    let told = |answer: Option<Result<Answer>>| {
        answer.unwrap_or_else(|| Err(Error::internal("an operation was not answered")))
    };
    Ok(Round::Done(answers.into_iter().map(told).collect()))
}

/// The writer's own context, for what nobody asked for, with time of its own.
fn own_cx(cx: &Ctx) -> Result<Ctx> {
    let caller =
        Caller { tenant: Some(cx.tenant()?), actor: Actor::System(NAME), permissions: Default::default() };
    Ok(Ctx::build(cx.sandbox().clone(), cx.clock().clone()).caller(caller).finish())
}

/// Locks the wallets that the operations need and reads what is to be known. Says whether more holds are overdue than
/// are ended at once.
async fn read(tx: &mut Tx, asked: &[&Operation], now: Timestamp) -> Result<(Book, bool)> {
    let reverses: Vec<TransactionId> = asked
        .iter()
        .filter_map(|operation| match operation {
            Operation::Reverse { transaction, .. } => Some(*transaction),
            _ => None,
        })
        .collect();
    let mut originals =
        if reverses.is_empty() { Vec::new() } else { store::originals(tx, reverses.clone()).await? };
    let mut ids: BTreeSet<WalletId> = asked.iter().flat_map(|operation| operation.wallets()).collect();
    for original in &originals {
        ids.insert(original.wallet);
        ids.extend(original.counterparty);
    }
    let ids: Vec<WalletId> = ids.into_iter().collect();
    let wallets = store::lock(tx, &ids).await?;
    let mut book = Book::new(now, wallets.first().and_then(|wallet| wallet.most));
    for wallet in &wallets {
        let balance = WalletBalance { wallet: wallet.id, available: wallet.available, frozen: wallet.frozen };
        let state = if wallet.is_frozen { WalletState::Frozen } else { WalletState::Active };
        book.wallet(balance, wallet.currency, wallet.open_holds, state);
    }

    if !originals.is_empty() {
        let reversed = store::reversed(tx, reverses).await?;
        for original in &mut originals {
            original.reversed = reversed.contains(&original.id);
        }
        originals.into_iter().for_each(|original| book.original(original));
    }
    let keys: Vec<_> = asked
        .iter()
        .filter_map(|operation| match operation {
            Operation::Charge { key, .. } => Some(*key),
            _ => None,
        })
        .collect();
    if !keys.is_empty() {
        for made in store::charges(tx, keys).await? {
            book.charge(made.charge_key, made.id, made.wallet_id, made.amount);
        }
    }

    let named: Vec<TransactionId> = asked
        .iter()
        .filter_map(|operation| match operation {
            Operation::Confirm { hold, .. } | Operation::Cancel { hold, .. } => Some(*hold),
            _ => None,
        })
        .collect();
    let holding: Vec<WalletId> =
        wallets.iter().filter(|wallet| wallet.open_holds > 0).map(|wallet| wallet.id).collect();
    if named.is_empty() && holding.is_empty() {
        return Ok((book, false));
    }
    let found = holds::needed(tx, named, &holding, now, MOST_EXPIRIES).await?;
    let overdue = found.iter().filter(|hold| hold.state == HoldState::Held && hold.expires_at <= now).count();
    let many = i64::try_from(overdue).is_ok_and(|overdue| overdue >= MOST_EXPIRIES);
    // A hold of a wallet that is not locked is none of the operation's: it is not found.
    for hold in found {
        if book.knows(hold.wallet) {
            book.hold(hold);
        }
    }
    Ok((book, many))
}

/// What a caller is told, and what is to be written for it.
fn answered(operation: &Operation, outcome: Outcome) -> (Answer, Vec<Posting>) {
    let postings = match outcome {
        Outcome::Charged(made) => return (Answer::Charged(made), Vec::new()),
        Outcome::Posted(postings) => postings,
    };
    let answer = match (operation, postings.as_slice()) {
        (Operation::Transfers(_), posted) => {
            Answer::Transfers(TransfersOut { transactions: posted.iter().map(TransactionOut::of).collect() })
        }
        (Operation::Charge { .. }, [one]) => Answer::Charged(one.id),
        (_, [one]) => Answer::Transaction(Box::new(TransactionOut::of(one))),
        _ => Answer::Nothing,
    };
    (answer, postings)
}

/// Writes the transactions with their events, audit records and the jobs that will end their holds.
async fn leave(tx: &mut Tx, postings: &[(&Ctx, Posting)]) -> Result<()> {
    store::post(tx, postings.iter().map(|(_, posting)| posting)).await?;
    let mut ends: HashMap<i64, Timestamp> = HashMap::new();
    for (cx, posting) in postings {
        let movement = Movement::of(posting);
        tx.event_of(cx, movement.event()?)?;
        tx.audit_of(cx, movement.audit())?;
        if let Some(HoldChange::Placed { expires_at }) = posting.hold {
            let (minute, due) = minute_after(expires_at);
            ends.insert(minute, due);
        }
    }
    for (minute, due) in ends {
        // One job ends all holds of a minute: at use they end exactly when they should.
        let job = NewJob::new(EXPIRE, &serde_json::json!({}), due)?.named(format!("until/{minute}"));
        jobs::enqueue(tx, job).await?;
    }
    Ok(())
}

/// The end of the minute in which a moment lies.
fn minute_after(moment: Timestamp) -> (i64, Timestamp) {
    const MINUTE: i64 = 60_000_000;
    let minute = moment.micros().div_euclid(MINUTE) + 1;
    (minute, Timestamp::from_micros(minute.saturating_mul(MINUTE)).unwrap_or(moment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_job_that_ends_a_hold_is_due_within_a_minute_after_it() {
        for micros in [0, 1, 59_999_999, 60_000_000, 61_000_001] {
            let moment = Timestamp::from_micros(micros).unwrap();
            let (_, due) = minute_after(moment);
            assert!(due > moment && due.since(moment) <= Duration::from_secs(60), "{micros}");
        }
    }
}

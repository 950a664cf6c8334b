use kernel::{Ctx, Result};

use crate::postgres::{Database, Reason};

/// What a run of [`forget`] took away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Events older than their topic keeps.
    pub events: u64,
    /// Notes of consumers that an event was dealt with.
    pub notes: u64,
    /// Stored answers of requests that can't be repeated any more.
    pub answers: u64,
}

const BATCH: i32 = 5000;
/// One run ends after this many batches of each; the next goes on.
const MOST_BATCHES: usize = 200;

/// Takes away what is kept for a time, by real time: events after 7 days (30 in the audit topic; never while a delivery
/// or dead letter needs them), notes of consumers after 30 days (those of `money.` never), answers after 24 h.
///
/// # Errors
/// What the database says; what was taken away until then stays away.
pub async fn forget(db: &Database, contexts: &super::Contexts) -> Result<Forgotten> {
    let mut gone = Forgotten::default();
    for _ in 0..MOST_BATCHES {
        let events = events(db, &contexts.own()).await?;
        gone.events += events;
        if events == 0 {
            break;
        }
    }
    for _ in 0..MOST_BATCHES {
        let notes = notes(db, &contexts.own()).await?;
        gone.notes += notes;
        if notes == 0 {
            break;
        }
    }
    for _ in 0..MOST_BATCHES {
        let answers = answers(db, &contexts.own()).await?;
        gone.answers += answers;
        if answers == 0 {
            break;
        }
    }
    Ok(gone)
}

async fn events(db: &Database, cx: &Ctx) -> Result<u64> {
    let query = db.system(cx, Reason::Events).query(crate::sql!("select kernel.forget_events($1)"));
    let gone: i32 = query.bind(BATCH).value().await?;
    Ok(u64::try_from(gone).unwrap_or(0))
}

async fn notes(db: &Database, cx: &Ctx) -> Result<u64> {
    let query = db.system(cx, Reason::Events).query(crate::sql!(
        "delete from kernel.consumed \
         where ctid = any (array(select c.ctid from kernel.consumed c \
                                 where c.at < clock_timestamp() - interval '30 days' \
                                   and not starts_with(c.consumer, 'money.') \
                                 limit $1))"
    ));
    query.bind(BATCH).run().await
}

async fn answers(db: &Database, cx: &Ctx) -> Result<u64> {
    let query = db.system(cx, Reason::Events).query(crate::sql!(
        "delete from kernel.idempotency \
         where ctid = any (array(select i.ctid from kernel.idempotency i \
                                 where i.at < clock_timestamp() - interval '24 hours' \
                                 limit $1))"
    ));
    query.bind(BATCH).run().await
}

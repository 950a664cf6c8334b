//! What this service does of its own accord: forgetting, and following the log for its sockets.

use std::{sync::Arc, time::Duration};

use fabric::postgres::Database;
use kernel::{Ctx, Result, Timestamp};
use ports::{OnFailure, Task, When};

use crate::{
    store::{inbox, notifications, outbox},
    ws::Sockets,
};

const HOUR: Duration = Duration::from_secs(3600);
/// How long notifications, inboxes and the outbox are kept, on the sandbox's clock.
const KEPT: Duration = Duration::from_secs(180 * 24 * 3600);
/// Most mails that the outbox keeps; the oldest make room.
const MOST_IN_OUTBOX: i64 = 10_000;
/// Rows taken in one go, so that no statement runs long.
const BATCH: i64 = 5_000;
/// Rounds of one run: what is left over waits for the next.
const MOST_ROUNDS: usize = 100;

pub(crate) fn tasks(db: &Database, sockets: &Arc<Sockets>) -> Vec<Task> {
    let (db, sockets) = (db.clone(), Arc::clone(sockets));
    let retention = Task {
        name: "notify.retention",
        every: HOUR,
        when: When::Always,
        on_failure: OnFailure::Log,
        run: Arc::new(move |cx| {
            let db = db.clone();
            Box::pin(async move { forget(&db, &cx).await })
        }),
    };
    let live = Task {
        name: "notify.live",
        every: Duration::ZERO,
        when: When::Always,
        on_failure: OnFailure::Retry,
        // It runs as long as the cell does.
        run: Arc::new(move |_| {
            let sockets = Arc::clone(&sockets);
            Box::pin(async move { sockets.follow().await })
        }),
    };
    vec![retention, live]
}

async fn forget(db: &Database, cx: &Ctx) -> Result<()> {
    let back = i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
    let Some(before) = Timestamp::from_micros(cx.now().micros().saturating_sub(back)) else { return Ok(()) };
    outbox::forget(db, cx, before, MOST_IN_OUTBOX).await?;
    for _ in 0..MOST_ROUNDS {
        let gone = notifications::forget(db, cx, before, BATCH)
            .await?
            .max(inbox::forget(db, cx, before, BATCH).await?);
        if gone < BATCH.unsigned_abs() {
            break;
        }
    }
    Ok(())
}

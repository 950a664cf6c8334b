use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kernel::{Ctx, Result};
use tokio_util::sync::CancellationToken;

use super::{Contexts, News};
use crate::postgres::{Database, FromRow, Reason};

/// Gives committed events their place in the log and wakes the readers of this process.
///
/// Each process that holds the sandbox runs one; the database lets one work at a time. It is woken by every commit that
/// left an event, and looks once a second for what other processes wrote or moved.
pub struct Relay {
    db: Database,
    news: Arc<News>,
    contexts: Contexts,
    /// How many events all relays together had moved when this one looked last.
    seen: Mutex<Option<i64>>,
}

/// What waits in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Events without a place yet; counted up to 10,000.
    pub waiting: u64,
    /// For how long the oldest has waited, on the sandbox's clock.
    pub oldest: Duration,
}

#[derive(FromRow)]
struct Moved {
    moved: i32,
    types: Option<Vec<String>>,
    mark: i64,
}

const BATCH: i32 = 500;
/// How long before it looks without having been woken.
const TICK: Duration = Duration::from_secs(1);
/// How long it leaves another process's relay to finish.
const TURN: Duration = Duration::from_millis(3);
const MOST_TURNS: usize = 300;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What is written while closing still gets this long.
const LAST_CALL: Duration = Duration::from_secs(2);

impl Relay {
    /// A relay from the outbox of `db`; nothing runs yet.
    pub fn new(db: Database, news: Arc<News>, contexts: Contexts) -> Arc<Self> {
        Arc::new(Self { db, news, contexts, seen: Mutex::new(None) })
    }

    /// Works until `stop`. The database may come and go: it tries again after 100 ms, then more rarely, up to 5 s.
    pub async fn run(&self, stop: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        loop {
            let wait = match self.carry().await {
                Ok(()) => {
                    if pause > FIRST_PAUSE {
                        tracing::info!("the relay carries events again");
                    }
                    pause = FIRST_PAUSE;
                    None
                }
                Err(error) => {
                    if pause == FIRST_PAUSE {
                        tracing::warn!(?error, "the relay cannot carry events; it goes on trying");
                    }
                    let wait = pause;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    Some(wait)
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.db.outbox().notified(), if wait.is_none() => {}
                () = tokio::time::sleep(wait.unwrap_or(TICK)) => {}
            }
        }
        // Whatever is left is carried by the next relay; this only spares its readers the wait.
        let _ = tokio::time::timeout(LAST_CALL, self.carry()).await;
    }

    /// Carries everything that is committed by now, and wakes its readers.
    ///
    /// # Errors
    /// What the database says; nothing is lost or carried twice.
    pub async fn carry(&self) -> Result<()> {
        let mut turns = 0;
        loop {
            let cx = self.contexts.own();
            let moved: Moved = self
                .db
                .system(&cx, Reason::Events)
                .query(crate::sql!("select moved, types, mark from kernel.relay($1)"))
                .bind(BATCH)
                .one()
                .await?;
            self.tell(moved.moved, moved.mark, moved.types);
            match moved.moved {
                // Another relay is at work and may have begun before our writers committed: look again after it.
                -1 if turns < MOST_TURNS => {
                    turns += 1;
                    tokio::time::sleep(TURN).await;
                }
                BATCH => {}
                _ => return Ok(()),
            }
        }
    }

    fn tell(&self, moved: i32, mark: i64, types: Option<Vec<String>>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let own = i64::from(moved.max(0));
        let by_others = seen.is_none_or(|seen| mark != seen + own);
        *seen = Some(mark);
        drop(seen);
        if by_others {
            self.news.tell_all();
        }
        if let Some(types) = types {
            self.news.moved(types);
        }
    }

    /// What waits in the outbox.
    ///
    /// # Errors
    /// What the database says.
    pub async fn lag(&self, cx: &Ctx) -> Result<Lag> {
        let (waiting, oldest_ms): (i64, i64) = self
            .db
            .system(cx, Reason::Events)
            .query(crate::sql!(
                "select count(*), \
                        coalesce(greatest(extract(epoch from kernel.now() - min(o.at)) * 1000, 0), 0)::bigint \
                 from (select at from kernel.outbox order by seq limit 10000) o"
            ))
            .one()
            .await?;
        Ok(Lag {
            waiting: u64::try_from(waiting).unwrap_or(0),
            oldest: Duration::from_millis(u64::try_from(oldest_ms).unwrap_or(0)),
        })
    }
}

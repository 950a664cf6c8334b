//! Work of the process: putting idle cells to sleep, waking them when work is due, ending sandboxes whose time is over,
//! keeping spares ready; and running the tasks of services.

use std::{
    cmp::Reverse,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use kernel::{CtxBuilder, SandboxName, Timestamp};
use ports::{OnFailure, Task, When};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{cell::Cell, estate::Estate};

/// How often the process looks around.
const ROUND: Duration = Duration::from_secs(1);
/// A sandbox that nobody uses still looks for work each second, on a connection of its own. More of them than half of the
/// connections there are would spend their time taking these from each other, so beyond that the longest idle ones sleep
/// after this time already.
const IDLE_IN_A_CROWD: Duration = Duration::from_secs(5);
/// The pause before due work of a sandbox that could not be woken is tried again.
const AFTER_A_FAILURE: Duration = Duration::from_secs(60);

/// Looks around until it is stopped.
pub(crate) async fn keep(estate: Arc<Estate>, stop: CancellationToken) {
    let mut round: u64 = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(ROUND) => {}
        }
        if let Err(error) = look_around(&estate, round).await {
            tracing::warn!(?error, "the keeper's round failed; it is repeated in a second");
        }
        round += 1;
    }
}

async fn look_around(estate: &Arc<Estate>, round: u64) -> kernel::Result<()> {
    let mut cells = estate.open_cells();
    cells.sort_by_cached_key(|cell| Reverse(cell.idle_for()));
    let too_many = cells.len().saturating_sub(estate.most_idle());
    for (place, cell) in cells.iter().enumerate() {
        cell.db().shrink(Duration::from_secs(60));
        let limit = estate.idle_limit();
        let limit = if place < too_many { limit.min(IDLE_IN_A_CROWD) } else { limit };
        if let Err(error) = rest(estate, cell, limit).await {
            tracing::warn!(sandbox = %cell.name(), ?error, "can't be put to sleep; tried again in a second");
        }
    }
    estate.look_at_fellows().await?;
    // Hostnames that another process claimed or gave up.
    estate.hostnames.refresh(estate.control()).await?;
    look_at_flags(estate).await;
    // Due times are to the second for those awake (their own jobs) and to a few seconds for sleepers.
    if round.is_multiple_of(5) {
        for (name, expired) in estate.control().due().await? {
            let Ok(name) = name.parse() else { continue };
            attend(estate, &name, expired).await;
        }
    }
    estate.refill_spares().await;
    Ok(())
}

/// Reads the file of flags anew if it has changed. One that is not taken is told when it becomes so.
async fn look_at_flags(estate: &Arc<Estate>) {
    let file = Arc::clone(&estate.flag_file);
    let before = file.state();
    let Some(path) = before.path else { return };
    let looked = tokio::task::spawn_blocking(move || {
        let changed = file.look();
        (changed, file.state())
    });
    let Ok((changed, now)) = looked.await else { return };
    if changed {
        tracing::info!(path = %path.display(), flags = now.flags, "the feature flags have changed");
    }
    if let Some(problem) = now.problem.filter(|problem| before.problem.as_ref() != Some(problem)) {
        tracing::warn!(path = %path.display(), problem, "the file of feature flags is not taken; those of before hold");
    }
}

async fn rest(estate: &Arc<Estate>, cell: &Cell, limit: Duration) -> kernel::Result<()> {
    if cell.is_faulted() || (cell.idle_for() >= limit && cell.may_sleep().await?) {
        estate.put_to_sleep(cell.name()).await?;
    }
    Ok(())
}

/// Ends a sandbox whose time is over, or wakes one whose work is due. One that fails must not keep the others waiting.
async fn attend(estate: &Arc<Estate>, name: &SandboxName, expired: bool) {
    let done = if expired {
        tracing::info!(sandbox = %name, "its time is over: it is deleted");
        estate.delete(name).await
    } else {
        estate.cell(name).await.map(drop)
    };
    let Err(error) = done else { return };
    tracing::warn!(sandbox = %name, expired, ?error, "its due work failed; tried again later");
    if !expired {
        let later = Timestamp::real().plus(AFTER_A_FAILURE);
        if let Err(error) = estate.control().put_to_sleep(name.as_str(), Some(later)).await {
            tracing::warn!(sandbox = %name, ?error, "its next waking could not be noted");
        }
    }
}

/// A run that takes longer than this has its statements ended.
const LONGEST_RUN: Duration = Duration::from_secs(300);

/// Runs one task of a service until it is stopped.
pub(crate) async fn run_task(
    task: Task,
    fresh: impl Fn() -> CtxBuilder + Send + 'static,
    mut written: watch::Receiver<u64>,
    stop: CancellationToken,
    faulted: Arc<AtomicBool>,
) {
    let mut pause = task.every;
    let mut first = true;
    loop {
        let due = async {
            match task.when {
                When::Always => tokio::time::sleep(if first { Duration::ZERO } else { pause }).await,
                // Nothing was written: there is nothing to do. A look every minute covers other processes.
                When::AfterWrites => {
                    if !first {
                        let _ = tokio::time::timeout(Duration::from_secs(60), written.changed()).await;
                        tokio::time::sleep(pause).await;
                        written.mark_unchanged();
                    }
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = due => {}
        }
        first = false;
        let run = (task.run)(fresh().deadline(Instant::now() + LONGEST_RUN).finish());
        let mut running = tokio::spawn(run);
        let done = tokio::select! {
            () = stop.cancelled() => {
                running.abort();
                return;
            }
            done = &mut running => done,
        };
        let failure = match done {
            Ok(Ok(())) => {
                pause = task.every;
                continue;
            }
            Ok(Err(error)) => format!("{error:?}"),
            Err(panic) => panic.to_string(),
        };
        tracing::warn!(task = task.name, failure, "a task failed");
        match task.on_failure {
            OnFailure::Log => {}
            OnFailure::Retry => pause = (pause * 2).clamp(Duration::from_secs(1), Duration::from_secs(60)),
            OnFailure::Stop => {
                faulted.store(true, Ordering::Relaxed);
                return;
            }
        }
    }
}

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt;
use kernel::{Caller, Ctx, Result, TenantId};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Job, Jobs,
    schedule::{backoff, next_run},
    store::{self, Taken},
};
use crate::postgres::{Handle, Reason};

/// Most of an error's text that is kept.
const ERROR_TEXT: usize = 2_000;

/// The time for each statement of the worker itself.
const STATEMENT_TIME: Duration = Duration::from_secs(30);

impl Jobs {
    /// Does jobs until it is stopped. What is under way then is dropped and given back, so that another process can take
    /// it at once.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let lease = Uuid::new_v4();
        let mut running = JoinSet::new();
        let mut pause = Duration::ZERO;
        let mut armed = false;
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => break,
                // A finished job leaves room, and may have enqueued the next one.
                Some(_) = running.join_next(), if !running.is_empty() => {}
                () = tokio::time::sleep(pause) => {}
            }
            let found = self.look(lease, &mut running, &mut armed, &stop).await;
            pause = match found {
                Ok(0) => self.options.poll,
                Ok(_) if running.len() >= self.options.concurrency => self.options.poll,
                Ok(_) => Duration::ZERO,
                Err(error) => {
                    tracing::warn!(?error, "due jobs can't be read; they are looked for again in a moment");
                    self.options.poll.max(Duration::from_secs(1))
                }
            };
        }
        running.shutdown().await;
        match store::release(&self.system(), lease).await {
            Ok(0) => {}
            Ok(jobs) => tracing::info!(jobs, "unfinished jobs were given back"),
            Err(error) => tracing::warn!(?error, "unfinished jobs come back when their lease is over"),
        }
    }

    /// Takes what is due and begins it; answers how many jobs that were.
    async fn look(
        self: &Arc<Self>,
        lease: Uuid,
        running: &mut JoinSet<()>,
        armed: &mut bool,
        stop: &CancellationToken,
    ) -> Result<usize> {
        if !*armed {
            self.arm().await?;
            *armed = true;
        }
        while running.try_join_next().is_some() {}
        let room = self.options.concurrency.saturating_sub(running.len());
        if room == 0 || self.handlers.is_empty() {
            return Ok(0);
        }
        let kinds: Vec<&str> = self.handlers.keys().copied().collect();
        let seconds = self.options.lease.as_secs_f64();
        let taken = store::take(&self.system(), &kinds, room as i64, lease, seconds).await?;
        let count = taken.len();
        for job in taken {
            let jobs = Arc::clone(self);
            let stop = stop.clone();
            running.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = jobs.attempt(job, lease) => {}
                }
            });
        }
        Ok(count)
    }

    async fn arm(&self) -> Result<()> {
        for recurring in &self.recurring {
            let due_at = self.cx.now().plus(recurring.every);
            store::ensure_recurring(
                &self.system(),
                recurring.kind,
                &recurring.name,
                &recurring.payload,
                due_at,
            )
            .await?;
        }
        Ok(())
    }

    /// One attempt at a job, and what follows from it.
    async fn attempt(&self, taken: Taken, lease: Uuid) {
        let job = Job {
            id: taken.id,
            kind: taken.kind.clone(),
            tenant: taken.tenant_id,
            due_at: taken.due_at,
            attempt: u32::try_from(taken.attempts).unwrap_or(u32::MAX),
            payload: taken.payload.0.clone(),
        };
        let outcome = tokio::select! {
            outcome = self.call(job) => outcome,
            lost = self.keep(&taken, lease) => {
                // Another worker has it: nothing more is ours to write.
                tracing::warn!(job = %taken.id, kind = taken.kind, lost, "a job was dropped");
                return;
            }
        };
        let settled = match outcome {
            Ok(()) => self.done(&taken, lease).await,
            Err(why) => self.failed(&taken, lease, &why).await,
        };
        if let Err(error) = settled {
            tracing::warn!(job = %taken.id, ?error, "the end of a job can't be noted; it is done again after its lease");
        }
    }

    /// Calls the handler; a panic is a failure like others.
    async fn call(&self, job: Job) -> Result<(), String> {
        let Some(handler) = self.handlers.get(job.kind.as_str()) else {
            return Err("no handler knows this kind".to_owned());
        };
        let time = self.options.attempt_time;
        let cx = self.fresh_cx(job.tenant, time);
        let work = AssertUnwindSafe(async { handler(cx, job).await }).catch_unwind();
        match tokio::time::timeout(time, work).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => Err(format!("{error:?}")),
            Ok(Err(_)) => Err("the handler panicked".to_owned()),
            Err(_) => Err(format!("the handler took longer than {} s", time.as_secs())),
        }
    }

    /// Renews the lease for as long as the job runs; returns when it is lost.
    async fn keep(&self, taken: &Taken, lease: Uuid) -> &'static str {
        let mut until = Instant::now() + self.options.lease;
        loop {
            tokio::time::sleep(self.options.lease / 3).await;
            let seconds = self.options.lease.as_secs_f64();
            match store::renew(&self.system(), taken.id, lease, seconds).await {
                Ok(true) => until = Instant::now() + self.options.lease,
                Ok(false) => return "its lease was taken over",
                Err(_) if Instant::now() < until => {}
                Err(_) => return "its lease could not be renewed",
            }
        }
    }

    async fn done(&self, taken: &Taken, lease: Uuid) -> Result<()> {
        match self.next_time(taken) {
            Some(due_at) => store::rearm(&self.system(), taken.id, lease, due_at).await,
            None => store::finish(&self.system(), taken.id, lease).await,
        }
    }

    async fn failed(&self, taken: &Taken, lease: Uuid, why: &str) -> Result<()> {
        let attempt = u32::try_from(taken.attempts).unwrap_or(u32::MAX);
        tracing::warn!(job = %taken.id, kind = taken.kind, attempt, why, "a job failed");
        let why: String = why.replace('\0', "\u{fffd}").chars().take(ERROR_TEXT).collect();
        if attempt < self.options.attempts {
            let pause = backoff(attempt, rand::random()).as_secs_f64();
            return store::retry(&self.system(), taken, lease, pause, &why).await;
        }
        match self.next_time(taken) {
            Some(due_at) => store::rearm(&self.system(), taken.id, lease, due_at).await,
            None => store::give_up(&self.system(), taken.id, lease, &why).await,
        }
    }

    fn next_time(&self, taken: &Taken) -> Option<kernel::Timestamp> {
        let name = taken.name.as_deref()?;
        let recurring = self.recurring.iter().find(|job| job.name == name && job.kind == taken.kind)?;
        Some(next_run(taken.due_at, recurring.every, self.cx.now()))
    }

    fn system(&self) -> Handle {
        self.db.system(&self.fresh_cx(None, STATEMENT_TIME), Reason::Jobs)
    }

    /// A context of its own for each step: the deadline of the one given at the start is long over.
    pub(super) fn fresh_cx(&self, tenant: Option<TenantId>, time: Duration) -> Ctx {
        let caller = Caller { tenant, ..self.cx.caller().clone() };
        Ctx::build(self.cx.sandbox().clone(), self.cx.clock().clone())
            .caller(caller)
            .deadline(Instant::now() + time)
            .finish()
    }
}

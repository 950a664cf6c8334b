//! What this service does of its own accord: clearing away what has ended.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use fabric::postgres::{Audit, Reason};
use futures::future::BoxFuture;
use kernel::{Ctx, Result, Timestamp};
use ports::{OnFailure, Task, When};

use crate::{
    Iam,
    events::{Tell as _, TenantPurged},
    generations::Subject,
    key_ring,
    model::KEPT_AFTER_DELETION,
    store::{mail_tokens, purge, signing_keys},
};

/// Rounds of a task in one run: what is left over waits for the next.
const MOST_ROUNDS: usize = 200;

pub(crate) fn all(iam: &Weak<Iam>) -> Vec<Task> {
    let hour = Duration::from_secs(3600);
    vec![
        task("iam.end-sessions", hour, iam, |iam, cx| Box::pin(async move { iam.clear_sessions(&cx).await })),
        task("iam.purge-deleted", 24 * hour, iam, |iam, cx| {
            Box::pin(async move { iam.purge_deleted(&cx).await })
        }),
    ]
}

fn task(
    name: &'static str,
    every: Duration,
    iam: &Weak<Iam>,
    work: fn(Arc<Iam>, Ctx) -> BoxFuture<'static, Result<()>>,
) -> Task {
    let iam = iam.clone();
    Task {
        name,
        every,
        when: When::Always,
        on_failure: OnFailure::Log,
        run: Arc::new(move |cx| match iam.upgrade() {
            Some(iam) => work(iam, cx),
            None => Box::pin(async { Ok(()) }),
        }),
    }
}

impl Iam {
    /// Removes sessions, refresh tokens and signing keys that have ended.
    ///
    /// # Errors
    /// What the database says.
    pub async fn clear_sessions(&self, cx: &Ctx) -> Result<()> {
        let now = cx.now();
        for _ in 0..MOST_ROUNDS {
            let sessions = purge::sessions(&self.db, cx, now).await?;
            let tokens = purge::refresh_tokens(&self.db, cx, now).await?;
            if sessions.max(tokens) < purge::BATCH.unsigned_abs() {
                break;
            }
        }
        mail_tokens::forget_ended(&self.db, cx, now).await?;
        let (sandbox, real) = key_ring::needless_before(now, Timestamp::real());
        if signing_keys::forget_retired(&self.db, cx, sandbox, real).await? > 0 {
            self.keys.forget();
        }
        Ok(())
    }

    /// Removes members and tenants that were deleted 30 days ago, and people who belong to no tenant any more.
    ///
    /// # Errors
    /// What the database says.
    pub async fn purge_deleted(&self, cx: &Ctx) -> Result<()> {
        let back = i64::try_from(KEPT_AFTER_DELETION.as_micros()).unwrap_or(i64::MAX);
        let Some(before) = Timestamp::from_micros(cx.now().micros().saturating_sub(back)) else {
            return Ok(());
        };
        for _ in 0..MOST_ROUNDS {
            let members = self.purge_members(cx, before).await?;
            let tenants = self.purge_tenants(cx, before).await?;
            if members + tenants == 0 {
                break;
            }
        }
        Ok(())
    }

    async fn purge_members(&self, cx: &Ctx, before: Timestamp) -> Result<usize> {
        let mut tx = self.db.system(cx, Reason::Jobs).begin().await?;
        let gone = purge::members(&mut tx, before).await?;
        if gone.is_empty() {
            return Ok(0);
        }
        let users: Vec<_> = gone.iter().map(|(_, user)| *user).collect();
        purge::homeless(&mut tx, &users).await?;
        for (tenant, user) in &gone {
            tx.audit(Audit::new("user.purged", "user", user).of(*tenant))?;
        }
        tx.commit(()).await?;
        for (tenant, user) in &gone {
            self.memory.changed(Subject::Member(*tenant, *user));
        }
        Ok(gone.len())
    }

    async fn purge_tenants(&self, cx: &Ctx, before: Timestamp) -> Result<usize> {
        let mut tx = self.db.system(cx, Reason::Jobs).begin().await?;
        let due = purge::due_tenants(&mut tx, before).await?;
        if due.is_empty() {
            return Ok(0);
        }
        let users = purge::members_of(&mut tx, &due).await?;
        purge::tenants(&mut tx, &due).await?;
        purge::homeless(&mut tx, &users).await?;
        for tenant in &due {
            tx.event(TenantPurged { tenant_id: *tenant }.event()?)?;
            tx.audit(Audit::new("tenant.purged", "tenant", tenant).of(*tenant))?;
        }
        tx.commit(()).await?;
        self.memory.tree_changed();
        self.memory.tenant_changed();
        Ok(due.len())
    }
}

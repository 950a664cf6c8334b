//! All SQL of jobs.

use kernel::{JobId, Result, TenantId, Timestamp};
use serde_json::Value;
use sqlx::{FromRow, types::Json};
use uuid::Uuid;

use super::NewJob;
use crate::postgres::{Handle, Tx};

pub(super) async fn insert_for_tenant(
    tx: &mut Tx,
    id: JobId,
    job: NewJob,
    name: Option<String>,
) -> Result<Option<JobId>> {
    tx.query(crate::sql!(
        "insert into kernel.job (id, tenant_id, kind, name, payload, due_at) values ($2, $1, $3, $4, $5, $6)
         on conflict (kind, name) where name is not null and failed_at is null do nothing returning id"
    ))
    .bind(id)
    .bind(job.kind)
    .bind(name)
    .bind(Json(job.payload))
    .bind(job.due_at)
    .optional_value()
    .await
}

pub(super) async fn insert_as_system(
    tx: &mut Tx,
    id: JobId,
    tenant: Option<TenantId>,
    job: NewJob,
    name: Option<String>,
) -> Result<Option<JobId>> {
    tx.query_unbound(crate::sql!(
        "insert into kernel.job (id, tenant_id, kind, name, payload, due_at) values ($2, $1, $3, $4, $5, $6)
         on conflict (kind, name) where name is not null and failed_at is null do nothing returning id"
    ))
    .bind(tenant)
    .bind(id)
    .bind(job.kind)
    .bind(name)
    .bind(Json(job.payload))
    .bind(job.due_at)
    .optional_value()
    .await
}

/// A job that was taken.
#[derive(Debug, Clone, FromRow)]
pub(super) struct Taken {
    pub id: JobId,
    pub tenant_id: Option<TenantId>,
    pub kind: String,
    pub name: Option<String>,
    pub payload: Json<Value>,
    pub due_at: Timestamp,
    pub attempts: i32,
}

/// Takes due jobs of the given kinds for a lease. A job gives its name free when it is taken, so that what is enqueued
/// meanwhile is not swallowed; recurring ones (`@…`) keep it.
pub(super) async fn take(
    system: &Handle,
    kinds: &[&str],
    most: i64,
    lease: Uuid,
    lease_seconds: f64,
) -> Result<Vec<Taken>> {
    system
        .query(crate::sql!(
            "with due as (
                 select id, name from kernel.job
                 where failed_at is null and due_at <= kernel.now() and kind = any($1)
                   and (leased_until is null or leased_until < clock_timestamp())
                 order by due_at limit $2
                 for update skip locked
             )
             update kernel.job j
             set lease = $3, leased_until = clock_timestamp() + make_interval(secs => $4), attempts = j.attempts + 1,
                 name = case when j.name like '@%' then j.name end
             from due where j.id = due.id
             returning j.id, j.tenant_id, j.kind, due.name, j.payload, j.due_at, j.attempts"
        ))
        .bind(kinds.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>())
        .bind(most)
        .bind(lease)
        .bind(lease_seconds)
        .all()
        .await
}

/// Keeps jobs for longer; answers those that still belong to this lease.
pub(super) async fn renew(system: &Handle, id: JobId, lease: Uuid, lease_seconds: f64) -> Result<bool> {
    let renewed = system
        .query(crate::sql!(
            "update kernel.job set leased_until = clock_timestamp() + make_interval(secs => $3)
             where id = $1 and lease = $2"
        ))
        .bind(id)
        .bind(lease)
        .bind(lease_seconds)
        .run()
        .await?;
    Ok(renewed == 1)
}

/// Done: it goes.
pub(super) async fn finish(system: &Handle, id: JobId, lease: Uuid) -> Result<()> {
    system
        .query(crate::sql!("delete from kernel.job where id = $1 and lease = $2"))
        .bind(id)
        .bind(lease)
        .run()
        .await?;
    Ok(())
}

/// Done for now: a recurring job waits for its next time, with fresh attempts.
pub(super) async fn rearm(system: &Handle, id: JobId, lease: Uuid, due_at: Timestamp) -> Result<()> {
    system
        .query(crate::sql!(
            "update kernel.job set lease = null, leased_until = null, attempts = 0, due_at = $3
             where id = $1 and lease = $2"
        ))
        .bind(id)
        .bind(lease)
        .bind(due_at)
        .run()
        .await?;
    Ok(())
}

/// It failed and is tried again after a pause in real time. It takes its name back unless another has it by now.
pub(super) async fn retry(
    system: &Handle,
    job: &Taken,
    lease: Uuid,
    pause_seconds: f64,
    error: &str,
) -> Result<()> {
    system
        .query(crate::sql!(
            "update kernel.job j
             set lease = null, leased_until = clock_timestamp() + make_interval(secs => $3), last_error = $4,
                 name = case when not exists (select from kernel.job other
                                              where other.kind = j.kind and other.name = $5 and other.id <> j.id
                                                and other.failed_at is null)
                             then $5 end
             where j.id = $1 and j.lease = $2"
        ))
        .bind(job.id)
        .bind(lease)
        .bind(pause_seconds)
        .bind(error.to_owned())
        .bind(job.name.clone())
        .run()
        .await?;
    Ok(())
}

/// It failed for good: it stays to be looked at.
pub(super) async fn give_up(system: &Handle, id: JobId, lease: Uuid, error: &str) -> Result<()> {
    system
        .query(crate::sql!(
            "update kernel.job set lease = null, leased_until = null, last_error = $3, failed_at = kernel.now()
             where id = $1 and lease = $2"
        ))
        .bind(id)
        .bind(lease)
        .bind(error.to_owned())
        .run()
        .await?;
    Ok(())
}

/// Gives back what was not finished, as if it had not been taken.
pub(super) async fn release(system: &Handle, lease: Uuid) -> Result<u64> {
    system
        .query(crate::sql!(
            "update kernel.job set lease = null, leased_until = null, attempts = greatest(attempts - 1, 0)
             where lease = $1"
        ))
        .bind(lease)
        .run()
        .await
}

/// Sees to it that a recurring job waits.
pub(super) async fn ensure_recurring(
    system: &Handle,
    kind: &str,
    name: &str,
    payload: &Value,
    due_at: Timestamp,
) -> Result<()> {
    system
        .query(crate::sql!(
            "insert into kernel.job (id, kind, name, payload, due_at) values ($1, $2, $3, $4, $5)
             on conflict (kind, name) where name is not null and failed_at is null do nothing"
        ))
        .bind(JobId::new())
        .bind(kind.to_owned())
        .bind(name.to_owned())
        .bind(Json(payload.clone()))
        .bind(due_at)
        .run()
        .await?;
    Ok(())
}

/// When the next job may be taken, in real time.
pub(super) async fn next_due(system: &Handle) -> Result<Option<Timestamp>> {
    system
        .query(crate::sql!(
            "select min(greatest(clock_timestamp() + (due_at - kernel.now()),
                                 coalesce(leased_until, '-infinity'::timestamptz), clock_timestamp()))
             from kernel.job where failed_at is null"
        ))
        .value()
        .await
}

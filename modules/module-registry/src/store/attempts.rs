//! Tries to register or update a module.

use fabric::postgres::{FromRow, Handle, Json, Tx};
use kernel::{Result, Timestamp};
use uuid::Uuid;

/// A try, before any SQL of the module has run.
pub struct NewAttempt<'a> {
    pub id: Uuid,
    pub slug: &'a str,
    pub version: &'a str,
    pub kind: &'static str,
    pub started_by: String,
    pub late_at: Timestamp,
    pub ticket: Uuid,
    pub content: serde_json::Value,
    pub base_revision: Option<i64>,
}

/// Writes it down, at once visible to everyone. Older tries than the last twenty of the module go.
pub async fn start(db: &Handle, attempt: NewAttempt<'_>) -> Result<()> {
    db.query(fabric::sql!(
        "with old as (
             delete from registry.attempt
             where id in (select a.id from registry.attempt a where a.slug = $2
                          order by a.started_at desc, a.id desc offset 19)
         )
         insert into registry.attempt (id, slug, version, kind, state, started_by, started_at, late_at, ticket, content,
                                       base_revision)
         values ($1, $2, $3, $4, 'registering', $5, kernel.now(), $6, $7, $8, $9)"
    ))
    .bind(attempt.id)
    .bind(attempt.slug)
    .bind(attempt.version)
    .bind(attempt.kind)
    .bind(attempt.started_by)
    .bind(attempt.late_at)
    .bind(attempt.ticket)
    .bind(Json(attempt.content))
    .bind(attempt.base_revision)
    .run()
    .await
    .map(drop)
}

/// A try came to nothing; its content is not needed any more.
pub async fn finish(tx: &mut Tx, id: Uuid, fault: &str) -> Result<()> {
    tx.query(fabric::sql!(
        "update registry.attempt
         set state = 'failed', fault = $2, finished_at = kernel.now(), ticket = null, content = null
         where id = $1"
    ))
    .bind(id)
    .bind(fault)
    .run()
    .await
    .map(drop)
}

/// The try that made a module what it is came to a good end; answers its kind.
pub async fn finish_adopted(tx: &mut Tx, slug: &str) -> Result<Option<String>> {
    tx.query(fabric::sql!(
        "update registry.attempt a
         set state = 'active', finished_at = kernel.now(), ticket = null, content = null
         from registry.module m
         where m.slug = $1 and a.id = m.attempt_id
         returning a.kind"
    ))
    .bind(slug)
    .optional_value()
    .await
}

/// A try's row.
#[derive(FromRow)]
pub struct AttemptRow {
    pub id: Uuid,
    pub slug: String,
    pub version: String,
    pub kind: String,
    pub state: String,
    pub fault: Option<String>,
    pub started_by: String,
    pub started_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

/// The tries, newest first. One whose process died shows as failed.
pub async fn list(
    db: &Handle,
    slug: Option<&str>,
    before: Option<(Timestamp, Uuid)>,
    most: i64,
) -> Result<Vec<AttemptRow>> {
    let (at, id) = before.unzip();
    db.query(fabric::sql!(
        "select a.id, a.slug, a.version, a.kind,
                case when a.late_at < clock_timestamp() and a.finished_at is null then 'failed' else a.state end as state,
                case when a.late_at < clock_timestamp() and a.finished_at is null
                     then 'It was interrupted; nothing was changed.' else a.fault end as fault,
                a.started_by, a.started_at, a.finished_at
         from registry.attempt a
         where ($1::text is null or a.slug = $1)
           and ($2::timestamptz is null or (a.started_at, a.id) < ($2, $3))
         order by a.started_at desc, a.id desc limit $4"
    ))
    .bind(slug)
    .bind(at)
    .bind(id)
    .bind(most)
    .all()
    .await
}

//! The SQL of dead letters.

use fabric::{
    postgres::{Database, FromRow, Tx},
    sql,
};
use kernel::{Ctx, Error, Result, Timestamp};
use uuid::Uuid;

use crate::{
    model::{CallId, DeadLetterId, LetterState, ProviderId},
    outward::Method,
};

/// A dead letter without its request.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct LetterRow {
    pub id: DeadLetterId,
    pub provider_id: ProviderId,
    pub call_id: CallId,
    pub state: LetterState,
    pub method: Method,
    pub path: String,
    pub idempotency_key: Uuid,
    pub status: Option<i16>,
    pub error: String,
    pub attempts: i32,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
}

/// A dead letter that is new.
pub(crate) struct NewLetter {
    pub id: DeadLetterId,
    pub provider: ProviderId,
    pub call: CallId,
    pub method: Method,
    pub path: String,
    /// Sealed.
    pub request: Vec<u8>,
    pub idempotency_key: Uuid,
    pub status: Option<i16>,
    pub error: String,
    pub attempts: u32,
}

/// Most dead letters of a tenant.
const MOST_LETTERS: i64 = 10_000;

/// Keeps a dead letter; says whether there was room and its provider is still there.
pub(crate) async fn insert(tx: &mut Tx, letter: NewLetter) -> Result<bool> {
    let kept = tx
        .query(sql!(
            "insert into integration.dead_letter (tenant_id, id, provider_id, call_id, method, path, request, \
                 idempotency_key, status, error, attempts) \
             select $1, $2, p.id, $4, $5, $6, $7, $8, $9, $10, $11 \
             from integration.provider p \
             where kernel.owns($1, p.tenant_id) and p.id = $3 \
               and (select count(*) from integration.dead_letter d where kernel.owns($1, d.tenant_id)) < $12 \
             for key share"
        ))
        .bind(letter.id)
        .bind(letter.provider)
        .bind(letter.call)
        .bind(letter.method)
        .bind(letter.path)
        .bind(letter.request)
        .bind(letter.idempotency_key)
        .bind(letter.status)
        .bind(letter.error)
        .bind(i32::try_from(letter.attempts).unwrap_or(i32::MAX))
        .bind(MOST_LETTERS)
        .run()
        .await?;
    Ok(kept == 1)
}

/// Dead letters, the latest first, from behind `after`.
pub(crate) async fn list(
    db: &Database,
    cx: &Ctx,
    provider: Option<ProviderId>,
    after: Option<DeadLetterId>,
    most: usize,
) -> Result<Vec<LetterRow>> {
    db.tenant(cx)?
        .query(sql!(
            "select d.id, d.provider_id, d.call_id, d.state, d.method, d.path, d.idempotency_key, d.status, d.error, \
                    d.attempts, d.first_at, d.last_at \
             from integration.dead_letter d \
             where kernel.owns($1, d.tenant_id) and ($2::uuid is null or d.provider_id = $2) \
               and ($3::uuid is null or d.id < $3) \
             order by d.id desc limit $4"
        ))
        .bind(provider)
        .bind(after)
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .all()
        .await
}

/// A dead letter.
pub(crate) async fn get(db: &Database, cx: &Ctx, id: DeadLetterId) -> Result<LetterRow> {
    db.tenant(cx)?
        .query(sql!(
            "select d.id, d.provider_id, d.call_id, d.state, d.method, d.path, d.idempotency_key, d.status, d.error, \
                    d.attempts, d.first_at, d.last_at \
             from integration.dead_letter d where kernel.owns($1, d.tenant_id) and d.id = $2"
        ))
        .bind(id)
        .optional()
        .await?
        .ok_or_else(|| Error::not_found("dead letter"))
}

/// A dead letter with its sealed request.
pub(crate) async fn whole(
    db: &Database,
    cx: &Ctx,
    id: DeadLetterId,
) -> Result<Option<(ProviderId, Vec<u8>, Uuid)>> {
    db.tenant(cx)?
        .query(sql!(
            "select d.provider_id, d.request, d.idempotency_key from integration.dead_letter d \
             where kernel.owns($1, d.tenant_id) and d.id = $2"
        ))
        .bind(id)
        .optional()
        .await
}

/// Marks a dead letter as queued; not-found if it is gone.
pub(crate) async fn queue(tx: &mut Tx, id: DeadLetterId) -> Result<()> {
    let queued = tx
        .query(sql!(
            "update integration.dead_letter d set state = 'queued' where kernel.owns($1, d.tenant_id) and d.id = $2"
        ))
        .bind(id)
        .run()
        .await?;
    if queued == 0 { Err(Error::not_found("dead letter")) } else { Ok(()) }
}

/// Marks up to `most` waiting dead letters as queued, the oldest first.
pub(crate) async fn queue_all(
    tx: &mut Tx,
    provider: Option<ProviderId>,
    most: i64,
) -> Result<Vec<DeadLetterId>> {
    let queued: Vec<(DeadLetterId,)> = tx
        .query(sql!(
            "update integration.dead_letter d set state = 'queued' \
             where kernel.owns($1, d.tenant_id) \
               and d.id in (select w.id from integration.dead_letter w \
                            where kernel.owns($1, w.tenant_id) and w.state = 'waiting' \
                              and ($2::uuid is null or w.provider_id = $2) \
                            order by w.id limit $3 for update) \
             returning d.id"
        ))
        .bind(provider)
        .bind(most)
        .all()
        .await?;
    Ok(queued.into_iter().map(|(id,)| id).collect())
}

/// Whether more wait.
pub(crate) async fn any_waiting(tx: &mut Tx, provider: Option<ProviderId>) -> Result<bool> {
    tx.query(sql!(
        "select exists (select from integration.dead_letter d \
                        where kernel.owns($1, d.tenant_id) and d.state = 'waiting' \
                          and ($2::uuid is null or d.provider_id = $2))"
    ))
    .bind(provider)
    .value()
    .await
}

/// Notes that another attempt failed: it waits again.
pub(crate) async fn failed_again(
    tx: &mut Tx,
    id: DeadLetterId,
    status: Option<i16>,
    error: &str,
    attempts: u32,
) -> Result<()> {
    tx.query(sql!(
        "update integration.dead_letter d \
         set state = 'waiting', status = $3, error = $4, attempts = d.attempts + $5, last_at = kernel.now() \
         where kernel.owns($1, d.tenant_id) and d.id = $2"
    ))
    .bind(id)
    .bind(status)
    .bind(error.to_owned())
    .bind(i32::try_from(attempts).unwrap_or(i32::MAX))
    .run()
    .await
    .map(drop)
}

/// Takes a dead letter away; says whether it was there.
pub(crate) async fn delete(tx: &mut Tx, id: DeadLetterId) -> Result<bool> {
    let gone = tx
        .query(sql!("delete from integration.dead_letter d where kernel.owns($1, d.tenant_id) and d.id = $2"))
        .bind(id)
        .run()
        .await?;
    Ok(gone == 1)
}

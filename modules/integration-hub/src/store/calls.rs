//! The SQL of the log of calls.

use std::collections::BTreeMap;

use fabric::{
    postgres::{Database, FromRow, Json, Tx},
    sql,
};
use kernel::{Ctx, Error, Result, Slug, Timestamp};
use uuid::Uuid;

use crate::{
    model::{CallId, CallState, Origin, ProviderId},
    outward::Method,
};

/// A call as the log keeps it.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct CallRow {
    pub id: CallId,
    pub provider_id: ProviderId,
    pub provider: String,
    pub origin: Origin,
    pub state: CallState,
    pub actor: String,
    pub method: Method,
    pub path: String,
    pub request_headers: Json<BTreeMap<String, String>>,
    pub request_body: Option<String>,
    pub status: Option<i16>,
    pub answer_type: Option<String>,
    pub answer_body: Option<String>,
    pub answer_bytes: Option<i64>,
    pub attempts: i16,
    pub error: Option<String>,
    pub duration_ms: Option<i32>,
    pub trace_id: String,
    pub at: Timestamp,
}

/// A call that begins.
pub(crate) struct Begun<'a> {
    pub id: CallId,
    pub provider: (ProviderId, &'a str),
    pub origin: Origin,
    pub idempotency_key: Uuid,
    pub method: Method,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Option<String>,
}

/// What became of a call.
#[derive(Default)]
pub(crate) struct Ended {
    pub status: Option<i16>,
    pub answer_type: Option<String>,
    pub answer_body: Option<String>,
    pub answer_bytes: Option<i64>,
    pub attempts: u32,
    pub error: Option<String>,
    pub duration_ms: u128,
}

/// Notes a call before it is made. The caller's Idempotency-Key, if there is one, is held by the transaction; a call under
/// that key that is still under way is noticed.
///
/// Errors: idempotency-in-progress.
pub(crate) async fn begin(tx: &mut Tx, begun: Begun<'_>) -> Result<()> {
    let cx = tx.cx().clone();
    let noted = tx
        .query(sql!(
            "insert into integration.call (tenant_id, id, provider_id, provider, origin, actor, request_key, \
                 idempotency_key, method, path, request_headers, request_body, trace_id) \
             select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13 \
             where not exists (select from integration.call c \
                               where kernel.owns($1, c.tenant_id) and c.actor = $6 and c.request_key = $7 \
                                 and c.state = 'running' \
                                 and c.logged_at > clock_timestamp() - interval '2 minutes')"
        ))
        .bind(begun.id)
        .bind(begun.provider.0)
        .bind(begun.provider.1)
        .bind(begun.origin)
        .bind(cx.actor().name())
        .bind(cx.idempotency().map(|request| request.key))
        .bind(begun.idempotency_key)
        .bind(begun.method)
        .bind(begun.path)
        .bind(Json(begun.headers))
        .bind(begun.body)
        .bind(cx.trace().trace_id_text())
        .run()
        .await?;
    if noted == 0 {
        return Err(Error::new(
            Slug::IdempotencyInProgress,
            "The first request with this Idempotency-Key is still running.",
        ));
    }
    Ok(())
}

/// Notes what became of a call.
pub(crate) async fn end(tx: &mut Tx, id: CallId, state: CallState, ended: Ended) -> Result<()> {
    tx.query(sql!(
        "update integration.call c \
         set state = $3, status = $4, answer_type = $5, answer_body = $6, answer_bytes = $7, attempts = $8, \
             error = $9, duration_ms = $10 \
         where kernel.owns($1, c.tenant_id) and c.id = $2"
    ))
    .bind(id)
    .bind(state)
    .bind(ended.status)
    .bind(ended.answer_type)
    .bind(ended.answer_body)
    .bind(ended.answer_bytes)
    .bind(i16::try_from(ended.attempts).unwrap_or(i16::MAX))
    .bind(ended.error)
    .bind(i32::try_from(ended.duration_ms).unwrap_or(i32::MAX))
    .run()
    .await
    .map(drop)
}

/// Calls, the latest first, from behind `after`.
pub(crate) async fn list(
    db: &Database,
    cx: &Ctx,
    provider: Option<ProviderId>,
    state: Option<CallState>,
    after: Option<CallId>,
    most: usize,
) -> Result<Vec<CallRow>> {
    db.tenant(cx)?
        .query(sql!(
            "select c.id, c.provider_id, c.provider, c.origin, c.state, c.actor, c.method, c.path, c.request_headers, \
                    c.request_body, c.status, c.answer_type, c.answer_body, c.answer_bytes, c.attempts, c.error, \
                    c.duration_ms, c.trace_id, c.at \
             from integration.call c \
             where kernel.owns($1, c.tenant_id) and ($2::uuid is null or c.provider_id = $2) \
               and ($3::text is null or c.state = $3) and ($4::uuid is null or c.id < $4) \
             order by c.id desc limit $5"
        ))
        .bind(provider)
        .bind(state)
        .bind(after)
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .all()
        .await
}

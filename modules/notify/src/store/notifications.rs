//! `notify.notification` and `notify.attempt`.

use fabric::{
    postgres::{Database, FromRow, Handle, Json, Reason, Tx},
    sql,
};
use kernel::{Ctx, Result, Timestamp, UserId};
use serde::Serialize;
use serde_json::Value;

use crate::{
    NotificationId,
    model::{Channel, State},
};

/// A notification.
#[derive(Debug, Clone, FromRow)]
pub struct NotificationRow {
    pub id: NotificationId,
    pub channel: Channel,
    #[sqlx(rename = "type")]
    pub kind: String,
    pub priority: i16,
    pub user_id: Option<UserId>,
    pub address: Option<String>,
    pub subject: String,
    pub body: String,
    pub html: Option<String>,
    pub meta: Json<Value>,
    pub template: Option<String>,
    pub state: State,
    pub attempts: i16,
    /// Attempts made before it was last put back by hand.
    pub attempts_before: i16,
    pub due_at: Timestamp,
    pub last_error: Option<String>,
    pub created_by: String,
    pub created_at: Timestamp,
    pub settled_at: Option<Timestamp>,
}

/// A notification to be added; as JSON a row.
#[derive(Debug, Clone, Serialize)]
pub struct NewNotification {
    pub id: NotificationId,
    pub channel: Channel,
    #[serde(rename = "type")]
    pub kind: String,
    pub priority: i16,
    pub user_id: Option<UserId>,
    pub address: Option<String>,
    pub subject: String,
    pub body: String,
    pub html: Option<String>,
    pub meta: Value,
    pub template: Option<String>,
    pub state: State,
    pub due_at: Timestamp,
    pub created_by: String,
    pub created_at: Timestamp,
    pub settled_at: Option<Timestamp>,
}

/// An attempt.
#[derive(Debug, Clone, FromRow)]
pub struct AttemptRow {
    pub number: i16,
    pub at: Timestamp,
    pub took: i32,
    pub error: Option<String>,
}

/// How long a notification that is being sent belongs to its worker, in seconds of real time.
pub const LEASE_SECONDS: u64 = 60;

/// Adds notifications in one statement.
pub async fn insert(tx: &mut Tx, rows: &[NewNotification]) -> Result<()> {
    let rows = serde_json::to_value(rows).map_err(kernel::Error::internal)?;
    tx.query(sql!(
        "insert into notify.notification (id, tenant_id, channel, type, priority, user_id, address, subject, body, html,
                                          meta, template, state, due_at, created_by, created_at, settled_at)
         select n.id, $1, n.channel, n.type, n.priority, n.user_id, n.address, n.subject, n.body, n.html, n.meta,
                n.template, n.state, n.due_at, n.created_by, n.created_at, n.settled_at
         from jsonb_to_recordset($2) as n(id uuid, channel text, type text, priority smallint, user_id uuid,
                                          address text, subject text, body text, html text, meta jsonb, template text,
                                          state text, due_at timestamptz, created_by text, created_at timestamptz,
                                          settled_at timestamptz)"
    ))
    .bind(Json(rows))
    .run()
    .await
    .map(drop)
}

/// How many of the tenant wait, counted up to `most`.
pub async fn waiting(tx: &mut Tx, most: i64) -> Result<i64> {
    tx.query(sql!(
        "select count(*) from (select from notify.notification
                               where kernel.owns($1, tenant_id) and state = 'queued' limit $2) w"
    ))
    .bind(most)
    .value()
    .await
}

/// Takes what is due of the bound tenant under a lease, the urgent first.
pub async fn take(db: &Database, cx: &Ctx, most: usize) -> Result<Vec<NotificationRow>> {
    let mut rows: Vec<NotificationRow> = db
        .tenant(cx)?
        .query(sql!(
            "with due as (
                 select id from notify.notification
                 where kernel.owns($1, tenant_id) and state = 'queued' and due_at <= kernel.now()
                   and (leased_until is null or leased_until < clock_timestamp())
                 order by priority desc, due_at, id limit $2
                 for update skip locked
             )
             update notify.notification n
             set leased_until = clock_timestamp() + make_interval(secs => $3), attempts = n.attempts + 1
             from due
             where kernel.owns($1, n.tenant_id) and n.id = due.id
             returning n.id, n.channel, n.type, n.priority, n.user_id, n.address, n.subject, n.body, n.html, n.meta,
                       n.template, n.state, n.attempts, n.attempts_before, n.due_at, n.last_error, n.created_by,
                       n.created_at, n.settled_at"
        ))
        .bind(i64::try_from(most).unwrap_or(1))
        .bind(LEASE_SECONDS as f64)
        .all()
        .await?;
    rows.sort_by_key(|row| (std::cmp::Reverse(row.priority), row.due_at, row.id));
    Ok(rows)
}

/// Whether something due is in another worker's hands.
pub async fn any_leased(db: &Database, cx: &Ctx) -> Result<bool> {
    db.tenant(cx)?
        .query(sql!(
            "select exists (select from notify.notification
                            where kernel.owns($1, tenant_id) and state = 'queued' and due_at <= kernel.now()
                              and leased_until >= clock_timestamp())"
        ))
        .value()
        .await
}

/// Notes an attempt, and what the notification came to by it. False: it is not this attempt's any more.
pub async fn settle(
    tx: &mut Tx,
    row: &NotificationRow,
    state: State,
    due_at: Timestamp,
    took_millis: i32,
    error: Option<&str>,
) -> Result<bool> {
    let now = tx.cx().now();
    let settled = tx
        .query(sql!(
            "with settled as (
                 update notify.notification
                 set state = $4, due_at = $5, leased_until = null, last_error = $7,
                     settled_at = case when $4 = 'queued' then null else $8::timestamptz end
                 where kernel.owns($1, tenant_id) and id = $2 and state = 'queued' and attempts = $3
                 returning id
             )
             insert into notify.attempt (tenant_id, notification_id, number, at, took, error)
             select $1, id, $3, $8, $6, $7 from settled"
        ))
        .bind(row.id)
        .bind(row.attempts)
        .bind(state)
        .bind(due_at)
        .bind(took_millis)
        .bind(error)
        .bind(now)
        .run()
        .await?;
    Ok(settled == 1)
}

/// One of the tenant's.
pub async fn read(handle: &Handle, id: NotificationId) -> Result<Option<NotificationRow>> {
    handle
        .query(sql!(
            "select id, channel, type, priority, user_id, address, subject, body, html, meta, template, state, attempts,
                    attempts_before, due_at, last_error, created_by, created_at, settled_at
             from notify.notification where kernel.owns($1, tenant_id) and id = $2"
        ))
        .bind(id)
        .optional()
        .await
}

/// The same, locked until the transaction ends.
pub async fn lock(tx: &mut Tx, id: NotificationId) -> Result<Option<NotificationRow>> {
    tx.query(sql!(
        "select id, channel, type, priority, user_id, address, subject, body, html, meta, template, state, attempts,
                attempts_before, due_at, last_error, created_by, created_at, settled_at
         from notify.notification where kernel.owns($1, tenant_id) and id = $2 for update"
    ))
    .bind(id)
    .optional()
    .await
}

/// Its attempts, in order.
pub async fn attempts(handle: &Handle, id: NotificationId) -> Result<Vec<AttemptRow>> {
    handle
        .query(sql!(
            "select number, at, took, error from notify.attempt
             where kernel.owns($1, tenant_id) and notification_id = $2 order by number desc limit 100"
        ))
        .bind(id)
        .all()
        .await
}

/// Puts one that has failed back in the queue, with fresh attempts.
pub async fn requeue(tx: &mut Tx, id: NotificationId) -> Result<()> {
    let now = tx.cx().now();
    tx.query(sql!(
        "update notify.notification
         set state = 'queued', due_at = $3, attempts_before = attempts, leased_until = null, settled_at = null
         where kernel.owns($1, tenant_id) and id = $2"
    ))
    .bind(id)
    .bind(now)
    .run()
    .await
    .map(drop)
}

/// The tenant's, the newest first; one more than `limit`.
pub async fn list(
    handle: &Handle,
    state: Option<State>,
    channel: Option<Channel>,
    after: Option<(Timestamp, NotificationId)>,
    limit: usize,
) -> Result<Vec<NotificationRow>> {
    handle
        .query(sql!(
            "select id, channel, type, priority, user_id, address, subject, body, html, meta, template, state, attempts,
                    attempts_before, due_at, last_error, created_by, created_at, settled_at
             from notify.notification
             where kernel.owns($1, tenant_id) and ($2::text is null or state = $2)
               and ($3::text is null or channel = $3)
               and ($4::timestamptz is null or (created_at, id) < ($4, $5))
             order by created_at desc, id desc limit $6"
        ))
        .bind(state)
        .bind(channel)
        .bind(after.map(|(at, _)| at))
        .bind(after.map(|(_, id)| id))
        .bind(i64::try_from(limit + 1).unwrap_or(i64::MAX))
        .all()
        .await
}

/// Removes up to `most` of all tenants that are older than `before`.
pub async fn forget(db: &Database, cx: &Ctx, before: Timestamp, most: i64) -> Result<u64> {
    db.system(cx, Reason::Jobs)
        .query(sql!(
            "delete from notify.notification
             where id in (select id from notify.notification where created_at < $1 and state <> 'queued'
                          order by created_at limit $2)"
        ))
        .bind(before)
        .bind(most)
        .run()
        .await
}

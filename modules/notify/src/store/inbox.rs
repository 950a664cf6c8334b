//! `notify.inbox_entry`: what lies in people's inboxes.

use fabric::{
    postgres::{Database, FromRow, Handle, Json, Reason, Tx},
    sql,
};
use kernel::{Ctx, Result, Timestamp, UserId};
use serde_json::Value;

use crate::NotificationId;

/// A message in an inbox.
#[derive(Debug, Clone, FromRow)]
pub struct EntryRow {
    pub id: NotificationId,
    #[sqlx(rename = "type")]
    pub kind: String,
    pub subject: String,
    pub body: String,
    pub meta: Json<Value>,
    pub created_at: Timestamp,
    pub read_at: Option<Timestamp>,
}

/// A message to be put in.
pub struct NewEntry<'a> {
    pub id: NotificationId,
    pub user: UserId,
    pub kind: &'a str,
    pub subject: &'a str,
    pub body: &'a str,
    pub meta: &'a Value,
    pub created_at: Timestamp,
    pub read_at: Option<Timestamp>,
}

/// Puts a message in; once, however often it is called.
pub async fn insert(tx: &mut Tx, entry: &NewEntry<'_>) -> Result<()> {
    tx.query(sql!(
        "insert into notify.inbox_entry (id, tenant_id, user_id, type, subject, body, meta, created_at, read_at)
         values ($2, $1, $3, $4, $5, $6, $7, $8, $9)
         on conflict (id) do nothing"
    ))
    .bind(entry.id)
    .bind(entry.user)
    .bind(entry.kind)
    .bind(entry.subject)
    .bind(entry.body)
    .bind(Json(entry.meta))
    .bind(entry.created_at)
    .bind(entry.read_at)
    .run()
    .await
    .map(drop)
}

/// A person's messages, the newest first; one more than `limit`.
pub async fn list(
    handle: &Handle,
    user: UserId,
    unread: bool,
    after: Option<(Timestamp, NotificationId)>,
    limit: usize,
) -> Result<Vec<EntryRow>> {
    handle
        .query(sql!(
            "select id, type, subject, body, meta, created_at, read_at from notify.inbox_entry
             where kernel.owns($1, tenant_id) and user_id = $2 and (not $3 or read_at is null)
               and ($4::timestamptz is null or (created_at, id) < ($4, $5))
             order by created_at desc, id desc limit $6"
        ))
        .bind(user)
        .bind(unread)
        .bind(after.map(|(at, _)| at))
        .bind(after.map(|(_, id)| id))
        .bind(i64::try_from(limit + 1).unwrap_or(i64::MAX))
        .all()
        .await
}

/// One of a person's messages.
pub async fn read(handle: &Handle, user: UserId, id: NotificationId) -> Result<Option<EntryRow>> {
    handle
        .query(sql!(
            "select id, type, subject, body, meta, created_at, read_at from notify.inbox_entry
             where kernel.owns($1, tenant_id) and user_id = $2 and id = $3"
        ))
        .bind(user)
        .bind(id)
        .optional()
        .await
}

/// How many messages a person has not read, counted up to 1,000.
pub async fn unread(handle: &Handle, user: UserId) -> Result<i64> {
    handle
        .query(sql!(
            "select count(*) from (select from notify.inbox_entry
                                   where kernel.owns($1, tenant_id) and user_id = $2 and read_at is null limit 1000) u"
        ))
        .bind(user)
        .value()
        .await
}

/// Notes that a message was read; answers it, and whether it was new until now.
pub async fn mark(tx: &mut Tx, user: UserId, id: NotificationId) -> Result<Option<(EntryRow, bool)>> {
    let now = tx.cx().now();
    let marked: Option<EntryRow> = tx
        .query(sql!(
            "update notify.inbox_entry set read_at = $4
             where kernel.owns($1, tenant_id) and user_id = $2 and id = $3 and read_at is null
             returning id, type, subject, body, meta, created_at, read_at"
        ))
        .bind(user)
        .bind(id)
        .bind(now)
        .optional()
        .await?;
    if let Some(row) = marked {
        return Ok(Some((row, true)));
    }
    let known: Option<EntryRow> = tx
        .query(sql!(
            "select id, type, subject, body, meta, created_at, read_at from notify.inbox_entry
             where kernel.owns($1, tenant_id) and user_id = $2 and id = $3"
        ))
        .bind(user)
        .bind(id)
        .optional()
        .await?;
    Ok(known.map(|row| (row, false)))
}

/// Notes that all messages of a person were read; answers how many were new.
pub async fn mark_all(tx: &mut Tx, user: UserId) -> Result<u64> {
    let now = tx.cx().now();
    tx.query(sql!(
        "update notify.inbox_entry set read_at = $3
         where kernel.owns($1, tenant_id) and user_id = $2 and read_at is null"
    ))
    .bind(user)
    .bind(now)
    .run()
    .await
}

/// Whether a person has any message.
pub async fn any(tx: &mut Tx, user: UserId) -> Result<bool> {
    tx.query(sql!(
        "select exists (select from notify.inbox_entry where kernel.owns($1, tenant_id) and user_id = $2)"
    ))
    .bind(user)
    .value()
    .await
}

/// Removes up to `most` of all tenants that are older than `before`.
pub async fn forget(db: &Database, cx: &Ctx, before: Timestamp, most: i64) -> Result<u64> {
    db.system(cx, Reason::Jobs)
        .query(sql!(
            "delete from notify.inbox_entry
             where id in (select id from notify.inbox_entry where created_at < $1
                          order by created_at limit $2)"
        ))
        .bind(before)
        .bind(most)
        .run()
        .await
}

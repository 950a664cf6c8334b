//! `notify.outbox`, and whether mail may leave the sandbox.

use fabric::{
    postgres::{Database, FromRow, Handle, Reason, Tx},
    sql,
};
use kernel::{Ctx, Result, TenantId, Timestamp, UserId};

use crate::{OutboxMailId, model::OutboxState};

/// A mail, without what it says.
#[derive(Debug, Clone, FromRow)]
pub struct OutboxRow {
    pub id: OutboxMailId,
    pub tenant_id: Option<TenantId>,
    pub private: bool,
    pub address: String,
    pub subject: String,
    pub template: Option<String>,
    pub state: OutboxState,
    pub attempts: i16,
    pub last_error: Option<String>,
    pub created_at: Timestamp,
}

/// A mail with what it says, sealed.
#[derive(Debug, Clone, FromRow)]
pub struct SealedRow {
    #[sqlx(flatten)]
    pub row: OutboxRow,
    pub content: Vec<u8>,
}

/// A mail to be kept.
pub struct NewOutboxMail<'a> {
    pub id: OutboxMailId,
    pub tenant: Option<TenantId>,
    pub private: bool,
    pub reader: Option<UserId>,
    pub address: &'a str,
    pub subject: &'a str,
    pub template: Option<&'a str>,
    pub state: OutboxState,
    pub attempts: i16,
    pub error: Option<&'a str>,
    pub content: &'a [u8],
}

/// Whether the operator lets mail leave this sandbox.
pub async fn outbound_allowed(db: &Database, cx: &Ctx) -> Result<bool> {
    db.system(cx, Reason::Jobs).query(sql!("select allowed from notify.outbound")).value().await
}

/// Keeps a mail in a transaction of the system, or notes what became of one that waits. One that was sent stays so.
pub async fn keep(tx: &mut Tx, mail: &NewOutboxMail<'_>) -> Result<()> {
    let now = tx.cx().now();
    tx.query(sql!(
        "insert into notify.outbox as o (id, tenant_id, private, reader, address, subject, template, state, attempts,
                                         last_error, content, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         on conflict (id) do update
             set state = excluded.state, attempts = excluded.attempts, last_error = excluded.last_error,
                 content = excluded.content
             where o.state = 'waiting'"
    ))
    .bind(mail.id)
    .bind(mail.tenant)
    .bind(mail.private)
    .bind(mail.reader)
    .bind(mail.address)
    .bind(mail.subject)
    .bind(mail.template)
    .bind(mail.state)
    .bind(mail.attempts)
    .bind(mail.error)
    .bind(mail.content)
    .bind(now)
    .run()
    .await
    .map(drop)
}

/// Keeps the mail of a notification of the bound tenant; once, however often it is called.
pub async fn keep_for_tenant(tx: &mut Tx, mail: &NewOutboxMail<'_>) -> Result<()> {
    let now = tx.cx().now();
    tx.query(sql!(
        "insert into notify.outbox (id, tenant_id, private, address, subject, template, state, attempts, content, created_at)
         values ($2, $1, false, $3, $4, $5, $6, $7, $8, $9)
         on conflict (id) do nothing"
    ))
    .bind(mail.id)
    .bind(mail.address)
    .bind(mail.subject)
    .bind(mail.template)
    .bind(mail.state)
    .bind(mail.attempts)
    .bind(mail.content)
    .bind(now)
    .run()
    .await
    .map(drop)
}

/// All mails of the sandbox, the newest first; one more than `limit`.
pub async fn list_all(
    db: &Database,
    cx: &Ctx,
    to: Option<&str>,
    after: Option<(Timestamp, OutboxMailId)>,
    limit: usize,
) -> Result<Vec<OutboxRow>> {
    db.system(cx, Reason::Sandbox)
        .query(sql!(
            "select id, tenant_id, private, address, subject, template, state, attempts, last_error, created_at
             from notify.outbox
             where ($1::text is null or address = $1) and ($2::timestamptz is null or (created_at, id) < ($2, $3))
             order by created_at desc, id desc limit $4"
        ))
        .bind(to)
        .bind(after.map(|(at, _)| at))
        .bind(after.map(|(_, id)| id))
        .bind(i64::try_from(limit + 1).unwrap_or(i64::MAX))
        .all()
        .await
}

/// One mail of the sandbox.
pub async fn read_any(db: &Database, cx: &Ctx, id: OutboxMailId) -> Result<Option<SealedRow>> {
    db.system(cx, Reason::Sandbox)
        .query(sql!(
            "select id, tenant_id, private, address, subject, template, state, attempts, last_error, created_at, content
             from notify.outbox where id = $1"
        ))
        .bind(id)
        .optional()
        .await
}

/// The tenant's mails that `user` may see: all but private ones of others.
pub async fn list(
    handle: &Handle,
    user: Option<UserId>,
    to: Option<&str>,
    after: Option<(Timestamp, OutboxMailId)>,
    limit: usize,
) -> Result<Vec<OutboxRow>> {
    handle
        .query(sql!(
            "select id, tenant_id, private, address, subject, template, state, attempts, last_error, created_at
             from notify.outbox
             where kernel.owns($1, tenant_id) and (not private or reader = $2) and ($3::text is null or address = $3)
               and ($4::timestamptz is null or (created_at, id) < ($4, $5))
             order by created_at desc, id desc limit $6"
        ))
        .bind(user)
        .bind(to)
        .bind(after.map(|(at, _)| at))
        .bind(after.map(|(_, id)| id))
        .bind(i64::try_from(limit + 1).unwrap_or(i64::MAX))
        .all()
        .await
}

/// One of the tenant's mails that `user` may see.
pub async fn read(handle: &Handle, user: Option<UserId>, id: OutboxMailId) -> Result<Option<SealedRow>> {
    handle
        .query(sql!(
            "select id, tenant_id, private, address, subject, template, state, attempts, last_error, created_at, content
             from notify.outbox
             where kernel.owns($1, tenant_id) and (not private or reader = $2) and id = $3"
        ))
        .bind(user)
        .bind(id)
        .optional()
        .await
}

/// Removes what is older than `before`, and of the rest what exceeds `most` in the sandbox.
pub async fn forget(db: &Database, cx: &Ctx, before: Timestamp, most: i64) -> Result<u64> {
    db.system(cx, Reason::Jobs)
        .query(sql!(
            "delete from notify.outbox
             where state <> 'waiting'
               and (created_at < $1
                    or (created_at, id) <= (select created_at, id from notify.outbox
                                            order by created_at desc, id desc offset $2 limit 1))"
        ))
        .bind(before)
        .bind(most)
        .run()
        .await
}

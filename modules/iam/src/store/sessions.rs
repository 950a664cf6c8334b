//! `iam.session` and `iam.refresh_token`.

use fabric::{
    postgres::{FromRow, Handle, Tx},
    sql,
};
use kernel::{Ctx, Result, SessionId, TenantId, Timestamp, UserId};

use crate::model::{MOST_SESSIONS, REFRESH_GRACE, REFRESH_TOKEN_LIFE, SessionEnd};

/// A session to be opened.
pub struct NewSession {
    /// Its id.
    pub id: SessionId,
    /// The tenant.
    pub tenant: TenantId,
    /// The person.
    pub user: UserId,
    /// SHA-256 of its first refresh token.
    pub refresh_hash: [u8; 32],
}

/// What is known of a refresh token.
#[derive(Debug, Clone, FromRow)]
pub struct RefreshRow {
    /// Its session.
    pub session_id: SessionId,
    /// The session's tenant.
    pub tenant_id: TenantId,
    /// The session's person.
    pub user_id: UserId,
    /// When it ends, on the sandbox's clock.
    pub expires_at: Timestamp,
    /// Whether it was exchanged already.
    pub used: bool,
    /// Whether that was so short a time ago, in real time, that it may be repeated.
    pub in_grace: bool,
    /// Whether the session was ended.
    pub revoked: bool,
}

/// A session, as its owner sees it.
#[derive(Debug, Clone, FromRow)]
pub struct SessionRow {
    /// Its id.
    pub id: SessionId,
    /// What the client called itself.
    pub agent: Option<String>,
    /// Where it came from.
    pub address: Option<String>,
    /// The sign-in.
    pub created_at: Timestamp,
    /// The last refresh.
    pub last_used_at: Timestamp,
    /// When it ends unless it is refreshed.
    pub expires_at: Timestamp,
}

/// Opens a session. The person's oldest ones make room for it; their ids are answered.
pub async fn open(tx: &mut Tx, cx: &Ctx, session: &NewSession) -> Result<Vec<SessionId>> {
    let (now, expires_at) = (cx.now(), cx.now().plus(REFRESH_TOKEN_LIFE));
    let replaced: Vec<(SessionId,)> = tx
        .query(sql!(
            "with opened as (
                 insert into iam.session (id, tenant_id, user_id, agent, address, created_at, last_used_at, expires_at)
                 values ($1, $2, $3, $4, $5, $6, $6, $7)
             ), token as (
                 insert into iam.refresh_token (hash, tenant_id, session_id, issued_at, expires_at)
                 values ($8, $2, $1, $6, $7)
             )
             update iam.session s set revoked_at = $6, revoked_because = 'replaced'
             where s.id in (select o.id from iam.session o
                            where o.tenant_id = $2 and o.user_id = $3 and o.revoked_at is null
                            order by o.created_at desc, o.id desc offset $9)
             returning s.id"
        ))
        .bind(session.id)
        .bind(session.tenant)
        .bind(session.user)
        .bind(cx.client().agent.as_deref())
        .bind(cx.client().address.map(|address| address.to_string()))
        .bind(now)
        .bind(expires_at)
        .bind(session.refresh_hash.as_slice())
        .bind(MOST_SESSIONS - 1)
        .all()
        .await?;
    Ok(replaced.into_iter().map(|(id,)| id).collect())
}

/// Finds a refresh token and locks it and its session until the transaction ends: of two that come at the same time the
/// second sees what the first has done.
pub async fn lock_refresh(tx: &mut Tx, hash: &[u8; 32]) -> Result<Option<RefreshRow>> {
    tx.query(sql!(
        "select r.session_id, r.tenant_id, s.user_id, r.expires_at, r.used_at is not null as used,
                coalesce(r.used_at > clock_timestamp() - $2 * interval '1 microsecond', false) as in_grace,
                s.revoked_at is not null as revoked
         from iam.refresh_token r join iam.session s on s.tenant_id = r.tenant_id and s.id = r.session_id
         where r.hash = $1
         for update of r, s"
    ))
    .bind(hash.as_slice())
    .bind(i64::try_from(REFRESH_GRACE.as_micros()).unwrap_or(i64::MAX))
    .optional()
    .await
}

/// Exchanges a refresh token for the next one.
pub async fn rotate(tx: &mut Tx, cx: &Ctx, row: &RefreshRow, old: &[u8; 32], new: &[u8; 32]) -> Result<()> {
    tx.query(sql!(
        "with spent as (
             update iam.refresh_token set used_at = clock_timestamp() where hash = $1
         ), next as (
             insert into iam.refresh_token (hash, tenant_id, session_id, issued_at, expires_at)
             values ($2, $3, $4, $5, $6)
             on conflict (hash) do nothing
         )
         update iam.session set last_used_at = $5, expires_at = $6, agent = coalesce($7, agent),
                                address = coalesce($8, address)
         where tenant_id = $3 and id = $4"
    ))
    .bind(old.as_slice())
    .bind(new.as_slice())
    .bind(row.tenant_id)
    .bind(row.session_id)
    .bind(cx.now())
    .bind(cx.now().plus(REFRESH_TOKEN_LIFE))
    .bind(cx.client().agent.as_deref())
    .bind(cx.client().address.map(|address| address.to_string()))
    .run()
    .await
    .map(drop)
}

/// Ends one session, in a transaction across tenants. False when it had ended already.
pub async fn end(tx: &mut Tx, session: SessionId, why: SessionEnd, now: Timestamp) -> Result<bool> {
    let ended = tx
        .query(sql!(
            "update iam.session set revoked_at = $3, revoked_because = $2 where id = $1 and revoked_at is null"
        ))
        .bind(session)
        .bind(why)
        .bind(now)
        .run()
        .await?;
    Ok(ended == 1)
}

/// Ends all sessions of a person, in all tenants, but for one; answers which.
pub async fn end_all(
    tx: &mut Tx,
    user: UserId,
    but: Option<SessionId>,
    why: SessionEnd,
    now: Timestamp,
) -> Result<Vec<SessionId>> {
    let ended: Vec<(SessionId,)> = tx
        .query(sql!(
            "update iam.session set revoked_at = $4, revoked_because = $3
             where user_id = $1 and id is distinct from $2 and revoked_at is null returning id"
        ))
        .bind(user)
        .bind(but)
        .bind(why)
        .bind(now)
        .all()
        .await?;
    Ok(ended.into_iter().map(|(id,)| id).collect())
}

/// Ends one session of a person in the bound tenant. False when there is none that lives.
pub async fn end_own(tx: &mut Tx, user: UserId, session: SessionId, now: Timestamp) -> Result<bool> {
    let ended = tx
        .query(sql!(
            "update iam.session set revoked_at = $4, revoked_because = 'revoked'
             where kernel.owns($1, tenant_id) and user_id = $2 and id = $3 and revoked_at is null"
        ))
        .bind(user)
        .bind(session)
        .bind(now)
        .run()
        .await?;
    Ok(ended == 1)
}

/// Ends all sessions of a member of the bound tenant, in this tenant.
pub async fn end_of_member(tx: &mut Tx, user: UserId, why: SessionEnd, now: Timestamp) -> Result<()> {
    tx.query(sql!(
        "update iam.session set revoked_at = $4, revoked_because = $3
         where kernel.owns($1, tenant_id) and user_id = $2 and revoked_at is null"
    ))
    .bind(user)
    .bind(why)
    .bind(now)
    .run()
    .await
    .map(drop)
}

/// The live sessions of a person in the bound tenant, the newest first; one more than `limit`.
pub async fn list(
    handle: &Handle,
    user: UserId,
    now: Timestamp,
    after: Option<(Timestamp, SessionId)>,
    limit: usize,
) -> Result<Vec<SessionRow>> {
    handle
        .query(sql!(
            "select id, agent, address, created_at, last_used_at, expires_at
             from iam.session
             where kernel.owns($1, tenant_id) and user_id = $2 and revoked_at is null and expires_at > $3
               and ($4::timestamptz is null or (created_at, id) < ($4, $5))
             order by created_at desc, id desc limit $6"
        ))
        .bind(user)
        .bind(now)
        .bind(after.map(|(at, _)| at))
        .bind(after.map(|(_, id)| id))
        .bind(i64::try_from(limit + 1).unwrap_or(i64::MAX))
        .all()
        .await
}

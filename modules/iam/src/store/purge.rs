//! What is removed for good, by the service's own tasks.

use fabric::{
    postgres::{Database, Reason, Tx},
    sql,
};
use kernel::{Ctx, Result, TenantId, Timestamp, UserId};

/// Rows taken in one go, so that no statement runs long.
pub const BATCH: i64 = 5_000;

/// Removes up to [`BATCH`] sessions whose last refresh token has ended; their tokens go with them.
pub async fn sessions(db: &Database, cx: &Ctx, before: Timestamp) -> Result<u64> {
    db.system(cx, Reason::Jobs)
        .query(sql!(
            "delete from iam.session
             where id in (select id from iam.session where expires_at < $1 order by expires_at limit $2)"
        ))
        .bind(before)
        .bind(BATCH)
        .run()
        .await
}

/// Removes up to [`BATCH`] refresh tokens that have ended.
pub async fn refresh_tokens(db: &Database, cx: &Ctx, before: Timestamp) -> Result<u64> {
    db.system(cx, Reason::Jobs)
        .query(sql!(
            "delete from iam.refresh_token
             where hash in (select hash from iam.refresh_token where expires_at < $1 order by expires_at limit $2)"
        ))
        .bind(before)
        .bind(BATCH)
        .run()
        .await
}

/// Removes memberships deleted before `before`; answers whose. At most 500 at once.
pub async fn members(tx: &mut Tx, before: Timestamp) -> Result<Vec<(TenantId, UserId)>> {
    tx.query(sql!(
        "delete from iam.membership
         where (tenant_id, user_id) in (select tenant_id, user_id from iam.membership
                                        where deleted_at < $1 order by deleted_at limit 500)
         returning tenant_id, user_id"
    ))
    .bind(before)
    .all()
    .await
}

/// Tenants deleted before `before` below which nothing stays, those below before those above. At most 50 at once.
pub async fn due_tenants(tx: &mut Tx, before: Timestamp) -> Result<Vec<TenantId>> {
    let due: Vec<(TenantId,)> = tx
        .query(sql!(
            "select t.id from iam.tenant t
             where t.deleted_at < $1
               and not exists (select 1 from iam.tenant c where c.parent_id = t.id
                               and (c.deleted_at is null or c.deleted_at >= $1))
             order by t.deleted_at, t.kind limit 50 for update"
        ))
        .bind(before)
        .all()
        .await?;
    Ok(due.into_iter().map(|(id,)| id).collect())
}

/// The members of these tenants.
pub async fn members_of(tx: &mut Tx, tenants: &[TenantId]) -> Result<Vec<UserId>> {
    let members: Vec<(UserId,)> = tx
        .query(sql!("select distinct user_id from iam.membership where tenant_id = any($1)"))
        .bind(tenants)
        .all()
        .await?;
    Ok(members.into_iter().map(|(user,)| user).collect())
}

/// Removes tenants and all that iam keeps of them.
pub async fn tenants(tx: &mut Tx, ids: &[TenantId]) -> Result<()> {
    // Before the cascade: a role that is held can't be removed.
    tx.query(sql!("delete from iam.member_role where tenant_id = any($1)")).bind(ids).run().await?;
    tx.query(sql!("delete from iam.tenant where id = any($1)")).bind(ids).run().await.map(drop)
}

/// Removes those of these people who belong to no tenant any more.
pub async fn homeless(tx: &mut Tx, users: &[UserId]) -> Result<u64> {
    tx.query(sql!(
        "delete from iam.user_account u
         where u.id = any($1) and not exists (select 1 from iam.membership m where m.user_id = u.id)"
    ))
    .bind(users)
    .run()
    .await
}

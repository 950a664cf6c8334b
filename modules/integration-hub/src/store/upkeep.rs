//! The SQL of what the service does of its own accord.

use fabric::{
    postgres::{Database, Reason, Tx},
    sql,
};
use kernel::{Ctx, Result};

/// Rows taken in one go, so that no statement runs long.
pub(crate) const BATCH: i64 = 5_000;

/// Calls that a process left running when it ended.
pub(crate) async fn interrupt(db: &Database, cx: &Ctx) -> Result<u64> {
    db.system(cx, Reason::Jobs)
        .query(sql!(
            "update integration.call set state = 'interrupted' \
             where state = 'running' and logged_at < clock_timestamp() - interval '10 minutes'"
        ))
        .run()
        .await
}

/// Takes up to [`BATCH`] calls out of the log that are older than 30 days, in real time.
pub(crate) async fn forget_calls(db: &Database, cx: &Ctx) -> Result<u64> {
    db.system(cx, Reason::Jobs)
        .query(sql!(
            "delete from integration.call \
             where (tenant_id, id) in (select tenant_id, id from integration.call \
                                       where logged_at < clock_timestamp() - interval '30 days' \
                                       order by logged_at limit $1)"
        ))
        .bind(BATCH)
        .run()
        .await
}

/// Takes up to [`BATCH`] dead letters away that are older than 30 days, in real time.
pub(crate) async fn forget_letters(db: &Database, cx: &Ctx) -> Result<u64> {
    db.system(cx, Reason::Jobs)
        .query(sql!(
            "delete from integration.dead_letter \
             where (tenant_id, id) in (select tenant_id, id from integration.dead_letter \
                                       where logged_at < clock_timestamp() - interval '30 days' \
                                       order by logged_at limit $1)"
        ))
        .bind(BATCH)
        .run()
        .await
}

/// Removes all that is kept of the tenant.
pub(crate) async fn purge(tx: &mut Tx) -> Result<()> {
    tx.query(sql!("delete from integration.provider p where kernel.owns($1, p.tenant_id)")).run().await?;
    tx.query(sql!("delete from integration.call c where kernel.owns($1, c.tenant_id)")).run().await?;
    tx.query(sql!("delete from integration.data_key k where kernel.owns($1, k.tenant_id)")).run().await?;
    Ok(())
}

//! What is removed for good.

use fabric::{
    postgres::{Database, Reason},
    sql,
};
use kernel::{Ctx, Result, TenantId};

/// Removes all that is kept of a tenant; attempts and versions go with what they belong to.
pub async fn tenant(db: &Database, cx: &Ctx, tenant: TenantId) -> Result<()> {
    let mut tx = db.system(cx, Reason::Events).begin().await?;
    tx.query(sql!("delete from notify.notification where tenant_id = $1")).bind(tenant).run().await?;
    tx.query(sql!("delete from notify.inbox_entry where tenant_id = $1")).bind(tenant).run().await?;
    tx.query(sql!("delete from notify.template where tenant_id = $1")).bind(tenant).run().await?;
    tx.query(sql!("delete from notify.preference where tenant_id = $1")).bind(tenant).run().await?;
    tx.query(sql!("delete from notify.outbox where tenant_id = $1")).bind(tenant).run().await?;
    tx.commit(()).await
}

//! `billing.subscription`, and what a plan means for `kernel.allowance`.

use fabric::{
    postgres::{Database, Handle, Reason, Tx},
    sql,
};
use kernel::{Ctx, Result, TenantId};

use crate::model::{plan::Limits, subscription::Subscription};

/// The bound tenant's subscription.
pub(crate) async fn read(handle: &Handle) -> Result<Option<Subscription>> {
    handle
        .query(sql!(
            "select s.id, s.plan_id, s.state, s.anchor, s.period_start, s.period_end, s.period_price, s.next_plan_id,
                    s.cancel_at_period_end, s.past_due_since, s.dunning_day, s.tax_basis_points, s.credit, s.pays,
                    s.ended_at, s.created_at, s.updated_at, s.version
             from billing.subscription s where kernel.owns($1, s.tenant_id)"
        ))
        .optional()
        .await
}

/// The same, locked until the transaction ends.
pub(crate) async fn lock(tx: &mut Tx) -> Result<Option<Subscription>> {
    tx.query(sql!(
        "select s.id, s.plan_id, s.state, s.anchor, s.period_start, s.period_end, s.period_price, s.next_plan_id,
                s.cancel_at_period_end, s.past_due_since, s.dunning_day, s.tax_basis_points, s.credit, s.pays,
                s.ended_at, s.created_at, s.updated_at, s.version
         from billing.subscription s where kernel.owns($1, s.tenant_id) for update"
    ))
    .optional()
    .await
}

/// Adds the bound tenant's subscription; false when it has one.
pub(crate) async fn add(tx: &mut Tx, new: &Subscription) -> Result<bool> {
    let added = tx
        .query(sql!(
            "insert into billing.subscription
                 (id, tenant_id, plan_id, state, anchor, period_start, period_end, period_price, tax_basis_points, created_at,
                  updated_at)
             values ($2, $1, $3, $4, $5, $6, $7, $8, $9, $10, $10)
             on conflict (tenant_id) do nothing"
        ))
        .bind(new.id)
        .bind(new.plan_id)
        .bind(new.state)
        .bind(new.anchor)
        .bind(new.period_start)
        .bind(new.period_end)
        .bind(new.period_price)
        .bind(new.tax_basis_points)
        .bind(new.created_at)
        .run()
        .await?;
    Ok(added == 1)
}

/// Keeps the bound tenant's subscription as it is now.
pub(crate) async fn keep(tx: &mut Tx, now: &Subscription) -> Result<()> {
    tx.query(sql!(
        "update billing.subscription
         set plan_id = $2, state = $3, anchor = $4, period_start = $5, period_end = $6, next_plan_id = $7,
             cancel_at_period_end = $8, past_due_since = $9, dunning_day = $10, tax_basis_points = $11, credit = $12,
             pays = $13, ended_at = $14, updated_at = $15, version = $16, period_price = $17
         where kernel.owns($1, tenant_id)"
    ))
    .bind(now.plan_id)
    .bind(now.state)
    .bind(now.anchor)
    .bind(now.period_start)
    .bind(now.period_end)
    .bind(now.next_plan_id)
    .bind(now.cancel_at_period_end)
    .bind(now.past_due_since)
    .bind(now.dunning_day)
    .bind(now.tax_basis_points)
    .bind(now.credit)
    .bind(now.pays)
    .bind(now.ended_at)
    .bind(now.updated_at)
    .bind(now.version)
    .bind(now.period_price)
    .run()
    .await
    .map(drop)
}

/// Makes a plan's limits those of the bound tenant.
pub(crate) async fn allow(tx: &mut Tx, limits: &Limits) -> Result<()> {
    let (names, mosts): (Vec<String>, Vec<Option<i64>>) =
        limits.allowances().into_iter().map(|(name, most)| (name.to_owned(), most)).unzip();
    tx.query(sql!("select kernel.allow($2, $3) where kernel.owns($1, kernel.tenant())"))
        .bind(names)
        .bind(mosts)
        .run()
        .await
        .map(drop)
}

/// The tenants that are closed.
pub(crate) async fn terminated(db: &Database, cx: &Ctx) -> Result<Vec<TenantId>> {
    let rows: Vec<(TenantId,)> = db
        .system(cx, Reason::Billing)
        .query(sql!("select s.tenant_id from billing.subscription s where s.state = 'terminated'"))
        .all()
        .await?;
    Ok(rows.into_iter().map(|(tenant,)| tenant).collect())
}

/// Tenants with a subscription, some at a time.
pub(crate) async fn tenants(db: &Database, cx: &Ctx, after: Option<TenantId>) -> Result<Vec<TenantId>> {
    let rows: Vec<(TenantId,)> = db
        .system(cx, Reason::Billing)
        .query(sql!(
            "select s.tenant_id from billing.subscription s
             where $1::uuid is null or s.tenant_id > $1 order by s.tenant_id limit 200"
        ))
        .bind(after)
        .all()
        .await?;
    Ok(rows.into_iter().map(|(tenant,)| tenant).collect())
}

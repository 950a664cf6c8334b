//! `billing.plan`: of the platform, so read and written across tenants.

use fabric::{
    postgres::{Database, Handle, Reason, Tx, violated},
    sql,
};
use kernel::{Ctx, Error, FieldCode, FieldError, Result, Slug, TenantId};
use uuid::Uuid;

use crate::model::plan::Plan;

fn across(db: &Database, cx: &Ctx) -> Handle {
    db.system(cx, Reason::Billing)
}

/// Plans by name, one more than `limit`; without `all` those that are offered.
pub(crate) async fn list(
    db: &Database,
    cx: &Ctx,
    all: bool,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Plan>> {
    across(db, cx)
        .query(sql!(
            "select p.id, p.name, p.every, p.price, p.currency, p.limits, p.features, p.offered, p.created_at,
                    p.updated_at, p.version
             from billing.plan p
             where (p.offered or $1) and ($2::text is null or p.name > $2)
             order by p.name limit $3"
        ))
        .bind(all)
        .bind(after)
        .bind(i64::try_from(limit + 1).unwrap_or(i64::MAX))
        .all()
        .await
}

/// A plan by its id, or by its name.
pub(crate) async fn find(db: &Database, cx: &Ctx, id: Option<Uuid>, name: &str) -> Result<Option<Plan>> {
    across(db, cx)
        .query(sql!(
            "select p.id, p.name, p.every, p.price, p.currency, p.limits, p.features, p.offered, p.created_at,
                    p.updated_at, p.version
             from billing.plan p where p.id = $1 or p.name = $2 order by p.id = $1 desc nulls last limit 1"
        ))
        .bind(id)
        .bind(name)
        .optional()
        .await
}

/// A plan by its id, seen by a tenant's transaction.
pub(crate) async fn of_id(tx: &mut Tx, id: Uuid) -> Result<Plan> {
    tx.query(sql!(
        "select p.id, p.name, p.every, p.price, p.currency, p.limits, p.features, p.offered, p.created_at,
                p.updated_at, p.version
         from billing.plan p where p.id = $2 and $1::uuid is not null"
    ))
    .bind(id)
    .one()
    .await
}

/// A plan, locked until the transaction across tenants ends.
pub(crate) async fn lock(tx: &mut Tx, id: Uuid) -> Result<Option<Plan>> {
    tx.query(sql!(
        "select p.id, p.name, p.every, p.price, p.currency, p.limits, p.features, p.offered, p.created_at,
                p.updated_at, p.version
         from billing.plan p where p.id = $1 for update"
    ))
    .bind(id)
    .optional()
    .await
}

/// Adds a plan.
pub(crate) async fn add(tx: &mut Tx, plan: &Plan) -> Result<()> {
    tx.query(sql!(
        "insert into billing.plan (id, name, every, price, currency, limits, features, offered, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)"
    ))
    .bind(plan.id)
    .bind(plan.name.as_str())
    .bind(plan.every)
    .bind(plan.price)
    .bind(plan.currency.as_str())
    .bind(plan.limits)
    .bind(plan.features.as_slice())
    .bind(plan.offered)
    .bind(plan.created_at)
    .run()
    .await
    .map(drop)
    .map_err(|error| name_taken(error, &plan.name))
}

/// Keeps what was changed of a plan.
pub(crate) async fn change(tx: &mut Tx, plan: &Plan) -> Result<()> {
    tx.query(sql!(
        "update billing.plan set name = $2, price = $3, limits = $4, features = $5, offered = $6, updated_at = $7,
                                 version = $8
         where id = $1"
    ))
    .bind(plan.id)
    .bind(plan.name.as_str())
    .bind(plan.price)
    .bind(plan.limits)
    .bind(plan.features.as_slice())
    .bind(plan.offered)
    .bind(plan.updated_at)
    .bind(plan.version)
    .run()
    .await
    .map(drop)
    .map_err(|error| name_taken(error, &plan.name))
}

fn name_taken(error: Error, name: &str) -> Error {
    if violated(&error) != Some("plan_name_key") {
        return error;
    }
    let field = FieldError::new("/name", FieldCode::NotAllowed, "is the name of another plan");
    Error::new(Slug::AlreadyExists, format!("There is a plan {name} already.")).with_fields(vec![field])
}

/// Tenants on a plan, some at a time.
pub(crate) async fn tenants(
    db: &Database,
    cx: &Ctx,
    plan: Uuid,
    after: Option<TenantId>,
) -> Result<Vec<TenantId>> {
    let rows: Vec<(TenantId,)> = across(db, cx)
        .query(sql!(
            "select s.tenant_id from billing.subscription s
             where s.plan_id = $1 and ($2::uuid is null or s.tenant_id > $2)
             order by s.tenant_id limit 200"
        ))
        .bind(plan)
        .bind(after)
        .all()
        .await?;
    Ok(rows.into_iter().map(|(tenant,)| tenant).collect())
}

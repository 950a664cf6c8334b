//! What tenants use: `billing.usage`, and `kernel.allowance` as it stands.

use chrono::NaiveDate;
use fabric::{
    postgres::{Database, FromRow, Handle, Reason, Tx},
    sql,
};
use kernel::{Ctx, Result, TenantId};

/// What is in use of one allowance.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct UseRow {
    pub name: String,
    pub used: i64,
    /// None: unlimited.
    pub most: Option<i64>,
}

impl UseRow {
    pub fn is_full(&self) -> bool {
        self.most.is_some_and(|most| self.used >= most)
    }
}

/// An amount of a day.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct DayRow {
    pub day: NaiveDate,
    pub what: String,
    pub amount: i64,
}

/// A limit that was reached.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ReachedRow {
    pub tenant_id: TenantId,
    pub name: String,
    pub used: i64,
    pub most: i64,
}

/// An allowance that was not as counted.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct DriftRow {
    pub name: String,
    pub was: Option<i64>,
    pub is_now: Option<i64>,
}

/// What the bound tenant uses at this moment.
pub(crate) async fn now(handle: &Handle) -> Result<Vec<UseRow>> {
    handle
        .query(sql!(
            "select u.name, u.used, u.most from billing.in_use u where kernel.owns($1, u.tenant_id) order by u.name"
        ))
        .all()
        .await
}

/// What it used by day.
pub(crate) async fn by_day(handle: &Handle, from: NaiveDate, to: NaiveDate) -> Result<Vec<DayRow>> {
    handle
        .query(sql!(
            "select u.day, u.what, u.amount from billing.usage u
             where kernel.owns($1, u.tenant_id) and u.day between $2 and $3 order by u.day, u.what"
        ))
        .bind(from)
        .bind(to)
        .all()
        .await
}

/// Adds to an amount of a day.
pub(crate) async fn add(handle: &Handle, day: NaiveDate, what: &str, amount: i64) -> Result<()> {
    handle
        .query(sql!(
            "insert into billing.usage as u (tenant_id, day, what, amount) values ($1, $2, $3, $4)
             on conflict (tenant_id, day, what) do update set amount = u.amount + excluded.amount"
        ))
        .bind(day)
        .bind(what)
        .bind(amount)
        .run()
        .await
        .map(drop)
}

/// Counts what was published; true when there may be more.
pub(crate) async fn count_events(db: &Database, cx: &Ctx, own_topics: &[String]) -> Result<bool> {
    db.system(cx, Reason::Billing)
        .query(sql!("select billing.count_events($1, 20000)"))
        .bind(own_topics)
        .value()
        .await
}

/// Limits that were reached and not told of so far; they count as told in this transaction. A limit that is no longer
/// reached will be told again.
pub(crate) async fn newly_full(tx: &mut Tx) -> Result<Vec<ReachedRow>> {
    let rows: Vec<ReachedRow> = tx
        .query(sql!(
            "update kernel.allowance a set told_most = case when u.used >= u.most then u.most end
             from billing.in_use u
             where u.tenant_id = a.tenant_id and u.name = a.name and u.most is not null
               and (u.used >= u.most) <> (a.told_most is not null and a.told_most = u.most)
             returning a.tenant_id, a.name, u.used, u.most"
        ))
        .all()
        .await?;
    Ok(rows.into_iter().filter(|row| row.used >= row.most).collect())
}

/// Holds the bound tenant's allowances against what is there; answers those that were off.
pub(crate) async fn reconcile(handle: &Handle) -> Result<Vec<DriftRow>> {
    let rows: Vec<DriftRow> = handle
        .query(sql!(
            "select r.name, r.was, r.is_now from kernel.reconcile() r where kernel.owns($1, kernel.tenant())"
        ))
        .all()
        .await?;
    Ok(rows.into_iter().filter(|row| row.was.unwrap_or(0) != row.is_now.unwrap_or(0)).collect())
}

/// Notes what the bound tenant uses as that of the day.
pub(crate) async fn note_day(handle: &Handle, day: NaiveDate) -> Result<()> {
    handle
        .query(sql!(
            "insert into billing.usage as g (tenant_id, day, what, amount)
             select $1, $2, u.name, u.used from billing.in_use u
             where kernel.owns($1, u.tenant_id) and u.name <> 'eventsPerDay'
             on conflict (tenant_id, day, what) do update set amount = excluded.amount"
        ))
        .bind(day)
        .run()
        .await
        .map(drop)
}

//! `billing.invoice`.

use fabric::{
    postgres::{FromRow, Handle, Json, Tx},
    sql,
};
use kernel::{Result, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::invoice::Line;

/// Whether an invoice is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum InvoiceState {
    /// To be paid.
    Open,
    /// Paid.
    Paid,
}

/// An invoice.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct InvoiceRow {
    pub id: Uuid,
    pub number: i32,
    pub state: InvoiceState,
    pub plan: String,
    pub currency: String,
    pub lines: Json<Vec<Line>>,
    pub subtotal: i64,
    pub tax: i64,
    pub total: i64,
    pub period_start: Timestamp,
    pub period_end: Timestamp,
    pub issued_at: Timestamp,
    pub paid_at: Option<Timestamp>,
}

/// Writes an invoice under the tenant's next number, which is answered. Whoever calls holds the tenant's subscription, so
/// no two get the same.
pub(crate) async fn add(tx: &mut Tx, new: &InvoiceRow) -> Result<i32> {
    tx.query(sql!(
        "insert into billing.invoice (id, tenant_id, number, state, plan, currency, lines, subtotal, tax, total,
                                      period_start, period_end, issued_at, paid_at)
         select $2, $1, (select coalesce(max(i.number), 0) + 1 from billing.invoice i where kernel.owns($1, i.tenant_id)),
                $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13
         returning number"
    ))
    .bind(new.id)
    .bind(new.state)
    .bind(new.plan.as_str())
    .bind(new.currency.as_str())
    .bind(&new.lines)
    .bind(new.subtotal)
    .bind(new.tax)
    .bind(new.total)
    .bind(new.period_start)
    .bind(new.period_end)
    .bind(new.issued_at)
    .bind(new.paid_at)
    .value()
    .await
}

/// Notes that everything open is paid; answers what that was, the oldest first.
pub(crate) async fn pay_open(tx: &mut Tx, at: Timestamp) -> Result<Vec<InvoiceRow>> {
    let mut paid: Vec<InvoiceRow> = tx
        .query(sql!(
            "update billing.invoice i set state = 'paid', paid_at = $2
             where kernel.owns($1, i.tenant_id) and i.state = 'open'
             returning i.id, i.number, i.state, i.plan, i.currency, i.lines, i.subtotal, i.tax, i.total, i.period_start,
                       i.period_end, i.issued_at, i.paid_at"
        ))
        .bind(at)
        .all()
        .await?;
    paid.sort_by_key(|invoice| invoice.number);
    Ok(paid)
}

/// What is open, the oldest first.
pub(crate) async fn open(tx: &mut Tx) -> Result<Vec<InvoiceRow>> {
    tx.query(sql!(
        "select i.id, i.number, i.state, i.plan, i.currency, i.lines, i.subtotal, i.tax, i.total, i.period_start,
                i.period_end, i.issued_at, i.paid_at
         from billing.invoice i where kernel.owns($1, i.tenant_id) and i.state = 'open' order by i.number"
    ))
    .all()
    .await
}

/// Whether the tenant has an invoice.
pub(crate) async fn any(tx: &mut Tx) -> Result<bool> {
    tx.query(sql!("select exists (select from billing.invoice i where kernel.owns($1, i.tenant_id))"))
        .value()
        .await
}

/// The tenant's invoices, the newest first; one more than `limit`.
pub(crate) async fn list(handle: &Handle, before: Option<i32>, limit: usize) -> Result<Vec<InvoiceRow>> {
    handle
        .query(sql!(
            "select i.id, i.number, i.state, i.plan, i.currency, i.lines, i.subtotal, i.tax, i.total, i.period_start,
                    i.period_end, i.issued_at, i.paid_at
             from billing.invoice i
             where kernel.owns($1, i.tenant_id) and ($2::integer is null or i.number < $2)
             order by i.number desc limit $3"
        ))
        .bind(before)
        .bind(i64::try_from(limit + 1).unwrap_or(i64::MAX))
        .all()
        .await
}

/// One of the tenant's invoices.
pub(crate) async fn read(handle: &Handle, id: Uuid) -> Result<Option<InvoiceRow>> {
    handle
        .query(sql!(
            "select i.id, i.number, i.state, i.plan, i.currency, i.lines, i.subtotal, i.tax, i.total, i.period_start,
                    i.period_end, i.issued_at, i.paid_at
             from billing.invoice i where kernel.owns($1, i.tenant_id) and i.id = $2"
        ))
        .bind(id)
        .optional()
        .await
}

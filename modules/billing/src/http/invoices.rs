//! Invoices.

use kernel::{Slug, Timestamp};
use ports::http::{Cx, One, Operation, Page, Path, Query, Result, Routes, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Billing, VIEW};
use crate::{
    model::invoice::Line,
    store::invoices::{InvoiceRow, InvoiceState},
};

/// The page wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InvoicesQuery {
    /// Entries a page, 1 to 100; 20 unless said.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u16>,
    /// The `meta.cursor` of the page before.
    pub cursor: Option<String>,
}

/// An invoice.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InvoiceOut {
    /// Its id.
    pub id: Uuid,
    /// Its number among the tenant's, from 1 without gaps.
    pub number: i32,
    /// Whether it is paid.
    pub state: InvoiceState,
    /// The plan's name when it was written.
    pub plan: String,
    /// ISO 4217.
    pub currency: String,
    /// What it is made of, in minor units: they sum exactly to the total.
    pub lines: Vec<Line>,
    /// Before tax and credit.
    pub subtotal: i64,
    /// The tax on it.
    pub tax: i64,
    /// To be paid.
    pub total: i64,
    /// The period it is for.
    pub period_start: Timestamp,
    /// Its end.
    pub period_end: Timestamp,
    /// When it was written.
    pub issued_at: Timestamp,
    /// When it was paid.
    pub paid_at: Option<Timestamp>,
}

impl From<InvoiceRow> for InvoiceOut {
    fn from(row: InvoiceRow) -> Self {
        Self {
            id: row.id,
            number: row.number,
            state: row.state,
            plan: row.plan,
            currency: row.currency,
            lines: row.lines.0,
            subtotal: row.subtotal,
            tax: row.tax,
            total: row.total,
            period_start: row.period_start,
            period_end: row.period_end,
            issued_at: row.issued_at,
            paid_at: row.paid_at,
        }
    }
}

pub(super) fn add(routes: Routes<Billing>) -> Routes<Billing> {
    routes
        .add(
            Operation::get("/billing/invoices", "listInvoices", VIEW)
                .summary("List the invoices, the newest first")
                .query::<InvoicesQuery>()
                .lists::<InvoiceOut>()
                .problems(&[Slug::InvalidCursor]),
            list,
        )
        .add(
            Operation::get("/billing/invoices/{id}", "getInvoice", VIEW)
                .summary("Read an invoice")
                .answer::<InvoiceOut>(200)
                .problems(&[Slug::NotFound]),
            read,
        )
}

async fn list(
    State(billing): State<Billing>,
    Cx(cx): Cx,
    Query(query): Query<InvoicesQuery>,
) -> Result<Page<InvoiceOut>> {
    Ok(billing.list_invoices(&cx, &query).await?)
}

async fn read(State(billing): State<Billing>, Cx(cx): Cx, Path(id): Path<Uuid>) -> Result<One<InvoiceOut>> {
    Ok(One::new(billing.invoice(&cx, id).await?))
}

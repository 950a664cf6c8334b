use kernel::{Ctx, Error, Result};
use ports::http::{Page, page_size};
use uuid::Uuid;

use crate::{
    Billing,
    http::invoices::{InvoiceOut, InvoicesQuery},
    store::invoices,
};

impl Billing {
    /// The tenant's invoices, the newest first.
    ///
    /// Errors: invalid-cursor, validation-error.
    pub(crate) async fn list_invoices(&self, cx: &Ctx, query: &InvoicesQuery) -> Result<Page<InvoiceOut>> {
        let most = page_size(query.limit)?;
        let tenant = cx.tenant().ok();
        let before: Option<i32> =
            query.cursor.as_deref().map(|cursor| self.cursor.read(tenant, "invoices", cursor)).transpose()?;
        let rows = invoices::list(&self.db.tenant(cx)?, before, most).await?;
        let page = Page::cut(rows, most, |last| self.cursor.write(tenant, "invoices", &last.number));
        Ok(page.map(InvoiceOut::from))
    }

    /// One invoice.
    ///
    /// Errors: not-found.
    pub(crate) async fn invoice(&self, cx: &Ctx, id: Uuid) -> Result<InvoiceOut> {
        let found = invoices::read(&self.db.tenant(cx)?, id).await?;
        found.map(InvoiceOut::from).ok_or_else(|| Error::not_found("invoice"))
    }
}

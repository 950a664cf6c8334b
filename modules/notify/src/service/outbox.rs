//! The mails that left this sandbox, or would have.
//!
//! The operator sees all. Those of a tenant who may read notifications see its mails, but of a private one only who it is
//! for: its link is a credential. Whether they may be read here at all when a mail server is configured: the copy then
//! holds no link, so that nobody verifies an address whose mail they can't read.

use kernel::{Actor, Ctx, Error, Result, Timestamp, UserId};
use ports::http::{Page, page_size};

use crate::{
    Notify, OutboxMailId,
    http::outbox::{HeaderOut, OutboxMailOut, OutboxQuery},
    mail::Kept,
    store::outbox::{self, OutboxRow, SealedRow},
};

/// The use of the sandbox's key that seals what mails say.
const SEALED: &str = "outbox";

impl Notify {
    /// The mails that the caller may see, the newest first.
    ///
    /// # Errors
    /// `invalid-cursor`, `validation-error`.
    pub(crate) async fn outbox(&self, cx: &Ctx, query: &OutboxQuery) -> Result<Page<OutboxMailOut>> {
        let (tenant, limit) = (cx.tenant().ok(), page_size(query.limit)?);
        let user = reader(cx);
        let to = query.to.as_deref().map(|to| to.trim().to_lowercase());
        let list = format!(
            "outbox/{}/{}",
            user.map(|user| user.to_string()).unwrap_or_default(),
            to.as_deref().unwrap_or_default()
        );
        let after: Option<(i64, OutboxMailId)> =
            query.cursor.as_deref().map(|cursor| self.cursor.read(tenant, &list, cursor)).transpose()?;
        let after = after.and_then(|(at, id)| Some((Timestamp::from_micros(at)?, id)));
        let rows = match cx.actor() {
            Actor::Operator => outbox::list_all(&self.db, cx, to.as_deref(), after, limit).await?,
            _ => outbox::list(&self.db.tenant(cx)?, user, to.as_deref(), after, limit).await?,
        };
        let page = Page::cut(rows, limit, |last| {
            self.cursor.write(tenant, &list, &(last.created_at.micros(), last.id))
        });
        Ok(page.map(OutboxMailOut::from))
    }

    /// One of them with what it says.
    ///
    /// # Errors
    /// `not-found`, also for a private mail of somebody else.
    pub(crate) async fn outbox_mail(&self, cx: &Ctx, id: OutboxMailId) -> Result<OutboxMailOut> {
        let found = match cx.actor() {
            Actor::Operator => outbox::read_any(&self.db, cx, id).await?,
            _ => outbox::read(&self.db.tenant(cx)?, reader(cx), id).await?,
        };
        let SealedRow { row, content } = found.ok_or_else(|| Error::not_found("mail"))?;
        let plain = self.db.key().sealing(SEALED).open(id.uuid().as_bytes(), &content)?;
        let kept: Kept = serde_json::from_slice(&plain).map_err(Error::internal)?;
        let headers = kept.headers.into_iter().map(|(name, value)| HeaderOut { name, value }).collect();
        Ok(OutboxMailOut {
            headers: Some(headers),
            text: Some(kept.text),
            html: Some(kept.html),
            ..OutboxMailOut::from(row)
        })
    }

    /// What a mail says, as it lies in its row.
    pub(crate) fn sealed(&self, id: OutboxMailId, kept: &Kept) -> Result<Vec<u8>> {
        let plain = serde_json::to_vec(kept).map_err(Error::internal)?;
        Ok(self.db.key().sealing(SEALED).seal(id.uuid().as_bytes(), &plain))
    }
}

/// Who may read private mails that are for them: a person themselves, not a module that acts for them.
fn reader(cx: &Ctx) -> Option<UserId> {
    match cx.actor() {
        Actor::User { id, .. } => Some(*id),
        _ => None,
    }
}

impl From<OutboxRow> for OutboxMailOut {
    fn from(row: OutboxRow) -> Self {
        Self {
            id: row.id,
            tenant_id: row.tenant_id,
            to: row.address,
            subject: row.subject,
            template: row.template,
            private: row.private,
            status: row.state,
            attempts: row.attempts,
            error: row.last_error,
            created_at: row.created_at,
            headers: None,
            text: None,
            html: None,
        }
    }
}

//! A person's own inbox.

use fabric::postgres::Tx;
use kernel::{Ctx, Error, Result, Timestamp, UserId};
use ports::http::{Page, page_size};

use super::person;
use crate::{
    NotificationId, Notify,
    events::InboxRead,
    http::inbox::{EntryOut, InboxQuery, ReadOut, UnreadOut},
    store::inbox::{self, EntryRow},
};

impl Notify {
    /// The caller's messages, the newest first.
    ///
    /// # Errors
    /// `forbidden` for keys and modules; `invalid-cursor`, `validation-error`.
    pub(crate) async fn inbox(&self, cx: &Ctx, query: &InboxQuery) -> Result<Page<EntryOut>> {
        let user = person(cx)?;
        let (tenant, limit) = (cx.tenant().ok(), page_size(query.limit)?);
        let list = format!("inbox/{user}/{}", query.unread);
        let after: Option<(i64, NotificationId)> =
            query.cursor.as_deref().map(|cursor| self.cursor.read(tenant, &list, cursor)).transpose()?;
        let after = after.and_then(|(at, id)| Some((Timestamp::from_micros(at)?, id)));
        let rows = inbox::list(&self.db.tenant(cx)?, user, query.unread, after, limit).await?;
        let page = Page::cut(rows, limit, |last| {
            self.cursor.write(tenant, &list, &(last.created_at.micros(), last.id))
        });
        Ok(page.map(EntryOut::from))
    }

    /// How many of the caller's messages are new.
    ///
    /// # Errors
    /// `forbidden` for keys and modules.
    pub(crate) async fn unread(&self, cx: &Ctx) -> Result<UnreadOut> {
        let user = person(cx)?;
        Ok(UnreadOut { unread: inbox::unread(&self.db.tenant(cx)?, user).await? })
    }

    /// Notes that one was read; again changes nothing.
    ///
    /// # Errors
    /// `forbidden` for keys and modules; `not-found`.
    pub(crate) async fn mark_read(&self, cx: &Ctx, id: NotificationId) -> Result<EntryOut> {
        let user = person(cx)?;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let marked = inbox::mark(&mut tx, user, id).await?;
        let (row, was_new) = marked.ok_or_else(|| Error::not_found("message"))?;
        if was_new {
            tell(&mut tx, user, Some(id))?;
        }
        tx.commit(EntryOut::from(row)).await
    }

    /// Notes that all were read.
    ///
    /// # Errors
    /// `forbidden` for keys and modules.
    pub(crate) async fn mark_all_read(&self, cx: &Ctx) -> Result<ReadOut> {
        let user = person(cx)?;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let read = inbox::mark_all(&mut tx, user).await?;
        if read > 0 {
            tell(&mut tx, user, None)?;
        }
        tx.commit(ReadOut { read }).await
    }
}

fn tell(tx: &mut Tx, user_id: UserId, notification_id: Option<NotificationId>) -> Result<()> {
    tx.event(InboxRead { user_id, notification_id }.event()?)
}

impl From<EntryRow> for EntryOut {
    fn from(row: EntryRow) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            subject: row.subject,
            body: row.body,
            meta: row.meta.0,
            created_at: row.created_at,
            read_at: row.read_at,
        }
    }
}

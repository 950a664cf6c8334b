//! What became of notifications.

use fabric::postgres::Audit;
use kernel::{Ctx, Error, Result, Slug, Timestamp};
use ports::http::{Page, page_size};

use crate::{
    NotificationId, Notify,
    delivery::{self, When},
    events::Told,
    http::notifications::{AttemptOut, NotificationOut, NotificationsQuery},
    model::{Priority, State},
    store::notifications::{self, NotificationRow},
};

impl Notify {
    /// The tenant's notifications, the newest first.
    ///
    /// # Errors
    /// `invalid-cursor`, `validation-error`.
    pub(crate) async fn notifications(
        &self,
        cx: &Ctx,
        query: &NotificationsQuery,
    ) -> Result<Page<NotificationOut>> {
        let (tenant, limit) = (cx.tenant().ok(), page_size(query.limit)?);
        let state = query.state.map_or("", State::as_str);
        let list = format!("notifications/{state}/{}", query.channel.map_or("", |channel| channel.as_str()));
        let after: Option<(i64, NotificationId)> =
            query.cursor.as_deref().map(|cursor| self.cursor.read(tenant, &list, cursor)).transpose()?;
        let after = after.and_then(|(at, id)| Some((Timestamp::from_micros(at)?, id)));
        let handle = self.db.tenant(cx)?;
        let rows = notifications::list(&handle, query.state, query.channel, after, limit).await?;
        let page = Page::cut(rows, limit, |last| {
            self.cursor.write(tenant, &list, &(last.created_at.micros(), last.id))
        });
        Ok(page.map(NotificationOut::from))
    }

    /// One, with its attempts.
    ///
    /// # Errors
    /// `not-found`.
    pub(crate) async fn notification(&self, cx: &Ctx, id: NotificationId) -> Result<NotificationOut> {
        let handle = self.db.tenant(cx)?;
        let row = notifications::read(&handle, id).await?.ok_or_else(|| Error::not_found("notification"))?;
        let mut attempts = notifications::attempts(&handle, id).await?;
        attempts.reverse();
        let attempts = attempts.into_iter().map(|attempt| AttemptOut {
            number: attempt.number,
            at: attempt.at,
            took_ms: attempt.took,
            error: attempt.error,
        });
        Ok(NotificationOut { attempts: Some(attempts.collect()), ..NotificationOut::from(row) })
    }

    /// Puts one that has failed back in the queue, for five more attempts.
    ///
    /// # Errors
    /// `not-found`; `invalid-state` for one that has not failed.
    pub(crate) async fn retry(&self, cx: &Ctx, id: NotificationId) -> Result<NotificationOut> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let row = notifications::lock(&mut tx, id).await?.ok_or_else(|| Error::not_found("notification"))?;
        if !matches!(row.state, State::Failed | State::Cancelled) {
            let text = format!("The notification is {}; only what has failed is tried again.", row.state);
            return Err(Error::new(Slug::InvalidState, text));
        }
        notifications::requeue(&mut tx, id).await?;
        delivery::enqueue(&mut tx, When::Now).await?;
        tx.event(Told::of(&row).event("queued")?)?;
        tx.audit(Audit::new("notification.retried", "notification", id))?;
        let (state, due_at) = (State::Queued, tx.cx().now());
        tx.commit(NotificationOut::from(NotificationRow { state, due_at, settled_at: None, ..row })).await
    }
}

impl<'r> Told<'r> {
    /// About a notification as it stands in its row.
    pub(crate) fn of(row: &'r NotificationRow) -> Self {
        Self {
            notification_id: row.id,
            channel: row.channel,
            kind: &row.kind,
            user_id: row.user_id,
            attempts: row.attempts,
        }
    }
}

impl From<NotificationRow> for NotificationOut {
    fn from(row: NotificationRow) -> Self {
        Self {
            id: row.id,
            channel: row.channel,
            kind: row.kind,
            priority: Priority::of(row.priority),
            user_id: row.user_id,
            address: row.address,
            subject: row.subject,
            body: row.body,
            meta: row.meta.0,
            template: row.template,
            status: row.state,
            due_at: (row.state == State::Queued).then_some(row.due_at),
            error: row.last_error,
            created_by: row.created_by,
            created_at: row.created_at,
            settled_at: row.settled_at,
            attempts: None,
        }
    }
}

use fabric::{
    log::{DeadLetter, DeadLetterId, Whose},
    postgres::Audit,
};
use kernel::{Ctx, Result, Timestamp};
use ports::http::{Page, page_size};

use super::only_of;
use crate::{
    EventBus,
    http::dead_letters::{DeadLetterOut, DeadLettersQuery, ReplayAllIn, ReplayedOut, RetriedOut},
};

const ENTITY: &str = "dead-letter";

impl EventBus {
    /// Events that failed too often, the latest first.
    ///
    /// Errors: invalid-cursor.
    pub(crate) async fn dead_letters(
        &self,
        cx: &Ctx,
        query: &DeadLettersQuery,
    ) -> Result<Page<DeadLetterOut>> {
        let most = page_size(query.limit)?;
        let tenant = cx.tenant().ok();
        let whose = Whose { module: only_of(cx), subscription: query.subscription_id };
        let list = format!("dead letters of {whose:?}");
        let after: Option<(i64, DeadLetterId)> =
            query.cursor.as_deref().map(|cursor| self.cursor.read(tenant, &list, cursor)).transpose()?;
        let after = after.and_then(|(micros, id)| Timestamp::from_micros(micros).map(|at| (at, id)));
        let rows = self.dead_letters.list(cx, whose, after, most + 1).await?;
        let place = |last: &DeadLetter| self.cursor.write(tenant, &list, &(last.last_at.micros(), last.id));
        Ok(Page::cut(rows, most, place).map(DeadLetterOut::from))
    }

    /// One of them.
    ///
    /// Errors: not-found.
    pub(crate) async fn dead_letter(&self, cx: &Ctx, id: DeadLetterId) -> Result<DeadLetterOut> {
        self.dead_letters.get(cx, id, only_of(cx)).await.map(DeadLetterOut::from)
    }

    /// Puts one back for delivery.
    ///
    /// Errors: not-found.
    pub(crate) async fn retry(&self, cx: &Ctx, id: DeadLetterId) -> Result<RetriedOut> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let event = self.dead_letters.retry(&mut tx, id, only_of(cx)).await?;
        let out = RetriedOut::queued(event);
        tx.audit(Audit::new("event.dead_letter.retried", ENTITY, id).after(&out))?;
        tx.commit(out).await
    }

    /// Puts up to a thousand back, the oldest first.
    pub(crate) async fn replay_all(&self, cx: &Ctx, wish: ReplayAllIn) -> Result<ReplayedOut> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        if let Some(id) = wish.subscription_id {
            self.subscriptions.found(&mut tx, id, only_of(cx)).await?;
        }
        let whose = Whose { module: only_of(cx), subscription: wish.subscription_id };
        let done = self.dead_letters.replay_all(&mut tx, whose).await?;
        let out = ReplayedOut { queued: done.queued, has_more: done.more };
        let of = wish.subscription_id.map_or_else(|| "all".to_owned(), |id| id.to_string());
        tx.audit(Audit::new("event.dead_letter.replayed", ENTITY, of).after(&out))?;
        tx.commit(out).await
    }

    /// Gives one up for good.
    ///
    /// Errors: not-found.
    pub(crate) async fn discard(&self, cx: &Ctx, id: DeadLetterId) -> Result<()> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let event = self.dead_letters.delete(&mut tx, id, only_of(cx)).await?;
        tx.audit(Audit::new("event.dead_letter.deleted", ENTITY, id).description(format!("event {event}")))?;
        tx.commit(()).await
    }
}

impl From<DeadLetter> for DeadLetterOut {
    fn from(letter: DeadLetter) -> Self {
        Self {
            id: letter.id,
            subscription_id: letter.subscription,
            consumer: letter.consumer,
            event: letter.event,
            error: letter.error,
            attempts: letter.attempts,
            first_at: letter.first_at,
            last_at: letter.last_at,
        }
    }
}

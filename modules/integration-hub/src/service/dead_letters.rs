use std::time::{Duration, Instant};

use fabric::{
    jobs::enqueue,
    postgres::{Audit, Tx},
};
use kernel::{Ctx, Error, Result, Slug};
use ports::http::{Page, page_size};

use super::making::{Call, Callable, marks};
use crate::{
    IntegrationHub, events,
    http::dead_letters::{DeadLetterOut, DeadLettersQuery, RetriedAllOut, RetriedOut, RetryAllIn},
    jobs::retry_job,
    model::{CallId, DeadLetterId, LetterState, Origin, ProviderId},
    outward::Outward,
    sending::{End, Patience},
    store::{
        dead_letters::{self as store, LetterRow},
        providers,
    },
    vault::Sealed,
};

const ENTITY: &str = "integration-dead-letter";

/// Dead letters that one request queues.
const AT_ONCE: i64 = 1_000;

/// The time that one retry gets: one attempt, and its turn in the provider's pace.
const RETRY_TIME: Duration = Duration::from_secs(25);

impl IntegrationHub {
    /// Calls that failed for good, the latest first.
    ///
    /// Errors: invalid-cursor.
    pub(crate) async fn dead_letters(
        &self,
        cx: &Ctx,
        query: &DeadLettersQuery,
    ) -> Result<Page<DeadLetterOut>> {
        let most = page_size(query.limit)?;
        let tenant = cx.tenant().ok();
        let list = format!("failed calls of {:?}", query.provider_id);
        let after =
            query.cursor.as_deref().map(|cursor| self.cursor.read(tenant, &list, cursor)).transpose()?;
        let rows = store::list(&self.db, cx, query.provider_id, after, most + 1).await?;
        let place = |last: &LetterRow| self.cursor.write(tenant, &list, &last.id);
        Ok(Page::cut(rows, most, place).map(DeadLetterOut::from))
    }

    /// One of them.
    ///
    /// Errors: not-found.
    pub(crate) async fn dead_letter(&self, cx: &Ctx, id: DeadLetterId) -> Result<DeadLetterOut> {
        store::get(&self.db, cx, id).await.map(DeadLetterOut::from)
    }

    /// Queues one for another attempt.
    ///
    /// Errors: not-found.
    pub(crate) async fn retry(&self, cx: &Ctx, id: DeadLetterId) -> Result<RetriedOut> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        store::queue(&mut tx, id).await?;
        enqueue(&mut tx, retry_job(cx, id)?).await?;
        let out = RetriedOut { id, state: LetterState::Queued };
        tx.audit(Audit::new("integration.dead_letter.retried", ENTITY, id).after(&out))?;
        tx.commit(out).await
    }

    /// Queues up to a thousand, the oldest first.
    ///
    /// Errors: not-found for a provider that does not exist.
    pub(crate) async fn retry_all(&self, cx: &Ctx, wish: RetryAllIn) -> Result<RetriedAllOut> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        if let Some(provider) = wish.provider_id {
            providers::lock(&mut tx, provider).await?;
        }
        let letters = store::queue_all(&mut tx, wish.provider_id, AT_ONCE).await?;
        for letter in &letters {
            enqueue(&mut tx, retry_job(cx, *letter)?).await?;
        }
        let has_more = store::any_waiting(&mut tx, wish.provider_id).await?;
        let out = RetriedAllOut { queued: letters.len(), has_more };
        let of = wish.provider_id.map_or_else(|| "all".to_owned(), |id| id.to_string());
        tx.audit(Audit::new("integration.dead_letter.all_retried", ENTITY, of).after(&out))?;
        tx.commit(out).await
    }

    /// Gives one up for good.
    ///
    /// Errors: not-found.
    pub(crate) async fn discard(&self, cx: &Ctx, id: DeadLetterId) -> Result<()> {
        let gone = self.dead_letter(cx, id).await?;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        if !store::delete(&mut tx, id).await? {
            return Err(Error::not_found("dead letter"));
        }
        tx.audit(Audit::new("integration.dead_letter.deleted", ENTITY, id).before(&gone))?;
        tx.commit(()).await
    }

    /// One more attempt at a dead letter: a durable job. What hinders it is noted in the letter, which then waits again.
    pub(crate) async fn resend(&self, cx: &Ctx, id: DeadLetterId) -> Result<()> {
        let Some((provider, sealed, key)) = store::whole(&self.db, cx, id).await? else { return Ok(()) };
        let cx = cx.until(Instant::now() + RETRY_TIME + Duration::from_secs(20));
        let mut tx = self.db.tenant(&cx)?.begin().await?;
        let callable = match self.reachable(&mut tx, provider).await {
            Ok(callable) => callable,
            Err(error) if passes(error.slug()) => {
                store::failed_again(&mut tx, id, None, error.detail(), 0).await?;
                return tx.commit(()).await;
            }
            Err(error) => return Err(error),
        };
        let vault = self.vault(&mut tx).await?;
        let plain = vault.unseal(Sealed::Request(id.uuid()), &sealed)?;
        let request: Outward = serde_json::from_slice(&plain).map_err(Error::internal)?;
        let place = match self.doors.admit(cx.tenant()?, &callable.target.door) {
            Ok(place) => place,
            Err(full) => {
                store::failed_again(&mut tx, id, None, full.detail(), 0).await?;
                return tx.commit(()).await;
            }
        };
        let until = Instant::now() + RETRY_TIME;
        let call = Call {
            id: CallId::new(),
            _place: place,
            marks: marks(&cx, Some(key)),
            patience: Patience { retries: 0, until },
            provider: callable,
            request,
        };
        self.note(&mut tx, &call, Origin::Retry).await?;
        tx.commit(()).await?;

        let made = self.make_in_pace(&call, &call.provider.target.door).await;
        let mut tx = self.db.tenant(&cx)?.begin().await?;
        self.note_end(&mut tx, &call, &made).await?;
        let attempts = made.sent.attempts;
        let status = |status: http::StatusCode| i16::try_from(status.as_u16()).ok();
        match &made.sent.end {
            End::Answered(_) => {
                if store::delete(&mut tx, id).await? {
                    tx.event(events::recovered(call.provider.id, call.id, id)?)?;
                    tx.audit(Audit::new("integration.dead_letter.delivered", ENTITY, id))?;
                }
            }
            End::Rejected(answer) => {
                let told = answer.clause(&made.sent.secrets);
                store::failed_again(&mut tx, id, status(answer.status), &told, attempts).await?;
            }
            End::Refused(told) => store::failed_again(&mut tx, id, None, told, attempts).await?,
            End::Failed(told, last) => {
                store::failed_again(&mut tx, id, last.and_then(status), told, attempts).await?;
            }
            End::Open(_) => {
                store::failed_again(&mut tx, id, None, "the provider gets a pause", attempts).await?;
            }
        }
        tx.commit(()).await
    }

    async fn reachable(&self, tx: &mut Tx, provider: ProviderId) -> Result<Callable> {
        let callable = self.callable(tx, provider).await?;
        callable.target.door.check(Instant::now())?;
        Ok(callable)
    }
}

/// Hindrances that somebody can take away, or that go by themselves: the letter waits again. Anything else is a fault of
/// ours, and the job is done again.
fn passes(slug: Slug) -> bool {
    matches!(slug, Slug::InvalidState | Slug::CircuitOpen | Slug::DependencyUnavailable | Slug::NotFound)
}

impl From<LetterRow> for DeadLetterOut {
    fn from(row: LetterRow) -> Self {
        Self {
            id: row.id,
            provider_id: row.provider_id,
            call_id: row.call_id,
            state: row.state,
            method: row.method,
            path: row.path,
            idempotency_key: row.idempotency_key,
            status: row.status,
            error: row.error,
            attempts: row.attempts,
            first_at: row.first_at,
            last_at: row.last_at,
        }
    }
}

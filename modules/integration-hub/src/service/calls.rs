use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kernel::{Ctx, Error, Result, Slug};
use ports::http::{Page, page_size};

use super::making::{Call, Made, marks};
use crate::{
    IntegrationHub,
    admission::{Door, open},
    events::CallFailed,
    http::{
        calls::{CallIn, CallOut, CallsQuery, LoggedOut},
        providers::{TestIn, TestOut},
    },
    mask,
    model::{CallId, DeadLetterId, Origin, ProviderId, settle},
    outward::{Method, Outward},
    retry::RESERVE,
    sending::{End, Patience},
    store::{
        calls::{self as store, CallRow},
        dead_letters::{self, NewLetter},
    },
    vault::Sealed,
};

impl IntegrationHub {
    /// Sends a request to a provider. It is noted before it goes out, and goes on when the caller hangs up.
    ///
    /// Errors: validation-error, not-found, invalid-state, rate-limited, circuit-open, overloaded, upstream-failed.
    pub(crate) async fn call(&self, cx: &Ctx, wish: CallIn) -> Result<CallOut> {
        let CallIn { provider_id, method, path, headers, body } = wish;
        let request = Outward { method, path, headers, body };
        let mut wrong = Vec::new();
        request.check(&mut wrong);
        settle(wrong)?;

        let mut tx = self.db.tenant(cx)?.begin().await?;
        let provider = self.callable(&mut tx, provider_id).await?;
        let door = Arc::clone(&provider.target.door);
        door.check(Instant::now())?;
        let call = Call {
            id: CallId::new(),
            _place: self.doors.admit(cx.tenant()?, &door)?,
            marks: marks(cx, None),
            patience: Patience { retries: provider.target.config.retries, until: until(cx) },
            provider,
            request,
        };
        door.begin(Instant::now())?;
        self.note(&mut tx, &call, Origin::Call).await?;
        tx.commit_unanswered().await?;

        let (hub, cx) = (self.me()?, cx.clone());
        let done = tokio::spawn(async move {
            let made = hub.make(&call).await;
            hub.conclude(&cx, &call, made).await
        });
        done.await.map_err(Error::internal)?
    }

    /// Notes what became of a call and makes its answer.
    async fn conclude(&self, cx: &Ctx, call: &Call, made: Made) -> Result<CallOut> {
        let name = &call.provider.name;
        if let End::Answered(answer) = &made.sent.end {
            let secrets = &made.sent.secrets;
            let (body, body_encoding) = answer.told_body(secrets);
            let out = CallOut {
                id: call.id,
                status: answer.status.as_u16(),
                headers: answer.told_headers(secrets),
                body,
                body_encoding,
                attempts: made.sent.attempts,
                duration_ms: millis(made.took),
            };
            let mut tx = self.db.tenant(cx)?.begin().await?;
            self.note_end(&mut tx, call, &made).await?;
            return tx.commit(out).await;
        }
        // A failure is no answer that is kept for the Idempotency-Key: the same request may be sent again.
        let mut tx = self.db.tenant(&cx.with_idempotency(None))?.begin().await?;
        self.note_end(&mut tx, call, &made).await?;
        let failed = |told: String| Err(Error::new(Slug::UpstreamFailed, told));
        match &made.sent.end {
            End::Failed(told, status) => {
                let status = status.and_then(|status| i16::try_from(status.as_u16()).ok());
                let letter = self.bury(&mut tx, call, told, status, made.sent.attempts).await?;
                tx.commit(()).await?;
                let kept = match letter {
                    Some(id) => format!("It is kept as dead letter {id}."),
                    None => "It is not kept: there are too many dead letters already.".to_owned(),
                };
                failed(format!("{name}: {told}, in {} attempts. {kept}", made.sent.attempts))
            }
            End::Open(wait) => {
                tx.commit(()).await?;
                Err(open(*wait))
            }
            End::Rejected(answer) => {
                tx.commit(()).await?;
                failed(format!("{name} {}", answer.clause(&made.sent.secrets)))
            }
            End::Refused(told) => {
                tx.commit(()).await?;
                failed(format!("{name}: {told}"))
            }
            End::Answered(_) => Err(Error::internal("an answer was taken for a failure")),
        }
    }

    /// Keeps a call that failed for good. `None` when there is no room, or its provider is gone.
    async fn bury(
        &self,
        tx: &mut fabric::postgres::Tx,
        call: &Call,
        told: &str,
        status: Option<i16>,
        attempts: u32,
    ) -> Result<Option<DeadLetterId>> {
        let id = DeadLetterId::new();
        let vault = self.vault(tx).await?;
        let plain = serde_json::to_vec(&call.request).map_err(Error::internal)?;
        let secrets: Vec<String> =
            call.provider.target.credentials.iter().flat_map(|credentials| credentials.secrets()).collect();
        let letter = NewLetter {
            id,
            provider: call.provider.id,
            call: call.id,
            method: call.request.method,
            path: mask::path(&call.request.path, &secrets),
            request: vault.seal(Sealed::Request(id.uuid()), &plain),
            idempotency_key: call.marks.key,
            status,
            error: told.to_owned(),
            attempts,
        };
        if !dead_letters::insert(tx, letter).await? {
            tracing::warn!(provider = %call.provider.id, "a failed call could not be kept as a dead letter");
            return Ok(None);
        }
        let failed = CallFailed {
            provider_id: call.provider.id,
            call_id: call.id,
            dead_letter_id: id,
            status,
            attempts,
            error: told,
        };
        tx.event(failed.event()?)?;
        Ok(Some(id))
    }

    /// Sends one request to try a provider. The breaker has no say, and a token is fetched afresh.
    ///
    /// Errors: validation-error, not-found, invalid-state, overloaded.
    pub(crate) async fn test_provider(&self, cx: &Ctx, id: ProviderId, wish: TestIn) -> Result<TestOut> {
        let request = Outward {
            method: wish.method.unwrap_or(Method::Get),
            path: wish.path.unwrap_or_else(|| "/".to_owned()),
            headers: Default::default(),
            body: None,
        };
        let mut wrong = Vec::new();
        request.check(&mut wrong);
        if !matches!(request.method, Method::Get | Method::Head) {
            wrong.push(kernel::FieldError::new(
                "/method",
                kernel::FieldCode::NotAllowed,
                "a test reads only: GET or HEAD",
            ));
        }
        settle(wrong)?;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let mut provider = self.callable(&mut tx, id).await?;
        let place = self.doors.admit(cx.tenant()?, &provider.target.door)?;
        // A breaker of its own, so that a provider which gets a pause can be tested; but the pace is everybody's.
        let door = Arc::new(Door::new(provider.target.config.rps));
        let shared = std::mem::replace(&mut provider.target.door, door);
        let patience = Patience { retries: 0, until: until(cx) };
        let call =
            Call { id: CallId::new(), _place: place, marks: marks(cx, None), patience, provider, request };
        self.note(&mut tx, &call, Origin::Test).await?;
        tx.commit_unanswered().await?;

        let made = self.make_in_pace(&call, &shared).await;
        let mut tx = self.db.tenant(&cx.with_idempotency(None))?.begin().await?;
        self.note_end(&mut tx, &call, &made).await?;
        let (status, error) = match &made.sent.end {
            End::Answered(answer) => (Some(answer.status), None),
            End::Rejected(answer) => (Some(answer.status), Some(answer.clause(&made.sent.secrets))),
            End::Failed(told, status) => (*status, Some(told.clone())),
            End::Refused(told) => (None, Some(told.clone())),
            End::Open(_) => (None, Some("the provider gets a pause".to_owned())),
        };
        let status = status.map(|status| status.as_u16());
        tx.commit(TestOut { ok: error.is_none(), status, error, duration_ms: millis(made.took) }).await
    }

    /// The log of calls, the latest first.
    ///
    /// Errors: invalid-cursor.
    pub(crate) async fn calls(&self, cx: &Ctx, query: &CallsQuery) -> Result<Page<LoggedOut>> {
        let most = page_size(query.limit)?;
        let tenant = cx.tenant().ok();
        let list = format!("calls of {:?} in {:?}", query.provider_id, query.state);
        let after =
            query.cursor.as_deref().map(|cursor| self.cursor.read(tenant, &list, cursor)).transpose()?;
        let rows = store::list(&self.db, cx, query.provider_id, query.state, after, most + 1).await?;
        let place = |last: &CallRow| self.cursor.write(tenant, &list, &last.id);
        Ok(Page::cut(rows, most, place).map(LoggedOut::from))
    }
}

/// Until when a request may be tried: what is left of its time is for noting how it ended.
fn until(cx: &Ctx) -> Instant {
    let deadline = cx.deadline();
    deadline.checked_sub(RESERVE).unwrap_or(deadline)
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

impl From<CallRow> for LoggedOut {
    fn from(row: CallRow) -> Self {
        Self {
            id: row.id,
            provider_id: row.provider_id,
            provider: row.provider,
            origin: row.origin,
            state: row.state,
            actor: row.actor,
            method: row.method,
            path: row.path,
            request_headers: row.request_headers.0,
            request_body: row.request_body,
            status: row.status,
            answer_type: row.answer_type,
            answer_body: row.answer_body,
            answer_bytes: row.answer_bytes,
            attempts: row.attempts,
            error: row.error,
            duration_ms: row.duration_ms,
            trace_id: row.trace_id,
            at: row.at,
        }
    }
}

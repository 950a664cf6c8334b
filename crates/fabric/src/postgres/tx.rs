use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use kernel::{Ctx, Error, Result, Slug, TenantId};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::SqlSafeStr;
use uuid::Uuid;

use super::{
    audit::Audit,
    database::Handle,
    event::Event,
    fault::was_lost,
    pool::Checked,
    query::{Query, Target, composed, settle, within},
    requests::KeptAnswer,
};

/// Several statements that happen together or not at all, with the events and audit records that tell of them.
///
/// Dropped without [`Tx::commit`] it is rolled back. It never crosses a Link.
pub struct Tx {
    handle: Handle,
    checked: Option<Checked>,
    events: Vec<Value>,
    audits: Vec<Value>,
    request: Option<OpenRequest>,
    pub(super) answers: Vec<KeptAnswer>,
}

/// A request that may be repeated and is running now.
pub(super) struct OpenRequest {
    pub(super) caller: String,
    pub(super) key: Uuid,
    pub(super) fingerprint: [u8; 32],
}

impl OpenRequest {
    /// The request of this context, if it may be repeated.
    pub(super) fn of(cx: &Ctx) -> Option<Self> {
        let idempotency = cx.idempotency()?;
        let tenant = cx.tenant().map(|id| id.to_string()).unwrap_or_default();
        Some(Self {
            caller: format!("{tenant}/{}", cx.actor().name()),
            key: idempotency.key,
            fingerprint: idempotency.fingerprint,
        })
    }
}

pub(super) fn reused() -> Error {
    Error::new(
        Slug::IdempotencyKeyReused,
        "This Idempotency-Key was used with another route or body; use a fresh one.",
    )
}

pub(super) fn in_progress() -> Error {
    Error::new(Slug::IdempotencyInProgress, "The first request with this Idempotency-Key is still running.")
}

impl Tx {
    pub(super) async fn begin(handle: Handle) -> Result<Self> {
        match Self::begin_once(&handle).await {
            // Nothing has happened yet: it begins again where the server is, or when it is back.
            Err(error) if was_lost(&error) => Self::begin_once(&handle).await,
            begun => begun,
        }
    }

    async fn begin_once(handle: &Handle) -> Result<Self> {
        let mut checked = handle.checkout().await?;
        checked.in_flight = true;
        let begun = within(handle.deadline(), sqlx::raw_sql("begin").execute(checked.connection())).await;
        settle(&mut checked, begun)?;
        let mut tx = Self {
            handle: handle.clone(),
            checked: Some(checked),
            events: Vec::new(),
            audits: Vec::new(),
            request: None,
            answers: Vec::new(),
        };
        match tx.open_request().await {
            Ok(()) => Ok(tx),
            // Its lock on the key goes before the caller can repeat the request.
            Err(refused) => {
                tx.rollback().await;
                Err(refused)
            }
        }
    }

    async fn open_request(&mut self) -> Result<()> {
        let Some(request) = OpenRequest::of(self.cx()) else { return Ok(()) };
        let (state, answer): (String, Option<Vec<u8>>) = self
            .unbound("select state, answer from kernel.begin_request($1, $2, $3)".into_sql_str())
            .bind(request.caller.clone())
            .bind(request.key)
            .bind(request.fingerprint.to_vec())
            .one()
            .await?;
        match (state.as_str(), answer) {
            ("new", _) => {
                self.request = Some(request);
                Ok(())
            }
            ("replay", Some(sealed)) => {
                let key = self.handle.database().key().sealing("answers");
                let answer = key.open(request.key.as_bytes(), &sealed)?;
                Err(Error::replay(Bytes::from(answer)))
            }
            ("reused", _) => Err(reused()),
            _ => Err(in_progress()),
        }
    }

    /// A statement in the source; see [`crate::sql!`] for what its first parameter is.
    pub fn query(&mut self, text: &'static str) -> Query<'_> {
        self.prepared(text.into_sql_str())
    }

    /// A statement put together from identifiers of a catalogue. Values are bound, never written into it.
    pub fn composed(&mut self, text: impl Into<Arc<str>>) -> Query<'_> {
        self.prepared(composed(text.into()))
    }

    fn prepared(&mut self, text: sqlx::SqlStr) -> Query<'_> {
        let tenant = self.handle.bound_to();
        let query = self.unbound(text);
        match tenant {
            Some(tenant) => query.bind(tenant),
            None => query,
        }
    }

    /// A statement of fabric's own that says itself whose row it writes, whatever the transaction is bound to.
    pub(crate) fn query_unbound(&mut self, text: &'static str) -> Query<'_> {
        self.unbound(text.into_sql_str())
    }

    pub(super) fn unbound(&mut self, text: sqlx::SqlStr) -> Query<'_> {
        Query::new(Target::Tx(self), text)
    }

    /// Tells of something that happened, when and if this commits.
    ///
    /// # Errors
    /// `internal` if the event can't be written as JSON.
    pub fn event(&mut self, event: Event) -> Result<()> {
        let cx = self.cx().clone();
        self.tell(&cx, event);
        Ok(())
    }

    pub(super) fn tell(&mut self, cx: &Ctx, event: Event) {
        let tenant = self.handle.bound_to().or(event.tenant).or(cx.tenant().ok());
        let row = json!({
            "id": event.id,
            "tenant_id": tenant,
            "key": event.key,
            "type": event.kind,
            "source": event.source,
            "schema_version": event.schema_version,
            "data": event.data,
            "trace_id": cx.trace().trace_id_text(),
            "at": cx.now().datetime(),
        });
        self.events.push(row);
    }

    /// Keeps who did what, when and if this commits.
    ///
    /// # Errors
    /// `internal` if the record can't be written as JSON.
    pub fn audit(&mut self, record: Audit) -> Result<()> {
        let cx = self.cx().clone();
        self.keep(&cx, record)
    }

    pub(super) fn keep(&mut self, cx: &Ctx, record: Audit) -> Result<()> {
        if let Some(row) = record.row(cx)? {
            self.audits.push(row);
        }
        Ok(())
    }

    /// Takes `n` of what the tenant may use of `what`; gives back with a negative `n`. Of two transactions at the last
    /// unit exactly one passes.
    ///
    /// # Errors
    /// `plan-limit-exceeded` with limit and usage.
    pub async fn reserve(&mut self, what: &'static str, n: i64) -> Result<()> {
        let tenant = self.cx().tenant()?;
        self.reserve_for(tenant, what, n).await
    }

    /// The same for a tenant that the context does not name: one that this very transaction makes.
    ///
    /// # Errors
    /// As [`Tx::reserve`].
    pub async fn reserve_for(&mut self, tenant: TenantId, what: &'static str, n: i64) -> Result<()> {
        let taken: Option<i64> = self
            .unbound(
                "insert into kernel.allowance as a (tenant_id, name, used) values ($1, $2, greatest($3, 0)) \
                 on conflict (tenant_id, name) do update set used = greatest(a.used + $3, 0) \
                 where $3 <= 0 or a.most is null or a.used + $3 <= a.most \
                 returning used"
                    .into_sql_str(),
            )
            .bind(tenant)
            .bind(what)
            .bind(n)
            .optional_value()
            .await?;
        if taken.is_some() {
            return Ok(());
        }
        let (used, most): (i64, Option<i64>) = self
            .unbound(
                "select used, most from kernel.allowance where tenant_id = $1 and name = $2".into_sql_str(),
            )
            .bind(tenant)
            .bind(what)
            .one()
            .await?;
        Err(Error::new(
            Slug::PlanLimitExceeded,
            format!("The plan allows {} {what}; {used} are in use.", most.unwrap_or_default()),
        ))
    }

    /// Whether `consumer` takes this event to heart for the first time; noted in this transaction.
    ///
    /// # Errors
    /// What the database says.
    pub async fn first_time(&mut self, consumer: &str, event: kernel::EventId) -> Result<bool> {
        let noted = self
            .unbound(
                "insert into kernel.consumed (consumer, event_id) values ($1, $2) on conflict do nothing"
                    .into_sql_str(),
            )
            .bind(consumer.to_owned())
            .bind(event)
            .run()
            .await?;
        Ok(noted == 1)
    }

    /// Makes it so: events, audit records and the answer go with it. Hands the answer back.
    ///
    /// # Errors
    /// What the database says; nothing happened then.
    pub async fn commit<A: Serialize>(mut self, answer: A) -> Result<A> {
        let told = self.flush(&answer).await?;
        self.keep_answers().await?;
        let until = self.cx().deadline();
        let checked = self.checked()?;
        checked.in_flight = true;
        let done = within(until, sqlx::raw_sql("commit").execute(checked.connection())).await;
        settle(checked, done)?;
        self.checked = None;
        if told {
            self.handle.database().note_written();
        }
        Ok(answer)
    }

    /// Makes it so, and leaves the request open: for work that goes on outside of any transaction and is answered by a
    /// later one. Until then a repeat of the request is not answered from here; whoever uses this must notice it.
    ///
    /// # Errors
    /// As [`Tx::commit`].
    pub async fn commit_unanswered(mut self) -> Result<()> {
        self.request = None;
        self.commit(()).await
    }

    /// Writes what the transaction leaves behind; says whether an event or an audit record is among it.
    async fn flush<A: Serialize>(&mut self, answer: &A) -> Result<bool> {
        if self.events.is_empty() && self.audits.is_empty() && self.request.is_none() {
            return Ok(false);
        }
        let told = !self.events.is_empty() || !self.audits.is_empty();
        let events = Value::Array(std::mem::take(&mut self.events));
        let audits = Value::Array(std::mem::take(&mut self.audits));
        let request = self.request.take();
        let sealed = match &request {
            Some(request) => {
                let plain = serde_json::to_vec(answer).map_err(Error::internal)?;
                Some(self.handle.database().key().sealing("answers").seal(request.key.as_bytes(), &plain))
            }
            None => None,
        };
        let tenant: Option<TenantId> = self.handle.bound_to().or(self.cx().tenant().ok());
        let (caller, key, fingerprint) = match request {
            Some(r) => (Some(r.caller), Some(r.key), Some(r.fingerprint.to_vec())),
            None => (None, None, None),
        };
        self.unbound(FLUSH.into_sql_str())
            .bind(sqlx::types::Json(events))
            .bind(sqlx::types::Json(audits))
            .bind(tenant)
            .bind(caller)
            .bind(key)
            .bind(fingerprint)
            .bind(sealed)
            .run()
            .await?;
        Ok(told)
    }

    /// Undoes everything, before the caller hears of it. Dropping a transaction does the same a moment later.
    pub async fn rollback(mut self) {
        let Some(mut checked) = self.checked.take() else { return };
        if checked.in_flight {
            return;
        }
        checked.in_flight = true;
        let limit = Instant::now() + ROLLBACK_PATIENCE;
        if within(limit, sqlx::raw_sql("rollback").execute(checked.connection())).await.is_ok() {
            checked.settled();
        }
    }

    /// The context it runs in.
    pub fn cx(&self) -> &Ctx {
        self.handle.cx()
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(super) fn checked(&mut self) -> Result<&mut Checked> {
        self.checked.as_mut().ok_or_else(|| Error::internal("the transaction has ended"))
    }
}

/// A server that does not undo a transaction in this time loses the connection, which undoes it too.
const ROLLBACK_PATIENCE: Duration = Duration::from_secs(5);

/// Everything a transaction leaves behind, in one round trip.
const FLUSH: &str = "select kernel.leave_behind($1, $2, $3, $4, $5, $6, $7)";

impl Drop for Tx {
    /// Rolls back, and only then returns the connection: its locks must not outlive it.
    fn drop(&mut self) {
        let Some(mut checked) = self.checked.take() else { return };
        if checked.in_flight {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            checked.in_flight = true;
            return;
        };
        checked.in_flight = true;
        runtime.spawn(async move {
            let limit = Instant::now() + ROLLBACK_PATIENCE;
            if within(limit, sqlx::raw_sql("rollback").execute(checked.connection())).await.is_ok() {
                checked.settled();
            }
        });
    }
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").field("cx", self.cx()).finish_non_exhaustive()
    }
}

//! Many requests answered by one transaction: what a writer that batches needs, so that each of them still has its own
//! Idempotency-Key, its own event and audit record, and its own stored answer.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use kernel::{Ctx, Error, Result};
use serde::Serialize;
use sqlx::{FromRow, SqlSafeStr};
use uuid::Uuid;

use super::{
    audit::Audit,
    event::Event,
    tx::{OpenRequest, Tx, in_progress, reused},
};

/// An answer that is kept with the transaction.
pub(super) struct KeptAnswer {
    request: OpenRequest,
    sealed: Vec<u8>,
}

#[derive(FromRow)]
struct Stored {
    number: i64,
    fingerprint: Vec<u8>,
    answer: Vec<u8>,
}

/// Takes the lock of each request's key, without waiting. It is a statement of its own: what was committed under a key
/// is only sure to be seen by a statement that begins after the lock was had.
const LOCK: &str = "select pg_try_advisory_xact_lock(hashtextextended(r.caller || r.key::text, 7)) \
                    from unnest($1::text[], $2::uuid[]) with ordinality as r(caller, key, number) order by r.number";

const FIND: &str = "select r.number - 1 as number, i.fingerprint, i.answer \
                    from unnest($1::text[], $2::uuid[]) with ordinality as r(caller, key, number) \
                    join kernel.idempotency i on i.caller = r.caller and i.key = r.key \
                    where i.at > clock_timestamp() - interval '24 hours'";

const KEEP: &str = "insert into kernel.idempotency (tenant_id, caller, key, fingerprint, answer) \
                    select $1::uuid, r.caller, r.key, r.fingerprint, r.answer \
                    from unnest($2::text[], $3::uuid[], $4::bytea[], $5::bytea[]) \
                        as r(caller, key, fingerprint, answer) \
                    on conflict (caller, key) do update \
                        set fingerprint = excluded.fingerprint, answer = excluded.answer, at = clock_timestamp()";

/// What became of the requests that were to be opened, in their order: nothing for one that is to be done now, else
/// what its caller is answered.
pub type Requests = Vec<Option<Error>>;

impl Tx {
    /// Opens requests of several callers in this transaction, as [`super::Handle::begin`] does for one. Of two with the
    /// same key the second is told that the first is still running.
    ///
    /// # Errors
    /// `internal` when a request is of another tenant than the transaction; what the database says.
    pub async fn open_requests(&mut self, contexts: &[&Ctx]) -> Result<Requests> {
        let mut became: Requests = contexts.iter().map(|_| None).collect();
        let (mut places, mut open) = (Vec::new(), Vec::new());
        let mut seen: HashSet<(String, Uuid)> = HashSet::new();
        for (place, cx) in contexts.iter().enumerate() {
            self.same_tenant(cx)?;
            let Some(request) = OpenRequest::of(cx) else { continue };
            if seen.insert((request.caller.clone(), request.key)) {
                places.push(place);
                open.push(request);
            } else {
                became[place] = Some(in_progress());
            }
        }
        if open.is_empty() {
            return Ok(became);
        }
        let callers: Vec<String> = open.iter().map(|request| request.caller.clone()).collect();
        let keys: Vec<Uuid> = open.iter().map(|request| request.key).collect();
        let had: Vec<(bool,)> =
            self.unbound(LOCK.into_sql_str()).bind(callers.clone()).bind(keys.clone()).all().await?;
        let stored: Vec<Stored> = self.unbound(FIND.into_sql_str()).bind(callers).bind(keys).all().await?;
        let stored: HashMap<usize, Stored> =
            stored.into_iter().filter_map(|row| Some((usize::try_from(row.number).ok()?, row))).collect();
        let sealing = self.handle().database().key().sealing("answers");
        for (number, (request, (had,))) in open.iter().zip(had).enumerate() {
            became[places[number]] = match stored.get(&number) {
                _ if !had => Some(in_progress()),
                Some(row) if row.fingerprint != request.fingerprint => Some(reused()),
                Some(row) => {
                    let answer = sealing.open(request.key.as_bytes(), &row.answer)?;
                    Some(Error::replay(Bytes::from(answer)))
                }
                None => None,
            };
        }
        Ok(became)
    }

    /// [`Tx::event`] on behalf of the request in whose context it happened.
    ///
    /// # Errors
    /// `internal` when it is of another tenant.
    pub fn event_of(&mut self, cx: &Ctx, event: Event) -> Result<()> {
        self.same_tenant(cx)?;
        self.tell(cx, event);
        Ok(())
    }

    /// [`Tx::audit`] on behalf of the request in whose context it happened.
    ///
    /// # Errors
    /// As [`Tx::audit`]; `internal` when it is of another tenant.
    pub fn audit_of(&mut self, cx: &Ctx, record: Audit) -> Result<()> {
        self.same_tenant(cx)?;
        Tx::keep(self, cx, record)
    }

    /// Keeps the answer of one of the requests that [`Tx::open_requests`] opened, with the transaction.
    ///
    /// # Errors
    /// `internal` when it can't be written as JSON or is of another tenant.
    pub fn answer_of(&mut self, cx: &Ctx, answer: &impl Serialize) -> Result<()> {
        self.same_tenant(cx)?;
        let Some(request) = OpenRequest::of(cx) else { return Ok(()) };
        let plain = serde_json::to_vec(answer).map_err(Error::internal)?;
        let sealing = self.handle().database().key().sealing("answers");
        let sealed = sealing.seal(request.key.as_bytes(), &plain);
        self.answers.push(KeptAnswer { request, sealed });
        Ok(())
    }

    pub(super) async fn keep_answers(&mut self) -> Result<()> {
        if self.answers.is_empty() {
            return Ok(());
        }
        let answers = std::mem::take(&mut self.answers);
        let tenant = self.handle().bound_to();
        let (mut callers, mut keys) = (Vec::with_capacity(answers.len()), Vec::with_capacity(answers.len()));
        let (mut fingerprints, mut sealed) =
            (Vec::with_capacity(answers.len()), Vec::with_capacity(answers.len()));
        for answer in answers {
            callers.push(answer.request.caller);
            keys.push(answer.request.key);
            fingerprints.push(answer.request.fingerprint.to_vec());
            sealed.push(answer.sealed);
        }
        self.unbound(KEEP.into_sql_str())
            .bind(tenant)
            .bind(callers)
            .bind(keys)
            .bind(fingerprints)
            .bind(sealed)
            .run()
            .await?;
        Ok(())
    }

    fn same_tenant(&self, cx: &Ctx) -> Result<()> {
        if self.handle().bound_to().is_some() && cx.tenant().ok() == self.handle().bound_to() {
            return Ok(());
        }
        Err(Error::internal("a request was put into the transaction of another tenant"))
    }
}

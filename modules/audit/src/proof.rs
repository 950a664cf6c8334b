//! The chain at work: giving records their places, checking them, and telling of heads.

use std::time::{Duration, Instant};

use fabric::postgres::{Event, Reason};
use kernel::{AuditId, Ctx, Error, FieldCode, Result, Slug, TenantId, check::Checks};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::{
    canonical::{GENESIS, Hash, hex},
    chain::{Broken, Fault, Walk},
    events,
    service::{Audit, PAGE_TIME, with_time},
    store,
};

/// The time that a check gives the writer to catch up.
const CATCH_UP: Duration = Duration::from_secs(5);

/// The time that a check leaves for its answer.
const LAST_MOMENT: Duration = Duration::from_secs(2);

/// Pages that one tenant gets before the next one has its turn.
const PAGES_IN_TURN: usize = 4;

/// Waiting records are counted up to here.
const MOST_COUNTED: i64 = 10_000;

/// What a check found.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerifiedOut {
    /// Whether every record that was checked is what it was.
    pub valid: bool,
    /// Whether all that was asked for was checked; if not, ask again from `to` + 1.
    pub complete: bool,
    /// The end of the chain.
    pub head: HeadPlace,
    /// Records that wait for their place, counted to 10,000.
    pub pending: i64,
    /// How many records were checked.
    pub checked: u64,
    /// The first place that was checked.
    pub from: i64,
    /// The last place that was checked; before `from` when there is none.
    pub to: i64,
    /// The first place at which something is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_bad: Option<FirstBad>,
}

/// The end of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HeadPlace {
    /// The number of the last record; 0 when there is none.
    pub seq: i64,
    /// SHA-256 of the chain up to it, in hex.
    pub hash: String,
}

/// The first place at which a chain is not what it was.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FirstBad {
    /// The place.
    pub seq: i64,
    /// The record that stands there; null when none does.
    pub audit_id: Option<AuditId>,
    /// What is wrong.
    pub reason: Fault,
}

/// The end of the chain, signed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeadOut {
    /// The number of the last record; 0 when there is none.
    pub seq: i64,
    /// SHA-256 of the chain up to it, in hex.
    pub hash: String,
    /// Both, with tenant and time, as a compact JWS (ES256) that the sandbox's published keys verify.
    pub jws: String,
}

impl Audit {
    /// Checks the chain from one place to another; without them, all of it. Gives waiting records their places first.
    ///
    /// # Errors
    /// `validation-error` for places outside of the chain, `overloaded` when too many checks are running.
    pub async fn verify(&self, cx: &Ctx, from: Option<i64>, to: Option<i64>) -> Result<VerifiedOut> {
        let tenant = cx.tenant()?;
        let Ok(_turn) = tokio::time::timeout(cx.time_left() / 2, self.walks.acquire()).await else {
            return Err(Error::new(Slug::Overloaded, "Other checks of the audit trail are running."));
        };
        self.catch_up(cx, tenant).await?;
        let handle = self.db.tenant(cx)?;
        let head = store::head(&handle).await?;
        let head = head.unwrap_or_else(|| store::Head { seq: 0, hash: GENESIS.to_vec() });
        let first = from.unwrap_or(1);
        let last = to.unwrap_or(head.seq).min(head.seq);
        check_bounds(first, to, head.seq)?;
        let (walk, broken, complete) = match self.before(&handle, first).await? {
            Ok(previous) => self.walk(cx, Walk::new(tenant, first, previous), last, &head).await?,
            Err(broken) => (Walk::new(tenant, first, GENESIS), Some(broken), true),
        };
        let pending = store::pending(&handle, MOST_COUNTED).await?;
        Ok(VerifiedOut {
            valid: broken.is_none(),
            complete,
            head: HeadPlace { seq: head.seq, hash: hex(&head.hash) },
            pending,
            checked: walk.checked(),
            from: first,
            to: walk.next() - 1,
            first_bad: broken.map(|broken| FirstBad {
                seq: broken.seq,
                audit_id: broken.record,
                reason: broken.fault,
            }),
        })
    }

    /// The hash that the record at `first` must follow.
    async fn before(&self, handle: &fabric::postgres::Handle, first: i64) -> Result<Result<Hash, Broken>> {
        if first == 1 {
            return Ok(Ok(GENESIS));
        }
        let seq = first - 1;
        Ok(match store::hash_at(handle, seq).await? {
            Some(hash) => Hash::try_from(hash.as_slice()).map_err(|_| Broken {
                seq,
                record: None,
                fault: Fault::Changed,
            }),
            None => Err(self.missing(handle, seq).await?),
        })
    }

    /// A place at which no record stands: one was removed there, or the end was cut off.
    async fn missing(&self, handle: &fabric::postgres::Handle, seq: i64) -> Result<Broken> {
        let fault = if store::reaches(handle, seq).await? { Fault::Removed } else { Fault::CutOff };
        Ok(Broken { seq, record: None, fault })
    }

    async fn walk(
        &self,
        cx: &Ctx,
        mut walk: Walk,
        last: i64,
        head: &store::Head,
    ) -> Result<(Walk, Option<Broken>, bool)> {
        let handle = self.db.tenant(cx)?;
        while walk.next() <= last {
            if cx.time_left() < LAST_MOMENT {
                return Ok((walk, None, false));
            }
            let records = store::chained(&handle, walk.next(), last).await?;
            if records.is_empty() {
                let broken = self.missing(&handle, walk.next()).await?;
                return Ok((walk, Some(broken), true));
            }
            // A thousand hashes over up to some megabytes: not on a thread that serves requests.
            let step = tokio::task::spawn_blocking(move || {
                let found = walk.along(&records);
                (walk, found)
            });
            let found;
            (walk, found) = step.await.map_err(Error::internal)?;
            if let Err(broken) = found {
                return Ok((walk, Some(broken), true));
            }
        }
        let ended = if last == head.seq { walk.end(head.seq, &head.hash) } else { Ok(()) };
        Ok((walk, ended.err(), true))
    }

    /// Gives the tenant's waiting records their places, within bounded time.
    async fn catch_up(&self, cx: &Ctx, tenant: TenantId) -> Result<()> {
        let until = Instant::now() + CATCH_UP.min(cx.time_left() / 2);
        while store::pending(&self.db.tenant(cx)?, 1).await? > 0
            && Instant::now() < until
            && self.chain_page(cx, tenant).await? > 0
        {}
        Ok(())
    }

    /// Gives the next records of a tenant their places: a page. Answers how many got one.
    async fn chain_page(&self, cx: &Ctx, tenant: TenantId) -> Result<usize> {
        let mut tx = self.db.system_of_tenant(&cx.within(tenant), Reason::AuditChain)?.begin().await?;
        let head = store::lock_head(&mut tx, &GENESIS).await?;
        let records = store::waiting(&mut tx).await?;
        if records.is_empty() {
            return Ok(0);
        }
        let count = records.len();
        let previous = Hash::try_from(head.hash.as_slice())
            .map_err(|_| Error::internal(format!("the audit head of tenant {tenant} holds no SHA-256")))?;
        let placed = tokio::task::spawn_blocking(move || {
            let mut previous = previous;
            let places = (head.seq + 1..).zip(&records).map(|(seq, record)| {
                previous = record.hash(&previous, tenant, seq);
                (record.id, seq, previous.to_vec())
            });
            let (mut ids, mut seqs, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
            for (id, seq, hash) in places {
                ids.push(id);
                seqs.push(seq);
                hashes.push(hash);
            }
            (ids, seqs, hashes)
        });
        let (ids, seqs, hashes) = placed.await.map_err(Error::internal)?;
        let chained = store::chain(&mut tx, ids, seqs, hashes).await?;
        if usize::try_from(chained) != Ok(count) {
            let why = format!("{chained} of {count} audit records of tenant {tenant} took their place");
            return Err(Error::internal(why));
        }
        tx.commit(()).await?;
        // The statement itself put the events into the outbox.
        self.db.outbox().notify_one();
        Ok(count)
    }

    /// Gives all waiting records of all tenants their places; each tenant has its turn, and one that fails does not hold
    /// up the others.
    ///
    /// # Errors
    /// The last failure; everything else was chained.
    pub async fn chain(&self, cx: &Ctx) -> Result<()> {
        let mut failed = None;
        loop {
            let mut last = Uuid::nil();
            let mut more = false;
            loop {
                let system = self.db.system(&with_time(cx, PAGE_TIME), Reason::AuditChain);
                let Some(tenant) = store::next_waiting(&system, last).await? else { break };
                last = tenant.uuid();
                match self.chain_turn(cx, tenant).await {
                    Ok(left) => more |= left,
                    Err(error) => {
                        tracing::warn!(%tenant, ?error, "the audit trail of a tenant can't be chained just now");
                        failed = Some(error);
                    }
                }
            }
            if !more {
                return failed.map_or(Ok(()), Err);
            }
        }
    }

    /// One tenant's turn; answers whether it has more to chain.
    async fn chain_turn(&self, cx: &Ctx, tenant: TenantId) -> Result<bool> {
        for _ in 0..PAGES_IN_TURN {
            if self.chain_page(&with_time(cx, PAGE_TIME), tenant).await? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The end of the tenant's chain, signed.
    ///
    /// # Errors
    /// What the database and iam say.
    pub async fn head(&self, cx: &Ctx) -> Result<HeadOut> {
        let head = store::head(&self.db.tenant(cx)?).await?;
        let head = head.unwrap_or_else(|| store::Head { seq: 0, hash: GENESIS.to_vec() });
        self.signed(cx, cx.tenant()?, head.seq, &head.hash).await
    }

    async fn signed(&self, cx: &Ctx, tenant: TenantId, seq: i64, hash: &[u8]) -> Result<HeadOut> {
        let hash = hex(hash);
        let claims = json!({ "tenantId": tenant, "seq": seq, "hash": hash, "timestamp": cx.now() });
        let jws = self.iam.sign(cx, "audit.head", claims).await?;
        Ok(HeadOut { seq, hash, jws })
    }

    /// Tells the outside of every head that moved since it was last told of.
    ///
    /// # Errors
    /// What the database and iam say; heads that were told of by then are noted.
    pub async fn publish_heads(&self, cx: &Ctx) -> Result<()> {
        let mut last = Uuid::nil();
        loop {
            let cx = with_time(cx, PAGE_TIME);
            let system = self.db.system(&cx, Reason::AuditChain);
            let heads = store::new_heads(&system, last).await?;
            let Some(end) = heads.last() else { return Ok(()) };
            last = end.tenant_id.uuid();
            // Signed before the transaction begins: none crosses a Link.
            let mut signed = Vec::with_capacity(heads.len());
            for head in heads {
                signed.push((head.tenant_id, self.signed(&cx, head.tenant_id, head.seq, &head.hash).await?));
            }
            let mut tx = system.begin().await?;
            let (tenants, seqs) = signed.iter().map(|(tenant, head)| (*tenant, head.seq)).unzip();
            let noted = store::note_published(&mut tx, tenants, seqs).await?;
            for (tenant, head) in signed.iter().filter(|(tenant, _)| noted.contains(tenant)) {
                tx.event(Event::new("audit", events::HEAD_PUBLISHED, tenant, head)?.of(*tenant))?;
            }
            tx.commit(()).await?;
        }
    }
}

fn check_bounds(first: i64, to: Option<i64>, head: i64) -> Result<()> {
    let mut checks = Checks::new();
    checks.range("from", first, 1, head.max(1));
    if let Some(to) = to {
        checks.ensure(to >= first, "to", FieldCode::OutOfRange, "must not be before from");
    }
    checks.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_places_of_the_chain_are_checked() {
        for (from, to, head) in
            [(1, None, 0), (1, None, 10), (10, None, 10), (3, Some(3), 10), (3, Some(99), 10)]
        {
            assert!(check_bounds(from, to, head).is_ok(), "{from} {to:?} {head}");
        }
        for (from, to, head) in [(0, None, 10), (-1, None, 0), (11, None, 10), (2, None, 0), (5, Some(4), 10)]
        {
            assert!(check_bounds(from, to, head).is_err(), "{from} {to:?} {head}");
        }
    }
}

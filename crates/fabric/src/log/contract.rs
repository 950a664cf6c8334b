//! What every log must keep, as a suite that runs on any of them. It can run on a log in use: it writes and reads types
//! of its own.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use kernel::{Ctx, DomainEvent, Error, EventId, Result, TenantId};

use super::{Cursor, EventLog, MemoryLog, Patterns, Read, Relay};
use crate::postgres::{Database, Event, Reason};

/// Who can put events into the log under test, so that they can be read when it returns.
#[async_trait]
pub trait Writer: Send + Sync {
    /// Logs events of one tenant in the order given: type, key, data.
    ///
    /// # Errors
    /// What keeps the log says.
    async fn write(&self, cx: &Ctx, tenant: TenantId, events: &[(String, String, i64)]) -> Result<()>;
}

#[async_trait]
impl Writer for Arc<MemoryLog> {
    async fn write(&self, cx: &Ctx, tenant: TenantId, events: &[(String, String, i64)]) -> Result<()> {
        self.append(events.iter().map(|(kind, key, data)| DomainEvent {
            id: EventId::new(),
            kind: kind.clone(),
            source: "contract".to_owned(),
            tenant_id: Some(tenant),
            key: key.clone(),
            data: (*data).into(),
            schema_version: "1.0.0".to_owned(),
            timestamp: cx.now(),
            trace_id: Some(cx.trace().trace_id_text()),
        }));
        Ok(())
    }
}

/// Writes by transactions, as services do, and has the relay carry them.
pub struct OutboxWriter {
    /// The database.
    pub db: Database,
    /// Its relay.
    pub relay: Arc<Relay>,
}

#[async_trait]
impl Writer for OutboxWriter {
    async fn write(&self, cx: &Ctx, tenant: TenantId, events: &[(String, String, i64)]) -> Result<()> {
        let mut tx = self.db.system(cx, Reason::Events).begin().await?;
        for (kind, key, data) in events {
            tx.event(Event::new("contract", kind.clone(), key, data)?.of(tenant))?;
        }
        tx.commit(()).await?;
        self.relay.carry().await
    }
}

/// Checks a log against the contract. `cx` is a system's context without a tenant.
///
/// # Errors
/// `internal` with a sentence in the source that says what is not kept.
pub async fn check(log: &dyn EventLog, writer: &dyn Writer, cx: &Ctx) -> Result<()> {
    let suite = Suite::new(log, writer, cx);
    suite.pages_bring_everything_once_and_each_key_in_order().await?;
    suite.only_wanted_types_and_the_tenants_own_are_read().await?;
    suite.nothing_lies_behind_the_head_until_something_comes().await?;
    suite.a_moment_names_the_first_event_from_then_on().await?;
    suite.a_listener_is_woken_by_what_it_wants().await
}

struct Suite<'a> {
    log: &'a dyn EventLog,
    writer: &'a dyn Writer,
    cx: &'a Ctx,
    domain: String,
    tenants: [TenantId; 2],
}

fn ensure(kept: bool, rule: &'static str) -> Result<()> {
    if kept { Ok(()) } else { Err(Error::internal(format!("the log does not keep its contract: {rule}"))) }
}

impl<'a> Suite<'a> {
    fn new(log: &'a dyn EventLog, writer: &'a dyn Writer, cx: &'a Ctx) -> Self {
        let domain = format!("contract{}", u32::from_be_bytes(cx.random()));
        Self { log, writer, cx, domain, tenants: [TenantId::new(), TenantId::new()] }
    }

    fn kind(&self, rest: &str) -> String {
        format!("{}.{rest}", self.domain)
    }

    fn patterns(&self, rest: &str) -> Result<Patterns> {
        Patterns::new([self.kind(rest)])
    }

    async fn write(
        &self,
        tenant: usize,
        events: impl IntoIterator<Item = (&str, String, i64)>,
    ) -> Result<()> {
        let events: Vec<_> = events.into_iter().map(|(kind, key, n)| (self.kind(kind), key, n)).collect();
        self.writer.write(self.cx, self.tenants[tenant], &events).await
    }

    /// Everything behind `from`, read in batches of up to `most`.
    async fn all(
        &self,
        patterns: &Patterns,
        tenant: Option<TenantId>,
        from: &Cursor,
        most: usize,
    ) -> Result<(Vec<DomainEvent>, Cursor)> {
        let mut events = Vec::new();
        let mut next = from.clone();
        for _ in 0..10_000 {
            let batch = self.log.read(self.cx, Read { patterns, tenant, from: &next, most }).await?;
            ensure(batch.events.len() <= most, "a batch holds no more than was asked for")?;
            // A cursor must survive being kept as text.
            next = batch.next.to_string().parse()?;
            if batch.events.is_empty() && !batch.more {
                return Ok((events, next));
            }
            events.extend(batch.events);
        }
        ensure(false, "reading comes to an end").map(|()| (events, next))
    }

    async fn pages_bring_everything_once_and_each_key_in_order(&self) -> Result<()> {
        let keys = 17;
        for round in 0..3 {
            let events = (0..100).map(|n| ("order.item.added", format!("key {}", n % keys), round * 100 + n));
            self.write(0, events).await?;
        }
        let patterns = self.patterns("order.*")?;
        for most in [1000, 7] {
            let (events, _) = self.all(&patterns, None, &Cursor::beginning(), most).await?;
            let mut by_key: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
            for event in &events {
                by_key.entry(&event.key).or_default().push(event.data.as_i64().unwrap_or(-1));
            }
            ensure(events.len() == 300, "everything committed is read, once")?;
            ensure(
                by_key.values().all(|list| list.is_sorted_by(|a, b| a < b)),
                "events of one key come in order",
            )?;
        }
        Ok(())
    }

    async fn only_wanted_types_and_the_tenants_own_are_read(&self) -> Result<()> {
        for tenant in [0, 1] {
            let kinds = ["kinds.a_b.made", "kinds.axb.made", "kinds.a_b.lost"];
            self.write(tenant, kinds.map(|kind| (kind, "k".to_owned(), 1))).await?;
        }
        let start = Cursor::beginning();
        let count = async |rest: &str, tenant: Option<usize>| -> Result<usize> {
            let tenant = tenant.map(|index| self.tenants[index]);
            let (events, _) = self.all(&self.patterns(rest)?, tenant, &start, 2).await?;
            let own = events.iter().all(|event| tenant.is_none() || event.tenant_id == tenant);
            ensure(own, "a tenant reads its own events only")?;
            Ok(events.len())
        };
        ensure(count("kinds.*", None).await? == 6, "a reader without a tenant reads those of all")?;
        ensure(count("kinds.*", Some(0)).await? == 3, "a tenant reads all of its own")?;
        ensure(
            count("kinds.a_b.*", Some(1)).await? == 2,
            "a pattern names whole words; an underscore is itself",
        )?;
        ensure(count("kinds.a_b.made", None).await? == 2, "a type names itself")?;
        ensure(count("kinds.none.made", None).await? == 0, "nothing else is read")
    }

    async fn nothing_lies_behind_the_head_until_something_comes(&self) -> Result<()> {
        let patterns = self.patterns("*")?;
        self.write(0, [("head.a.b", "k".to_owned(), 1)]).await?;
        let head = self.log.head(self.cx, &patterns).await?;
        let (events, next) = self.all(&patterns, None, &head, 10).await?;
        ensure(events.is_empty(), "nothing lies behind the head")?;
        self.write(0, [("head.a.b", "k".to_owned(), 2), ("head.a.b", "other".to_owned(), 3)]).await?;
        for from in [head, next] {
            let (events, _) = self.all(&patterns, None, &from, 1).await?;
            let mut data: Vec<_> = events.iter().filter_map(|event| event.data.as_i64()).collect();
            data.sort_unstable();
            ensure(data == [2, 3], "what comes later lies behind the old head")?;
        }
        Ok(())
    }

    async fn a_moment_names_the_first_event_from_then_on(&self) -> Result<()> {
        let patterns = self.patterns("time.*")?;
        let write = async |range: std::ops::Range<i64>| {
            self.write(0, range.map(|n| ("time.a.b", format!("key {}", n % 5), n))).await
        };
        write(0..20).await?;
        let last = self.cx.now();
        while self.cx.now() <= last {
            tokio::task::yield_now().await;
        }
        let moment = self.cx.now();
        write(20..40).await?;
        let place = self.log.at_time(self.cx, &patterns, moment).await?;
        let (events, _) = self.all(&patterns, None, &place, 9).await?;
        let mut data: Vec<_> = events.iter().filter_map(|event| event.data.as_i64()).collect();
        data.sort_unstable();
        ensure(data == (20..40).collect::<Vec<_>>(), "a moment names the events from then on")
    }

    async fn a_listener_is_woken_by_what_it_wants(&self) -> Result<()> {
        let ear = self.log.listen(self.patterns("heard.*")?);
        self.write(0, [("heard.a.b", "k".to_owned(), 1)]).await?;
        let woken = tokio::time::timeout(Duration::from_secs(5), ear.heard()).await;
        ensure(woken.is_ok(), "a listener is woken")
    }
}

#[cfg(test)]
mod tests {
    use kernel::{Clock, SandboxName};

    use super::*;
    use crate::log::InterleavedLog;

    #[tokio::test]
    async fn the_log_in_memory_keeps_the_contract_plain_and_interleaved() {
        let cx = Ctx::system(SandboxName::default_sandbox(), Clock::real(), "test");
        let memory = MemoryLog::new();
        check(&*memory, &memory, &cx).await.unwrap();
        let mixed = InterleavedLog::over(memory.clone());
        for _ in 0..20 {
            check(&*mixed, &memory, &cx).await.unwrap();
        }
    }
}

//! Websockets: one listener on the log for all sockets of the cell, and a loop for each socket.
//!
//! The listener ([`follow`]) keeps what happened in the last five minutes in a [`ring::Ring`]; each socket stands at a
//! place in it and reads on when its tenant has news. So a slow reader holds nothing up and nothing is kept for it: when
//! the ring has gone past its place, it is dropped.

mod channel;
mod protocol;
mod rights;
mod ring;
pub(crate) mod socket;
mod telling;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use fabric::{
    crypto::SealingKey,
    log::{Contexts, EventLog, Patterns, Read},
    postgres::Database,
};
use kernel::{Caller, Client, Clock, Ctx, Error, Result, SandboxName, Slug, TenantId};
use moka::sync::Cache;
use ports::{BillingLink, DomainsLink, IamLink, ModulesLink};
use tokio::sync::Notify as Wake;

use crate::NAME;
use ring::Ring;

/// Sockets of a cell.
const MOST_SOCKETS: usize = 10_000;
/// Tenants of which is remembered whether they are closed, and for how long.
const REMEMBERED: u64 = 10_000;
const CLOSED_FOR: Duration = Duration::from_secs(5);
/// How long what happened can be caught up with.
const KEPT: Duration = Duration::from_secs(300);
/// Events taken from the log at a time.
const BATCH: usize = 500;
/// The log is looked at this often without news: another process may have written.
const LOOK: Duration = Duration::from_secs(2);
/// The time for what is done on behalf of one message.
const MESSAGE_TIME: Duration = Duration::from_secs(10);

/// What sockets stand on.
pub(crate) struct SocketsDeps {
    pub db: Database,
    pub log: Arc<dyn EventLog>,
    pub iam: IamLink,
    pub modules: ModulesLink,
    pub domains: DomainsLink,
    pub billing: BillingLink,
    pub sandbox: SandboxName,
    pub clock: Clock,
}

/// The sockets of a cell.
pub(crate) struct Sockets {
    db: Database,
    log: Arc<dyn EventLog>,
    iam: IamLink,
    modules: ModulesLink,
    domains: DomainsLink,
    billing: BillingLink,
    /// Whether tenants are closed, as it was a moment ago.
    closed: Cache<TenantId, bool>,
    sandbox: SandboxName,
    clock: Clock,
    ring: Ring,
    open: AtomicUsize,
    /// Told when a socket opens.
    opened: Wake,
    /// Seals the places that clients are told, for they count the events of all tenants.
    places: SealingKey,
}

/// A socket that counts.
pub(crate) struct Counted(Arc<Sockets>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Sockets {
    pub(crate) fn new(deps: SocketsDeps) -> Arc<Self> {
        Arc::new(Self {
            places: deps.db.key().sealing("websocket-place"),
            db: deps.db,
            log: deps.log,
            iam: deps.iam,
            modules: deps.modules,
            domains: deps.domains,
            billing: deps.billing,
            closed: Cache::builder().max_capacity(REMEMBERED).time_to_live(CLOSED_FOR).build(),
            sandbox: deps.sandbox,
            clock: deps.clock,
            ring: Ring::new(KEPT),
            open: AtomicUsize::new(0),
            opened: Wake::new(),
        })
    }

    /// A place for one more socket.
    ///
    /// # Errors
    /// `overloaded` when all are taken.
    pub(crate) fn admit(self: &Arc<Self>) -> Result<Counted> {
        if self.open.fetch_add(1, Ordering::AcqRel) >= MOST_SOCKETS {
            self.open.fetch_sub(1, Ordering::AcqRel);
            let text = format!("{MOST_SOCKETS} websockets are open, and no more are taken for now.");
            return Err(Error::new(Slug::Overloaded, text));
        }
        self.opened.notify_one();
        Ok(Counted(Arc::clone(self)))
    }

    /// A context for one message, with the rights of now.
    fn cx(&self, caller: Caller, client: &Client) -> Ctx {
        Ctx::build(self.sandbox.clone(), self.clock.clone())
            .caller(caller)
            .client(client.clone())
            .deadline(Instant::now() + MESSAGE_TIME)
            .finish()
    }

    /// Follows the log while sockets are open, and for five minutes after the last has gone. Never returns but by an
    /// error.
    ///
    /// # Errors
    /// What the log says; the sockets are told by the ring that they have to begin anew.
    pub(crate) async fn follow(&self) -> Result<()> {
        let patterns = Patterns::new(["*"])?;
        loop {
            while self.open.load(Ordering::Acquire) == 0 {
                self.opened.notified().await;
            }
            let followed = self.follow_once(&patterns).await;
            self.ring.end();
            followed?;
        }
    }

    async fn follow_once(&self, patterns: &Patterns) -> Result<()> {
        let contexts = Contexts::new(self.sandbox.clone(), self.clock.clone(), NAME);
        let ear = self.log.listen(patterns.clone());
        let back = i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
        let since = kernel::Timestamp::from_micros(self.clock.now().micros().saturating_sub(back));
        let since = since.unwrap_or_else(|| self.clock.now());
        let mut from = self.log.at_time(&contexts.own(), patterns, since).await?;
        self.ring.begin(since);
        let mut last_open = Instant::now();
        loop {
            let read = Read { patterns, tenant: None, from: &from, most: BATCH };
            let batch = self.log.read(&contexts.own(), read).await?;
            let more = batch.more || !batch.events.is_empty();
            from = batch.next;
            self.ring.push(batch.events, &self.places);
            if self.open.load(Ordering::Acquire) > 0 {
                last_open = Instant::now();
            } else if last_open.elapsed() > KEPT {
                return Ok(());
            }
            if !more {
                self.ring.is_current();
                tokio::select! {
                    () = ear.heard() => {}
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        }
    }
}

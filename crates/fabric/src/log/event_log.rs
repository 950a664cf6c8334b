use async_trait::async_trait;
use kernel::{Ctx, DomainEvent, Result, TenantId, Timestamp};

use super::{Cursor, Listener, Patterns};

/// What to read.
#[derive(Debug, Clone, Copy)]
pub struct Read<'a> {
    /// Which types.
    pub patterns: &'a Patterns,
    /// Whose events; none: those of all tenants and of nobody.
    pub tenant: Option<TenantId>,
    /// From where on.
    pub from: &'a Cursor,
    /// How many at most.
    pub most: usize,
}

/// Some events, and where to read on.
#[derive(Debug, Clone)]
pub struct Batch {
    /// In order per key; an event comes in one batch only.
    pub events: Vec<DomainEvent>,
    /// Behind these events and everything that was passed over.
    pub next: Cursor,
    /// Whether the log is known to go on. A batch can be smaller than asked for all the same.
    pub more: bool,
}

/// Committed events, kept for some days. The contract that [`super::contract::check`] tests on every implementation.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// The next events behind a place. With none, nothing wanted lies between there and the end, unless `more` says
    /// otherwise (a long stretch of unwanted events is passed over in steps).
    ///
    /// # Errors
    /// What keeps the log says.
    async fn read(&self, cx: &Ctx, read: Read<'_>) -> Result<Batch>;

    /// The place behind everything logged so far in the topics that the patterns reach.
    ///
    /// # Errors
    /// What keeps the log says.
    async fn head(&self, cx: &Ctx, patterns: &Patterns) -> Result<Cursor>;

    /// The place before the first events of `at` or later, on the sandbox's clock. Older ones may lie behind it where
    /// a transaction took long to commit.
    ///
    /// # Errors
    /// What keeps the log says.
    async fn at_time(&self, cx: &Ctx, patterns: &Patterns, at: Timestamp) -> Result<Cursor>;

    /// An ear that is woken when wanted events were logged. It may be woken for nothing.
    fn listen(&self, patterns: Patterns) -> Listener;
}

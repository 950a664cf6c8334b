//! The one writer of the ledger: operations wait in a lane for their tenant, are taken in order, up to [`MOST_ITEMS`] at
//! a time, and done in one transaction, so that a wallet that all want at once is no slower than many that few want.

mod batch;

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use fabric::postgres::Database;
use kernel::{Ctx, Error, Result, Slug, TenantId, TransactionId};
use tokio::sync::{Semaphore, oneshot};

use crate::{
    http::transactions::{TransactionOut, TransfersOut},
    model::{Note, Operation},
};

/// Operations done in one transaction.
const MOST_ITEMS: usize = 200;
/// Transactions of the ledger made in one transaction of the database. A list of transfers counts for its length; one
/// that is longer goes alone.
const MOST_WEIGHT: usize = 500;
/// Operations of one tenant that may wait.
const LANE: usize = 1_024;
/// Tenants whose operations are done at the same time.
const LANES_AT_ONCE: usize = 2;

/// What an operation is answered.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    /// What it made.
    Transaction(Box<TransactionOut>),
    /// What a list of transfers made.
    Transfers(TransfersOut),
    /// The charge, made now or before.
    Charged(TransactionId),
    /// There was nothing to make.
    Nothing,
}

/// An operation that waits, and who hears what came of it.
struct Item {
    cx: Ctx,
    operation: Operation,
    note: Note,
    answer: oneshot::Sender<Result<Answer>>,
}

/// Takes operations in; see the module.
#[derive(Clone)]
pub(crate) struct Writer(Arc<Shared>);

struct Shared {
    db: Database,
    /// The lanes in which something waits or is being done.
    lanes: Mutex<HashMap<TenantId, VecDeque<Item>>>,
    places: Semaphore,
}

impl Writer {
    pub(crate) fn new(db: Database) -> Self {
        Self(Arc::new(Shared { db, lanes: Mutex::default(), places: Semaphore::new(LANES_AT_ONCE) }))
    }

    /// Does an operation; answers when it is committed.
    ///
    /// # Errors
    /// Why it was refused; the stored answer of a repeated request; `overloaded` at once when the lane is full.
    pub(crate) async fn submit(&self, cx: &Ctx, operation: Operation, note: Note) -> Result<Answer> {
        let tenant = cx.tenant()?;
        let (answer, heard) = oneshot::channel();
        if self.0.queue(tenant, Item { cx: cx.clone(), operation, note, answer })? {
            tokio::spawn(Arc::clone(&self.0).work_off(tenant));
        }
        match tokio::time::timeout_at(cx.deadline().into(), heard).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Error::internal("the writer dropped an operation")),
            Err(_) => Err(Error::new(
                Slug::DeadlineExceeded,
                "The ledger did not answer in the time allowed; repeat with the same Idempotency-Key.",
            )),
        }
    }
}

impl Shared {
    fn lanes(&self) -> MutexGuard<'_, HashMap<TenantId, VecDeque<Item>>> {
        // Each holder leaves the map as it found it but for one whole step.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an operation into its lane; says whether nobody works it off yet.
    fn queue(&self, tenant: TenantId, item: Item) -> Result<bool> {
        match self.lanes().entry(tenant) {
            Entry::Vacant(place) => {
                place.insert(VecDeque::from([item]));
                Ok(true)
            }
            Entry::Occupied(mut lane) if lane.get().len() < LANE => {
                lane.get_mut().push_back(item);
                Ok(false)
            }
            Entry::Occupied(_) => {
                Err(Error::new(Slug::Overloaded, "Too many operations wait for the ledger."))
            }
        }
    }

    async fn work_off(self: Arc<Self>, tenant: TenantId) {
        loop {
            // Those who were just answered come first: what they ask next goes into this batch and not the one after.
            tokio::task::yield_now().await;
            let Ok(_place) = self.places.acquire().await else { return };
            let Some(items) = self.take(tenant) else { return };
            let db = self.db.clone();
            // On a task of its own, so that a panic ends one batch and not the lane.
            if let Err(error) = tokio::spawn(async move { batch::write(&db, items).await }).await {
                tracing::error!(%tenant, %error, "a batch of the ledger panicked; nothing of it was written");
            }
        }
    }

    /// The next operations of a lane; none when the lane is empty, which it is gone then.
    fn take(&self, tenant: TenantId) -> Option<Vec<Item>> {
        let mut lanes = self.lanes();
        let lane = lanes.get_mut(&tenant)?;
        let (mut taken, mut weight) = (Vec::new(), 0);
        while let Some(next) = lane.front() {
            let more = next.operation.weight();
            if !taken.is_empty() && (taken.len() == MOST_ITEMS || weight + more > MOST_WEIGHT) {
                break;
            }
            let Some(item) = lane.pop_front() else { break };
            // Who has gone was told so; the same request may be under way again.
            if item.answer.is_closed() || item.cx.deadline() <= Instant::now() {
                continue;
            }
            weight += more;
            taken.push(item);
        }
        if taken.is_empty() {
            lanes.remove(&tenant);
            return None;
        }
        Some(taken)
    }
}

//! Turns: whoever opens, closes or changes a sandbox does so alone.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use kernel::{Result, SandboxName, Slug};
use tokio::sync::OwnedMutexGuard;

use crate::{
    cell::{Cell, draining},
    control::SandboxRow,
    estate::{Estate, Slot},
    fellows::Release,
};

/// How long a new request waits for a sandbox that is being changed.
const WAIT_FOR_CHANGE: Duration = Duration::from_secs(2);

/// The right to open, close or change a sandbox, until it is dropped.
pub(crate) struct Turn {
    pub(crate) slot: Arc<Slot>,
    /// The sandbox as it is in this turn.
    pub(crate) row: SandboxRow,
    /// Among several processes, while no other may use its database; given back before the turn is.
    pub(crate) alone: Option<Release>,
    _held: OwnedMutexGuard<()>,
}

impl Estate {
    /// Waits for the turn. The row is read when it has come: whoever had it before may have changed or removed the
    /// sandbox.
    ///
    /// # Errors
    /// `not-found`.
    pub(crate) async fn turn(&self, name: &SandboxName) -> Result<Turn> {
        // Only names that exist get a slot: a flood of unknown hosts leaves nothing behind.
        self.control().find(name).await?;
        loop {
            let slot = self.slot(name);
            let held = Arc::clone(&slot.change).lock_owned().await;
            // The slot may have been forgotten while we waited; what opened in it would be known to nobody.
            if !self.open_slot(name).is_some_and(|now| Arc::ptr_eq(&now, &slot)) {
                continue;
            }
            return match self.control().find(name).await {
                Ok(row) => Ok(Turn { slot, row, alone: None, _held: held }),
                Err(error) => {
                    if error.slug() == Slug::NotFound {
                        self.forget_slot(name);
                    }
                    Err(error)
                }
            };
        }
    }

    /// The cell of a sandbox, opened if it sleeps.
    ///
    /// # Errors
    /// `not-found`; `draining` while it is being changed; `dependency-unavailable` when it can't be opened.
    pub async fn cell(self: &Arc<Self>, name: &SandboxName) -> Result<Arc<Cell>> {
        if let Some(cell) = self.open_slot(name).and_then(|slot| slot.cell()) {
            return Ok(cell);
        }
        if self.closing.load(Ordering::Relaxed) {
            return Err(draining());
        }
        let Ok(turn) = tokio::time::timeout(WAIT_FOR_CHANGE, self.turn(name)).await else {
            return Err(draining());
        };
        let turn = turn?;
        match turn.slot.cell() {
            Some(cell) => Ok(cell),
            None => self.open_cell(&turn.slot, name, &turn.row).await,
        }
    }

    /// Closes a cell until the next request or the next due job.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_to_sleep(&self, name: &SandboxName) -> Result<()> {
        let turn = self.turn(name).await?;
        let Some(cell) = turn.slot.cell() else { return Ok(()) };
        let due = cell.next_due().await?;
        self.control().put_to_sleep(name.as_str(), due).await?;
        // New requests wake another cell; what the operator asks through this one is answered first.
        turn.slot.set(None);
        cell.gateway().passed().await;
        cell.close().await;
        self.forget_slot(name);
        tracing::debug!(sandbox = %name, ?due, "sleeps");
        Ok(())
    }

    /// Closes the cell of a sandbox that is about to change.
    pub(crate) async fn close_cell(&self, slot: &Slot) {
        if let Some(cell) = slot.set(None) {
            cell.close().await;
        }
    }

    /// Nothing is told of a sandbox that is no more.
    pub(crate) fn forget(&self, name: &SandboxName) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(name.as_str());
        self.forget_slot(name);
    }
}

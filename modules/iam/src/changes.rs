//! What other replicas are told: which remembered things are stale.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::generations::Subject;

/// Changes that wait at most; more of them are told as one of everything.
const MOST_WAITING: usize = 40;

/// A committed change that makes something remembered stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Of one of those on which credentials depend.
    Subject(Subject),
    /// A tenant was blocked, freed or deleted, and with it all below it.
    Tree,
    /// A tenant was made or changed.
    Tenants,
    /// Too many to name.
    Everything,
}

/// Changes made here that other replicas have not been told of.
#[derive(Default)]
pub struct Changes {
    waiting: Mutex<Vec<Change>>,
    woken: Notify,
}

impl Changes {
    /// One more.
    pub fn note(&self, change: Change) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.contains(&Change::Everything) || waiting.contains(&change) {
            return;
        }
        if waiting.len() >= MOST_WAITING {
            *waiting = vec![Change::Everything];
        } else {
            waiting.push(change);
        }
        drop(waiting);
        self.woken.notify_one();
    }

    /// Takes those that wait, at least one. Safe to drop while it waits.
    pub async fn take(&self) -> Vec<Change> {
        loop {
            let taken = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            if !taken.is_empty() {
                return taken;
            }
            self.woken.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use kernel::SessionId;

    #[tokio::test]
    async fn changes_wait_once_each_and_too_many_become_one() {
        let changes = Changes::default();
        assert!(changes.take().now_or_never().is_none());
        let session = Change::Subject(Subject::Session(SessionId::new()));
        for change in [session, Change::Tree, session] {
            changes.note(change);
        }
        assert_eq!(changes.take().await, [session, Change::Tree]);
        for _ in 0..100 {
            changes.note(Change::Subject(Subject::Session(SessionId::new())));
        }
        assert_eq!(changes.take().await, [Change::Everything]);
    }

    #[test]
    fn a_change_goes_over_the_wire_and_back() {
        let change = Change::Subject(Subject::Member(kernel::TenantId::new(), kernel::UserId::new()));
        for change in [change, Change::Tree, Change::Tenants, Change::Everything] {
            let text = serde_json::to_string(&change).unwrap();
            assert_eq!(serde_json::from_str::<Change>(&text).unwrap(), change, "{text}");
        }
    }
}

//! What makes a remembered credential stale: counters that a change moves after it was committed.
//!
//! Whoever remembers something read from the database notes the counters **before** the reading; a change that commits
//! after the reading moves them afterwards, so the memory is noticed to be stale however the two overlap. Subjects share
//! counters by hash: a collision costs one more look at the database, never a wrong answer. No lock, no I/O.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hash},
    sync::atomic::{AtomicU64, Ordering},
};

use kernel::{ApiKeyId, SessionId, TenantId, UserId};
use serde::{Deserialize, Serialize};

const SLOTS: usize = 4096;

/// Counters of changes.
pub struct Generations {
    tree: AtomicU64,
    slots: Box<[AtomicU64]>,
    hasher: RandomState,
}

/// What a credential depends on beside the tree of tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A tenant's roles.
    Tenant(TenantId),
    /// A member's state and roles.
    Member(TenantId, UserId),
    /// A session.
    Session(SessionId),
    /// An API key.
    Key(ApiKeyId),
}

/// The counters as they were when something was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    tree: u64,
    modules: i64,
    slots: [(usize, u64); 3],
}

impl Generations {
    /// All at zero.
    pub fn new() -> Self {
        let slots = (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Self { tree: AtomicU64::new(0), slots, hasher: RandomState::new() }
    }

    /// The counters of up to three subjects, of the tree, and the version of the active modules.
    pub fn look<const N: usize>(&self, subjects: [Subject; N], modules: i64) -> Seen {
        const { assert!(N >= 1 && N <= 3, "a credential depends on one to three subjects") };
        let slot = |at: usize| {
            let slot = self.slot(subjects[at.min(N - 1)]);
            (slot, self.slots[slot].load(Ordering::Acquire))
        };
        Seen { tree: self.tree.load(Ordering::Acquire), modules, slots: [slot(0), slot(1), slot(2)] }
    }

    /// Whether nothing has moved since.
    pub fn is_current(&self, seen: &Seen, modules: i64) -> bool {
        seen.modules == modules
            && self.tree.load(Ordering::Acquire) == seen.tree
            && seen.slots.iter().all(|(slot, count)| self.slots[*slot].load(Ordering::Acquire) == *count)
    }

    /// To be called after the commit of a change.
    pub fn changed(&self, subject: Subject) {
        self.slots[self.slot(subject)].fetch_add(1, Ordering::AcqRel);
    }

    /// A tenant was blocked, freed or deleted, and with it all below it.
    pub fn tree_changed(&self) {
        self.tree.fetch_add(1, Ordering::AcqRel);
    }

    /// How often the tree was changed.
    pub fn tree(&self) -> u64 {
        self.tree.load(Ordering::Acquire)
    }

    fn slot(&self, subject: Subject) -> usize {
        usize::try_from(self.hasher.hash_one(subject) % SLOTS as u64).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_makes_stale_what_depends_on_it() {
        let generations = Generations::new();
        let (tenant, user, session) = (TenantId::new(), UserId::new(), SessionId::new());
        let subjects = [Subject::Tenant(tenant), Subject::Member(tenant, user), Subject::Session(session)];
        for subject in subjects {
            let seen = generations.look(subjects, 4);
            assert!(generations.is_current(&seen, 4));
            assert!(!generations.is_current(&seen, 5), "a module was installed");
            generations.changed(subject);
            assert!(!generations.is_current(&seen, 4), "{subject:?}");
        }
        let seen = generations.look([Subject::Key(ApiKeyId::new())], 0);
        generations.tree_changed();
        assert!(!generations.is_current(&seen, 0));
    }
}

//! What is remembered of credentials, members and tenants, so that a request costs no I/O to authenticate.
//!
//! Nothing here is the record: losing it loses no session. Everything is bounded, and stale entries are noticed by
//! [`Generations`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use kernel::{ApiKeyId, Ctx, Permissions, TenantId, Timestamp, UserId};
use moka::{policy::EvictionPolicy, sync::Cache};
use ports::{Principal, TenantInfo};

use crate::{
    changes::{Change, Changes},
    generations::{Generations, Seen, Subject},
};

/// Credentials remembered; each takes about half a kilobyte.
const MOST_CREDENTIALS: u64 = 50_000;
const MOST_MEMBERS: u64 = 50_000;
const MOST_TENANTS: u64 = 20_000;
/// A credential that is not used is forgotten after this.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// What is remembered is looked up again after this: a replica may have died after it committed a change and before it
/// told of it.
const AGE: Duration = Duration::from_secs(60);
/// The use of a key is written down no more often than this, in real time.
const KEY_USE_EVERY: u64 = 60;

/// When a credential ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// Not by itself.
    Never,
    /// On the sandbox's clock.
    At(Timestamp),
    /// In real time.
    AtReal(Timestamp),
}

/// A credential that was found good.
pub struct Verified {
    /// Who it is.
    pub principal: Principal,
    /// Until when.
    pub ends: Ends,
    /// What was current when it was found good.
    pub seen: Seen,
    /// The key behind it, and when its use was last written down.
    pub key_use: Option<KeyUse>,
}

/// When the use of a key was last written down.
pub struct KeyUse {
    key: ApiKeyId,
    started: Instant,
    /// Seconds after `started` plus one; 0: never.
    written: AtomicU64,
}

impl KeyUse {
    /// Never so far.
    pub fn new(key: ApiKeyId) -> Self {
        Self { key, started: Instant::now(), written: AtomicU64::new(0) }
    }

    /// The key, if its use is to be written down now; of several callers one gets it.
    pub fn due(&self) -> Option<ApiKeyId> {
        let now = self.started.elapsed().as_secs() + 1;
        let written = self.written.load(Ordering::Relaxed);
        if written != 0 && now < written + KEY_USE_EVERY {
            return None;
        }
        let first = self.written.compare_exchange(written, now, Ordering::Relaxed, Ordering::Relaxed);
        first.is_ok().then_some(self.key)
    }
}

/// How a tenant is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TenantName {
    /// By id.
    Id(TenantId),
    /// By its name in hosts.
    Slug(String),
}

/// All that is remembered.
pub struct Memory {
    /// What makes it stale.
    pub generations: Generations,
    /// What other replicas have to be told.
    pub changes: Changes,
    credentials: Cache<[u8; 32], Arc<Verified>>,
    members: Cache<(TenantId, UserId), (Seen, Arc<Permissions>)>,
    tenants: Cache<TenantName, ((u64, u64), Option<TenantInfo>)>,
    /// Grows when any tenant is made or changed.
    tenant_changes: AtomicU64,
}

impl Memory {
    /// Nothing yet.
    pub fn new() -> Self {
        let lru = EvictionPolicy::lru;
        Self {
            generations: Generations::new(),
            changes: Changes::default(),
            credentials: Cache::builder()
                .max_capacity(MOST_CREDENTIALS)
                .time_to_idle(IDLE)
                .time_to_live(AGE)
                .eviction_policy(lru())
                .build(),
            members: Cache::builder()
                .max_capacity(MOST_MEMBERS)
                .time_to_idle(IDLE)
                .time_to_live(AGE)
                .eviction_policy(lru())
                .build(),
            tenants: Cache::builder()
                .max_capacity(MOST_TENANTS)
                .time_to_idle(IDLE)
                .time_to_live(AGE)
                .eviction_policy(lru())
                .build(),
            tenant_changes: AtomicU64::new(0),
        }
    }

    /// A credential, if it is remembered, has not ended, and nothing that it depends on has changed.
    pub fn credential(&self, cx: &Ctx, digest: &[u8; 32], modules: i64) -> Option<Arc<Verified>> {
        let known = self.credentials.get(digest)?;
        let alive = match known.ends {
            Ends::Never => true,
            Ends::At(end) => cx.now() < end,
            Ends::AtReal(end) => Timestamp::real() < end,
        };
        (alive && self.generations.is_current(&known.seen, modules)).then_some(known)
    }

    /// Remembers a credential by the digest of its text.
    pub fn keep_credential(&self, digest: [u8; 32], verified: Arc<Verified>) {
        self.credentials.insert(digest, verified);
    }

    /// What a member may do, if that is remembered and current.
    pub fn permissions(&self, tenant: TenantId, user: UserId, modules: i64) -> Option<Arc<Permissions>> {
        let (seen, permissions) = self.members.get(&(tenant, user))?;
        self.generations.is_current(&seen, modules).then_some(permissions)
    }

    /// Remembers what a member may do.
    pub fn keep_permissions(
        &self,
        tenant: TenantId,
        user: UserId,
        seen: Seen,
        permissions: Arc<Permissions>,
    ) {
        self.members.insert((tenant, user), (seen, permissions));
    }

    /// To be noted before a tenant is read.
    pub fn tenant_generation(&self) -> (u64, u64) {
        (self.tenant_changes.load(Ordering::Acquire), self.generations.tree())
    }

    /// A tenant, if it is remembered (also: that there is none) and nothing has changed.
    pub fn tenant(&self, name: &TenantName) -> Option<Option<TenantInfo>> {
        let (generation, info) = self.tenants.get(name)?;
        (generation == self.tenant_generation()).then_some(info)
    }

    /// Remembers a tenant, or that there is none.
    pub fn keep_tenant(&self, name: TenantName, generation: (u64, u64), info: Option<TenantInfo>) {
        self.tenants.insert(name, (generation, info));
    }

    /// To be called after the commit of a tenant's making or renaming.
    pub fn tenant_changed(&self) {
        self.made(Change::Tenants);
    }

    /// To be called after the commit of a change of the subject.
    pub fn changed(&self, subject: Subject) {
        self.made(Change::Subject(subject));
    }

    /// To be called after the commit of a tenant's blocking, freeing or deletion.
    pub fn tree_changed(&self) {
        self.made(Change::Tree);
    }

    fn made(&self, change: Change) {
        self.heard(change);
        self.changes.note(change);
    }

    /// A change made elsewhere, which others hear of without us.
    pub fn heard(&self, change: Change) {
        match change {
            Change::Subject(subject) => self.generations.changed(subject),
            Change::Tree => self.generations.tree_changed(),
            Change::Tenants => {
                self.tenant_changes.fetch_add(1, Ordering::AcqRel);
            }
            // The tree is part of all that is remembered.
            Change::Everything => self.generations.tree_changed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{Caller, Clock, ClockSetting, SandboxName, SessionId};

    fn verified(ends: Ends, seen: Seen) -> Arc<Verified> {
        let principal = Principal { caller: Caller::stranger(), expires_at: None, of_platform: false };
        Arc::new(Verified { principal, ends, seen, key_use: None })
    }

    #[test]
    fn a_credential_is_remembered_until_it_ends_or_something_changes() {
        let clock = Clock::real();
        let cx = Ctx::build(SandboxName::default_sandbox(), clock.clone()).finish();
        let memory = Memory::new();
        let session = SessionId::new();
        let seen = memory.generations.look([Subject::Session(session)], 1);
        let soon = Timestamp::real().plus(Duration::from_secs(60));
        for (digest, ends) in
            [([1; 32], Ends::Never), ([2; 32], Ends::At(soon)), ([3; 32], Ends::AtReal(soon))]
        {
            memory.keep_credential(digest, verified(ends, seen));
            assert!(memory.credential(&cx, &digest, 1).is_some());
            assert!(memory.credential(&cx, &digest, 2).is_none(), "a module was installed");
        }
        clock.adjust(ClockSetting { offset_micros: 3_600_000_000, frozen_at: None });
        assert!(memory.credential(&cx, &[2; 32], 1).is_none(), "its time on the sandbox's clock is over");
        assert!(memory.credential(&cx, &[3; 32], 1).is_some(), "its real time is not");
        memory.changed(Subject::Session(session));
        assert!(memory.credential(&cx, &[1; 32], 1).is_none());
    }

    #[test]
    fn a_tenant_is_remembered_until_any_tenant_changes() {
        let memory = Memory::new();
        let name = TenantName::Slug("acme".into());
        memory.keep_tenant(name.clone(), memory.tenant_generation(), None);
        assert_eq!(memory.tenant(&name), Some(None));
        memory.tenant_changed();
        assert_eq!(memory.tenant(&name), None);
        memory.keep_tenant(name.clone(), memory.tenant_generation(), None);
        memory.tree_changed();
        assert_eq!(memory.tenant(&name), None);
    }

    #[test]
    fn the_use_of_a_key_is_written_once_a_minute() {
        let key_use = KeyUse::new(ApiKeyId::new());
        assert!(key_use.due().is_some());
        assert!(key_use.due().is_none());
    }
}

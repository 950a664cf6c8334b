//! iam: who somebody is, to which tenants they belong, and what they may do. The only issuer of tokens, the only writer
//! of users, roles and tenants. See README.md for its words and invariants.

#![forbid(unsafe_code)]

mod api_key_text;
mod authentication;
mod changes;
mod claims;
mod contract;
mod events;
mod generations;
mod grpc;
mod hash_pool;
mod http;
mod jws;
mod key_ring;
mod lockout;
mod memory;
mod model;
mod passwords;
mod service;
mod store;
mod tasks;
mod words;

use std::sync::{Arc, PoisonError, RwLock, Weak};

use fabric::{cache::Cache, postgres::Database};
use kernel::{Clock, Ctx, SandboxName, Secret};
use ports::{
    KernelService, ModuleSnapshot, ModulesLink, Task,
    http::{CursorKey, ServiceRoutes},
};

pub use changes::Change;
pub use generations::Subject;
pub use hash_pool::{HashPool, HashPoolOptions, Lane};
pub use model::TenantKind;
pub use passwords::HashCost;
pub use service::{
    founding::check_owner,
    seed::{SeedTenant, SeedUser},
};

/// The service's name.
const NAME: &str = "iam";

/// What the service stands on.
pub struct IamDeps {
    /// The sandbox's data.
    pub db: Database,
    /// Feature flags, of which the caller is told in `GET /auth/me`.
    pub flags: flags::Flags,
    /// module-registry: which modules a tenant has decides what can be granted.
    pub modules: ModulesLink,
    /// The sandbox's address, as tokens name it: `http://localhost:8080`, without a slash at the end.
    pub issuer: String,
    /// What a new password hash costs.
    pub hash: HashCost,
    /// The process's pool for hashing, shared by its sandboxes.
    pub hash_pool: HashPool,
    /// What the one who sets up a new platform has to show; None where nobody may.
    pub set_up_token: Option<Secret>,
    /// The sandbox.
    pub sandbox: SandboxName,
    /// The sandbox's clock.
    pub clock: Clock,
    /// The service's part of the cache, which all replicas share.
    pub cache: Cache,
}

/// The service.
pub struct Iam {
    this: Weak<Self>,
    db: Database,
    flags: flags::Flags,
    modules: ModulesLink,
    /// The modules as they were last seen: authentication goes on while module-registry is away.
    last_modules: RwLock<Arc<ModuleSnapshot>>,
    issuer: Arc<str>,
    set_up_token: Option<Secret>,
    sandbox: SandboxName,
    clock: Clock,
    passwords: passwords::Passwords,
    lockout: lockout::Lockout,
    keys: key_ring::KeyRing,
    memory: memory::Memory,
    cursors: CursorKey,
}

impl Iam {
    /// Puts the service together; nothing is opened, read or started.
    pub fn create(deps: IamDeps) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            flags: deps.flags,
            modules: deps.modules,
            last_modules: RwLock::default(),
            issuer: deps.issuer.into(),
            set_up_token: deps.set_up_token,
            sandbox: deps.sandbox,
            clock: deps.clock,
            passwords: passwords::Passwords::new(deps.hash_pool, deps.hash),
            lockout: lockout::Lockout::new(deps.cache),
            keys: key_ring::KeyRing::new(deps.db.clone()),
            memory: memory::Memory::new(),
            cursors: CursorKey::new(&deps.db.key().derive(&["cursor", NAME])),
            db: deps.db,
        })
    }

    /// Changes made here that other replicas are to be told of, as they come. Safe to drop while it waits.
    pub async fn changes(&self) -> Vec<Change> {
        self.memory.changes.take().await
    }

    /// A change made on another replica: what is remembered of it is looked up again. After word of changes may have been
    /// missed, [`Change::Everything`]: each credential is checked against Postgres at its next use.
    pub fn heard(&self, change: Change) {
        self.memory.heard(change);
    }

    async fn active_modules(&self, cx: &Ctx) -> Arc<ModuleSnapshot> {
        match self.modules.snapshot(cx).await {
            Ok(snapshot) => {
                let stale = self.last_modules().version != snapshot.version;
                if stale {
                    *self.last_modules.write().unwrap_or_else(PoisonError::into_inner) =
                        Arc::clone(&snapshot);
                }
                snapshot
            }
            Err(error) => {
                tracing::debug!(?error, "module-registry does not answer: going by the modules last seen");
                self.last_modules()
            }
        }
    }

    fn last_modules(&self) -> Arc<ModuleSnapshot> {
        Arc::clone(&self.last_modules.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn shared(&self) -> Arc<Self> {
        self.this.upgrade().expect("because whoever borrows the service holds the Arc it was created in")
    }
}

impl KernelService for Iam {
    fn name(&self) -> &'static str {
        NAME
    }

    fn routes(&self) -> ServiceRoutes {
        http::routes(self.shared()).merge(grpc::routes(self.shared()))
    }

    fn tasks(&self) -> Vec<Task> {
        tasks::all(&self.this)
    }
}

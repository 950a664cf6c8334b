use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kernel::{Ctx, Result, TenantId};
use sqlx::{SqlSafeStr, postgres::PgConnectOptions};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::{
    pool::{Budget, Checked, Pool},
    query::{Query, Target, composed},
    tx::Tx,
};
use crate::crypto::RootKey;

/// One sandbox's data: a database, reached as several roles.
///
/// Cheap to clone.
#[derive(Clone)]
pub struct Database(Arc<Shared>);

struct Shared {
    app: Arc<Pool>,
    system: Arc<Pool>,
    data: Arc<Pool>,
    key: RootKey,
    outbox: Arc<Notify>,
    written: watch::Sender<u64>,
}

/// How to reach a sandbox's database.
pub struct DatabaseOptions {
    /// As the application's login, which row-level security binds.
    pub app: PgConnectOptions,
    /// As the system's login.
    pub system: PgConnectOptions,
    /// As the login of data-layer, which has no rights on any service's schema.
    pub data: PgConnectOptions,
    /// What all pools may hold together.
    pub budget: Arc<Budget>,
    /// Most connections of each role.
    pub pool_size: usize,
    /// The sandbox's root key.
    pub key: RootKey,
}

/// Which of the sandbox's logins does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A service, for a tenant.
    App,
    /// A service, across tenants.
    System,
    /// data-layer, for a tenant, on tables of modules.
    Data,
}

/// Why work is done across tenants. The list is short on purpose: each entry is a look-up before the tenant is known, or
/// work that no tenant asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Sign-in, refresh, registration: the tenant is what is being found out.
    SignIn,
    /// An API key or module key names its tenant.
    Key,
    /// A host names its tenant.
    Host,
    /// The platform's tree of tenants.
    TenantTree,
    /// Modules belong to the sandbox.
    Modules,
    /// The relay and consumers of services hear all tenants.
    Events,
    /// Chaining and checking the audit trail.
    AuditChain,
    /// Durable jobs.
    Jobs,
    /// Plans belong to the platform, and what tenants use is counted for all of them.
    Billing,
    /// Checking the ledger of money.
    Ledger,
    /// Opening, copying, seeding and clearing a sandbox.
    Sandbox,
}

/// The right to run statements as one role, bound to a tenant where the role serves one.
#[derive(Clone)]
pub struct Handle {
    db: Database,
    role: Role,
    tenant: Option<TenantId>,
    cx: Ctx,
}

/// Statements end on the server, too, when a request's time is over.
const STATEMENT_TIMEOUT: &str = "30s";

impl Database {
    /// A database that is reached on demand; nothing is opened yet.
    pub fn new(options: DatabaseOptions) -> Self {
        let pool = |login: PgConnectOptions| {
            let login =
                login.options([("statement_timeout", STATEMENT_TIMEOUT), ("search_path", "pg_catalog")]);
            Pool::new(login, &options.budget, options.pool_size)
        };
        Self(Arc::new(Shared {
            app: pool(options.app),
            system: pool(options.system),
            data: pool(options.data),
            key: options.key,
            outbox: Arc::new(Notify::new()),
            written: watch::Sender::new(0),
        }))
    }

    /// Work for the caller's tenant.
    ///
    /// # Errors
    /// `unauthorized` when the caller belongs to no tenant.
    pub fn tenant(&self, cx: &Ctx) -> Result<Handle> {
        let tenant = cx.tenant()?;
        Ok(Handle { db: self.clone(), role: Role::App, tenant: Some(tenant), cx: cx.clone() })
    }

    /// Work for the caller's tenant on tables of modules.
    ///
    /// # Errors
    /// `unauthorized` when the caller belongs to no tenant.
    pub fn records(&self, cx: &Ctx) -> Result<Handle> {
        let tenant = cx.tenant()?;
        Ok(Handle { db: self.clone(), role: Role::Data, tenant: Some(tenant), cx: cx.clone() })
    }

    /// Work across tenants.
    pub fn system(&self, cx: &Ctx, reason: Reason) -> Handle {
        tracing::trace!(?reason, "system access");
        Handle { db: self.clone(), role: Role::System, tenant: None, cx: cx.clone() }
    }

    /// Work of the system for one tenant, with what the application's role may not do: the connection is bound to the
    /// tenant, so row-level security guards it, and `$1` is bound to the tenant as for [`Database::tenant`].
    ///
    /// # Errors
    /// `unauthorized` when the context names no tenant.
    pub fn system_of_tenant(&self, cx: &Ctx, reason: Reason) -> Result<Handle> {
        let tenant = cx.tenant()?;
        tracing::trace!(?reason, "system access");
        Ok(Handle { db: self.clone(), role: Role::System, tenant: Some(tenant), cx: cx.clone() })
    }

    /// The sandbox's root key.
    pub fn key(&self) -> &RootKey {
        &self.0.key
    }

    /// Wakes the relay: called after each commit that left something in the outbox.
    pub fn outbox(&self) -> &Arc<Notify> {
        &self.0.outbox
    }

    /// Counts commits that left an event or an audit record.
    pub fn written(&self) -> watch::Receiver<u64> {
        self.0.written.subscribe()
    }

    /// Says that a commit left an event or an audit record: wakes the relay and whoever follows writes.
    pub fn note_written(&self) {
        self.0.outbox.notify_one();
        self.0.written.send_modify(|count| *count += 1);
    }

    /// Closes connections that lay idle for longer than `age`.
    pub fn shrink(&self, age: Duration) {
        self.pools().for_each(|pool| pool.drop_older_than(age));
    }

    /// Gives out no more connections and closes idle ones.
    pub fn close(&self) {
        self.pools().for_each(|pool| pool.close());
    }

    /// How the system's login gets in.
    pub(super) fn system_options(&self) -> &PgConnectOptions {
        self.0.system.options()
    }

    fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        [&self.0.app, &self.0.system, &self.0.data].into_iter()
    }

    fn pool(&self, role: Role) -> &Arc<Pool> {
        match role {
            Role::App => &self.0.app,
            Role::System => &self.0.system,
            Role::Data => &self.0.data,
        }
    }
}

impl Handle {
    /// A statement in the source; see [`crate::sql!`] for what its first parameter is.
    pub fn query(&self, text: &'static str) -> Query<'static> {
        self.prepared(text.into_sql_str())
    }

    /// A statement put together from identifiers of a catalogue. Values are bound, never written into it.
    pub fn composed(&self, text: impl Into<Arc<str>>) -> Query<'static> {
        self.prepared(composed(text.into()))
    }

    fn prepared(&self, text: sqlx::SqlStr) -> Query<'static> {
        let query = Query::new(Target::Handle(self.clone()), text);
        match self.tenant {
            Some(tenant) => query.bind(tenant),
            None => query,
        }
    }

    /// Begins a transaction. If the request carries an Idempotency-Key and was answered before, the answer comes back as
    /// [`kernel::Error::replay`], which `?` hands on to the edge.
    ///
    /// # Errors
    /// `idempotency-in-progress`, `idempotency-key-reused`, or what the database says.
    pub async fn begin(&self) -> Result<Tx> {
        Tx::begin(self.clone()).await
    }

    pub(super) async fn checkout(&self) -> Result<Checked> {
        let bound: Option<Uuid> = self.tenant.map(TenantId::uuid);
        self.db.pool(self.role).checkout(bound, self.cx.deadline()).await
    }

    pub(super) fn deadline(&self) -> Instant {
        self.cx.deadline()
    }

    /// The tenant it is bound to.
    pub fn bound_to(&self) -> Option<TenantId> {
        self.tenant
    }

    pub(super) fn cx(&self) -> &Ctx {
        &self.cx
    }

    pub(super) fn database(&self) -> &Database {
        &self.db
    }
}

//! module-registry: which modules the sandbox knows, what each tenant has installed, and the way a module's SQL takes
//! into the database.

#![forbid(unsafe_code)]

mod events;
mod http;
pub mod manifest;
mod migration_run;
mod model;
mod service;
mod snapshot;
pub mod sql;
mod store;
mod tasks;

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use fabric::postgres::{Database, Schemas};
use kernel::{Ctx, Result, Secret};
use ports::{
    KernelService, ModuleSnapshot, Modules, Principal, Task,
    http::{CursorKey, ServiceRoutes},
};
use tokio::sync::Semaphore;

pub use http::{plan, wire};
pub use service::Bundle;

use snapshot::Snapshots;

/// The service.
pub struct ModuleRegistry {
    db: Database,
    schemas: Schemas,
    cursor: CursorKey,
    install_timeout: Duration,
    snapshots: Snapshots,
    /// Checking a module's SQL takes a processor for a while.
    checkers: Semaphore,
    this: Weak<Self>,
}

/// What it stands on.
pub struct ModuleRegistryDeps {
    /// The sandbox's data.
    pub db: Database,
    /// The way to change the sandbox's schema as a module.
    pub schemas: Schemas,
    /// Signs places in lists.
    pub cursor: CursorKey,
    /// How long registering a module may take (`MODULE_INSTALL_TIMEOUT_SEC`).
    pub install_timeout: Duration,
    /// Where back-ends that the process runs itself really are, by module name.
    pub backends: BTreeMap<String, String>,
}

/// Modules whose SQL is looked at at the same time; others wait.
const CHECKERS: usize = 2;

impl ModuleRegistry {
    /// The service; nothing is opened or started.
    pub fn create(deps: ModuleRegistryDeps) -> Arc<Self> {
        let ModuleRegistryDeps { db, schemas, cursor, install_timeout, backends } = deps;
        Arc::new_cyclic(|this| Self {
            db,
            schemas,
            cursor,
            install_timeout,
            snapshots: Snapshots::new(backends),
            checkers: Semaphore::new(CHECKERS),
            this: this.clone(),
        })
    }
}

impl KernelService for ModuleRegistry {
    fn name(&self) -> &'static str {
        "module-registry"
    }

    fn routes(&self) -> ServiceRoutes {
        let this = self.this.upgrade().expect("because a service is only ever made within an Arc");
        http::routes(this)
    }

    fn tasks(&self) -> Vec<Task> {
        let this = self.this.upgrade().expect("because a service is only ever made within an Arc");
        this.own_tasks()
    }
}

#[async_trait]
impl Modules for ModuleRegistry {
    async fn snapshot(&self, cx: &Ctx) -> Result<Arc<ModuleSnapshot>> {
        Ok(Arc::clone(&self.snapshots.current(cx, &self.db).await?.public))
    }

    async fn authenticate_key(&self, cx: &Ctx, key: Secret) -> Result<Principal> {
        self.whose_key(cx, &key).await
    }
}

//! data-layer: the tables of installed modules as safe REST.
//!
//! What a request says becomes one checked statement ([`query`]) over what Postgres itself says of the tables
//! ([`catalogue`]); it runs as a role that has no rights on any service's schema, bound to the caller's tenant. Records
//! go from Postgres to the socket as the JSON text that Postgres wrote.

#![forbid(unsafe_code)]

pub mod catalogue;
mod csv;
mod export;
mod http;
mod import;
pub mod query;
mod refusal;
mod request;
pub mod schema;
mod service;
mod store;

use std::sync::{Arc, Weak};

use fabric::postgres::Database;
use ports::{KernelService, ModulesLink, http::CursorKey, http::ServiceRoutes};
use tokio::sync::Semaphore;

use store::Catalogues;

/// Imports that run at the same time; each holds one page of lines and at most one connection.
const IMPORTS: usize = 4;

/// What data-layer stands on.
pub struct DataLayerDeps {
    /// The sandbox's data.
    pub db: Database,
    /// Which modules are installed where, and what they hide.
    pub modules: ModulesLink,
    /// Signs the places in lists.
    pub cursor: CursorKey,
}

/// The service.
pub struct DataLayer {
    db: Database,
    modules: ModulesLink,
    cursor: CursorKey,
    catalogues: Catalogues,
    imports: Arc<Semaphore>,
    me: Weak<Self>,
}

impl DataLayer {
    /// The service on these parts. Nothing is opened or started.
    pub fn create(deps: DataLayerDeps) -> Arc<Self> {
        let DataLayerDeps { db, modules, cursor } = deps;
        Arc::new_cyclic(|me| Self {
            catalogues: Catalogues::new(db.clone()),
            imports: Arc::new(Semaphore::new(IMPORTS)),
            me: me.clone(),
            db,
            modules,
            cursor,
        })
    }
}

impl KernelService for DataLayer {
    fn name(&self) -> &'static str {
        "data-layer"
    }

    fn routes(&self) -> ServiceRoutes {
        let me = self.me.upgrade().expect("because `self` is borrowed from the Arc that `create` made");
        http::routes(me)
    }
}

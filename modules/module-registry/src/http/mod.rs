//! The operations on the wire.

mod installations;
mod keys;
mod modules;
pub mod plan;
mod schema;
pub mod wire;

use std::sync::Arc;

use ports::http::{Routes, ServiceRoutes};

use crate::ModuleRegistry;

type Registry = Arc<ModuleRegistry>;

/// All of them.
pub(crate) fn routes(registry: Registry) -> ServiceRoutes {
    let table = Routes::new("module-registry", registry);
    let table = modules::add(table);
    let table = installations::add(table);
    let table = keys::add(table);
    schema::add(table).finish()
}

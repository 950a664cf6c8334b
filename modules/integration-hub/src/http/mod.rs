//! The wire: one file per resource.

pub(crate) mod calls;
pub(crate) mod dead_letters;
pub(crate) mod providers;

use std::sync::Arc;

use ports::http::{Routes, ServiceRoutes};

use crate::{IntegrationHub, NAME};

type Hub = Arc<IntegrationHub>;

/// Every operation of the service.
pub(crate) fn routes(hub: Hub) -> ServiceRoutes {
    let routes = Routes::new(NAME, hub);
    let routes = providers::add(routes);
    let routes = calls::add(routes);
    dead_letters::add(routes).finish()
}

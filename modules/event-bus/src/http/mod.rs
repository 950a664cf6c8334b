//! The wire: one file per resource.

pub(crate) mod cloud_events;
pub(crate) mod dead_letters;
pub(crate) mod events;
pub(crate) mod schemas;
pub(crate) mod subscriptions;
pub(crate) mod topics;

use std::sync::Arc;

use ports::http::{Routes, ServiceRoutes};

use crate::{EventBus, NAME};

pub(crate) type Bus = Arc<EventBus>;

/// Every operation of the service.
pub(crate) fn routes(bus: Bus) -> ServiceRoutes {
    let routes = Routes::new(NAME, bus);
    let routes = events::add(routes);
    let routes = topics::add(routes);
    let routes = subscriptions::add(routes);
    let routes = dead_letters::add(routes);
    schemas::add(routes).finish()
}

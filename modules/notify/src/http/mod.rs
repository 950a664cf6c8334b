//! The wire: one file per resource.

pub(crate) mod inbox;
pub(crate) mod notifications;
pub(crate) mod outbox;
pub(crate) mod preferences;
pub(crate) mod templates;
pub(crate) mod ws;

use std::sync::Arc;

use ports::http::{Routes, ServiceRoutes};

use crate::{NAME, Notify};

type Notifier = Arc<Notify>;

/// Every operation of the service.
pub(crate) fn routes(notify: Notifier) -> ServiceRoutes {
    let routes = Routes::new(NAME, notify);
    let routes = notifications::add(routes);
    let routes = templates::add(routes);
    let routes = preferences::add(routes);
    let routes = inbox::add(routes);
    let routes = outbox::add(routes);
    ws::add(routes).finish()
}

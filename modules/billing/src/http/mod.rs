//! The wire: one file per resource.

pub(crate) mod invoices;
pub(crate) mod plans;
pub(crate) mod simulate;
pub(crate) mod subscriptions;
pub(crate) mod terms;
pub(crate) mod usage;

use std::sync::Arc;

use ports::http::{Access, Routes, ServiceRoutes};

use crate::NAME;

type Billing = Arc<crate::Billing>;

/// Whoever may see what the tenant pays.
const VIEW: Access = Access::Permission("billing.view");
/// Whoever may make it pay.
const CHANGE: Access = Access::Permission("billing.change");
/// The platform, which makes the prices.
const PLATFORM: Access = Access::Platform("plans.write");

/// Every operation of the service.
pub(crate) fn routes(billing: Billing) -> ServiceRoutes {
    let routes = Routes::new(NAME, billing);
    let routes = plans::add(routes);
    let routes = subscriptions::add(routes);
    let routes = terms::add(routes);
    let routes = usage::add(routes);
    let routes = invoices::add(routes);
    simulate::add(routes).finish()
}

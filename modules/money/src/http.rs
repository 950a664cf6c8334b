//! The wire: one file per resource.

pub(crate) mod holds;
pub(crate) mod ledger;
pub(crate) mod movements;
pub(crate) mod statement;
pub(crate) mod transactions;
pub(crate) mod transfers;
pub(crate) mod wallets;

use std::sync::Arc;

use ports::http::{Access, Routes, ServiceRoutes};

use crate::{Money, NAME};

type App = Arc<Money>;

const READ: Access = Access::Permission("wallets.read");
const WRITE: Access = Access::Permission("wallets.write");

/// Every operation of the service.
pub(crate) fn routes(money: App) -> ServiceRoutes {
    let routes = Routes::new(NAME, money);
    let routes = wallets::add(routes);
    let routes = movements::add(routes);
    let routes = holds::add(routes);
    let routes = transfers::add(routes);
    let routes = transactions::add(routes);
    let routes = statement::add(routes);
    ledger::add(routes).finish()
}

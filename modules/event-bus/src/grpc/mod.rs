//! What this service answers over gRPC, `platform.events.v1`: the operations of HTTP in other words.

mod publishing;
mod subscriptions;

use ports::http::{Access, Operation, Routes, ServiceRoutes};

use crate::{NAME, http::Bus};

/// The methods.
pub(crate) fn routes(bus: Bus) -> ServiceRoutes {
    let routes = Routes::new(NAME, bus);
    let routes = publishing::add(routes);
    subscriptions::add(routes).finish()
}

fn method(name: &str, id: &'static str, access: Access) -> Operation {
    Operation::rpc(&format!("/platform.events.v1.EventsService/{name}"), id, access)
}

//! The sandbox verbs over HTTP. They belong to the operator of the process: no token of a sandbox reaches them.

mod health;
mod inside;
mod operator;
mod sandboxes;
mod snapshots;

use std::sync::{Arc, Weak};

use kernel::{Error, FieldCode, SandboxName, Slug};
use ports::http::{Routes, ServiceRoutes};
use schemars::JsonSchema;
use serde::Serialize;
use tracing::Instrument as _;

use crate::estate::Estate;

pub(crate) use health::health;

type Held = Weak<Estate>;

#[derive(Debug, Serialize, JsonSchema)]
struct UrlOut {
    url: String,
}

/// The operations; they hold the estate weakly, because it holds them.
pub(crate) fn routes(estate: &Arc<Estate>) -> ServiceRoutes {
    let routes = Routes::new("sandbox", Arc::downgrade(estate));
    let routes = snapshots::add(sandboxes::add(routes));
    operator::add(inside::add(routes)).finish()
}

fn estate(held: &Held) -> kernel::Result<Arc<Estate>> {
    held.upgrade().ok_or_else(|| Error::new(Slug::Draining, "The process is shutting down."))
}

fn name(text: &str, field: &str) -> kernel::Result<SandboxName> {
    text.parse().map_err(|error| Error::field(field, FieldCode::InvalidFormat, format!("{error}")))
}

/// A name in an address: one that can't be a sandbox's is not there.
fn addressed(text: &str) -> kernel::Result<SandboxName> {
    text.parse().map_err(|_| Error::not_found("sandbox"))
}

/// Runs a verb to its end, also when the caller goes away or the request's time is over: half a verb would be half a
/// sandbox.
async fn whole<T: Send + 'static>(
    verb: impl Future<Output = kernel::Result<T>> + Send + 'static,
) -> kernel::Result<T> {
    tokio::spawn(verb.in_current_span()).await.map_err(Error::internal)?
}

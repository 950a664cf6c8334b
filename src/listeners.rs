//! The four ports of a kernel.

use std::convert::Infallible;

use axum::body::Body;
use gateway::door::{self, Bound, Connections, Limits, Mode, Shutdown, TlsDoor, Wanted};
use http::{Request, Response};
use kernel::config::{Listen, ListenHost};
use tower::Service;

use crate::failure::Failure;

/// Connections of a port that must answer while the others are flooded.
const APART: usize = 256;

/// Opens all ports, or none.
///
/// # Errors
/// Every taken port at once, with a line that works.
pub fn bind(listen: &Listen) -> Result<Bound, Failure> {
    let host = match listen.host {
        ListenHost::Loopback => None,
        ListenHost::Address(address) => Some(address),
    };
    door::bind(host, &wanted(listen)).map_err(Failure::new)
}

/// What the configuration asks for.
pub fn wanted(listen: &Listen) -> [Wanted; 4] {
    [
        Wanted { name: "https", port: listen.tls_port, env: "GATEWAY_TLS_PORT" },
        Wanted { name: "http", port: listen.http_port, env: "GATEWAY_PORT" },
        Wanted { name: "iam", port: listen.iam_port, env: "IAM_PORT" },
        Wanted { name: "grpc", port: listen.grpc_port, env: "GRPC_PORT" },
    ]
}

/// Answers on every port until the door closes.
pub fn serve<S>(mut bound: Bound, tls: TlsDoor, front: &S, shutdown: &Shutdown)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let public = Connections::default();
    let apart = || Connections::new(APART, Limits::default());
    let ports = [
        ("https", Mode::Tls(tls), public.clone()),
        ("http", Mode::Plain, public),
        ("iam", Mode::Plain, apart()),
        ("grpc", Mode::Plain, apart()),
    ];
    for (name, mode, connections) in ports {
        if let Some(listening) = bound.take(name) {
            door::serve(listening, mode, front.clone(), &connections, shutdown);
        }
    }
}

/// A connection is a file: takes as many as the system allows.
pub fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    const ENOUGH: u64 = 65_536;
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(ENOUGH, |maximum| maximum.min(ENOUGH));
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::debug!(%error, "the limit of open files stays as it is");
        }
    }
}

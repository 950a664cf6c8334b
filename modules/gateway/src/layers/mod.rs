//! The layers of the gateway, from the outside to the inside. This file is the one place that says their order.
//!
//! | Layer | File |
//! |---|---|
//! | a panic is one 500, never the process | `catch_panic` |
//! | the names of the request: id and trace | `request_id` |
//! | who is really at the other end | `real_address` |
//! | one line in the log, one count in the metrics | `access_log` |
//! | headers that every answer carries | `headers_out` |
//! | errors become problems (RFC 9457); faults are logged | `problems` |
//! | the operation, by one look-up | `route` |
//! | a gRPC method is called as one, and only so | `rpc` |
//! | in flight, drained when the sandbox closes | `draining` |
//! | nothing larger than allowed | `limits` |
//! | the tenant that the host names | `host` |
//! | what browsers may do from other pages | `cors` |
//! | the bucket of the client's address | `local_bucket` |
//! | a browser's session in a cookie | `session` |
//! | whose credential it is | `authenticate` |
//! | the rate of its tenant's plan, over all replicas | `tenant_window` |
//! | whether they may | `permission` |
//! | whether its subscription and plan allow it | `plan` |
//! | the body, read before a place in a queue is taken | `body` |
//! | form of the Idempotency-Key, fingerprint | `idempotency` |
//! | the context, with the deadline | `context` |
//! | the link to the service | `link` |
//!
//! They are tower layers over [`Arrival`] instead of a bare request, so that what one layer found out reaches the next
//! as a field and not through a map of extensions. All of them are empty types: the stack is made anew for each
//! request at no cost, and nothing of it is shared.

mod access_log;
mod authenticate;
mod body;
mod catch_panic;
mod context;
mod cors;
mod draining;
mod headers_out;
mod host;
mod idempotency;
mod limits;
mod link;
mod local_bucket;
mod permission;
mod plan;
mod problems;
mod real_address;
mod request_id;
mod route;
mod rpc;
mod session;
mod tenant_window;

use std::{
    convert::Infallible,
    ops::ControlFlow,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use kernel::{Error, Result, Slug};
use tower::{Layer, Service, ServiceBuilder, ServiceExt as _};

use crate::{
    problem::refuse,
    rate::{Allowance, Over},
    visit::{Arrival, Response, Visit},
};

pub(crate) use headers_out::harden;
pub(crate) use request_id::{id_header, identify};

/// The whole way of a request. What stands in one bracket runs one after the other in one future; each line is a
/// future around the next.
pub(crate) fn stack() -> impl Onward {
    use self::{
        access_log::AccessLog, authenticate::Authenticate, body::Body, catch_panic::CatchPanic,
        context::Context, cors::Cors, draining::Draining, headers_out::HeadersOut, host::Host,
        idempotency::Idempotency, limits::Limits, local_bucket::LocalBucket, permission::Permission,
        plan::Plan, problems::Problems, real_address::RealAddress, request_id::RequestId, route::Route,
        rpc::Rpc, session::Session, tenant_window::TenantWindow,
    };
    ServiceBuilder::new()
        .layer(Pass(CatchPanic))
        .layer(Pass((RequestId, RealAddress, AccessLog, HeadersOut, Problems, Route, Rpc)))
        .layer(Pass(Draining))
        .layer(Pass((Limits, Host, Cors, LocalBucket)))
        .layer(Pass(Session))
        .layer(Pass((Authenticate, TenantWindow, Permission, Plan, Body, Idempotency)))
        .layer(Pass(Context))
        .service(link::Link)
}

/// What a layer does before and after the rest of the way. Most layers are of this kind.
pub(crate) trait Step: Copy + Send + Sync + 'static {
    /// On the way in: looks at the request and notes what it found in the visit. [`ControlFlow::Break`] is the answer,
    /// and no layer further in hears of the request.
    fn enter(self, _arrival: &mut Arrival) -> impl Future<Output = ControlFlow<Response>> + Send {
        std::future::ready(ControlFlow::Continue(()))
    }

    /// On the way out, unless the layer answered itself.
    fn leave(self, _visit: &Visit, response: Response) -> Response {
        response
    }
}

/// What a layer does with a request that has to stand around the rest of the way: it catches, cuts or names it, or its way
/// out takes time.
pub(crate) trait Around: Copy + Send + Sync + 'static {
    fn take(self, arrival: Arrival, onward: impl Onward) -> impl Future<Output = Response> + Send;
}

/// Lets a request on, or refuses it with a problem.
pub(crate) fn admit(checked: Result<()>) -> ControlFlow<Response> {
    match checked {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(refuse(error)),
    }
}

/// Notes what is left of a rate, and lets a request on, or refuses it in these words.
fn admit_within(
    taken: std::result::Result<Allowance, Over>,
    noted: &OnceLock<Allowance>,
    words: impl FnOnce(u64) -> String,
) -> ControlFlow<Response> {
    let (Ok(allowance) | Err(Over { allowance, .. })) = taken;
    noted.get_or_init(|| allowance);
    admit(taken.map(drop).map_err(|Over { allowance, wait }| {
        Error::new(Slug::RateLimited, words(allowance.limit)).retry_after(wait)
    }))
}

/// Steps one after the other, in one future: a future for each, nested twenty deep, took a fifth of a request's time.
macro_rules! in_one {
    ($($step:ident)+) => {
        impl<$($step: Step),+> Around for ($($step,)+) {
            async fn take(self, mut arrival: Arrival, onward: impl Onward) -> Response {
                #[allow(non_snake_case, reason = "a variable for each type")]
                let ($($step,)+) = self;
                let visit = Arc::clone(&arrival.visit);
                in_one!(@ arrival, visit, onward, $($step)+)
            }
        }
    };
    (@ $arrival:ident, $visit:ident, $onward:ident,) => { $onward.go($arrival).await };
    (@ $arrival:ident, $visit:ident, $onward:ident, $step:ident $($further:ident)*) => {
        match $step.enter(&mut $arrival).await {
            ControlFlow::Break(response) => response,
            ControlFlow::Continue(()) => {
                let response = in_one!(@ $arrival, $visit, $onward, $($further)*);
                $step.leave(&$visit, response)
            }
        }
    };
}
#[cfg(test)]
in_one!(A);
in_one!(A B C D);
in_one!(A B C D E F);
in_one!(A B C D E F G);

/// The rest of the way.
pub(crate) trait Onward: Clone + Send + 'static {
    fn go(self, arrival: Arrival) -> impl Future<Output = Response> + Send;
}

impl<S> Onward for S
where
    S: Service<Arrival, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    async fn go(self, arrival: Arrival) -> Response {
        self.oneshot(arrival).await.unwrap_or_else(|never| match never {})
    }
}

/// Makes a tower layer of what stands around the rest of the way.
#[derive(Clone, Copy)]
struct Pass<T>(T);

impl<T: Around, S> Layer<S> for Pass<T> {
    type Service = Passing<T, S>;

    fn layer(&self, inner: S) -> Passing<T, S> {
        Passing { around: self.0, inner }
    }
}

#[derive(Clone, Copy)]
struct Passing<T, S> {
    around: T,
    inner: S,
}

impl<T: Around, S: Onward> Service<Arrival> for Passing<T, S> {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, arrival: Arrival) -> Self::Future {
        let (around, inner) = (self.around, self.inner.clone());
        Box::pin(async move { Ok(around.take(arrival, inner).await) })
    }
}

/// Sends one arrival through one layer in front of a stub, for tests.
#[cfg(test)]
pub(crate) async fn through<F>(step: impl Step, arrival: Arrival, stub: F) -> Response
where
    F: FnOnce(Arrival) -> Response + Clone + Send + 'static,
{
    around((step,), arrival, stub).await
}

/// As [`through`], for what stands around the rest of the way.
#[cfg(test)]
pub(crate) async fn around<F>(around: impl Around, arrival: Arrival, stub: F) -> Response
where
    F: FnOnce(Arrival) -> Response + Clone + Send + 'static,
{
    let rest = tower::service_fn(move |arrival| {
        let answer = (stub.clone())(arrival);
        async move { Ok::<_, Infallible>(answer) }
    });
    around.take(arrival, rest).await
}

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
//! | whose credential it is | `authenticate` |
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

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use tower::{Layer, Service, ServiceBuilder, ServiceExt as _};

use crate::visit::{Arrival, Response};

pub(crate) use headers_out::harden;
pub(crate) use request_id::{id_header, identify};

/// The whole way of a request.
pub(crate) fn stack() -> impl Onward {
    ServiceBuilder::new()
        .layer(Pass(catch_panic::CatchPanic))
        .layer(Pass(request_id::RequestId))
        .layer(Pass(real_address::RealAddress))
        .layer(Pass(access_log::AccessLog))
        .layer(Pass(headers_out::HeadersOut))
        .layer(Pass(problems::Problems))
        .layer(Pass(route::Route))
        .layer(Pass(rpc::Rpc))
        .layer(Pass(draining::Draining))
        .layer(Pass(limits::Limits))
        .layer(Pass(host::Host))
        .layer(Pass(cors::Cors))
        .layer(Pass(local_bucket::LocalBucket))
        .layer(Pass(session::Session))
        .layer(Pass(authenticate::Authenticate))
        .layer(Pass(permission::Permission))
        .layer(Pass(plan::Plan))
        .layer(Pass(body::Body))
        .layer(Pass(idempotency::Idempotency))
        .layer(Pass(context::Context))
        .service(link::Link)
}

/// What a layer does with a request, given the rest of the way.
pub(crate) trait Step: Copy + Send + Sync + 'static {
    fn take(self, arrival: Arrival, onward: impl Onward) -> impl Future<Output = Response> + Send;
}

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

/// Makes a tower layer of a step.
#[derive(Clone, Copy)]
struct Pass<T>(T);

impl<T: Step, S> Layer<S> for Pass<T> {
    type Service = Passing<T, S>;

    fn layer(&self, inner: S) -> Passing<T, S> {
        Passing { step: self.0, inner }
    }
}

#[derive(Clone, Copy)]
struct Passing<T, S> {
    step: T,
    inner: S,
}

impl<T: Step, S: Onward> Service<Arrival> for Passing<T, S> {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, arrival: Arrival) -> Self::Future {
        let (step, inner) = (self.step, self.inner.clone());
        Box::pin(async move { Ok(step.take(arrival, inner).await) })
    }
}

/// Sends one arrival through one layer in front of a stub, for tests.
#[cfg(test)]
pub(crate) async fn through<F>(step: impl Step, arrival: Arrival, stub: F) -> Response
where
    F: FnOnce(Arrival) -> Response + Clone + Send + 'static,
{
    let rest = tower::service_fn(move |arrival| {
        let answer = (stub.clone())(arrival);
        async move { Ok::<_, Infallible>(answer) }
    });
    step.take(arrival, rest).await
}

//! The one kind of channel between services: a bounded queue in front of a [`tower::Service`].
//!
//! | Rule | Where it is kept |
//! |---|---|
//! | at most `concurrency` calls run, at most `depth` wait, in order of arrival | `gate.rs` |
//! | no room: `overloaded` at once, the caller never waits for a place in the queue | `gate.rs` |
//! | too late, waiting or running: `deadline-exceeded`; the call's future is dropped, its place is free | `gate.rs` |
//! | a panic is one `internal`, the next call is served | `gate.rs` |
//! | an HTTP call keeps its place until the body of the answer has ended | [`HttpLink`] |
//! | typed calls look like the trait they go to | [`contract!`](crate::contract) |
//!
//! # Why not `tower::buffer` itself
//! Its shape is kept: like there, the queue only decides *when* a call begins, and the answer's future runs in the
//! caller's task. Four rules of the house can't be met by stacking tower's own load shed, buffer and concurrency
//! limit, so the queue in the middle is ours, on tokio's fair semaphore:
//! - tower's concurrency limit gives its permit back with the response *head*; ours travels with the body;
//! - a buffer keeps the requests of callers that have given up until its worker reaches them: places would be refused
//!   to the living for the sake of the dead. Here a caller that leaves takes its place in the queue with it;
//! - a buffer is a running task, made only inside a runtime; creating a service has no side effect here, and a
//!   sleeping sandbox costs no task;
//! - a panic in `Service::call` would end the buffer's worker and with it the link.
//!
//! `benches/link.rs` measures both in the same run.

mod body;
mod contract;
mod gate;
mod http;
mod meter;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt, marker::PhantomData, sync::Arc};

use futures::future::BoxFuture;
use kernel::{Ctx, Error, Result};
use tower::{Service, ServiceExt as _};

use gate::{Gate, Place};

pub use contract::ContractLink;
pub use http::{BODY_IDLE_LIMIT, HttpLink};
pub use meter::{LinkState, LinkStats, OperationStats, TimeStats};

/// What the code written by [`contract!`](crate::contract) refers to; not for use by hand.
#[doc(hidden)]
pub mod build {
    pub use super::contract::position;
    pub use async_trait::async_trait;
    pub use kernel::{Ctx, Result};
    pub use std::{borrow::Cow, sync::Arc};
}

/// How much a link takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkOptions {
    /// Calls that may wait for their turn. With 0 a call runs at once or is refused.
    pub depth: usize,
    /// Calls that may run at the same time; at least 1.
    pub concurrency: usize,
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self { depth: 1024, concurrency: 256 }
    }
}

/// A request with who asks, as the service behind a [`Link`] gets it.
#[derive(Debug, Clone)]
pub struct Call<Req> {
    /// Who asks, for which tenant, by when.
    pub cx: Ctx,
    /// What is asked.
    pub request: Req,
}

/// A bounded queue in front of a service. Clones share the queue.
///
/// A link owns its service: two services that call each other must not both hold the other's `Link`. Contracts have
/// a late-bound form for that, see [`ContractLink::unbound`].
pub struct Link<Req, Res> {
    gate: Gate,
    target: Arc<dyn Target<Req, Res>>,
}

/// What stands behind a link. It gets the place of the call and decides how long the call needs it.
trait Target<Req, Res>: Send + Sync {
    fn serve(&self, call: Call<Req>, place: Place) -> BoxFuture<'static, Result<Res>>;

    /// Whether an answer tells of a fault of the service, for the statistics.
    fn is_fault(&self, answer: &Res) -> bool;
}

impl<Req: Send + 'static, Res: Send + 'static> Link<Req, Res> {
    /// Puts a queue in front of `service`. Does nothing else: no task is started.
    ///
    /// `name` is what statistics and logs call the link.
    pub fn new<S>(name: impl Into<Cow<'static, str>>, options: LinkOptions, service: S) -> Self
    where
        S: Service<Call<Req>, Response = Res> + Clone + Send + Sync + 'static,
        S::Error: Into<Error>,
        S::Future: Send,
    {
        Self::to(name.into(), options, Plain { service, request: PhantomData })
    }
}

impl<Req, Res> Link<Req, Res> {
    fn to(name: Cow<'static, str>, options: LinkOptions, target: impl Target<Req, Res> + 'static) -> Self {
        Self { gate: Gate::new(name, options, &["call"]), target: Arc::new(target) }
    }

    /// Sends a request and waits for the answer, no longer than the deadline of `cx`.
    ///
    /// # Errors
    /// `overloaded` at once when the queue is full, `deadline-exceeded`, `internal` after a panic of the service,
    /// `draining` when the link was closed, and every error of the service itself.
    pub async fn call(&self, cx: &Ctx, request: Req) -> Result<Res> {
        let call = |place| self.target.serve(Call { cx: cx.clone(), request }, place);
        self.gate.pass(cx, 0, call, |answer| self.target.is_fault(answer)).await
    }

    /// How the link is doing.
    pub fn stats(&self) -> LinkStats {
        self.gate.stats()
    }

    /// Takes no more calls: new and waiting ones get `draining`, running ones go on.
    pub fn close(&self) {
        self.gate.close();
    }
}

impl<Req, Res> Clone for Link<Req, Res> {
    fn clone(&self) -> Self {
        Self { gate: self.gate.clone(), target: Arc::clone(&self.target) }
    }
}

impl<Req, Res> fmt::Debug for Link<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.gate).finish()
    }
}

/// A service whose work is done when it has answered.
struct Plain<S, Req> {
    service: S,
    request: PhantomData<fn(Req)>,
}

impl<S, Req, Res> Target<Req, Res> for Plain<S, Req>
where
    S: Service<Call<Req>, Response = Res> + Clone + Send + Sync + 'static,
    S::Error: Into<Error>,
    S::Future: Send,
    Req: Send + 'static,
{
    fn serve(&self, call: Call<Req>, place: Place) -> BoxFuture<'static, Result<Res>> {
        let service = self.service.clone();
        Box::pin(async move {
            let _place = place;
            service.oneshot(call).await.map_err(Into::into)
        })
    }

    fn is_fault(&self, _: &Res) -> bool {
        false
    }
}

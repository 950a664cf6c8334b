//! The front of the process: finds the sandbox of a request and hands it to its gateway; answers what is asked about
//! the process itself.

mod health;
pub(crate) mod host;
mod readiness;
mod rpc;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    fmt,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use axum::body::Body;
use futures::FutureExt as _;
use http::{Request, Response};
use kernel::{Error, Result, SandboxName, Slug};
use tower::Service;

use health::Question;
use readiness::Readiness;
use rpc::Port;

use crate::{
    Gateway, OperatorGate,
    layers::{harden, id_header, identify},
    problem::{Form, Scene, render},
    traffic::UnderWay,
    visit::Identity,
};
pub use host::HostRules;

/// The header with which clients that can't set hosts name a sandbox.
const SANDBOX_HEADER: &str = "x-kernel-sandbox";

/// How long a request waits for a sandbox that is being reset, copied or restored.
const PATIENCE: Duration = Duration::from_secs(2);
/// The pause before a sandbox that was just closed is asked for again.
const PAUSE: Duration = Duration::from_millis(20);

/// Which sandbox a host names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostVerdict {
    /// A sandbox, which need not exist.
    Sandbox {
        /// Its name.
        name: SandboxName,
        /// The tenant's name in the host, if there is one.
        tenant_label: Option<String>,
    },
    /// None of ours.
    Unknown,
}

/// The sandboxes of the process.
#[async_trait]
pub trait Cells: Send + Sync + 'static {
    /// Which sandbox a host (with or without port) names. [`HostRules`] knows the rules.
    fn sandbox_of_host(&self, host: &str) -> HostVerdict;

    /// The gateway of a sandbox, which is opened or woken first if it sleeps. While it is being reset or copied this
    /// waits, for at most 2 s.
    ///
    /// # Errors
    /// `not-found` for a sandbox that does not exist, `draining`, `dependency-unavailable`.
    async fn gateway(&self, name: &SandboxName) -> Result<Arc<Gateway>>;

    /// Whether requests can be answered; why not, as a sentence.
    ///
    /// # Errors
    /// The reason.
    fn ready(&self) -> std::result::Result<(), String>;

    /// The tree of parts with state, latency and since when.
    async fn health(&self) -> serde_json::Value;
}

/// What can be set about the front.
#[derive(Debug, Clone)]
pub struct FrontSettings {
    /// The address of this installation, without a slash at the end: types of problems begin with it.
    pub public_url: String,
}

/// Marks a request whose sandbox was named in a header: its host says nothing about tenants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SandboxByHeader;

/// The front. One for all listeners.
pub struct Front {
    cells: Arc<dyn Cells>,
    operator: Arc<dyn OperatorGate>,
    settings: FrontSettings,
    readiness: Arc<Readiness>,
    rpc: rpc::Desk,
    in_flight: AtomicUsize,
}

impl Front {
    /// A front before these sandboxes.
    pub fn new(cells: Arc<dyn Cells>, operator: Arc<dyn OperatorGate>, settings: FrontSettings) -> Arc<Self> {
        let readiness = Arc::new(Readiness::new(Arc::clone(&cells)));
        Arc::new(Self {
            cells,
            operator,
            settings,
            rpc: rpc::Desk::new(Arc::clone(&readiness)),
            readiness,
            in_flight: AtomicUsize::new(0),
        })
    }

    /// What the door hands requests to. Clones are cheap.
    pub fn service(self: &Arc<Self>) -> FrontService {
        FrontService(Arc::clone(self))
    }

    /// The process is about to stop: it is not ready from now on, but answers what comes.
    pub fn begin_shutdown(&self) {
        self.readiness.close();
    }

    /// Requests that have not got the head of their answer, of all sandboxes.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Answers a request, whatever comes.
    pub async fn call(&self, request: Request<Body>) -> Response<Body> {
        struct UnderWay<'a>(&'a AtomicUsize);
        impl Drop for UnderWay<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::AcqRel);
            }
        }
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        let _under_way = UnderWay(&self.in_flight);
        let uri = request.uri().clone();
        let (identity, form) = (identify(request.headers()), rpc::form(&request));
        // Nothing broken is seen afterwards: the front keeps nothing of a request.
        let answered = AssertUnwindSafe(self.answer(request, identity)).catch_unwind().await;
        let error = match answered {
            Ok(Ok(response)) => return response,
            Ok(Err(error)) => error,
            Err(_) => Error::internal("the front panicked; the panic's own line is above"),
        };
        self.refuse(&uri, identity, form, &error)
    }

    async fn answer(&self, request: Request<Body>, identity: Identity) -> Result<Response<Body>> {
        if let Some(question) = health::asked(self, &request) {
            let mut response = match question? {
                Question::Answered(response) => response,
                Question::Tree => health::tree(self).await,
            };
            id_header(response.headers_mut(), identity.request);
            harden(response.headers_mut(), false);
            return Ok(response);
        }
        let mut request = match self.rpc.asked(request).await {
            Ok(mut response) => {
                id_header(response.headers_mut(), identity.request);
                harden(response.headers_mut(), false);
                return Ok(response);
            }
            Err(request) => request,
        };
        Port::of(&request).check(&request)?;
        let (name, by_header) = self.sandbox_of(&request)?;
        if by_header {
            request.extensions_mut().insert(SandboxByHeader);
        }
        let (gateway, place) = self.gateway(&name).await?;
        Ok(gateway.take(request, place).await)
    }

    /// The sandbox that a request is for, and whether the header named it. The header counts on hosts of `default`
    /// only: a host that names another sandbox must not be talked out of it.
    fn sandbox_of(&self, request: &Request<Body>) -> Result<(SandboxName, bool)> {
        let unknown = || Error::new(Slug::NotFound, "No sandbox answers for this host.");
        let host = host::authority_of(request).ok_or_else(unknown)?;
        let HostVerdict::Sandbox { name, tenant_label } = self.cells.sandbox_of_host(host) else {
            return Err(unknown());
        };
        let Some(header) = request.headers().get(SANDBOX_HEADER) else { return Ok((name, false)) };
        let wanted =
            header.to_str().ok().and_then(|text| text.parse::<SandboxName>().ok()).ok_or_else(unknown)?;
        match wanted == name {
            true => Ok((name, false)),
            false if name.is_default() && tenant_label.is_none() => Ok((wanted, true)),
            false => Err(Error::new(
                Slug::NotFound,
                "The host and the X-Kernel-Sandbox header name different sandboxes.",
            )),
        }
    }

    /// The gateway and a place in it; once more if the one that came was closed in the meantime.
    async fn gateway(&self, name: &SandboxName) -> Result<(Arc<Gateway>, Option<UnderWay>)> {
        let begun = Instant::now();
        loop {
            let gateway = self.cells.gateway(name).await?;
            let place = gateway.enter();
            if place.is_some() || begun.elapsed() >= PATIENCE {
                return Ok((gateway, place));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn refuse(&self, uri: &http::Uri, identity: Identity, form: Form, error: &Error) -> Response<Body> {
        let Identity { request, trace } = identity;
        if error.slug().status().is_server_error() {
            tracing::error!(
                request_id = %request,
                trace_id = %trace.trace_id_text(),
                problem = error.slug().name(),
                cause = %error.causes(),
                "{}",
                error.detail()
            );
        }
        let public_url = &self.settings.public_url;
        let mut response =
            render(&Scene { public_url, instance: uri.path(), request, trace, author: false, form }, error);
        id_header(response.headers_mut(), request);
        harden(response.headers_mut(), false);
        response
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The front as the service that the door hands requests to.
#[derive(Clone, Debug)]
pub struct FrontService(Arc<Front>);

impl Service<Request<Body>> for FrontService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let front = Arc::clone(&self.0);
        Box::pin(async move { Ok(front.call(request).await) })
    }
}

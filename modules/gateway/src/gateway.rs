use std::{fmt, sync::Arc, time::Instant};

use axum::body::Body;
use fabric::{cache::Cache, dialler::Dialler};
use kernel::{Clock, SandboxName, TenantId};
use ports::{
    BillingLink, DomainsLink, IamLink, ModulesLink,
    http::{Access, Operation, ServiceRoutes},
    link::{HttpLink, LinkStats},
};
use tokio::sync::Semaphore;

use crate::{
    backends::Backends,
    boot::BootError,
    core::{Core, GatewaySettings},
    credentials::Credentials,
    flags::FlagUses,
    layers::{self, Onward as _},
    metrics::Metrics,
    operator::OperatorGate,
    pages::{self, Desk},
    rate::Buckets,
    standings::Standings,
    table::{RouteTable, Target},
    traffic::{Traffic, UnderWay},
    visit::{Arrival, Visit},
    windows::Windows,
};

/// Most bytes of a request to a module's back-end.
const BACKEND_BODY: usize = 100 * 1024 * 1024;

/// What a gateway stands on.
pub struct GatewayDeps {
    /// The sandbox it belongs to.
    pub sandbox: SandboxName,
    /// The sandbox's clock.
    pub clock: Clock,
    /// The operations of every service, with their handlers.
    pub services: Vec<ServiceRoutes>,
    /// Knows access tokens and API keys.
    pub iam: IamLink,
    /// Knows modules and their keys.
    pub modules: ModulesLink,
    /// Knows which tenant a host names.
    pub domains: DomainsLink,
    /// Knows how tenants stand.
    pub billing: BillingLink,
    /// Knows the operator.
    pub operator: Arc<dyn OperatorGate>,
    /// The gateway's part of the cache, which all replicas share.
    pub cache: Cache,
    /// The way out to the back-ends of modules.
    pub dialler: Dialler,
    /// What can be set.
    pub settings: GatewaySettings,
    /// The counters of the process.
    pub metrics: Arc<Metrics>,
    /// How often feature flags were given to somebody.
    pub flag_uses: FlagUses,
}

/// The way into one sandbox: its operation table, the layers, a link to each service.
pub struct Gateway {
    core: Arc<Core>,
}

impl Gateway {
    /// Puts a gateway together. Nothing is started.
    ///
    /// # Errors
    /// Every mistake of the operation table, naming the operations.
    pub fn create(deps: GatewayDeps) -> Result<Arc<Self>, BootError> {
        let GatewayDeps {
            sandbox,
            clock,
            mut services,
            iam,
            modules,
            domains,
            billing,
            operator,
            cache,
            dialler,
            settings,
            metrics,
            flag_uses,
        } = deps;
        let desk = Desk::default();
        services.push(pages::routes(desk.clone()));
        let of_services = services.iter().enumerate().flat_map(|(number, service)| {
            service.operations().into_iter().map(move |operation| (operation, Target::Service(number)))
        });
        let of_modules = module_operations().map(|operation| (Arc::new(operation), Target::Modules));
        let table = RouteTable::create(of_services.chain(of_modules).collect(), &metrics)?;
        // Routers refuse by panicking; the table has been checked for everything that they refuse.
        let links = services
            .into_iter()
            .map(|service| HttpLink::http(service.service(), settings.links, service.router()))
            .collect();
        let core = Arc::new(Core {
            buckets: settings.rate.map(Buckets::new),
            windows: Windows::new(cache),
            body_budget: Arc::new(Semaphore::new(
                (settings.buffered_bytes / 1024).min(Semaphore::MAX_PERMITS),
            )),
            backends: Backends::new(dialler),
            credentials: Credentials::new(),
            standings: Standings::new(),
            traffic: Traffic::new(),
            sandbox,
            clock,
            iam,
            modules,
            domains,
            billing,
            operator,
            settings,
            metrics,
            flag_uses,
            table,
            links,
        });
        desk.open(&core);
        Ok(Arc::new(Self { core }))
    }

    /// Answers a request, whatever comes.
    ///
    /// The extensions [`PeerAddr`](crate::door::PeerAddr) and [`Secure`](crate::door::Secure) tell about the
    /// connection.
    pub async fn call(self: &Arc<Self>, request: http::Request<Body>) -> http::Response<Body> {
        self.take(request, self.enter()).await
    }

    /// Counts a request before it is known what it is; none when the sandbox drains. From then on draining waits for it.
    pub(crate) fn enter(&self) -> Option<UnderWay> {
        self.core.traffic.request()
    }

    /// Answers a request that was counted.
    pub(crate) async fn take(
        self: &Arc<Self>,
        request: http::Request<Body>,
        place: Option<UnderWay>,
    ) -> http::Response<Body> {
        let visit = Arc::new(Visit::new(Arc::clone(&self.core), &request));
        layers::stack().go(Arrival { place, ..Arrival::new(request, visit) }).await
    }

    /// The sandbox it belongs to.
    pub fn sandbox(&self) -> &SandboxName {
        &self.core.sandbox
    }

    /// The operation table.
    pub fn operations(&self) -> Vec<Arc<Operation>> {
        self.core.table.entries().iter().map(|entry| Arc::clone(&entry.operation)).collect()
    }

    /// How the links to services, to back-ends of modules and to those that the gateway asks are doing.
    pub fn link_stats(&self) -> Vec<LinkStats> {
        self.core.link_stats()
    }

    /// Forgets every credential that was found good: to be called when rights, sessions or keys change. Without it a
    /// change is noticed within 1 s.
    pub fn forget_credentials(&self) {
        self.core.credentials.forget();
    }

    /// Learns how tenants stand anew: to be called when subscriptions, plans or limits change. `closed` are the tenants
    /// that may not even read. Without it a change is noticed within 15 minutes.
    pub fn learn_standings(&self, closed: Vec<TenantId>) {
        self.core.standings.close(closed);
        self.core.standings.forget();
    }

    /// Forgets how tenants stand, but for those that may not even read.
    pub fn forget_standings(&self) {
        self.core.standings.forget();
    }

    /// Brings the sandbox's traffic to an end: new requests get 503 `draining`, running ones have 1 s until the head of
    /// their answer, bodies and websockets 100 ms more. Returns when all is quiet, after 1.6 s at most.
    pub async fn drain(&self) {
        self.core.traffic.drain().await;
        self.core.links.iter().for_each(HttpLink::close);
    }

    /// Whether [`Gateway::drain`] was called.
    pub fn is_draining(&self) -> bool {
        self.core.traffic.is_draining()
    }

    /// Resolves when no request of the operator passes through, after 1 s at most. To be awaited before a sandbox that nobody
    /// asked to be closed is drained.
    pub async fn passed(&self) {
        self.core.traffic.passed().await;
    }

    /// Requests that have not got the head of their answer.
    pub fn in_flight(&self) -> usize {
        self.core.traffic.requests() + self.core.traffic.passing()
    }

    /// Bodies and websockets that are open.
    pub fn open_streams(&self) -> usize {
        self.core.traffic.streams()
    }

    /// When a request or stream last began or ended.
    pub fn last_used(&self) -> Instant {
        self.core.traffic.last_used()
    }

    #[cfg(test)]
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("sandbox", &self.core.sandbox).finish_non_exhaustive()
    }
}

/// One entry a method for everything below `/api/v1/m/{slug}`. Their permissions are those of the manifest.
fn module_operations() -> impl Iterator<Item = Operation> {
    const PATH: &str = "/m/{slug}/{*path}";
    const ABOUT: &str = "The route and its permission stand in the manifest of the module that `slug` names. The body \
        and the answer are the back-end's.";
    let made = [
        Operation::get(PATH, "callModuleGet", Access::Authenticated),
        Operation::post(PATH, "callModulePost", Access::Authenticated).streams(BACKEND_BODY),
        Operation::patch(PATH, "callModulePatch", Access::Authenticated).streams(BACKEND_BODY),
        Operation::delete(PATH, "callModuleDelete", Access::Authenticated).streams(BACKEND_BODY),
    ];
    made.into_iter().map(|operation| {
        let operation = operation.summary("A route of an installed module's back-end").description(ABOUT);
        let problems =
            &[kernel::Slug::CircuitOpen, kernel::Slug::DependencyUnavailable, kernel::Slug::UpstreamFailed];
        Operation { service: "gateway", ..operation.problems(problems) }
    })
}

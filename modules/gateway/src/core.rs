use std::{sync::Arc, time::Duration};

use kernel::{Clock, Error, Result, SandboxName, Slug, config::Network};
use ports::{
    BillingLink, DomainsLink, IamLink, ModulesLink,
    link::{HttpLink, LinkOptions, LinkStats},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    backends::Backends, console::DemoSignIn, credentials::Credentials, flags::FlagUses, metrics::Metrics,
    operator::OperatorGate, rate::Buckets, rate::RateLimit, standings::Standings, table::RouteTable,
    traffic::Traffic, windows::Windows,
};

/// What can be set about a gateway.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// To the head of an answer.
    pub request_timeout: Duration,
    /// The address of this sandbox outside, without a slash at the end: types of problems begin with it.
    pub public_url: String,
    /// Peers whose forwarded headers count.
    pub trusted_proxies: Vec<Network>,
    /// The queue in front of each service.
    pub links: LinkOptions,
    /// Most bytes of bodies that are held at the same time while they are read.
    pub buffered_bytes: usize,
    /// Requests of one client address; none: no limit here.
    pub rate: Option<RateLimit>,
    /// The version that the API's description tells.
    pub version: &'static str,
    /// How the console signs in to a demo with one click; none where the passwords are not public.
    pub demo: Option<DemoSignIn>,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(30),
            public_url: "http://localhost:8080".to_owned(),
            trusted_proxies: Vec::new(),
            links: LinkOptions::default(),
            buffered_bytes: 256 * 1024 * 1024,
            rate: Some(RateLimit { per_second: 10_000, burst: 20_000 }),
            version: env!("CARGO_PKG_VERSION"),
            demo: None,
        }
    }
}

/// Everything the layers stand on.
pub(crate) struct Core {
    pub sandbox: SandboxName,
    pub clock: Clock,
    pub iam: IamLink,
    pub modules: ModulesLink,
    pub domains: DomainsLink,
    pub billing: BillingLink,
    pub operator: Arc<dyn OperatorGate>,
    pub settings: GatewaySettings,
    pub metrics: Arc<Metrics>,
    pub flag_uses: FlagUses,
    pub table: RouteTable,
    pub links: Vec<HttpLink>,
    pub backends: Backends,
    pub credentials: Credentials,
    pub standings: Standings,
    pub buckets: Option<Buckets>,
    pub windows: Windows,
    pub traffic: Traffic,
    /// One permit a kilobyte.
    pub body_budget: Arc<Semaphore>,
}

impl Core {
    /// Room for a body of `bytes`, to be kept until the request is answered.
    ///
    /// # Errors
    /// `overloaded` when too much is being read already.
    pub(crate) fn room_for_body(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let kilobytes = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        Arc::clone(&self.body_budget).try_acquire_many_owned(kilobytes).map_err(|_| {
            Error::new(Slug::Overloaded, "Too many bodies are being read; try again in a moment.")
                .because("the budget for bodies is used up")
        })
    }

    /// How the links that begin or end here are doing.
    pub(crate) fn link_stats(&self) -> Vec<LinkStats> {
        let services = self.links.iter().map(HttpLink::stats);
        let asked = [self.iam.stats(), self.modules.stats(), self.domains.stats(), self.billing.stats()];
        services.chain(self.backends.link_stats()).chain(asked).collect()
    }
}

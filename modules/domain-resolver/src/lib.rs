//! domain-resolver: whose request this is, from its host.

#![forbid(unsafe_code)]

mod events;
mod hostname;
mod http;
mod jobs;
mod model;
mod registry;
mod service;
mod store;

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use fabric::{dns::Dns, jobs::Jobs, postgres::Database};
use kernel::{Ctx, Result, SandboxName, TenantId, TenantSlug};
use moka::future::Cache;
use ports::{
    Domains, IamLink, KernelService, Subscription,
    http::{CursorKey, ServiceRoutes},
};

pub use http::hosts::HostOut;
pub use model::{Hosts, Named, normal};
pub use registry::{Claim, DomainId, DomainKind, Hostnames};

/// The service.
pub struct DomainResolver {
    hosts: Hosts,
    iam: IamLink,
    /// Names that were asked for lately, also those that no tenant has.
    tenants: Cache<TenantSlug, Option<TenantId>>,
    db: Database,
    dns: Dns,
    hostnames: Arc<dyn Hostnames>,
    cursor: CursorKey,
    /// The platform's own names, which nobody may add.
    own: Vec<String>,
    /// Where added names must lead.
    target: String,
    this: Weak<Self>,
}

/// What it stands on.
pub struct DomainResolverDeps {
    /// The sandbox whose hosts these are.
    pub sandbox: SandboxName,
    /// Who knows the tenants.
    pub iam: IamLink,
    /// Further names of the default sandbox: `KERNEL_HOSTS` and the host of the public address.
    pub hosts: Vec<String>,
    /// The sandbox's data.
    pub db: Database,
    /// Who is asked for proofs.
    pub dns: Dns,
    /// Verified hostnames of the installation.
    pub hostnames: Arc<dyn Hostnames>,
    /// Signs places in lists.
    pub cursor: CursorKey,
    /// The host under which the installation is reached from outside, where added names must lead.
    pub target: String,
}

/// How long a name's tenant is taken for known, and a name without one for free.
const KNOWN: Duration = Duration::from_secs(5);

/// Most names kept in memory.
const MOST_NAMES: u64 = 10_000;

impl DomainResolver {
    /// The service; nothing is opened or started.
    pub fn create(deps: DomainResolverDeps) -> Arc<Self> {
        let own = deps.hosts.iter().chain([&deps.target]).map(|host| normal(host)).collect();
        Arc::new_cyclic(|this| Self {
            own,
            hosts: Hosts::new(deps.sandbox, deps.hosts),
            iam: deps.iam,
            db: deps.db,
            dns: deps.dns,
            hostnames: deps.hostnames,
            cursor: deps.cursor,
            target: normal(&deps.target),
            tenants: Cache::builder().max_capacity(MOST_NAMES).time_to_live(KNOWN).build(),
            this: this.clone(),
        })
    }
}

impl DomainResolver {
    /// Adds what the service does for durable jobs.
    pub fn jobs(self: &Arc<Self>, jobs: Jobs) -> Jobs {
        jobs::add(self, jobs)
    }
}

impl KernelService for DomainResolver {
    fn name(&self) -> &'static str {
        "domain-resolver"
    }

    fn routes(&self) -> ServiceRoutes {
        let this = self.this.upgrade().expect("because a service is only ever made within an Arc");
        http::routes(this)
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        jobs::subscriptions(&self.this)
    }
}

#[async_trait]
impl Domains for DomainResolver {
    async fn tenant_of_host(&self, cx: &Ctx, host: String) -> Result<Option<TenantId>> {
        self.tenant_behind(cx, &host).await
    }
}

#[cfg(test)]
mod tests;

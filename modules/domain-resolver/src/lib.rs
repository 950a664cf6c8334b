//! domain-resolver: whose request this is, from its host.

#![forbid(unsafe_code)]

mod http;
mod model;
mod service;

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use kernel::{Ctx, Result, SandboxName, TenantId, TenantSlug};
use moka::future::Cache;
use ports::{Domains, IamLink, KernelService, http::ServiceRoutes};

pub use http::hosts::HostOut;
pub use model::{Hosts, Named};

/// The service.
pub struct DomainResolver {
    hosts: Hosts,
    iam: IamLink,
    /// Names that were asked for lately, also those that no tenant has.
    tenants: Cache<TenantSlug, Option<TenantId>>,
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
}

/// How long a name's tenant is taken for known, and a name without one for free.
const KNOWN: Duration = Duration::from_secs(5);

/// Most names kept in memory.
const MOST_NAMES: u64 = 10_000;

impl DomainResolver {
    /// The service; nothing is opened or started.
    pub fn create(deps: DomainResolverDeps) -> Arc<Self> {
        let DomainResolverDeps { sandbox, iam, hosts } = deps;
        Arc::new_cyclic(|this| Self {
            hosts: Hosts::new(sandbox, hosts),
            iam,
            tenants: Cache::builder().max_capacity(MOST_NAMES).time_to_live(KNOWN).build(),
            this: this.clone(),
        })
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
}

#[async_trait]
impl Domains for DomainResolver {
    async fn tenant_of_host(&self, cx: &Ctx, host: String) -> Result<Option<TenantId>> {
        self.tenant_behind(cx, &host).await
    }
}

#[cfg(test)]
mod tests;

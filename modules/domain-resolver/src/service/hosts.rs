use kernel::{Ctx, Error, Result, TenantId};

use crate::{
    DomainResolver,
    http::hosts::HostOut,
    model::{Named, normal},
    store,
};

impl DomainResolver {
    /// The tenant that a host names; none for the sandbox's own hosts. Known hosts are answered from memory.
    ///
    /// # Errors
    /// `not-found` for a host that names nothing here, or a tenant that does not exist.
    pub async fn tenant_behind(&self, cx: &Ctx, host: &str) -> Result<Option<TenantId>> {
        match self.hosts.read(host) {
            Named::Sandbox => Ok(None),
            Named::Nothing => {
                let added = self.hostnames.tenant_of(&normal(host));
                added.map(Some).ok_or_else(|| Error::not_found("host"))
            }
            Named::Tenant(slug) => {
                let known = match self.tenants.get(&slug).await {
                    Some(known) => known,
                    None => {
                        let found =
                            self.iam.tenant_by_slug(cx, slug.to_string()).await?.map(|tenant| tenant.id);
                        self.tenants.insert(slug, found).await;
                        found
                    }
                };
                known.map(Some).ok_or_else(|| Error::not_found("host"))
            }
        }
    }

    /// The hosts under which the caller's tenant answers.
    ///
    /// # Errors
    /// `unauthorized` for a caller without a tenant; what iam says.
    pub async fn hosts_of_caller(&self, cx: &Ctx) -> Result<Vec<HostOut>> {
        let tenant = cx.tenant()?;
        let tenant = self.iam.tenant(cx, tenant).await?.ok_or_else(|| Error::not_found("tenant"))?;
        let added = store::verified(&self.db, cx).await?;
        let own = self.hosts.of(Some(&tenant.slug)).into_iter().chain(added);
        let own = own.map(|host| HostOut { host, names_tenant: true });
        let shared = self.hosts.of(None).into_iter().map(|host| HostOut { host, names_tenant: false });
        Ok(own.chain(shared).collect())
    }
}

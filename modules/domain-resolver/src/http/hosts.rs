//! The hosts of a tenant.

use std::sync::Arc;

use ports::http::{Access, Cx, Operation, Page, Result, Routes, State};
use schemars::JsonSchema;
use serde::Serialize;

use crate::DomainResolver;

/// A host under which the caller's tenant answers.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostOut {
    /// The host, without a port.
    pub host: String,
    /// Whether it names the tenant; else it is the sandbox's, and the credential alone says whose request it is.
    pub names_tenant: bool,
}

pub(super) fn add(table: Routes<Arc<DomainResolver>>) -> Routes<Arc<DomainResolver>> {
    table.add(
        Operation::get("/domains/hosts", "listHosts", Access::Permission("domains.read"))
            .summary("List the hosts under which the tenant answers.")
            .description("Those that name the tenant first, then those of the sandbox. All of them at once.")
            .lists::<HostOut>(),
        list,
    )
}

async fn list(State(resolver): State<Arc<DomainResolver>>, Cx(cx): Cx) -> Result<Page<HostOut>> {
    Ok(Page::whole(resolver.hosts_of_caller(&cx).await?))
}

use kernel::TenantId;

use crate::contract;

contract! {
    /// What others ask domain-resolver.
    pub trait Domains via DomainsLink {
        /// The tenant that a host of this sandbox names; none for the sandbox's own host. `not-found` for a host that
        /// names a tenant which does not exist.
        async fn tenant_of_host(host: String) -> Option<TenantId>;
    }
}

use async_trait::async_trait;
use kernel::{Id, Result, TenantId};

/// See [`DomainId`].
pub enum DomainKind {}
/// Identifies a domain that a tenant added.
pub type DomainId = Id<DomainKind>;

/// A tenant's claim to a hostname that was shown to be its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The claim's name: the domain's id.
    pub id: DomainId,
    /// The hostname.
    pub hostname: String,
    /// Whose it is.
    pub tenant: TenantId,
}

/// Verified hostnames of the whole installation, as one sandbox sees them. The process keeps them, because its door asks
/// for them before it knows the sandbox.
#[async_trait]
pub trait Hostnames: Send + Sync + 'static {
    /// The tenant of this sandbox to which a hostname belongs. From memory.
    fn tenant_of(&self, hostname: &str) -> Option<TenantId>;

    /// Whether a hostname belongs to another tenant, here or in another sandbox.
    async fn is_taken(&self, hostname: &str, by_other_than: TenantId) -> Result<bool>;

    /// Claims a hostname, which from then on leads here; false when it belongs to another tenant.
    async fn claim(&self, claim: Claim) -> Result<bool>;

    /// Gives a hostname of this sandbox up. A claim that is not there is given up already.
    async fn release(&self, id: DomainId) -> Result<()>;
}

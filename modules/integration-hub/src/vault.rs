//! Sealing a tenant's secrets: with a key of its own, which the sandbox's key wraps. Pure.

use fabric::crypto::RootKey;
use kernel::{Result, TenantId};
use uuid::Uuid;

/// Under which label data keys are wrapped.
const WRAPPING: &str = "integration data keys";

/// A fresh data key, wrapped for `tenant`.
pub(crate) fn fresh(sandbox: &RootKey, tenant: TenantId) -> Vec<u8> {
    let material: [u8; 32] = rand::random();
    sandbox.sealing(WRAPPING).seal(tenant.uuid().as_bytes(), &material)
}

/// One tenant's data key.
pub(crate) struct Vault(RootKey);

/// What is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sealed {
    /// The credentials of the provider with this id.
    Credentials(Uuid),
    /// The request of the dead letter with this id.
    Request(Uuid),
}

impl Sealed {
    fn label(self) -> (&'static str, Uuid) {
        match self {
            Self::Credentials(id) => ("credentials", id),
            Self::Request(id) => ("request", id),
        }
    }
}

impl Vault {
    /// Unwraps a data key.
    pub(crate) fn open(sandbox: &RootKey, tenant: TenantId, wrapped: &[u8]) -> Result<Self> {
        let material = sandbox.sealing(WRAPPING).open(tenant.uuid().as_bytes(), wrapped)?;
        Ok(Self(RootKey::new(&material)))
    }

    /// Seals a text for its place.
    pub(crate) fn seal(&self, what: Sealed, plain: &[u8]) -> Vec<u8> {
        let (label, id) = what.label();
        self.0.sealing(label).seal(id.as_bytes(), plain)
    }

    /// What was sealed.
    pub(crate) fn unseal(&self, what: Sealed, sealed: &[u8]) -> Result<Vec<u8>> {
        let (label, id) = what.label();
        self.0.sealing(label).open(id.as_bytes(), sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_for_its_tenant_in_its_place_and_sandbox_only() {
        let (sandbox, tenant, id) = (RootKey::new(&[7; 32]), TenantId::new(), Uuid::now_v7());
        let wrapped = fresh(&sandbox, tenant);
        let vault = Vault::open(&sandbox, tenant, &wrapped).unwrap();
        let sealed = vault.seal(Sealed::Credentials(id), b"secret");
        assert_eq!(vault.unseal(Sealed::Credentials(id), &sealed).unwrap(), b"secret");
        assert!(vault.unseal(Sealed::Request(id), &sealed).is_err());
        assert!(vault.unseal(Sealed::Credentials(Uuid::now_v7()), &sealed).is_err());
        assert!(Vault::open(&sandbox, TenantId::new(), &wrapped).is_err());
        assert!(Vault::open(&sandbox.branch("fork"), tenant, &wrapped).is_err());
        let other = Vault::open(&sandbox, tenant, &fresh(&sandbox, tenant)).unwrap();
        assert!(other.unseal(Sealed::Credentials(id), &sealed).is_err());
    }
}

//! The verified hostnames of all tenants, in memory: the door asks for every request.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use domain_resolver::{Claim, DomainId, Hostnames, normal};
use gateway::HostVerdict;
use kernel::{Result, SandboxName, TenantId};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::control::{Control, HostnameRow};

/// All of them.
pub(crate) struct Directory {
    names: RwLock<HashMap<String, Entry>>,
    /// Held by whoever looks, so that an older list never takes a newer one's place.
    looking: Mutex<()>,
    /// Of the control database's list; -1 before the first look.
    version: AtomicI64,
}

impl Default for Directory {
    fn default() -> Self {
        Self { names: RwLock::default(), looking: Mutex::default(), version: AtomicI64::new(-1) }
    }
}

#[derive(Debug, Clone)]
struct Entry {
    sandbox: SandboxName,
    sandbox_id: Uuid,
    tenant: TenantId,
}

impl Directory {
    /// Takes over what changed, here or in another process.
    pub(crate) async fn refresh(&self, control: &Control) -> Result<()> {
        let _turn = self.looking.lock().await;
        let version = control.hostnames_version().await?;
        if self.version.load(Ordering::Acquire) == version {
            return Ok(());
        }
        // Read after the version: what changes meanwhile is seen with the next look.
        let rows = control.hostnames().await?;
        let names = rows.into_iter().filter_map(|row| {
            let sandbox = row.sandbox.parse().ok()?;
            let entry = Entry { sandbox, sandbox_id: row.sandbox_id, tenant: row.tenant_id };
            Some((row.hostname, entry))
        });
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = names.collect();
        self.version.store(version, Ordering::Release);
        Ok(())
    }

    /// Which sandbox a host names; with or without port, in any case.
    pub(crate) fn verdict(&self, host: &str) -> HostVerdict {
        match self.find(&normal(host)) {
            Some(entry) => {
                HostVerdict::Sandbox { name: entry.sandbox, tenant_label: Some(entry.tenant.to_string()) }
            }
            None => HostVerdict::Unknown,
        }
    }

    fn find(&self, hostname: &str) -> Option<Entry> {
        self.names.read().unwrap_or_else(PoisonError::into_inner).get(hostname).cloned()
    }

    /// The names as one sandbox sees them.
    pub(crate) fn of(self: &Arc<Self>, control: &Control, sandbox: &SandboxName, id: Uuid) -> OfSandbox {
        OfSandbox { directory: Arc::clone(self), control: control.clone(), sandbox: sandbox.clone(), id }
    }
}

/// See [`Directory::of`].
pub(crate) struct OfSandbox {
    directory: Arc<Directory>,
    control: Control,
    sandbox: SandboxName,
    id: Uuid,
}

#[async_trait]
impl Hostnames for OfSandbox {
    fn tenant_of(&self, hostname: &str) -> Option<TenantId> {
        self.directory.find(hostname).filter(|entry| entry.sandbox_id == self.id).map(|entry| entry.tenant)
    }

    async fn is_taken(&self, hostname: &str, by_other_than: TenantId) -> Result<bool> {
        let owner = self.control.hostname_owner(hostname).await?;
        Ok(owner.is_some_and(|owner| owner != (self.id, by_other_than)))
    }

    async fn claim(&self, claim: Claim) -> Result<bool> {
        let row = HostnameRow {
            hostname: claim.hostname,
            id: claim.id.uuid(),
            sandbox: self.sandbox.to_string(),
            sandbox_id: self.id,
            tenant_id: claim.tenant,
        };
        let claimed = self.control.claim_hostname(&row).await?;
        self.directory.refresh(&self.control).await?;
        Ok(claimed)
    }

    async fn release(&self, id: DomainId) -> Result<()> {
        self.control.release_hostname(self.id, id.uuid()).await?;
        self.directory.refresh(&self.control).await
    }
}

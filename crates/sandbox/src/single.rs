//! Single mode: the given database is the one sandbox. Nothing is cloned, renamed or dropped; the registry lies in the
//! same database.

use std::sync::Arc;

use fabric::postgres::{ClusterError, Logins};
use kernel::{Error, Result, SandboxName, Slug};

use crate::{
    control::{Control, SandboxRow, SandboxState},
    error::OpenError,
    estate::Estate,
    seed::Seed,
};

impl Estate {
    /// Makes the given database the default sandbox where it is not yet; answers whether it was made now. A start that
    /// was killed in between is made good by the next: planting is idempotent.
    pub(crate) async fn ensure_single(self: &Arc<Self>, template: &str) -> Result<bool, OpenError> {
        let name = SandboxName::default_sandbox();
        let row = match self.control.find(&name).await {
            Ok(row) if row.state == SandboxState::Creating.text() => row,
            Ok(row) => {
                if row.schema_fingerprint != self.templates.fingerprint() {
                    if !self.cluster().has_owner() {
                        return Err(OpenError::SchemaOfAnother);
                    }
                    self.control.set_schema(name.as_str(), self.templates.fingerprint()).await?;
                }
                return Ok(false);
            }
            Err(error) if error.slug() == Slug::NotFound => self.note_single(&name, template).await?,
            Err(error) => return Err(error.into()),
        };
        if let Some(seed) = Seed::named(template)? {
            if !self.cluster().has_owner() {
                return Err(ClusterError::NoOwner.into());
            }
            let logins = Logins::new(&name, self.sandbox_key(&row));
            let blobs = self.blobs_of(&row)?;
            let cell = self.cell_on(&name.database(), &name, &row, logins, blobs).await?;
            let planted = seed.plant(&cell).await;
            cell.close().await;
            planted?;
        }
        self.close_demo(&row, &name).await?;
        self.control.set_schema(name.as_str(), self.templates.fingerprint()).await?;
        Ok(true)
    }

    async fn note_single(&self, name: &SandboxName, template: &str) -> Result<SandboxRow, OpenError> {
        let row = SandboxRow::new(name.as_str(), template, self.templates.fingerprint());
        let mut noted = self.control.begin(&Control::cx()).await?;
        self.control.insert(&mut noted, &row).await?;
        noted.commit(()).await?;
        Ok(row)
    }

    /// Refuses in single mode what needs databases or logins of our own; `why` completes "This installation …".
    pub(crate) fn with_databases(&self, why: &str) -> Result<()> {
        if !self.cluster().is_single() {
            return Ok(());
        }
        Err(Error::new(
            Slug::InvalidState,
            format!("This installation runs in single mode (KERNEL_SANDBOX_MODE=single) and {why}."),
        ))
    }
}

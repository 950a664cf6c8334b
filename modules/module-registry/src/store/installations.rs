//! What a tenant has installed.

use fabric::postgres::{FromRow, Tx};
use kernel::{Result, Timestamp};

/// An installation's row.
#[derive(FromRow)]
pub struct InstallationRow {
    pub enabled: bool,
    pub installed_at: Timestamp,
    pub changed_at: Timestamp,
}

/// The tenant's installation, kept from changing until the transaction ends.
pub async fn lock(tx: &mut Tx, slug: &str) -> Result<Option<InstallationRow>> {
    tx.query(fabric::sql!(
        "select enabled, installed_at, changed_at from registry.installation
         where kernel.owns($1, tenant_id) and slug = $2 for update"
    ))
    .bind(slug)
    .optional()
    .await
}

/// The slugs of everything the tenant has, with whether it is enabled.
pub async fn all(tx: &mut Tx) -> Result<Vec<(String, bool)>> {
    tx.query(fabric::sql!(
        "select slug, enabled from registry.installation where kernel.owns($1, tenant_id) order by slug"
    ))
    .all()
    .await
}

/// Installs; none when it is installed already.
pub async fn add(tx: &mut Tx, slug: &str, by: String) -> Result<Option<InstallationRow>> {
    tx.query(fabric::sql!(
        "insert into registry.installation (tenant_id, slug, installed_by) values ($1, $2, $3)
         on conflict (tenant_id, slug) do nothing
         returning enabled, installed_at, changed_at"
    ))
    .bind(slug)
    .bind(by)
    .optional()
    .await
}

/// Switches it on or off.
pub async fn enable(tx: &mut Tx, slug: &str, enabled: bool) -> Result<InstallationRow> {
    tx.query(fabric::sql!(
        "update registry.installation set enabled = $3, changed_at = kernel.now()
         where kernel.owns($1, tenant_id) and slug = $2
         returning enabled, installed_at, changed_at"
    ))
    .bind(slug)
    .bind(enabled)
    .one()
    .await
}

/// Ends it; its keys end with it.
pub async fn remove(tx: &mut Tx, slug: &str) -> Result<()> {
    tx.query(fabric::sql!("delete from registry.installation where kernel.owns($1, tenant_id) and slug = $2"))
        .bind(slug)
        .run()
        .await
        .map(drop)
}

//! Taking modules out of the sandbox.

use std::time::Duration;

use fabric::postgres::{Audit, Reason, Tx};
use kernel::{Ctx, Error, Result, Slug};

use crate::{
    ModuleRegistry,
    events::{self, ModuleEvent},
    model,
    store::modules::{self, ModuleRow},
};

/// How long the data of an unregistered module are kept, on the sandbox's clock.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl ModuleRegistry {
    /// Takes a module out of the sandbox. Its tables go at once with `purge`, else after 30 days.
    ///
    /// # Errors
    /// `not-found`; `conflict` while tenants have it or other modules need it, unless `force`.
    pub async fn unregister(&self, cx: &Ctx, named: &str, purge: bool, force: bool) -> Result<()> {
        let mut tx = self.db.system(cx, Reason::Modules).begin().await?;
        let done = self.take_out(cx, &mut tx, named, purge, force).await;
        if let Err(error) = done {
            tx.rollback().await;
            return Err(error);
        }
        tx.commit(()).await?;
        self.snapshots.forget();
        Ok(())
    }

    async fn take_out(&self, cx: &Ctx, tx: &mut Tx, named: &str, purge: bool, force: bool) -> Result<()> {
        let row = modules::find_in(tx, named, None).await?.ok_or_else(|| Error::not_found("module"))?;
        if !row.active() && !purge {
            return Err(Error::not_found("module"));
        }
        self.lock_for_removal(tx, &row).await?;
        if !force {
            let tenants = modules::installed_in(tx, &row.slug).await?;
            if tenants > 0 {
                return Err(Error::new(
                    Slug::Conflict,
                    format!(
                        "{} is installed in {tenants} tenant(s); uninstall it there, or say force=true.",
                        row.name
                    ),
                ));
            }
            let neighbours = modules::neighbours(tx).await?;
            let dependents = model::dependents(&row.name, &neighbours);
            if !dependents.is_empty() {
                return Err(Error::new(
                    Slug::Conflict,
                    format!(
                        "{} is needed by {}; unregister them first, or say force=true.",
                        row.name,
                        dependents.join(", ")
                    ),
                ));
            }
        }
        modules::unregister(tx, &row.slug, cx.now().plus(KEPT)).await?;
        if purge {
            modules::purge(tx, &row.slug).await?;
        }
        tell(tx, &row, purge)
    }

    /// Deletes the data of modules that were unregistered 30 days ago. Work of its own; see the tasks.
    ///
    /// # Errors
    /// What the database says; those before the failing one are gone.
    pub(crate) async fn purge_overdue(&self, cx: &Ctx) -> Result<()> {
        let db = self.db.system(cx, Reason::Modules);
        for slug in modules::overdue(&db, cx.now()).await? {
            let mut tx = db.begin().await?;
            let Some(row) = modules::find_in(&mut tx, &slug, None).await? else { continue };
            if !modules::try_lock(&mut tx, &slug).await? {
                continue;
            }
            // It may have been registered again between look and lock.
            match modules::find_in(&mut tx, &slug, None).await? {
                Some(now) if !now.active() && now.purge_after.is_some_and(|due| due <= cx.now()) => {}
                _ => continue,
            }
            modules::purge(&mut tx, &slug).await?;
            tell(&mut tx, &row, true)?;
            tx.commit(()).await?;
        }
        Ok(())
    }

    async fn lock_for_removal(&self, tx: &mut Tx, row: &ModuleRow) -> Result<()> {
        if modules::try_lock(tx, &row.slug).await? {
            return Ok(());
        }
        Err(Error::new(
            Slug::Conflict,
            format!("The module {} is being registered or removed just now.", row.slug),
        ))
    }
}

fn tell(tx: &mut Tx, row: &ModuleRow, purged: bool) -> Result<()> {
    let data = ModuleEvent {
        module_id: Some(row.id),
        slug: &row.slug,
        version: &row.version,
        scope: "sandbox",
        purged,
        reason: None,
    };
    tx.event(data.told_as(events::UNINSTALLED)?)?;
    tx.audit(Audit::new("module.unregistered", "module", row.id).metadata(&data))
}

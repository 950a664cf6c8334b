//! What a tenant does with registered modules. None of it runs SQL of a module.

use fabric::postgres::{Audit, Reason, Tx};
use kernel::{Ctx, Error, Result, Slug};

use crate::{
    ModuleRegistry,
    events::{self, ModuleEvent},
    http::wire::{InstallationOut, UninstalledOut},
    manifest,
    store::{
        installations,
        modules::{self, ModuleRow},
        records,
    },
};

impl ModuleRegistry {
    /// Installs a registered module in the caller's tenant. A module that is there already stays as it is.
    ///
    /// # Errors
    /// `not-found`, `conflict` (a module that it needs is not installed), `plan-limit-exceeded`.
    pub async fn install(&self, cx: &Ctx, named: &str) -> Result<InstallationOut> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let module = self.registered(cx, named).await?;
        let has = installations::all(&mut tx).await?;
        for needed in module.manifest.0.dependencies.keys() {
            let slug = manifest::slug_of(needed).map_err(Error::internal)?;
            if !has.iter().any(|(there, enabled)| *enabled && there == slug.as_str()) {
                return Err(Error::new(
                    Slug::Conflict,
                    format!(
                        "{} → {needed}: {needed} is not installed and enabled here. Install it first.",
                        module.name
                    ),
                ));
            }
        }
        let answer = match installations::add(&mut tx, &module.slug, cx.actor().name()).await? {
            Some(row) => {
                tx.reserve("modules", 1).await?;
                tell(&mut tx, &module, events::INSTALLED, false)?;
                tell(&mut tx, &module, events::ACTIVATED, false)?;
                audit(&mut tx, &module, "module.installed")?;
                row
            }
            None => installations::lock(&mut tx, &module.slug).await?.ok_or_else(changed)?,
        };
        self.done(tx, InstallationOut::of(&module, answer)).await
    }

    /// Installs a module by name in the tenant of the context: for the seed of a sandbox. Nothing happens when it is
    /// installed.
    ///
    /// # Errors
    /// As [`ModuleRegistry::install`].
    pub async fn install_for(&self, cx: &Ctx, slug: &str) -> Result<InstallationOut> {
        self.install(cx, slug).await
    }

    /// Switches a module on or off for the caller's tenant; its data stay.
    ///
    /// # Errors
    /// `not-found`, `invalid-state` when it is not installed, `conflict` when another module here needs it (or it needs
    /// another one that is off).
    pub async fn switch(&self, cx: &Ctx, named: &str, on: bool) -> Result<InstallationOut> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let module = self.registered(cx, named).await?;
        let present =
            installations::lock(&mut tx, &module.slug).await?.ok_or_else(|| not_installed(&module))?;
        if present.enabled == on {
            return self.done(tx, InstallationOut::of(&module, present)).await;
        }
        let has = installations::all(&mut tx).await?;
        if on {
            for needed in module.manifest.0.dependencies.keys() {
                let slug = manifest::slug_of(needed).map_err(Error::internal)?;
                if !has.iter().any(|(there, enabled)| *enabled && there == slug.as_str()) {
                    return Err(Error::new(
                        Slug::Conflict,
                        format!("{} → {needed}: {needed} is not enabled here. Enable it first.", module.name),
                    ));
                }
            }
        } else {
            self.needed_by_none(cx, &module, &has).await?;
        }
        let row = installations::enable(&mut tx, &module.slug, on).await?;
        let (event, action) =
            if on { (events::ACTIVATED, "module.enabled") } else { (events::DISABLED, "module.disabled") };
        tell(&mut tx, &module, event, false)?;
        audit(&mut tx, &module, action)?;
        self.done(tx, InstallationOut::of(&module, row)).await
    }

    /// Takes a module out of the caller's tenant. Its rows stay for the next time, unless `purge`, which also removes
    /// what an earlier uninstallation kept.
    ///
    /// # Errors
    /// `not-found`, `invalid-state` when it is not installed (and nothing is to be purged), `conflict` when another
    /// module here needs it.
    pub async fn uninstall(&self, cx: &Ctx, named: &str, purge: bool) -> Result<UninstalledOut> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let module = self.registered(cx, named).await?;
        let present = installations::lock(&mut tx, &module.slug).await?;
        if present.is_none() && !purge {
            return Err(not_installed(&module));
        }
        let has = installations::all(&mut tx).await?;
        self.needed_by_none(cx, &module, &has).await?;
        let purged_rows = if purge { self.purge_rows(cx, &module).await? } else { 0 };
        if present.is_some() {
            installations::remove(&mut tx, &module.slug).await?;
            tx.reserve("modules", -1).await?;
        }
        tell(&mut tx, &module, events::UNINSTALLED, purge)?;
        audit(&mut tx, &module, if purge { "module.uninstalled_with_data" } else { "module.uninstalled" })?;
        self.done(tx, UninstalledOut { module_id: module.id, slug: module.slug.clone(), purged_rows }).await
    }

    /// The tenant's rows go as data-layer's role, whom row-level security shows no others. That is another connection
    /// than the installation's, so the rows go first: repeating a request that stopped in between completes it.
    async fn purge_rows(&self, cx: &Ctx, module: &ModuleRow) -> Result<i64> {
        let records = self.db.records(&cx.with_idempotency(None))?;
        let tables = records::tables(&records, &module.slug).await?;
        let mut tx = records.begin().await?;
        records::introduce(&mut tx, cx).await?;
        let rows = records::delete_all(&mut tx, &tables).await?;
        tx.commit(rows).await
    }

    async fn needed_by_none(&self, cx: &Ctx, module: &ModuleRow, has: &[(String, bool)]) -> Result<()> {
        let loaded = self.snapshots.current(cx, &self.db).await?;
        let by = has.iter().filter(|(_, enabled)| *enabled).find_map(|(slug, _)| {
            let other = loaded.manifest(slug)?;
            other.dependencies.contains_key(&module.name).then_some(other.name.as_str())
        });
        match by {
            None => Ok(()),
            Some(other) => Err(Error::new(
                Slug::Conflict,
                format!("{other} → {}: disable or uninstall {other} first.", module.name),
            )),
        }
    }

    /// An active module of the sandbox.
    pub(super) async fn registered(&self, cx: &Ctx, named: &str) -> Result<ModuleRow> {
        let db = self.db.system(cx, Reason::Modules);
        let row = modules::find(&db, named, cx.tenant().ok()).await?;
        row.filter(ModuleRow::active).ok_or_else(|| Error::not_found("module"))
    }

    pub(super) async fn done<A: serde::Serialize>(&self, tx: Tx, answer: A) -> Result<A> {
        let answer = tx.commit(answer).await;
        self.snapshots.forget();
        answer
    }
}

pub(super) fn not_installed(module: &ModuleRow) -> Error {
    Error::new(Slug::InvalidState, format!("{} is not installed here.", module.name))
}

fn changed() -> Error {
    Error::new(Slug::Conflict, "The installation was changed at the same moment; try again.")
}

fn tell(tx: &mut Tx, module: &ModuleRow, kind: &'static str, purged: bool) -> Result<()> {
    let data = ModuleEvent {
        module_id: Some(module.id),
        slug: &module.slug,
        version: &module.version,
        scope: "tenant",
        purged,
        reason: None,
    };
    tx.event(data.told_as(kind)?)
}

pub(super) fn audit(tx: &mut Tx, module: &ModuleRow, action: &'static str) -> Result<()> {
    let about = serde_json::json!({ "slug": module.slug, "module": module.name, "version": module.version });
    tx.audit(Audit::new(action, "module", module.id).metadata(&about))
}

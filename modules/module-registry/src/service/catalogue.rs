//! Looking at modules.

use fabric::postgres::Reason;
use kernel::{Actor, Ctx, Error, Result, Timestamp};
use ports::http::{Page, Paging, page_size};
use uuid::Uuid;

use crate::{
    ModuleRegistry,
    http::wire::{ActiveModuleOut, ModuleOut, RegistrationOut, RegistrationsQuery, VersionOut},
    store::{attempts, modules},
};

impl ModuleRegistry {
    /// The modules of the sandbox, by name, with what the caller's tenant has of them.
    ///
    /// # Errors
    /// `invalid-cursor`.
    pub async fn list(&self, cx: &Ctx, paging: Paging) -> Result<Page<ModuleOut>> {
        let limit = page_size(paging.limit)?;
        let tenant = cx.tenant().ok();
        let after: Option<String> =
            paging.cursor.map(|c| self.cursor.read(tenant, "modules", &c)).transpose()?;
        let db = self.db.system(cx, Reason::Modules);
        let rows = modules::list(&db, after.as_deref(), tenant, limit as i64 + 1).await?;
        let page = Page::cut(rows, limit, |row| self.cursor.write(tenant, "modules", &row.slug));
        Ok(page.map(|row| ModuleOut::of(row, is_author(cx))))
    }

    /// What is installed and switched on for the caller's tenant; from memory.
    ///
    /// # Errors
    /// `unauthorized` for a caller without a tenant.
    pub async fn active(&self, cx: &Ctx) -> Result<Page<ActiveModuleOut>> {
        let tenant = cx.tenant()?;
        let loaded = self.snapshots.current(cx, &self.db).await?;
        let slugs = loaded.public.installed.get(&tenant).map(Vec::as_slice).unwrap_or_default();
        let of = |slug: &kernel::ModuleSlug| {
            let (id, manifest) = loaded.manifests.get(slug.as_str())?;
            Some(ActiveModuleOut::of(*id, slug.as_str(), manifest))
        };
        Ok(Page::whole(slugs.iter().filter_map(of).collect()))
    }

    /// One module, by short name or id.
    ///
    /// # Errors
    /// `not-found`; an unregistered one is seen by those who may register modules.
    pub async fn get(&self, cx: &Ctx, named: &str) -> Result<ModuleOut> {
        let db = self.db.system(cx, Reason::Modules);
        let row = modules::find(&db, named, cx.tenant().ok()).await?;
        let row =
            row.filter(|row| row.active() || is_author(cx)).ok_or_else(|| Error::not_found("module"))?;
        Ok(ModuleOut::of(row, is_author(cx)))
    }

    /// The versions of a module that were registered, newest first.
    ///
    /// # Errors
    /// `not-found`, `invalid-cursor`.
    pub async fn versions(&self, cx: &Ctx, named: &str, paging: Paging) -> Result<Page<VersionOut>> {
        let limit = page_size(paging.limit)?;
        let module = self.get(cx, named).await?;
        let (tenant, list) = (cx.tenant().ok(), format!("module-versions/{}", module.slug));
        let before: Option<(Timestamp, String)> =
            paging.cursor.map(|cursor| self.cursor.read(tenant, &list, &cursor)).transpose()?;
        let before = before.as_ref().map(|(at, version)| (*at, version.as_str()));
        let db = self.db.system(cx, Reason::Modules);
        let rows = modules::versions(&db, &module.slug, before, limit as i64 + 1).await?;
        let page = Page::cut(rows, limit, |row| {
            self.cursor.write(tenant, &list, &(row.registered_at, &row.version))
        });
        Ok(page.map(VersionOut::from))
    }

    /// The last tries to register or update modules, newest first.
    ///
    /// # Errors
    /// `invalid-cursor`.
    pub async fn registrations(&self, cx: &Ctx, query: RegistrationsQuery) -> Result<Page<RegistrationOut>> {
        let limit = page_size(query.limit)?;
        let (tenant, list) =
            (cx.tenant().ok(), format!("registrations/{}", query.slug.as_deref().unwrap_or("")));
        let before: Option<(Timestamp, Uuid)> =
            query.cursor.map(|cursor| self.cursor.read(tenant, &list, &cursor)).transpose()?;
        let db = self.db.system(cx, Reason::Modules);
        let rows = attempts::list(&db, query.slug.as_deref(), before, limit as i64 + 1).await?;
        let page = Page::cut(rows, limit, |row| self.cursor.write(tenant, &list, &(row.started_at, row.id)));
        Ok(page.map(RegistrationOut::from))
    }
}

/// Whether the caller may register modules, and so sees what only authors see.
fn is_author(cx: &Ctx) -> bool {
    *cx.actor() == Actor::Operator || cx.caller().permissions.allow("modules.register")
}

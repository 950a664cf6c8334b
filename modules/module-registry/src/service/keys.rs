//! Keys with which a module works on its own behalf in one tenant.

use std::{sync::Arc, time::Duration};

use fabric::postgres::{Audit, Reason};
use kernel::{Actor, Caller, Ctx, Error, Permissions, Result, Secret};
use ports::{
    Principal,
    http::{Page, Paging, page_size},
};
use uuid::Uuid;

use super::installations::not_installed;
use crate::{
    ModuleRegistry,
    http::wire::{ModuleKeyOut, NewModuleKeyOut},
    model::KeyText,
    store::{installations, keys},
};

/// How long a key is good after a newer one took its place: the time to put the new one in.
const OVERLAP: Duration = Duration::from_secs(60 * 60);

impl ModuleRegistry {
    /// Makes a key of an installed module; keys that are there end an hour later. The text is told this once.
    ///
    /// # Errors
    /// `not-found`, `invalid-state` when the module is not installed.
    pub async fn create_key(&self, cx: &Ctx, named: &str) -> Result<NewModuleKeyOut> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let module = self.registered(cx, named).await?;
        if installations::lock(&mut tx, &module.slug).await?.is_none() {
            return Err(not_installed(&module));
        }
        let key = KeyText::new(cx.random(), cx.random());
        keys::retire(&mut tx, &module.slug, cx.now().plus(OVERLAP)).await?;
        let row = keys::add(&mut tx, &module.slug, &key.prefix, key.hash(), cx.actor().name()).await?;
        let about = ModuleKeyOut::from(row);
        let what = serde_json::json!({ "slug": module.slug, "prefix": about.prefix });
        tx.audit(Audit::new("module.key_created", "module_key", about.id).metadata(&what))?;
        tx.commit(NewModuleKeyOut { key: key.text.expose().to_owned(), about }).await
    }

    /// The keys of a module that are good now, newest first.
    ///
    /// # Errors
    /// `not-found`, `invalid-cursor`.
    pub async fn list_keys(&self, cx: &Ctx, named: &str, paging: Paging) -> Result<Page<ModuleKeyOut>> {
        let limit = page_size(paging.limit)?;
        let module = self.registered(cx, named).await?;
        let (tenant, list) = (Some(cx.tenant()?), format!("module-keys/{}", module.slug));
        let before = paging.cursor.map(|cursor| self.cursor.read(tenant, &list, &cursor)).transpose()?;
        let db = self.db.tenant(cx)?;
        let rows = keys::list(&db, &module.slug, cx.now(), before, limit as i64 + 1).await?;
        let page = Page::cut(rows, limit, |row| self.cursor.write(tenant, &list, &(row.created_at, row.id)));
        Ok(page.map(ModuleKeyOut::from))
    }

    /// Ends a key at once.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn revoke_key(&self, cx: &Ctx, named: &str, id: Uuid) -> Result<()> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let module = self.registered(cx, named).await?;
        let prefix =
            keys::revoke(&mut tx, &module.slug, id).await?.ok_or_else(|| Error::not_found("module key"))?;
        let what = serde_json::json!({ "slug": module.slug, "prefix": prefix });
        tx.audit(Audit::new("module.key_revoked", "module_key", id).metadata(&what))?;
        tx.commit(()).await
    }

    /// Whose key this is. It is good while the module is enabled in the tenant, and may do what the manifest says.
    ///
    /// # Errors
    /// `unauthorized`.
    pub(crate) async fn whose_key(&self, cx: &Ctx, text: &Secret) -> Result<Principal> {
        let key = KeyText::parse(text).ok_or_else(Error::unauthorized)?;
        let found = keys::find(&self.db.system(cx, Reason::Key), &key.prefix, key.hash()).await?;
        let found = found.filter(|found| found.valid_until.is_none_or(|end| end > cx.now()));
        let found = found.ok_or_else(Error::unauthorized)?;
        let loaded = self.snapshots.current(cx, &self.db).await?;
        let module =
            loaded.public.for_tenant(found.tenant_id, &found.slug).ok_or_else(Error::unauthorized)?;
        Ok(Principal {
            caller: Caller {
                tenant: Some(found.tenant_id),
                actor: Actor::Module { slug: module.slug.clone(), on_behalf_of: None },
                permissions: Arc::new(Permissions::new(module.permissions.iter().map(String::as_str))),
            },
            expires_at: found.valid_until,
            of_platform: false,
        })
    }
}

//! Modules and their records.

use std::collections::BTreeMap;

use kernel::{Actor, Caller, Ctx, Permissions, TenantId, TenantSlug};
use serde_json::Value;

use super::{Seed, SeedError, form::Module, named};
use crate::cell::Cell;

/// Rows that go into one batch.
const BATCH: usize = 500;

impl Seed {
    pub(super) async fn plant_module(
        &self,
        cell: &Cell,
        cx: &Ctx,
        module: &Module,
        tenants: &BTreeMap<&TenantSlug, TenantId>,
    ) -> Result<(), SeedError> {
        let what = format!("module {}", module.builtin);
        let refused = |source| SeedError::Refused { what: what.clone(), source };
        if module.builtin != crm_example::NAME {
            return Err(SeedError::Unknown(format!(
                "{what}: this program carries only {}",
                crm_example::NAME
            )));
        }
        let registry = &cell.services().modules;
        let files = crm_example::MIGRATIONS
            .iter()
            .map(|(file, sql)| ((*file).to_owned(), (*sql).to_owned()))
            .collect();
        registry.register_builtin(cx, crm_example::MANIFEST, files, None).await.map_err(refused)?;
        for slug in &module.installed_for {
            let tenant = named(tenants, slug)?;
            registry.install_for(&cx.within(tenant), crm_example::SLUG).await.map_err(refused)?;
        }
        Ok(())
    }

    pub(super) async fn plant_records(
        &self,
        cell: &Cell,
        cx: &Ctx,
        tenants: &BTreeMap<&TenantSlug, TenantId>,
    ) -> Result<usize, SeedError> {
        let mut planted = 0;
        let mut references: BTreeMap<String, Value> = BTreeMap::new();
        for set in &self.records {
            let what = format!("records of {}.{}", set.module, set.model);
            let refused = |source| SeedError::Refused { what: what.clone(), source };
            let caller = Caller {
                tenant: Some(named(tenants, &set.tenant)?),
                actor: Actor::System("sandbox"),
                permissions: std::sync::Arc::new(Permissions::new(["*"])),
            };
            let cx = cx.with_caller(caller);
            for batch in set.rows.chunks(BATCH) {
                let mut names = Vec::new();
                let mut rows = Vec::new();
                for row in batch {
                    let mut row = row.clone();
                    names.push(row.remove("ref").and_then(|name| name.as_str().map(str::to_owned)));
                    for value in row.values_mut() {
                        if let Some(name) = value.get("ref").and_then(Value::as_str) {
                            *value = references.get(name).cloned().ok_or_else(|| {
                                SeedError::Unknown(format!(
                                    "{what}: there is no row named {name} before this one"
                                ))
                            })?;
                        }
                    }
                    rows.push(Value::Object(row.into_iter().collect()));
                }
                let ids = cell
                    .services()
                    .data_layer
                    .insert_records(&cx, &set.module, &set.model, rows)
                    .await
                    .map_err(refused)?;
                planted += ids.len();
                for (name, id) in names.into_iter().zip(ids) {
                    if let Some(name) = name {
                        references.insert(name, Value::String(id.to_string()));
                    }
                }
            }
        }
        Ok(planted)
    }
}

use std::{collections::BTreeMap, sync::Arc};

use kernel::{ModuleSlug, Secret, TenantId};
use serde::{Deserialize, Serialize};

use super::Principal;
use crate::contract;

/// A registered module, as far as others need it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModuleInfo {
    /// Its short name.
    pub slug: ModuleSlug,
    /// Its full name, `@scope/name`.
    pub name: String,
    /// Its version, semver.
    pub version: String,
    /// Its back-end, if it has one.
    pub backend: Option<ModuleBackend>,
    /// The models of its data API with what is hidden and read-only in them.
    pub models: BTreeMap<String, ModelRules>,
    /// Every permission it declares.
    pub permissions: Vec<String>,
    /// Types it may publish.
    pub publishes: Vec<String>,
    /// Types or patterns it may hear.
    pub subscribes: Vec<String>,
    /// Grows with each change of the module, so that caches know.
    pub revision: i64,
}

/// Rules of one model of a module.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelRules {
    /// Columns that the API never shows.
    pub hidden: Vec<String>,
    /// Columns that the API never writes.
    pub read_only: Vec<String>,
}

/// Where a module's own HTTP lives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModuleBackend {
    /// Its base address.
    pub url: String,
    /// The path that says whether it is well.
    pub health_check: Option<String>,
    /// The time it gets to answer.
    pub timeout_ms: u64,
    /// Its routes, below `/api/v1/m/{slug}`.
    pub routes: Vec<BackendRoute>,
}

/// One route of a module's back-end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendRoute {
    /// `GET`, `POST`, `PATCH` or `DELETE`.
    pub method: String,
    /// The path on the back-end, with `{parameters}`.
    pub path: String,
    /// The permission that the caller needs; none: any caller of the tenant.
    pub permission: Option<String>,
}

/// All active modules of the sandbox, and in which tenants they are installed.
#[derive(Debug, Clone, Default)]
pub struct ModuleSnapshot {
    /// Grows with each change.
    pub version: i64,
    /// By slug.
    pub modules: BTreeMap<ModuleSlug, Arc<ModuleInfo>>,
    /// The modules that are installed and enabled, by tenant.
    pub installed: BTreeMap<TenantId, Vec<ModuleSlug>>,
}

impl ModuleSnapshot {
    /// A module, if it is installed and enabled for the tenant.
    pub fn for_tenant(&self, tenant: TenantId, slug: &str) -> Option<&Arc<ModuleInfo>> {
        let slug = self.installed.get(&tenant)?.iter().find(|installed| installed.as_str() == slug)?;
        self.modules.get(slug)
    }
}

contract! {
    /// What others ask module-registry.
    pub trait Modules via ModulesLink {
        /// Everything that is active now; cheap, from memory.
        async fn snapshot() -> Arc<ModuleSnapshot>;
        /// Whose module key `mk_…` this is; `unauthorized` else.
        async fn authenticate_key(key: Secret) -> Principal;
    }
}

//! What goes over the wire.

use std::collections::BTreeMap;

use kernel::{ModuleId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    manifest::{Embed, Manifest, Widget},
    store::{
        attempts::AttemptRow, installations::InstallationRow, keys::KeyRow, modules::ModuleRow,
        modules::VersionRow,
    },
};

/// A module as it is registered or updated.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BundleIn {
    /// `module.manifest.json`.
    pub manifest: Manifest,
    /// Its SQL migrations in goose form; all of them, also those that ran for earlier versions.
    #[serde(default)]
    pub migrations: Vec<MigrationIn>,
    /// Where the back-end is, when that is another address than the manifest's.
    #[serde(default)]
    pub backend_url: Option<String>,
}

/// A migration file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MigrationIn {
    /// Its name, like `00001_companies.sql`.
    pub file: String,
    /// Its content, with `-- +goose Up` and `-- +goose Down`.
    pub sql: String,
}

/// A registered module.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModuleOut {
    /// Its id.
    pub id: ModuleId,
    /// Its short name, in routes, tables and events.
    pub slug: String,
    /// Its full name, `@scope/name`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it is for.
    pub description: String,
    /// `active`, or `unregistered` while its data are kept.
    pub state: String,
    /// The name of its icon.
    pub icon: Option<String>,
    /// The group in which it is listed.
    pub category: Option<String>,
    /// Who made it.
    pub author: Option<String>,
    /// Whether it has a back-end of its own.
    pub has_backend: bool,
    /// The back-end's address; shown to those who may register modules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend_url: Option<String>,
    /// What roles can grant.
    pub permissions: Vec<String>,
    /// Types it publishes.
    pub publishes: Vec<String>,
    /// Types it hears.
    pub subscribes: Vec<String>,
    /// Tables with an API.
    pub models: Vec<String>,
    /// Modules it needs, with their ranges.
    pub dependencies: BTreeMap<String, String>,
    /// Whether the caller's tenant has installed it.
    pub installed: bool,
    /// Whether it is switched on there.
    pub enabled: bool,
    /// Grows with each change.
    pub revision: i64,
    /// When it was registered first.
    pub registered_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// When the data of an unregistered module go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purge_after: Option<Timestamp>,
}

impl ModuleOut {
    /// The row; `author` also sees where its back-end is.
    pub fn of(row: ModuleRow, author: bool) -> Self {
        let manifest = row.manifest.0;
        Self {
            id: row.id,
            slug: row.slug,
            name: row.name,
            version: row.version,
            description: manifest.description,
            state: row.state,
            icon: manifest.icon,
            category: manifest.category,
            author: manifest.author,
            has_backend: manifest.backend.is_some(),
            backend_url: row.backend_url.filter(|_| author),
            permissions: manifest.permissions,
            publishes: manifest.events.publishes,
            subscribes: manifest.events.subscribes,
            models: manifest.data_api.models.into_iter().filter(|m| m.auto_api).map(|m| m.name).collect(),
            dependencies: manifest.dependencies,
            installed: row.enabled.is_some(),
            enabled: row.enabled.unwrap_or(false),
            revision: row.revision,
            registered_at: row.registered_at,
            updated_at: row.updated_at,
            purge_after: row.purge_after,
        }
    }
}

/// A module that is switched on for the caller's tenant: what a front-end needs to show it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActiveModuleOut {
    /// Its id.
    pub id: ModuleId,
    /// Its short name.
    pub slug: String,
    /// Its full name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it is for.
    pub description: String,
    /// Its page in the console.
    pub route: Option<String>,
    /// The name of its icon.
    pub icon: Option<String>,
    /// The group in which it is listed.
    pub category: Option<String>,
    /// Where its micro front-end lies.
    pub entry: Option<String>,
    /// The component of its page.
    pub exposed_component: Option<String>,
    /// What roles can grant.
    pub permissions: Vec<String>,
    /// Tables with an API.
    pub models: Vec<String>,
    /// What it shows on the dashboard.
    pub dashboard_widget: Option<Widget>,
    /// What it shows on pages of others.
    pub embeds: Vec<Embed>,
}

impl ActiveModuleOut {
    /// What a manifest says.
    pub fn of(id: ModuleId, slug: &str, manifest: &Manifest) -> Self {
        Self {
            id,
            slug: slug.to_owned(),
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            description: manifest.description.clone(),
            route: manifest.route.clone(),
            icon: manifest.icon.clone(),
            category: manifest.category.clone(),
            entry: manifest.entry.clone(),
            exposed_component: manifest.exposed_component.clone(),
            permissions: manifest.permissions.clone(),
            models: manifest.data_api.models.iter().filter(|m| m.auto_api).map(|m| m.name.clone()).collect(),
            dashboard_widget: manifest.dashboard_widget.clone(),
            embeds: manifest.embeds.clone(),
        }
    }
}

/// A version that was registered.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionOut {
    /// The version.
    pub version: String,
    /// Its migration files.
    pub migrations: Vec<String>,
    /// Who registered it.
    pub registered_by: String,
    /// When.
    pub registered_at: Timestamp,
}

impl From<VersionRow> for VersionOut {
    fn from(row: VersionRow) -> Self {
        Self {
            version: row.version,
            migrations: row.files.0,
            registered_by: row.registered_by,
            registered_at: row.registered_at,
        }
    }
}

/// A try to register or update a module.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistrationOut {
    /// Its id.
    pub id: Uuid,
    /// The module.
    pub slug: String,
    /// The version that was to be.
    pub version: String,
    /// `register` or `update`.
    pub kind: String,
    /// `pending`, `registering`, `active` or `failed`.
    pub state: String,
    /// Why it failed.
    pub fault: Option<String>,
    /// Who asked for it.
    pub started_by: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl From<AttemptRow> for RegistrationOut {
    fn from(row: AttemptRow) -> Self {
        let AttemptRow { id, slug, version, kind, state, fault, started_by, started_at, finished_at } = row;
        Self { id, slug, version, kind, state, fault, started_by, started_at, finished_at }
    }
}

/// A module in the caller's tenant.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstallationOut {
    /// The module's id.
    pub module_id: ModuleId,
    /// The module's short name.
    pub slug: String,
    /// Its version.
    pub version: String,
    /// Whether it is switched on.
    pub enabled: bool,
    /// When it was installed.
    pub installed_at: Timestamp,
    /// When it was switched last.
    pub changed_at: Timestamp,
}

impl InstallationOut {
    /// The row of a module.
    pub fn of(module: &ModuleRow, row: InstallationRow) -> Self {
        Self {
            module_id: module.id,
            slug: module.slug.clone(),
            version: module.version.clone(),
            enabled: row.enabled,
            installed_at: row.installed_at,
            changed_at: row.changed_at,
        }
    }
}

/// A module that is no longer in the caller's tenant.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UninstalledOut {
    /// The module's id.
    pub module_id: ModuleId,
    /// The module's short name.
    pub slug: String,
    /// How many of the tenant's rows were deleted; none unless `purge=true` was asked for.
    pub purged_rows: i64,
}

/// A module key.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModuleKeyOut {
    /// Its id.
    pub id: Uuid,
    /// The part of it that may be shown.
    pub prefix: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it ends, because a newer one took its place.
    pub valid_until: Option<Timestamp>,
}

impl From<KeyRow> for ModuleKeyOut {
    fn from(row: KeyRow) -> Self {
        let KeyRow { id, prefix, created_by, created_at, valid_until } = row;
        Self { id, prefix, created_by, created_at, valid_until }
    }
}

/// A new module key, with its text: shown this once.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewModuleKeyOut {
    /// The key to be sent as `Authorization: Bearer mk_…`.
    pub key: String,
    /// What is kept of it.
    #[serde(flatten)]
    pub about: ModuleKeyOut,
}

/// What an unregistration takes with it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnregisterQuery {
    /// Deletes the module's tables in all tenants at once; else they are kept for 30 days.
    #[serde(default)]
    pub purge: bool,
    /// Also when tenants have it installed, or other modules need it.
    #[serde(default)]
    pub force: bool,
}

/// What an uninstallation takes with it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UninstallQuery {
    /// Deletes the tenant's rows in the module's tables; else they are there again when it is installed again.
    #[serde(default)]
    pub purge: bool,
}

/// Which tries.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistrationsQuery {
    /// Of this module only.
    pub slug: Option<String>,
    /// Entries a page, 1 to 100; 20 unless said.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u16>,
    /// Where to go on: the `meta.cursor` of the page before.
    pub cursor: Option<String>,
}

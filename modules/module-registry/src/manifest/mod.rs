//! `module.manifest.json`: what a module says about itself.

mod form;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::{Deserialize, Serialize};

pub use rules::{check, check_backend_url, sdk_fits, slug_of};

pub(crate) use form::range;

/// The time a back-end gets to answer unless its manifest says otherwise.
pub const DEFAULT_TIMEOUT_MS: u64 = 10_000;

/// A module, as its author describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "module.manifest.json")]
pub struct Manifest {
    /// `@scope/name`. The name without its scope is the module's slug: it names routes, tables and events.
    #[schemars(regex(pattern = r"^@[a-z0-9][a-z0-9-]{0,38}/[a-z][a-z0-9_]{1,30}$"))]
    pub name: String,
    /// The module's version, X.Y.Z.
    pub version: String,
    /// What it is for, in up to 255 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 255))]
    pub description: String,
    /// The versions of Platform Kernel that it works with, as a semver range: `>=0.1.0, <2.0.0`.
    pub kernel_sdk_version: String,
    /// Where the micro front-end's remoteEntry lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// The component that the remote entry exposes for the module's page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposed_component: Option<String>,
    /// The page's address in the console, like `/crm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The name of an icon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
    /// The group in which it is listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Its own HTTP, if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<Backend>,
    /// What roles can grant, `{module}.{resource}.{action}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
    /// What it tells and what it hears.
    #[serde(default, skip_serializing_if = "Events::is_empty")]
    pub events: Events,
    /// Which of its tables have an API.
    #[serde(default, skip_serializing_if = "DataApi::is_empty")]
    pub data_api: DataApi,
    /// Channels by which it can deliver notifications.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notification_channels: Vec<String>,
    /// Ways to sign in that it brings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub auth_providers: Vec<String>,
    /// What it shows on the dashboard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dashboard_widget: Option<Widget>,
    /// What it shows on pages of others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub embeds: Vec<Embed>,
    /// The modules it needs, by full name, with a semver range each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dependencies: BTreeMap<String, String>,
}

/// A module's own HTTP server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Backend {
    /// Its base address: `http://…` or `https://…`.
    pub url: String,
    /// The path that says whether it is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<String>,
    /// The time it gets to answer, 100 to 60,000 ms; 10,000 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 60_000))]
    pub timeout_ms: Option<u64>,
    /// Its routes, reached below `/api/v1/m/{slug}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
}

/// A route of the back-end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route {
    /// `GET`, `POST`, `PATCH` or `DELETE`.
    #[schemars(regex(pattern = r"^(GET|POST|PATCH|DELETE)$"))]
    pub method: String,
    /// The path on the back-end, with `{parameters}`.
    pub path: String,
    /// One of the module's permissions; without it any caller of the tenant may call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission: Option<String>,
}

/// What a module tells and hears.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Events {
    /// Types it publishes, `{module}.{entity}.{verb}`.
    #[serde(default)]
    pub publishes: Vec<String>,
    /// Types it hears, or beginnings that end in `.*`.
    #[serde(default)]
    pub subscribes: Vec<String>,
}

impl Events {
    fn is_empty(&self) -> bool {
        self.publishes.is_empty() && self.subscribes.is_empty()
    }
}

/// The part of a module's tables that has an API.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataApi {
    /// The tables.
    #[serde(default)]
    pub models: Vec<Model>,
    /// `{model}.{create|update|delete}.before`, each with the back-end's path that is asked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hooks: BTreeMap<String, String>,
}

impl DataApi {
    fn is_empty(&self) -> bool {
        self.models.is_empty() && self.hooks.is_empty()
    }
}

/// A table with an API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Model {
    /// The table's name.
    pub name: String,
    /// Whether it can be reached below `/api/v1/data/{slug}/{name}`.
    #[serde(default)]
    pub auto_api: bool,
    /// Columns that the API never shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<String>,
    /// Columns that the API shows and never sets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read_only: Vec<String>,
}

/// What a module shows on the dashboard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Widget {
    /// Its title.
    pub title: String,
    /// The component that the remote entry exposes for it.
    pub exposed_component: String,
    /// The permission without which it is not shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission: Option<String>,
}

/// What a module shows on a page of another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Embed {
    /// The place on the other page.
    pub slot: String,
    /// The component that the remote entry exposes for it.
    pub exposed_component: String,
}

/// The JSON Schema of the manifest (draft 2020-12), for editors and checkers.
pub fn json_schema() -> Schema {
    SchemaGenerator::new(SchemaSettings::draft2020_12()).into_root_schema_for::<Manifest>()
}

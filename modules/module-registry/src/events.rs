//! What module-registry tells: `platform.module.events`, keyed by the module's id. It hears nothing.

use fabric::postgres::Event;
use kernel::{ModuleId, Result};
use serde::Serialize;

/// Registered in the sandbox.
pub const REGISTERED: &str = "module.registry.registered";
/// Installed in a tenant.
pub const INSTALLED: &str = "module.registry.installed";
/// Switched on in a tenant.
pub const ACTIVATED: &str = "module.registry.activated";
/// Brought to another version in the sandbox.
pub const UPDATED: &str = "module.registry.updated";
/// Switched off in a tenant.
pub const DISABLED: &str = "module.registry.disabled";
/// Gone: from a tenant, or with `scope` `sandbox` from all.
pub const UNINSTALLED: &str = "module.registry.uninstalled";
/// Not registered or updated.
pub const FAILED: &str = "module.registry.failed";

/// What each of these events carries.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModuleEvent<'a> {
    /// The module's id; a module that was never registered has none.
    pub module_id: Option<ModuleId>,
    /// Its short name.
    pub slug: &'a str,
    /// Its version, or the one that was to be.
    pub version: &'a str,
    /// `sandbox` or `tenant`: how far it reaches.
    pub scope: &'static str,
    /// Whether data were deleted with it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub purged: bool,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
}

impl ModuleEvent<'_> {
    /// The event, under the module's id (its short name while it has none).
    ///
    /// # Errors
    /// As [`Event::new`].
    pub fn told_as(&self, kind: &'static str) -> Result<Event> {
        let key = self.module_id.map_or_else(|| self.slug.to_owned(), |id| id.to_string());
        Event::new("module-registry", kind, key, self)
    }
}

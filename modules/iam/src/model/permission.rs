//! What can be granted, what the built-in roles grant, and who may grant what.

use kernel::{Error, FieldCode, FieldError, Permissions, Result, Slug};
use ports::{ModuleInfo, ModuleSnapshot};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{MOST_PERMISSIONS, RoleKind, TenantKind};

/// Permissions of the kernel, by resource.
const KERNEL: [(&str, &[&str]); 16] = [
    ("tenants", &["list", "create", "update", "block", "delete"]),
    ("modules", &["list", "install", "configure", "uninstall", "register"]),
    ("users", &["list", "create", "update", "delete", "impersonate"]),
    ("roles", &["list", "create", "update", "delete", "assign"]),
    ("audit", &["read", "write", "export", "anonymize"]),
    ("billing", &["view", "change", "export"]),
    ("plans", &["write"]),
    ("settings", &["read", "update"]),
    ("files", &["read", "write", "delete"]),
    ("wallets", &["read", "write"]),
    ("notifications", &["read", "send", "configure"]),
    ("events", &["read", "publish", "replay"]),
    ("integrations", &["read", "configure", "call"]),
    ("domains", &["read", "configure"]),
    ("flags", &["read", "configure"]),
    ("apikeys", &["list", "create", "revoke"]),
];

/// What users of the Platform tenant can hold beyond `*`.
const OF_PLATFORM: [&str; 2] = ["modules.register", "plans.write"];

/// Belongs to the Owner, beside what Admin has.
const NOT_FOR_ADMINS: [&str; 3] = ["billing.change", OF_PLATFORM[0], OF_PLATFORM[1]];

/// Read, but not by everybody.
const NOT_FOR_MEMBERS: [&str; 2] = ["audit.read", "apikeys.list"];

/// A role as far as it decides what its holder may do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Grant {
    /// Its name.
    pub name: String,
    /// Whether it is built in.
    pub kind: RoleKind,
    /// What a custom role grants; empty for built-in ones.
    pub permissions: Vec<String>,
}

/// Permissions of one resource or module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PermissionGroup {
    /// The resource (`users`) or the module (`crm`).
    pub group: String,
    /// `kernel`, or the module's full name.
    pub source: String,
    /// Every permission of the group, by name.
    pub permissions: Vec<String>,
}

/// Everything that can be granted in one tenant: what the kernel has, and what the tenant's modules declare.
pub struct Catalogue<'a> {
    kind: TenantKind,
    modules: Vec<&'a ModuleInfo>,
}

impl<'a> Catalogue<'a> {
    /// The catalogue of a tenant of `kind` with the modules installed there.
    pub fn new(kind: TenantKind, tenant: kernel::TenantId, snapshot: &'a ModuleSnapshot) -> Self {
        let installed = snapshot.installed.get(&tenant).into_iter().flatten();
        let modules = installed.filter_map(|slug| snapshot.modules.get(slug)).map(AsRef::as_ref).collect();
        Self { kind, modules }
    }

    /// All of it, grouped.
    pub fn groups(&self) -> Vec<PermissionGroup> {
        let kernel = KERNEL.iter().map(|(resource, actions)| {
            let names = actions.iter().map(|action| format!("{resource}.{action}"));
            PermissionGroup {
                group: (*resource).to_owned(),
                source: "kernel".to_owned(),
                permissions: names
                    .filter(|name| !OF_PLATFORM.contains(&name.as_str()) || self.kind == TenantKind::Platform)
                    .collect(),
            }
        });
        let kernel = kernel.filter(|group| !group.permissions.is_empty());
        let modules = self.modules.iter().map(|module| PermissionGroup {
            group: module.slug.to_string(),
            source: module.name.clone(),
            permissions: module.permissions.clone(),
        });
        kernel.chain(modules).collect()
    }

    /// What a role grants.
    pub fn of_role(&self, kind: RoleKind, custom: &[String]) -> Vec<String> {
        match kind {
            RoleKind::Owner if self.kind == TenantKind::Platform => {
                ["*"].iter().chain(&OF_PLATFORM).map(|name| (*name).to_owned()).collect()
            }
            RoleKind::Owner => vec!["*".to_owned()],
            RoleKind::Admin => kernel_names()
                .filter(|name| !NOT_FOR_ADMINS.contains(&name.as_str()))
                .chain(self.modules.iter().map(|module| format!("{}.*", module.slug)))
                .collect(),
            RoleKind::Member => kernel_names()
                .chain(self.modules.iter().flat_map(|module| module.permissions.iter().cloned()))
                .filter(|name| is_reading(name) && !NOT_FOR_MEMBERS.contains(&name.as_str()))
                .collect(),
            RoleKind::Custom => custom.to_vec(),
        }
    }

    /// What these roles grant together.
    pub fn of_roles(&self, roles: &[Grant]) -> Permissions {
        Permissions::new(roles.iter().flat_map(|role| self.of_role(role.kind, &role.permissions)))
    }

    /// Whether the text is a permission, or a wildcard over some.
    fn knows(&self, text: &str) -> bool {
        let mut all =
            kernel_names().chain(self.modules.iter().flat_map(|module| module.permissions.iter().cloned()));
        match text.strip_suffix('*') {
            Some(prefix) if prefix.len() > 1 && prefix.ends_with('.') => {
                all.any(|name| name.starts_with(prefix))
            }
            Some(_) => false,
            None => all.any(|name| name == text),
        }
    }

    /// Checks a list of permissions that `giver` wants to grant. `everything` says whether `*` may be among them.
    ///
    /// # Errors
    /// `validation-error` naming each entry that is none, `forbidden` for one that the giver does not hold.
    pub fn check(&self, wanted: &[String], giver: &Permissions, everything: bool) -> Result<()> {
        if wanted.len() > MOST_PERMISSIONS {
            let message = format!("takes at most {MOST_PERMISSIONS} permissions, got {}", wanted.len());
            return Err(Error::field("/permissions", FieldCode::TooLong, message));
        }
        let mistakes: Vec<FieldError> = wanted
            .iter()
            .enumerate()
            .filter_map(|(at, text)| {
                let why = self.refusal(text, everything)?;
                Some(FieldError::new(format!("/permissions/{at}"), FieldCode::NotAllowed, why))
            })
            .collect();
        if !mistakes.is_empty() {
            return Err(Error::fields(mistakes));
        }
        self.check_held(wanted, giver)
    }

    /// # Errors
    /// `forbidden` for the first one that the giver does not hold.
    pub fn check_held(&self, wanted: &[String], giver: &Permissions) -> Result<()> {
        match wanted.iter().find(|text| !giver.allow(text)) {
            Some(missing) => Err(Error::new(
                Slug::Forbidden,
                format!("You do not hold {missing} yourself, so you can't grant it."),
            )),
            None => Ok(()),
        }
    }

    fn refusal(&self, text: &str, everything: bool) -> Option<&'static str> {
        if text == "*" {
            return (!everything).then_some("is what the Owner role is; a custom role names what it grants");
        }
        if OF_PLATFORM.contains(&text) {
            let platform = self.kind == TenantKind::Platform;
            return (!platform).then_some("can be granted in the Platform tenant only");
        }
        if Permissions::of_platform(text) {
            return Some("belongs to the operator; no role or key can hold it");
        }
        (!self.knows(text)).then_some("is no permission; GET /permissions lists them all")
    }
}

fn kernel_names() -> impl Iterator<Item = String> {
    KERNEL
        .iter()
        .flat_map(|(resource, actions)| actions.iter().map(move |action| format!("{resource}.{action}")))
}

fn is_reading(permission: &str) -> bool {
    permission.rsplit('.').next().is_some_and(|action| matches!(action, "read" | "list" | "view"))
}

#[cfg(test)]
#[path = "permission_tests.rs"]
mod tests;

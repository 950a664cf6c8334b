use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a name was refused; the text is a sentence for the person who gave it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadName(pub String);

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                $check(text)?;
                Ok(Self(text.into()))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string" })
            }
            fn inline_schema() -> bool {
                true
            }
        }
    };
}

name! {
    /// The name of a sandbox: a DNS label of up to 40 characters.
    SandboxName, sandbox_name
}
name! {
    /// A tenant's name in hosts: a DNS label of up to 40 characters, unique in the sandbox.
    TenantSlug, dns_label
}
name! {
    /// A module's short name: `@example/crm` is `crm`. Names its schema, its routes and its events.
    ModuleSlug, module_slug
}

impl SandboxName {
    /// The sandbox that plain `localhost` answers for.
    pub fn default_sandbox() -> Self {
        Self("default".into())
    }

    /// Whether this is the sandbox of plain `localhost`.
    pub fn is_default(&self) -> bool {
        &*self.0 == "default"
    }

    /// The name of its Postgres database. To be quoted in SQL: it may hold hyphens. Names of the kernel's own
    /// databases hold a double underscore or are reserved, so none can clash.
    pub fn database(&self) -> String {
        format!("pk_{}", self.0)
    }
}

/// Names that hosts and addresses use already.
const RESERVED_SANDBOXES: [&str; 5] = ["sandbox", "api", "www", "localhost", "control"];

/// Words that a module may not take: services, topic domains, permission resources and the platform's own.
const RESERVED_MODULES: [&str; 50] = [
    "gateway",
    "iam",
    "data",
    "data_layer",
    "event_bus",
    "notify",
    "files",
    "money",
    "audit",
    "billing",
    "module_registry",
    "integration_hub",
    "domain_resolver",
    "auth",
    "module",
    "integration",
    "domain",
    "modules",
    "tenants",
    "users",
    "roles",
    "wallets",
    "notifications",
    "events",
    "integrations",
    "domains",
    "flags",
    "apikeys",
    "settings",
    "plans",
    "platform",
    "system",
    "kernel",
    "sandbox",
    "sandboxes",
    "security",
    "public",
    "api",
    "admin",
    "permissions",
    "health",
    "docs",
    "openapi",
    "problems",
    "schemas",
    "cache",
    "registry",
    "operator",
    "internal",
    "module_registry_events",
];

fn dns_label(text: &str) -> Result<(), BadName> {
    let fits = (1..=40).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
        && !text.contains("--");
    if fits {
        return Ok(());
    }
    Err(BadName(format!(
        "\u{201c}{}\u{201d} is not a usable name: use 1 to 40 lower-case letters, digits and single hyphens, \
         with a letter or digit first and last",
        text.chars().take(60).collect::<String>()
    )))
}

fn sandbox_name(text: &str) -> Result<(), BadName> {
    dns_label(text)?;
    if RESERVED_SANDBOXES.contains(&text) {
        return Err(BadName(format!("\u{201c}{text}\u{201d} is reserved: choose another name")));
    }
    Ok(())
}

fn module_slug(text: &str) -> Result<(), BadName> {
    let mut bytes = text.bytes();
    let fits = (2..=31).contains(&text.len())
        && bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if !fits {
        return Err(BadName(format!(
            "\u{201c}{}\u{201d} is not a usable module name: after the scope use 2 to 31 lower-case letters, digits \
             and underscores, a letter first",
            text.chars().take(60).collect::<String>()
        )));
    }
    if RESERVED_MODULES.contains(&text) {
        return Err(BadName(format!(
            "\u{201c}{text}\u{201d} is a word of the platform: choose another module name"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sandbox_names_are_dns_labels_and_some_are_taken() {
        for good in ["default", "acme", "a", "a-1", &"x".repeat(40)] {
            assert!(good.parse::<SandboxName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a--b", "api", "www", "a.b", &"x".repeat(41)] {
            assert!(bad.parse::<SandboxName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn no_sandbox_can_take_the_control_database() {
        assert!("control".parse::<SandboxName>().is_err());
        assert_eq!("a-b".parse::<SandboxName>().unwrap().database(), "pk_a-b");
    }

    #[test]
    fn a_module_cannot_take_the_platforms_words() {
        assert!("crm".parse::<ModuleSlug>().is_ok());
        for bad in ["iam", "kernel", "system", "x", "1crm", "crm-x", "Crm", "auth"] {
            assert!(bad.parse::<ModuleSlug>().is_err(), "{bad}");
        }
    }
}

//! Keys for work in the module's own name.

use std::collections::HashMap;
use std::fmt;

use uuid::Uuid;

use crate::CrmError;
use crate::issuer::Issuer;

/// The variable [`ModuleKeys::from_env`] reads.
const VARIABLE: &str = "CRM_MODULE_KEYS";

/// The module's keys, one per sandbox and tenant.
///
/// A key speaks for one tenant, so it must never be used for another's request. The tenant alone
/// would not do as a name: a forked sandbox has the same tenants as its source.
#[derive(Clone, Default)]
pub struct ModuleKeys {
    keys: HashMap<(String, Uuid), String>,
}

impl ModuleKeys {
    /// Reads `tenantId@host=pk_…`, several separated by commas; `host` is the sandbox's host
    /// with its port, as in the issuer of its tokens.
    ///
    /// # Errors
    /// [`CrmError::ModuleKeys`] names the entry that has another form; the key is not repeated.
    pub fn parse(text: &str) -> Result<Self, CrmError> {
        let mut keys = HashMap::new();
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        for (index, entry) in entries.enumerate() {
            let wrong = |reason| CrmError::ModuleKeys { position: index + 1, reason };
            let (place, key) = entry.split_once('=').ok_or_else(|| wrong("has no ="))?;
            let (tenant, host) = place.split_once('@').ok_or_else(|| wrong("has no @ before the ="))?;
            let tenant = Uuid::try_parse(tenant).map_err(|_| wrong("does not begin with a tenant's UUID"))?;
            let host = Issuer::host_of(host).ok_or_else(|| wrong("has no valid host after the @"))?;
            if !key.starts_with("pk_") || !key.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(wrong("does not hold a key beginning with pk_"));
            }
            keys.insert((host, tenant), key.to_owned());
        }
        Ok(ModuleKeys { keys })
    }

    /// [`parse`](Self::parse)s the variable `CRM_MODULE_KEYS`; none when it is unset.
    ///
    /// # Errors
    /// As of [`parse`](Self::parse).
    pub fn from_env() -> Result<Self, CrmError> {
        match std::env::var(VARIABLE) {
            Ok(text) => Self::parse(&text),
            Err(std::env::VarError::NotPresent) => Ok(Self::default()),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(CrmError::ModuleKeys { position: 1, reason: "is not readable as UTF-8" })
            }
        }
    }

    pub(crate) fn of(&self, issuer: &Issuer, tenant: Uuid) -> Option<&str> {
        if self.keys.is_empty() {
            return None;
        }
        self.keys.get(&(issuer.host().to_owned(), tenant)).map(String::as_str)
    }
}

impl fmt::Debug for ModuleKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModuleKeys({})", self.keys.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: &str = "00000000-0000-7000-0000-000000000001";

    fn issuer(url: &str) -> Issuer {
        Issuer::parse(url).expect("a valid issuer")
    }

    #[test]
    fn a_key_is_found_for_its_own_sandbox_and_tenant_only() {
        let keys = ModuleKeys::parse(&format!("{TENANT}@acme.localhost:8080=pk_a_1")).expect("valid");
        let tenant: Uuid = TENANT.parse().expect("valid");
        assert_eq!(keys.of(&issuer("http://acme.localhost:8080"), tenant), Some("pk_a_1"));
        assert_eq!(keys.of(&issuer("http://localhost:8080"), tenant), None);
        assert_eq!(keys.of(&issuer("http://acme.localhost:8080"), Uuid::nil()), None);
    }

    #[test]
    fn a_wrong_entry_is_named_without_its_secret() {
        let text = format!("{TENANT}@localhost=pk_a_1, {TENANT}@localhost=hunter2");
        let said = ModuleKeys::parse(&text).expect_err("the second is no key").to_string();
        assert!(said.contains("number 2"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        for wrong in
            ["nonsense", "a@b=pk_1", "a=pk_1", &format!("{TENANT}@=pk_1"), &format!("{TENANT}@u@h=pk_1")]
        {
            assert!(ModuleKeys::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn keys_are_not_printed() {
        let keys = ModuleKeys::parse(&format!("{TENANT}@localhost=pk_a_1")).expect("valid");
        assert_eq!(format!("{keys:?}"), "ModuleKeys(1)");
    }
}

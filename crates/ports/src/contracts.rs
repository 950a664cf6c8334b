//! What services ask each other. Each contract is a trait; the caller holds a handle that looks like it and goes over a
//! Link. A transaction never crosses one of these: what must happen with a change is heard as an event.

use std::{collections::BTreeMap, sync::Arc};

use kernel::{Caller, ModuleSlug, Permissions, Secret, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use crate::contract;

/// A credential that was found good.
#[derive(Debug, Clone)]
pub struct Principal {
    /// Who it is, for which tenant, and what they may do.
    pub caller: Caller,
    /// When the credential ends, on the sandbox's clock; none for keys without an end.
    pub expires_at: Option<Timestamp>,
    /// Whether the caller is a user of the tenant that runs the platform.
    pub of_platform: bool,
}

/// A tenant, as others need to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantInfo {
    /// Its id.
    pub id: TenantId,
    /// Its name for people.
    pub name: String,
    /// Its name in hosts.
    pub slug: String,
    /// Whether it, or one above it, is blocked or deleted.
    pub blocked: bool,
    /// Whether it runs the platform.
    pub is_platform: bool,
}

/// What a token for a module's back-end says.
#[derive(Debug, Clone)]
pub struct ModuleTokenRequest {
    /// The module.
    pub module: ModuleSlug,
    /// Its full name, `@scope/name`: the token's audience.
    pub name: String,
    /// The module's permissions that the caller holds too.
    pub permissions: Vec<String>,
}

contract! {
    /// What others ask iam, the only issuer of tokens and keeper of users, roles and tenants.
    pub trait Iam via IamLink {
        /// Whose credential this is: an access token, an API key `pk_…`, or a module token. `unauthorized` or
        /// `token-expired` else.
        async fn authenticate(credential: Secret) -> Principal;
        /// What a user may do in a tenant.
        async fn permissions(tenant: TenantId, user: UserId) -> Arc<Permissions>;
        /// A tenant by id.
        async fn tenant(id: TenantId) -> Option<TenantInfo>;
        /// A tenant by its name in hosts.
        async fn tenant_by_slug(slug: String) -> Option<TenantInfo>;
        /// Whether `above` is `below` or one of those above it in the tree.
        async fn is_ancestor(above: TenantId, below: TenantId) -> bool;
        /// The Owners of a tenant.
        async fn owners(tenant: TenantId) -> Vec<UserId>;
        /// A token of 60 s with which a module's back-end acts for the caller of this context.
        async fn module_token(request: ModuleTokenRequest) -> Secret;
        /// Claims signed with the sandbox's key (compact JWS, ES256), with `iss`, `iat` and `purpose` added: for what the
        /// sandbox publishes about itself, never accepted as a credential.
        async fn sign(purpose: &'static str, claims: serde_json::Value) -> String;
        /// The public keys that verify this sandbox's tokens (RFC 7517).
        async fn jwks() -> Arc<serde_json::Value>;
    }
}

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

contract! {
    /// What others ask domain-resolver.
    pub trait Domains via DomainsLink {
        /// The tenant that a host of this sandbox names; none for the sandbox's own host. `not-found` for a host that
        /// names a tenant which does not exist.
        async fn tenant_of_host(host: String) -> Option<TenantId>;
    }
}

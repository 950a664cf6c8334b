use std::sync::Arc;

use kernel::{Caller, ModuleSlug, Permissions, Secret, TenantId, Timestamp, UserId};

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

/// A person, as others need to know them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserInfo {
    /// Who.
    pub id: UserId,
    /// The address, in its normal form.
    pub email: String,
    /// What the person is called.
    pub name: String,
    /// Whether the address was shown to be theirs.
    pub email_verified: bool,
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
        /// A member of the context's tenant; none when the person is no member there.
        async fn user(id: UserId) -> Option<UserInfo>;
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

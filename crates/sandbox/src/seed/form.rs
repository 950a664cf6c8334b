//! The parts of a seed, as they stand in its file.

use std::collections::BTreeMap;

use files::{Bucket, FileId};
use iam::TenantKind;
use integration_hub::ProviderType;
use kernel::{Secret, TenantId, TenantSlug};
use money::Currency;
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Tenant {
    pub(super) slug: TenantSlug,
    pub(super) name: String,
    pub(super) kind: TenantKind,
    pub(super) parent: Option<TenantSlug>,
    pub(super) id: Option<TenantId>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct User {
    pub(super) email: String,
    pub(super) name: String,
    pub(super) password: Secret,
    #[serde(default)]
    pub(super) verified: bool,
    /// Tenant → role.
    pub(super) memberships: BTreeMap<TenantSlug, String>,
    pub(super) last_tenant: Option<TenantSlug>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Module {
    /// A module that the binary carries.
    pub(super) builtin: String,
    #[serde(default)]
    pub(super) installed_for: Vec<TenantSlug>,
}

/// A provider of integration-hub, without credentials.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Integration {
    pub(super) tenant: TenantSlug,
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: ProviderType,
    pub(super) base_url: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Records {
    pub(super) tenant: TenantSlug,
    pub(super) module: String,
    pub(super) model: String,
    /// Columns; `ref` names a row so that others can point to it with `{ref: name}`.
    pub(super) rows: Vec<BTreeMap<String, Value>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Inbox {
    pub(super) tenant: TenantSlug,
    /// The person's address.
    pub(super) user: String,
    /// The newest first.
    pub(super) messages: Vec<InboxMessage>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct InboxMessage {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) subject: String,
    pub(super) body: String,
    #[serde(default)]
    pub(super) read: bool,
}

/// A wallet of a user; there is one of each user, currency and label.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Wallet {
    /// So that transfers can point to it.
    #[serde(rename = "ref")]
    pub(super) name: Option<String>,
    pub(super) tenant: TenantSlug,
    /// The user's address.
    pub(super) user: String,
    pub(super) currency: Currency,
    pub(super) label: Option<String>,
    /// What it has from the beginning, in minor units.
    #[serde(default)]
    pub(super) opening: i64,
}

/// A transfer between wallets of this seed, done when both, or one, are new.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Transfer {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) amount: i64,
    pub(super) description: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct File {
    pub(super) tenant: TenantSlug,
    /// Always the same one, so that its bytes are found wherever the template comes from.
    pub(super) id: FileId,
    pub(super) name: String,
    #[serde(default)]
    pub(super) bucket: Bucket,
    #[serde(rename = "type")]
    pub(super) media_type: String,
    /// What it holds; or
    pub(super) text: Option<String>,
    /// the name of a file that the program carries.
    pub(super) carried: Option<String>,
}

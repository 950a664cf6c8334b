//! Seeds: what a sandbox holds from the start, as YAML. Planting is idempotent: what is there already stays.

mod money;

use std::{borrow::Cow, collections::BTreeMap, fs, sync::LazyLock};

use ::money::Currency;
use billing::SeedSubscription;
use bytes::Bytes;
use fabric::{blobs::Blobs, crypto::sha256};
use files::{Bucket, FileId, SeedFile};
use gateway::DemoPerson;
use iam::{SeedTenant, SeedUser, TenantKind};
use integration_hub::{ProviderType, SeedProvider};
use kernel::{Actor, Caller, Ctx, Permissions, Secret, TenantId, TenantSlug, UserId};
use notify::SeedMessage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cell::Cell;

/// A seed, as it stands in its file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Seed {
    #[serde(default)]
    tenants: Vec<Tenant>,
    #[serde(default)]
    users: Vec<User>,
    #[serde(default)]
    modules: Vec<Module>,
    /// Tenant → what it pays for; a tenant that is not named gets its trial.
    #[serde(default)]
    subscriptions: BTreeMap<TenantSlug, SeedSubscription>,
    #[serde(default)]
    integrations: Vec<Integration>,
    #[serde(default)]
    records: Vec<Records>,
    #[serde(default)]
    inbox: Vec<Inbox>,
    #[serde(default)]
    wallets: Vec<Wallet>,
    #[serde(default)]
    transfers: Vec<Transfer>,
    #[serde(default)]
    files: Vec<File>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Tenant {
    slug: TenantSlug,
    name: String,
    kind: TenantKind,
    parent: Option<TenantSlug>,
    id: Option<TenantId>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct User {
    email: String,
    name: String,
    password: Secret,
    #[serde(default)]
    verified: bool,
    /// Tenant → role.
    memberships: BTreeMap<TenantSlug, String>,
    last_tenant: Option<TenantSlug>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Module {
    /// A module that the binary carries.
    builtin: String,
    #[serde(default)]
    installed_for: Vec<TenantSlug>,
}

/// A provider of integration-hub, without credentials.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Integration {
    tenant: TenantSlug,
    name: String,
    #[serde(rename = "type")]
    kind: ProviderType,
    base_url: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Records {
    tenant: TenantSlug,
    module: String,
    model: String,
    /// Columns; `ref` names a row so that others can point to it with `{ref: name}`.
    rows: Vec<BTreeMap<String, Value>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Inbox {
    tenant: TenantSlug,
    /// The person's address.
    user: String,
    /// The newest first.
    messages: Vec<InboxMessage>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InboxMessage {
    #[serde(rename = "type")]
    kind: String,
    subject: String,
    body: String,
    #[serde(default)]
    read: bool,
}

/// A wallet of a user; there is one of each user, currency and label.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wallet {
    /// So that transfers can point to it.
    #[serde(rename = "ref")]
    name: Option<String>,
    tenant: TenantSlug,
    /// The user's address.
    user: String,
    currency: Currency,
    label: Option<String>,
    /// What it has from the beginning, in minor units.
    #[serde(default)]
    opening: i64,
}

/// A transfer between wallets of this seed, done when both, or one, are new.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Transfer {
    from: String,
    to: String,
    amount: i64,
    description: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    tenant: TenantSlug,
    /// Always the same one, so that its bytes are found wherever the template comes from.
    id: FileId,
    name: String,
    #[serde(default)]
    bucket: Bucket,
    #[serde(rename = "type")]
    media_type: String,
    /// What it holds; or
    text: Option<String>,
    /// the name of a file that the program carries.
    carried: Option<String>,
}

/// Files that the program carries for its demo.
const CARRIED: [(&str, &[u8]); 5] = [
    ("offsite.jpg", include_bytes!("files/offsite.jpg")),
    ("harbour.webp", include_bytes!("files/harbour.webp")),
    ("dunes.jpg", include_bytes!("files/dunes.jpg")),
    ("logo.png", include_bytes!("files/logo.png")),
    ("brochure.pdf", include_bytes!("files/brochure.pdf")),
];

/// What was planted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeedReport {
    /// Tenants named.
    pub tenants: usize,
    /// Users named.
    pub users: usize,
    /// Modules named.
    pub modules: usize,
    /// Records made.
    pub records: usize,
    /// Wallets named.
    pub wallets: usize,
    /// Files named.
    pub files: usize,
}

/// Why a seed could not be planted.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The file.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Its form.
    #[error("{path}: {source}")]
    Form {
        /// Which.
        path: String,
        /// Line and what is wrong there.
        source: serde_yaml_ng::Error,
    },
    /// A name that nothing has.
    #[error("{0}")]
    Unknown(String),
    /// A service refused.
    #[error("{what}: {}", crate::error::told(source))]
    Refused {
        /// What was being planted.
        what: String,
        /// Why.
        source: kernel::Error,
    },
}

/// The text of a template's seed.
fn text_of(template: &str) -> Result<Option<Cow<'static, str>>, SeedError> {
    match template {
        "empty" => Ok(None),
        "demo" => Ok(Some(include_str!("demo.yaml").into())),
        path => match fs::read_to_string(path) {
            Ok(text) => Ok(Some(text.into())),
            Err(source) => Err(SeedError::File { path: path.to_owned(), source }),
        },
    }
}

/// Rows that go into one batch.
const BATCH: usize = 500;

impl Seed {
    /// The seed of a template: none for `empty`, the one that ships for `demo`, else a file.
    ///
    /// # Errors
    /// A file that can't be read or does not fit.
    pub fn named(template: &str) -> Result<Option<Self>, SeedError> {
        let name = if template == "demo" { "demo.yaml" } else { template };
        text_of(template)?.map(|text| Self::parse(name, &text)).transpose()
    }

    pub(crate) fn parse(path: &str, text: &str) -> Result<Self, SeedError> {
        serde_yaml_ng::from_str(text).map_err(|source| SeedError::Form { path: path.to_owned(), source })
    }

    /// Changes with the content of a template's seed and of the modules that the binary carries; empty for `empty`.
    /// Nothing is parsed for it: it is asked for with every round of the keeper.
    pub(crate) fn fingerprint(template: &str) -> Result<String, SeedError> {
        let Some(text) = text_of(template)? else { return Ok(String::new()) };
        let mut parts = vec![text.as_bytes(), crm_example::MANIFEST.as_bytes()];
        parts.extend(crm_example::MIGRATIONS.iter().map(|(_, sql)| sql.as_bytes()));
        parts.extend(CARRIED.iter().map(|(_, bytes)| *bytes));
        Ok(sha256(&parts).iter().take(4).fold(String::new(), |t, b| format!("{t}{b:02x}")))
    }

    /// Puts the bytes of its files where their rows look for them. Rows of tenants whose ids are made at planting look for
    /// theirs where they were planted, and nowhere else.
    pub(crate) async fn lay_files(&self, blobs: &Blobs) -> Result<(), SeedError> {
        for file in &self.files {
            let tenant = self.tenants.iter().find(|tenant| tenant.slug == file.tenant);
            let Some(id) = tenant.and_then(|tenant| tenant.id) else { continue };
            let laid = file.seed()?.lay(blobs, id).await;
            laid.map_err(|source| SeedError::Refused { what: format!("file {}", file.name), source })?;
        }
        Ok(())
    }

    /// Who can sign in to the demo's own tenant, in the order of the seed. It ships with the program and is read once.
    pub(crate) fn demo_people() -> &'static [DemoPerson] {
        static PEOPLE: LazyLock<Vec<DemoPerson>> = LazyLock::new(|| {
            let seed = Seed::named("demo").ok().flatten().unwrap_or_default();
            let home: Option<TenantSlug> = "sandbox-corp".parse().ok();
            let of_home = |user: User| {
                let role = user.memberships.get(home.as_ref()?)?.clone();
                Some(DemoPerson { email: user.email, name: user.name, role })
            };
            seed.users.into_iter().filter_map(of_home).collect()
        });
        &PEOPLE
    }

    /// The addresses of its users.
    pub(crate) fn emails(&self) -> Vec<String> {
        self.users.iter().map(|user| user.email.clone()).collect()
    }

    /// Plants it in a sandbox.
    ///
    /// # Errors
    /// What a service refused, named.
    pub async fn plant(&self, cell: &Cell) -> Result<SeedReport, SeedError> {
        let refused = |what: String| move |source| SeedError::Refused { what, source };
        let cx = cell.cx("sandbox");
        let services = cell.services();
        let mut tenants: BTreeMap<&TenantSlug, TenantId> = BTreeMap::new();
        for tenant in &self.tenants {
            let id = services
                .iam
                .seed_tenant(
                    &cx,
                    SeedTenant {
                        id: tenant.id,
                        slug: tenant.slug.clone(),
                        name: tenant.name.clone(),
                        kind: tenant.kind,
                        parent_slug: tenant.parent.clone(),
                    },
                )
                .await
                .map_err(refused(format!("tenant {}", tenant.slug)))?;
            tenants.insert(&tenant.slug, id);
        }
        let mut people: BTreeMap<&str, UserId> = BTreeMap::new();
        for user in &self.users {
            let id = services
                .iam
                .seed_user(
                    &cx,
                    SeedUser {
                        email: user.email.clone(),
                        name: user.name.clone(),
                        password: user.password.clone(),
                        memberships: user.memberships.clone().into_iter().collect(),
                        verified: user.verified,
                        last_tenant: user.last_tenant.clone(),
                    },
                )
                .await
                .map_err(refused(format!("user {}", user.email)))?;
            people.insert(&user.email, id);
        }
        // Before what they limit.
        for (slug, subscription) in &self.subscriptions {
            let cx = cx.within(named(&tenants, slug)?);
            let planted = services.billing.seed_subscription(&cx, subscription).await;
            planted.map_err(refused(format!("subscription of {slug}")))?;
        }
        for module in &self.modules {
            self.plant_module(cell, &cx, module, &tenants).await?;
        }
        for integration in &self.integrations {
            let provider = SeedProvider {
                name: integration.name.clone(),
                kind: integration.kind,
                base_url: integration.base_url.clone(),
            };
            let tenant = named(&tenants, &integration.tenant)?;
            let planted = services.integrations.seed_provider(&cx.within(tenant), provider).await;
            planted.map_err(refused(format!("provider {}", integration.name)))?;
        }
        let records = self.plant_records(cell, &cx, &tenants).await?;
        self.plant_inboxes(cell, &cx, &tenants, &people).await?;
        money::plant(self, cell, &cx, &tenants, &people).await?;
        for file in &self.files {
            let cx = cx.within(named(&tenants, &file.tenant)?);
            let planted = cell.services().files.seed(&cx, &file.seed()?).await;
            planted.map_err(refused(format!("file {}", file.name)))?;
        }
        Ok(SeedReport {
            tenants: self.tenants.len(),
            users: self.users.len(),
            modules: self.modules.len(),
            records,
            wallets: self.wallets.len(),
            files: self.files.len(),
        })
    }

    async fn plant_module(
        &self,
        cell: &Cell,
        cx: &Ctx,
        module: &Module,
        tenants: &BTreeMap<&TenantSlug, TenantId>,
    ) -> Result<(), SeedError> {
        let what = format!("module {}", module.builtin);
        let refused = |source| SeedError::Refused { what: what.clone(), source };
        if module.builtin != crm_example::NAME {
            return Err(SeedError::Unknown(format!(
                "{what}: this program carries only {}",
                crm_example::NAME
            )));
        }
        let registry = &cell.services().modules;
        let files = crm_example::MIGRATIONS
            .iter()
            .map(|(file, sql)| ((*file).to_owned(), (*sql).to_owned()))
            .collect();
        registry.register_builtin(cx, crm_example::MANIFEST, files, None).await.map_err(refused)?;
        for slug in &module.installed_for {
            let tenant = named(tenants, slug)?;
            registry.install_for(&cx.within(tenant), crm_example::SLUG).await.map_err(refused)?;
        }
        Ok(())
    }

    async fn plant_inboxes(
        &self,
        cell: &Cell,
        cx: &Ctx,
        tenants: &BTreeMap<&TenantSlug, TenantId>,
        people: &BTreeMap<&str, UserId>,
    ) -> Result<(), SeedError> {
        for inbox in &self.inbox {
            let what = format!("the inbox of {}", inbox.user);
            let user = people.get(inbox.user.as_str()).copied();
            let user =
                user.ok_or_else(|| SeedError::Unknown(format!("{what}: the seed names no such user")))?;
            let cx = cx.within(named(tenants, &inbox.tenant)?);
            let messages: Vec<SeedMessage> = inbox
                .messages
                .iter()
                .map(|message| SeedMessage {
                    kind: message.kind.clone(),
                    subject: message.subject.clone(),
                    body: message.body.clone(),
                    read: message.read,
                })
                .collect();
            let planted = cell.services().notify.seed_inbox(&cx, user, &messages).await;
            planted.map_err(|source| SeedError::Refused { what, source })?;
        }
        Ok(())
    }

    async fn plant_records(
        &self,
        cell: &Cell,
        cx: &Ctx,
        tenants: &BTreeMap<&TenantSlug, TenantId>,
    ) -> Result<usize, SeedError> {
        let mut planted = 0;
        let mut references: BTreeMap<String, Value> = BTreeMap::new();
        for set in &self.records {
            let what = format!("records of {}.{}", set.module, set.model);
            let refused = |source| SeedError::Refused { what: what.clone(), source };
            let caller = Caller {
                tenant: Some(named(tenants, &set.tenant)?),
                actor: Actor::System("sandbox"),
                permissions: std::sync::Arc::new(Permissions::new(["*"])),
            };
            let cx = cx.with_caller(caller);
            for batch in set.rows.chunks(BATCH) {
                let mut names = Vec::new();
                let mut rows = Vec::new();
                for row in batch {
                    let mut row = row.clone();
                    names.push(row.remove("ref").and_then(|name| name.as_str().map(str::to_owned)));
                    for value in row.values_mut() {
                        if let Some(name) = value.get("ref").and_then(Value::as_str) {
                            *value = references.get(name).cloned().ok_or_else(|| {
                                SeedError::Unknown(format!(
                                    "{what}: there is no row named {name} before this one"
                                ))
                            })?;
                        }
                    }
                    rows.push(Value::Object(row.into_iter().collect()));
                }
                let ids = cell
                    .services()
                    .data_layer
                    .insert_records(&cx, &set.module, &set.model, rows)
                    .await
                    .map_err(refused)?;
                planted += ids.len();
                for (name, id) in names.into_iter().zip(ids) {
                    if let Some(name) = name {
                        references.insert(name, Value::String(id.to_string()));
                    }
                }
            }
        }
        Ok(planted)
    }
}

impl File {
    fn seed(&self) -> Result<SeedFile, SeedError> {
        let wrong = |what: String| SeedError::Unknown(format!("file {}: {what}", self.name));
        let bytes = match (&self.text, &self.carried) {
            (Some(text), None) => Bytes::copy_from_slice(text.as_bytes()),
            (None, Some(name)) => {
                let carried = CARRIED.iter().find(|(carried, _)| carried == name);
                Bytes::from_static(carried.ok_or_else(|| wrong(format!("this program carries no {name}")))?.1)
            }
            _ => return Err(wrong("it has either a text or a carried file".to_owned())),
        };
        Ok(SeedFile {
            id: self.id,
            name: self.name.clone(),
            bucket: self.bucket,
            media_type: self.media_type.clone(),
            bytes,
        })
    }
}

fn named(tenants: &BTreeMap<&TenantSlug, TenantId>, slug: &TenantSlug) -> Result<TenantId, SeedError> {
    tenants.get(slug).copied().ok_or_else(|| SeedError::Unknown(format!("the seed names no tenant {slug}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_reads_and_holds_what_is_promised() {
        let demo = Seed::named("demo").unwrap().unwrap();
        assert_eq!(demo.tenants.len(), 3);
        let contacts = demo.records.iter().find(|set| set.model == "contacts").unwrap();
        assert_eq!(contacts.rows.len(), 200);
        let kept: Vec<&str> = demo.wallets.iter().map(|wallet| wallet.currency.code()).collect();
        assert!(kept.contains(&"USD") && kept.contains(&"EUR") && demo.wallets.iter().all(|w| w.opening > 0));
        let corp = demo.tenants.iter().find(|tenant| tenant.slug.as_str() == "sandbox-corp").unwrap();
        assert_eq!(corp.id.unwrap().to_string(), "00000000-0000-7000-0000-000000000001");
    }

    #[test]
    fn a_misspelt_member_is_named_with_its_line() {
        let error = Seed::parse("x.yaml", "tenants:\n  - { slug: a, nmae: A, kind: client }\n").unwrap_err();
        assert!(error.to_string().contains("nmae") && error.to_string().contains("line 2"), "{error}");
    }
}

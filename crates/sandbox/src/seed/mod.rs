//! Seeds: what a sandbox holds from the start, as YAML. Planting is idempotent: what is there already stays.

mod files;
mod form;
mod inbox;
mod money;
mod records;

use std::{borrow::Cow, collections::BTreeMap, fs, sync::LazyLock};

use billing::SeedSubscription;
use fabric::crypto::sha256;
use gateway::DemoPerson;
use iam::{SeedTenant, SeedUser};
use integration_hub::SeedProvider;
use kernel::{TenantId, TenantSlug, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{
    files::CARRIED,
    form::{File, Inbox, Integration, Module, Records, Tenant, Transfer, User, Wallet},
};
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

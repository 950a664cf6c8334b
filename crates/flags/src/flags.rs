use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use kernel::{Ctx, Result, TenantId};
use serde_json::{Map, Value};

use crate::{Context, Evaluation, Flag, FlagFile, FlagSet};

/// Who knows the flags of tenants.
#[async_trait]
pub trait TenantFlags: Send + Sync {
    /// The flags of the context's tenant; empty where there is none.
    async fn of(&self, cx: &Ctx) -> Result<Arc<FlagSet>>;
}

/// The flags of a sandbox: those of the file, and for each tenant its own before them. Cheap to clone.
#[derive(Clone)]
pub struct Flags(Arc<Inner>);

struct Inner {
    file: Arc<FlagFile>,
    tenants: OnceLock<Arc<dyn TenantFlags>>,
}

impl Flags {
    /// The flags of a file; who knows those of tenants is told with [`Flags::bind`].
    pub fn new(file: Arc<FlagFile>) -> Self {
        Self(Arc::new(Inner { file, tenants: OnceLock::new() }))
    }

    /// Says who knows the flags of tenants. Only the first one counts.
    pub fn bind(&self, tenants: Arc<dyn TenantFlags>) {
        self.0.tenants.get_or_init(|| tenants);
    }

    /// The file.
    pub fn file(&self) -> &Arc<FlagFile> {
        &self.0.file
    }

    /// What holds for the context's tenant at its moment.
    ///
    /// # Errors
    /// When the tenant's own flags can't be read.
    pub async fn of(&self, cx: &Ctx) -> Result<Effective> {
        let own = match self.0.tenants.get() {
            Some(tenants) => tenants.of(cx).await?,
            None => Arc::default(),
        };
        Ok(Effective { file: self.0.file.flags(), own, tenant: cx.tenant().ok(), now: cx.now().datetime() })
    }
}

/// The flags that hold for a tenant, at a moment.
#[derive(Debug, Clone)]
pub struct Effective {
    file: Arc<FlagSet>,
    own: Arc<FlagSet>,
    tenant: Option<TenantId>,
    now: DateTime<Utc>,
}

/// The attribute that names the tenant. It is always ours.
const TENANT: &str = "tenantId";

impl Effective {
    /// The flag of a key.
    pub fn get(&self, key: &str) -> Option<&Arc<Flag>> {
        self.own.get(key).or_else(|| self.file.get(key))
    }

    /// Whether the flag of a key is the file's, and not the tenant's own.
    pub fn is_of_file(&self, key: &str) -> bool {
        self.own.get(key).is_none() && self.file.get(key).is_some()
    }

    /// All flags by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<Flag>)> {
        let mut all: Vec<_> = self.file.iter().filter(|(key, _)| self.own.get(key).is_none()).collect();
        all.extend(self.own.iter());
        all.sort_by_key(|(key, _)| *key);
        all.into_iter()
    }

    /// A context for evaluations, from what a client says: the tenant in it is ours.
    pub fn context(&self, attributes: Map<String, Value>) -> Context {
        self.own(Context::of(attributes))
    }

    /// A context with the tenant in it.
    pub fn own(&self, context: Context) -> Context {
        match self.tenant {
            Some(tenant) => context.with(TENANT, tenant.to_string()),
            None => context.without(TENANT),
        }
    }

    /// What clients that evaluate by themselves must add to every context.
    pub fn enrichment(&self) -> Map<String, Value> {
        self.tenant.map(|tenant| (TENANT.to_owned(), tenant.to_string().into())).into_iter().collect()
    }

    /// What a flag is for somebody. Take the context from [`Effective::context`].
    pub fn evaluate<'f>(&'f self, key: &str, context: &Context) -> Evaluation<'f> {
        match self.get(key) {
            Some(flag) => flag.evaluate(key, context, self.now),
            None => Evaluation::not_found(key),
        }
    }

    /// Whether a flag of true and false is on for somebody; what can't be said is off.
    pub fn is_on(&self, key: &str, context: &Context) -> bool {
        self.evaluate(key, context).value == Some(&Value::Bool(true))
    }
}

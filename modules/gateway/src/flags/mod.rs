//! Feature flags: evaluation for clients (OFREP, and the addresses of GO Feature Flag's relay proxy), and the flags that
//! a tenant has of its own. How flags are evaluated is `crates/flags`.

mod http;
mod service;
mod store;
mod tenants;
mod uses;

use std::sync::{Arc, Weak};

use fabric::postgres::Database;
use flags::Flags;
use futures::future::BoxFuture;
use ports::{
    Health, KernelService,
    http::{CursorKey, ServiceRoutes},
};

pub use tenants::TenantStore;
pub use uses::FlagUses;

/// The service's name.
const NAME: &str = "flags";

/// What feature flags stand on.
pub struct FeatureFlagsDeps {
    /// The sandbox's data.
    pub db: Database,
    /// The file's flags. Those of tenants are bound to it here.
    pub flags: Flags,
    /// Signs places in lists.
    pub cursor: CursorKey,
    /// Where uses are counted.
    pub uses: FlagUses,
}

/// Feature flags of a sandbox.
pub struct FeatureFlags {
    me: Weak<Self>,
    db: Database,
    flags: Flags,
    tenants: Arc<TenantStore>,
    cursor: CursorKey,
    uses: FlagUses,
}

impl FeatureFlags {
    /// Puts them together; nothing is read yet.
    pub fn create(deps: FeatureFlagsDeps) -> Arc<Self> {
        let FeatureFlagsDeps { db, flags, cursor, uses } = deps;
        let tenants = Arc::new(TenantStore::new(db.clone()));
        flags.bind(Arc::clone(&tenants) as Arc<dyn flags::TenantFlags>);
        Arc::new_cyclic(|me| Self { me: me.clone(), db, flags, tenants, cursor, uses })
    }

    /// What is remembered of tenants' flags: to be forgotten when one is changed.
    pub fn tenants(&self) -> &Arc<TenantStore> {
        &self.tenants
    }
}

impl KernelService for FeatureFlags {
    fn name(&self) -> &'static str {
        NAME
    }

    fn routes(&self) -> ServiceRoutes {
        http::routes(self.me.upgrade().expect("because `self` is borrowed from the Arc that `create` made"))
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(async {
            let state = self.flags.file().state();
            match (state.problem, state.path) {
                (Some(problem), Some(path)) => Health::degraded(format!(
                    "{} is not taken, the {} flags of before hold: {problem}",
                    path.display(),
                    state.flags
                )),
                _ => Health::good(),
            }
        })
    }
}

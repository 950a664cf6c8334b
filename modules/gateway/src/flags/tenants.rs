use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use fabric::postgres::Database;
use flags::{Definition, Flag, FlagSet, TenantFlags};
use kernel::{Ctx, Result, TenantId};

use super::store;

/// Tenants whose flags are remembered at the same time.
const REMEMBERED: u64 = 10_000;
/// How long a change may stay unnoticed whose word got lost.
const STALENESS: Duration = Duration::from_secs(30);

/// The flags of tenants, remembered until one is changed.
pub struct TenantStore {
    db: Database,
    remembered: moka::sync::Cache<TenantId, Arc<FlagSet>>,
    /// Grows with each change: what was read before it is not remembered.
    changes: AtomicU64,
}

impl TenantStore {
    pub(super) fn new(db: Database) -> Self {
        let remembered =
            moka::sync::Cache::builder().max_capacity(REMEMBERED).time_to_live(STALENESS).build();
        Self { db, remembered, changes: AtomicU64::new(0) }
    }

    /// Forgets all: somebody's flags have changed.
    pub fn forget(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.remembered.invalidate_all();
    }
}

#[async_trait]
impl TenantFlags for TenantStore {
    async fn of(&self, cx: &Ctx) -> Result<Arc<FlagSet>> {
        let Ok(tenant) = cx.tenant() else { return Ok(Arc::default()) };
        if let Some(known) = self.remembered.get(&tenant) {
            return Ok(known);
        }
        let changes = self.changes.load(Ordering::Acquire);
        let rows = store::all(&self.db, cx).await?;
        let flags =
            rows.into_iter().filter_map(|(key, definition)| Some((key.clone(), ready(&key, definition.0)?)));
        let flags: Arc<FlagSet> = Arc::new(flags.collect());
        if self.changes.load(Ordering::Acquire) == changes {
            self.remembered.insert(tenant, Arc::clone(&flags));
        }
        Ok(flags)
    }
}

/// What was taken once may not be taken by a later version of the kernel: then the file's flag of this key holds.
fn ready(key: &str, definition: serde_json::Value) -> Option<Arc<Flag>> {
    let definition: Result<Definition, _> = serde_json::from_value(definition);
    let made = definition.map_err(|error| error.to_string()).and_then(|definition| {
        Flag::new(definition)
            .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    });
    made.map(Arc::new)
        .inspect_err(|problem| tracing::warn!(key, problem, "a tenant's own flag is passed over"))
        .ok()
}

//! How tenants stand, remembered for a while.

use std::{
    collections::HashSet,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use kernel::{Error, Result, TenantId, Timestamp};
use ports::Standing;

/// How long a standing is believed. Changes are heard of at once; this bounds what was missed.
const BELIEVED: Duration = Duration::from_secs(15 * 60);

/// Standings that are remembered at the same time.
const REMEMBERED: u64 = 50_000;

/// The standings of a sandbox's tenants.
pub(crate) struct Standings {
    /// Under the number of times that all was forgotten: an answer that was on its way then is found by nobody.
    known: moka::future::Cache<(u64, TenantId), Arc<Standing>>,
    forgotten: AtomicU64,
    /// Tenants that may not even read.
    closed: RwLock<HashSet<TenantId>>,
}

impl Standings {
    pub(crate) fn new() -> Self {
        let known = moka::future::Cache::builder().max_capacity(REMEMBERED).time_to_live(BELIEVED).build();
        Self { known, forgotten: AtomicU64::new(0), closed: RwLock::default() }
    }

    /// How a tenant stands: as it is remembered and good at `now`, or else as `ask` tells. Those who ask at the same time
    /// ask once.
    pub(crate) async fn of(
        &self,
        tenant: TenantId,
        now: Timestamp,
        ask: impl Future<Output = Result<Arc<Standing>>>,
    ) -> Result<Arc<Standing>> {
        let key = (self.forgotten.load(Ordering::Acquire), tenant);
        if let Some(standing) = self.known.get(&key).await {
            if is_good(&standing, now) {
                return Ok(standing);
            }
            self.known.invalidate(&key).await;
        }
        self.known.try_get_with(key, ask).await.map_err(|error: Arc<Error>| {
            let told = Error::new(error.slug(), error.detail().to_owned());
            told.because(format!("{error:?}"))
        })
    }

    /// Whether a tenant may not even read, as far as is known.
    pub(crate) fn is_closed(&self, tenant: TenantId) -> bool {
        self.closed.read().unwrap_or_else(PoisonError::into_inner).contains(&tenant)
    }

    /// Whether something is remembered that is no longer good: the sandbox's clock has passed a step of the subscription.
    pub(crate) async fn is_outdated(&self, tenant: TenantId, now: Timestamp) -> bool {
        let key = (self.forgotten.load(Ordering::Acquire), tenant);
        self.known.get(&key).await.is_some_and(|standing| !is_good(&standing, now))
    }

    /// Forgets all: somebody's subscription has changed.
    pub(crate) fn forget(&self) {
        self.forgotten.fetch_add(1, Ordering::AcqRel);
        self.known.invalidate_all();
    }

    /// These are the tenants that may not even read.
    pub(crate) fn close(&self, tenants: Vec<TenantId>) {
        *self.closed.write().unwrap_or_else(PoisonError::into_inner) = tenants.into_iter().collect();
    }
}

fn is_good(standing: &Standing, now: Timestamp) -> bool {
    standing.until.is_none_or(|until| now < until)
}

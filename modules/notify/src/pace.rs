//! How fast a tenant's deliveries go: a bucket of tokens each, in real time, in this process.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use kernel::TenantId;
use moka::sync::Cache;

/// Tenants that are remembered; one that is forgotten begins with a full bucket.
const REMEMBERED: u64 = 10_000;

/// Deliveries a second, by tenant.
pub struct Pace {
    per_second: u32,
    /// When the tokens given out so far will have been earned.
    buckets: Cache<TenantId, Arc<Mutex<Option<Instant>>>>,
}

impl Pace {
    /// At most `per_second`, and as many at once after a second of rest.
    pub fn new(per_second: u32) -> Self {
        let buckets = Cache::builder().max_capacity(REMEMBERED).time_to_idle(Duration::from_secs(60)).build();
        Self { per_second: per_second.max(1), buckets }
    }

    /// Takes `n`; answers how long to wait before they are used.
    pub fn take(&self, tenant: TenantId, n: usize) -> Duration {
        self.take_at(tenant, n, Instant::now())
    }

    fn take_at(&self, tenant: TenantId, n: usize, now: Instant) -> Duration {
        let bucket = self.buckets.get_with(tenant, Arc::default);
        let mut earned = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let start = earned.map_or(now, |earned| earned.max(now));
        let cost = Duration::from_secs(1) / self.per_second * u32::try_from(n).unwrap_or(u32::MAX);
        *earned = Some(start + cost);
        (start + cost).saturating_duration_since(now + Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holds_so_many_and_each_tenant_has_its_own() {
        let pace = Pace::new(100);
        let (one, other, now) = (TenantId::new(), TenantId::new(), Instant::now());
        assert_eq!(pace.take_at(one, 100, now), Duration::ZERO);
        assert_eq!(pace.take_at(one, 50, now), Duration::from_millis(500));
        assert_eq!(pace.take_at(other, 100, now), Duration::ZERO);
        let later = now + Duration::from_secs(10);
        assert_eq!(pace.take_at(one, 100, later), Duration::ZERO, "rest is not saved up beyond a second");
        assert_eq!(pace.take_at(one, 10, later), Duration::from_millis(100));
    }
}

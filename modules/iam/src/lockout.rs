//! Five failed sign-ins of one account from one address within 15 minutes: then it is closed to that address.
//!
//! Kept in memory, in real time, for the accounts that were tried last, and counted in the cache for all replicas. Other
//! addresses are not kept out, so nobody can lock somebody else out of their account.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use fabric::{cache, crypto::sha256};
use kernel::{Error, Result, Slug};
use moka::{policy::EvictionPolicy, sync::Cache};

const MOST_FAILURES: usize = 5;
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Accounts and addresses that are remembered; some 100 bytes each.
const REMEMBERED: u64 = 100_000;

/// Failed attempts, by account and address.
pub struct Lockout {
    here: Cache<[u8; 32], Arc<Mutex<VecDeque<Instant>>>>,
    /// How many failed at all replicas, from the first on for the time of the window.
    everywhere: cache::Cache,
}

/// One account, tried from one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target([u8; 32]);

impl Target {
    /// The account of `email` (in its normal form), tried from `address`.
    pub fn new(email: &str, address: Option<IpAddr>) -> Self {
        let address = address.map(|address| address.to_string()).unwrap_or_default();
        Self(sha256(&[email.as_bytes(), b"\0", address.as_bytes()]))
    }

    fn key(&self) -> String {
        self.0.iter().take(16).fold("failed/".to_owned(), |key, byte| key + &format!("{byte:02x}"))
    }
}

impl Lockout {
    /// Nobody has failed yet, as far as is known here.
    pub fn new(everywhere: cache::Cache) -> Self {
        // Least recently used goes first. The default policy would refuse newcomers in favour of old failures, and a
        // flood of made-up addresses would keep the real attack out of sight.
        let here = Cache::builder().max_capacity(REMEMBERED).eviction_policy(EvictionPolicy::lru());
        Self { here: here.time_to_idle(WINDOW).build(), everywhere }
    }

    /// Whether an attempt is let in. Asked before the password is checked, and again after it: of many attempts at the
    /// same time only those get to know anything that are through before the fifth failure.
    ///
    /// # Errors
    /// `too-many-attempts` with the time until the next one is let in.
    pub fn check(&self, target: Target) -> Result<()> {
        self.check_at(target, Instant::now())
    }

    /// Learns how many attempts failed at all replicas, and closes what is closed there. To be asked while the password is
    /// checked: it takes no more time then. Without the cache this replica goes by what it saw itself.
    pub async fn learn(&self, target: Target) -> u64 {
        let Ok(counted) = self.everywhere.increment(&target.key(), 0, WINDOW).await else { return 0 };
        if counted.count >= MOST_FAILURES as u64 {
            let begun = Instant::now().checked_sub(WINDOW.saturating_sub(counted.resets_in));
            let failures = self.here.get_with(target.0, Arc::default);
            let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.resize(MOST_FAILURES, begun.unwrap_or_else(Instant::now));
        }
        counted.count
    }

    /// The password was wrong.
    pub async fn failed(&self, target: Target) {
        self.failed_at(target, Instant::now());
        if let Err(error) = self.everywhere.increment(&target.key(), 1, WINDOW).await {
            tracing::debug!(?error, "other replicas do not know of a failed sign-in");
        }
    }

    /// The password was right: what failed before is forgotten, also where [`Self::learn`] had found some.
    pub async fn succeeded(&self, target: Target, learnt: u64) {
        self.here.invalidate(&target.0);
        if learnt > 0
            && let Err(error) = self.everywhere.delete(&target.key()).await
        {
            tracing::debug!(?error, "other replicas go on counting failed sign-ins");
        }
    }

    fn check_at(&self, target: Target, now: Instant) -> Result<()> {
        let Some(failures) = self.here.get(&target.0) else { return Ok(()) };
        let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
        forget_old(&mut failures, now);
        match failures.front() {
            Some(oldest) if failures.len() >= MOST_FAILURES => {
                let wait = (*oldest + WINDOW).saturating_duration_since(now).max(Duration::from_secs(1));
                Err(Error::new(
                    Slug::TooManyAttempts,
                    "Too many failed sign-ins for this account from your address; wait before the next one.",
                )
                .retry_after(wait))
            }
            _ => Ok(()),
        }
    }

    fn failed_at(&self, target: Target, now: Instant) {
        let failures = self.here.get_with(target.0, Arc::default);
        let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
        forget_old(&mut failures, now);
        if failures.len() < MOST_FAILURES {
            failures.push_back(now);
        }
    }
}

fn forget_old(failures: &mut VecDeque<Instant>, now: Instant) {
    while failures.front().is_some_and(|at| now.saturating_duration_since(*at) >= WINDOW) {
        failures.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn from(address: u8) -> Target {
        Target::new("ada@example.com", Some(Ipv4Addr::new(10, 0, 0, address).into()))
    }

    fn alone() -> Lockout {
        Lockout::new(cache::Cache::in_memory(1 << 20))
    }

    #[test]
    fn the_sixth_attempt_waits_until_the_first_failure_is_old() {
        let lockout = alone();
        let start = Instant::now();
        for second in 0..5 {
            assert!(lockout.check_at(from(1), start).is_ok());
            lockout.failed_at(from(1), start + Duration::from_secs(second));
        }
        let refused = lockout.check_at(from(1), start + Duration::from_secs(60)).unwrap_err();
        assert_eq!(refused.slug(), Slug::TooManyAttempts);
        assert_eq!(refused.retry_after_hint(), Some(Duration::from_secs(14 * 60)));
        assert!(lockout.check_at(from(2), start).is_ok(), "another address");
        assert!(lockout.check_at(Target::new("bob@example.com", None), start).is_ok(), "another account");
        assert!(lockout.check_at(from(1), start + WINDOW).is_ok(), "one failure is old");
    }

    #[tokio::test]
    async fn failures_at_all_replicas_count_together_and_a_success_forgives() {
        let everywhere = cache::Cache::in_memory(1 << 20);
        let (one, two) = (Lockout::new(everywhere.clone()), Lockout::new(everywhere.clone()));
        for n in 0..5 {
            assert_eq!(two.learn(from(1)).await, n);
            assert!(one.check(from(1)).is_ok() && two.check(from(1)).is_ok(), "{n} failed");
            let at = if n % 2 == 0 { &one } else { &two };
            at.failed(from(1)).await;
        }
        assert!(one.check(from(1)).is_ok(), "it has not heard of all yet");
        for replica in [&one, &two] {
            assert_eq!(replica.learn(from(1)).await, 5);
            let wait = replica.check(from(1)).unwrap_err().retry_after_hint().unwrap();
            assert!(wait > WINDOW.mul_f64(0.9) && wait <= WINDOW, "{wait:?}");
            assert!(replica.check(from(2)).is_ok(), "another address");
        }
        one.succeeded(from(1), 5).await;
        assert_eq!(one.learn(from(1)).await, 0);
        assert!(one.check(from(1)).is_ok());
    }
}

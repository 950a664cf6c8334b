//! Five failed sign-ins of one account from one address within 15 minutes: then it is closed to that address.
//!
//! Kept in memory, in real time, for the accounts that were tried last. Other addresses are not kept out, so nobody can
//! lock somebody else out of their account.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use fabric::crypto::sha256;
use kernel::{Error, Result, Slug};
use moka::{policy::EvictionPolicy, sync::Cache};

const MOST_FAILURES: usize = 5;
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Accounts and addresses that are remembered; some 100 bytes each.
const REMEMBERED: u64 = 100_000;

/// Failed attempts, by account and address.
pub struct Lockout(Cache<[u8; 32], Arc<Mutex<VecDeque<Instant>>>>);

/// One account, tried from one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target([u8; 32]);

impl Target {
    /// The account of `email` (in its normal form), tried from `address`.
    pub fn new(email: &str, address: Option<IpAddr>) -> Self {
        let address = address.map(|address| address.to_string()).unwrap_or_default();
        Self(sha256(&[email.as_bytes(), b"\0", address.as_bytes()]))
    }
}

impl Lockout {
    /// Nobody has failed yet.
    pub fn new() -> Self {
        // Least recently used goes first. The default policy would refuse newcomers in favour of old failures, and a
        // flood of made-up addresses would keep the real attack out of sight.
        let cache = Cache::builder().max_capacity(REMEMBERED).eviction_policy(EvictionPolicy::lru());
        Self(cache.time_to_idle(WINDOW).build())
    }

    /// Whether an attempt is let in. Asked before the password is checked, and again after it: of many attempts at the
    /// same time only those get to know anything that are through before the fifth failure.
    ///
    /// # Errors
    /// `too-many-attempts` with the time until the next one is let in.
    pub fn check(&self, target: Target) -> Result<()> {
        self.check_at(target, Instant::now())
    }

    /// The password was wrong.
    pub fn failed(&self, target: Target) {
        self.failed_at(target, Instant::now());
    }

    /// The password was right: what failed before is forgotten.
    pub fn succeeded(&self, target: Target) {
        self.0.invalidate(&target.0);
    }

    fn check_at(&self, target: Target, now: Instant) -> Result<()> {
        let Some(failures) = self.0.get(&target.0) else { return Ok(()) };
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
        let failures = self.0.get_with(target.0, Arc::default);
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

    #[test]
    fn the_sixth_attempt_waits_until_the_first_failure_is_old() {
        let lockout = Lockout::new();
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

    #[test]
    fn a_success_forgives() {
        let lockout = Lockout::new();
        for _ in 0..5 {
            lockout.failed(from(1));
        }
        assert!(lockout.check(from(1)).is_err());
        lockout.succeeded(from(1));
        assert!(lockout.check(from(1)).is_ok());
    }
}

//! The bucket of each client address: the first guard, without I/O.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderValue};

/// How much one client address may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests a second that flow on for ever; at least 1.
    pub per_second: u32,
    /// Requests that may come at once; at least 1.
    pub burst: u32,
}

/// What is left of what somebody may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// How many requests fit in.
    pub limit: u64,
    /// How many are left of them.
    pub remaining: u64,
    /// When all are again, if nothing more is asked.
    pub resets_in: Duration,
}

impl Allowance {
    /// Writes it into the head of an answer.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let seconds = self.resets_in.as_secs() + u64::from(self.resets_in.subsec_nanos() > 0);
        for (name, value) in [
            ("ratelimit-limit", self.limit),
            ("ratelimit-remaining", self.remaining),
            ("ratelimit-reset", seconds),
        ] {
            headers.insert(name, HeaderValue::from(value));
        }
    }
}

/// Addresses that are watched at the same time.
const WATCHED: u64 = 100_000;

/// One bucket per address, kept as the time at which it will be full again (the generic cell rate algorithm, ITU-T
/// I.371): one number, changed without a lock.
pub(crate) struct Buckets {
    start: Instant,
    /// Nanoseconds that one request takes out of the bucket.
    interval: u64,
    /// Nanoseconds that a bucket holds.
    depth: u64,
    full_again: moka::sync::Cache<IpAddr, Arc<AtomicU64>>,
}

impl Buckets {
    pub(crate) fn new(limit: RateLimit) -> Self {
        let interval = 1_000_000_000 / u64::from(limit.per_second.max(1));
        let depth = interval * u64::from(limit.burst.max(1));
        // A bucket that nobody touched for as long as it takes to fill is as good as none.
        let idle = Duration::from_nanos(depth) + Duration::from_secs(1);
        let full_again = moka::sync::Cache::builder().max_capacity(WATCHED).time_to_idle(idle).build();
        Self { start: Instant::now(), interval, depth, full_again }
    }

    /// Takes one out of the address's bucket; an empty one answers when to come back.
    pub(crate) fn take(&self, address: IpAddr, now: Instant) -> Result<Allowance, Over> {
        let now = u64::try_from(now.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX);
        let bucket = self.full_again.get_with(one_client(address), Arc::default);
        let mut seen = bucket.load(Ordering::Relaxed);
        loop {
            let next = seen.max(now) + self.interval;
            let over = next.saturating_sub(now).saturating_sub(self.depth);
            if over > 0 {
                let allowance = self.left(seen.saturating_sub(now));
                return Err(Over { allowance, wait: Duration::from_nanos(over) });
            }
            match bucket.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(self.left(next - now)),
                Err(other) => seen = other,
            }
        }
    }

    /// What is left in a bucket that is full again after so many nanoseconds.
    fn left(&self, full_after: u64) -> Allowance {
        Allowance {
            limit: self.depth / self.interval,
            remaining: self.depth.saturating_sub(full_after) / self.interval,
            resets_in: Duration::from_nanos(full_after),
        }
    }
}

/// Too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Over {
    pub allowance: Allowance,
    /// When there is room for one again.
    pub wait: Duration,
}

/// One client of IPv6 has a whole /64 to itself.
fn one_client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !0 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_steady_rate() {
        let buckets = Buckets::new(RateLimit { per_second: 10, burst: 3 });
        let (me, now) = (IpAddr::from([192, 0, 2, 1]), Instant::now());
        for remaining in [2, 1, 0] {
            let left = buckets.take(me, now).unwrap();
            assert_eq!((left.limit, left.remaining), (3, remaining));
            assert_eq!(left.resets_in, Duration::from_millis(100 * (3 - remaining)));
        }
        let Over { allowance, wait } = buckets.take(me, now).unwrap_err();
        assert_eq!((allowance.remaining, wait), (0, Duration::from_millis(100)));
        assert!(buckets.take(IpAddr::from([192, 0, 2, 2]), now).is_ok(), "another address has its own");
        assert!(buckets.take(me, now + wait).is_ok());
        assert!(buckets.take(me, now + wait).is_err());
    }

    #[test]
    fn one_network_of_ipv6_is_one_client() {
        let buckets = Buckets::new(RateLimit { per_second: 1, burst: 1 });
        let (now, [one, other, apart]) =
            (Instant::now(), ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(|a| a.parse().unwrap()));
        assert!(buckets.take(one, now).is_ok());
        assert!(buckets.take(other, now).is_err());
        assert!(buckets.take(apart, now).is_ok());
    }
}

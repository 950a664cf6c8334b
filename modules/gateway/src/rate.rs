//! The bucket of each client address: the first guard, without I/O.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How much one client address may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests a second that flow on for ever; at least 1.
    pub per_second: u32,
    /// Requests that may come at once; at least 1.
    pub burst: u32,
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
    pub(crate) fn take(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let now = u64::try_from(now.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX);
        let bucket = self.full_again.get_with(one_client(address), Arc::default);
        let mut seen = bucket.load(Ordering::Relaxed);
        loop {
            let next = seen.max(now) + self.interval;
            let over = next.saturating_sub(now).saturating_sub(self.depth);
            if over > 0 {
                return Err(Duration::from_nanos(over));
            }
            match bucket.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => seen = other,
            }
        }
    }
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
        for _ in 0..3 {
            assert!(buckets.take(me, now).is_ok());
        }
        let wait = buckets.take(me, now).unwrap_err();
        assert!(wait <= Duration::from_millis(100), "{wait:?}");
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

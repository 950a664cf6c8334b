use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use schemars::JsonSchema;
use serde::Serialize;

use super::LinkOptions;

/// How a link is doing.
///
/// `calls` is the sum of `answered`, `errors`, `rejected`, `timedOut`, `panicked`, `abandoned` and the calls that have
/// not ended. The figures are read one after the other, not at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkStats {
    /// The link.
    pub name: String,
    /// Whether it takes calls.
    pub state: LinkState,
    /// Calls that may wait.
    pub depth: usize,
    /// Calls that may run at the same time.
    pub concurrency: usize,
    /// Calls that wait now.
    pub queued: usize,
    /// Places taken now: by calls that run, and by answers whose body has not ended.
    pub in_flight: usize,
    /// Calls so far, refused ones included.
    pub calls: u64,
    /// Calls that ended with an answer, also with one that says no (4xx).
    pub answered: u64,
    /// Calls that ended with a fault of the service (5xx).
    pub errors: u64,
    /// Calls refused because the queue was full or the link closed.
    pub rejected: u64,
    /// Calls that were stopped at their deadline, waiting or running.
    pub timed_out: u64,
    /// Calls that panicked, and bodies that did.
    pub panicked: u64,
    /// Calls whose caller went away.
    pub abandoned: u64,
    /// Bodies that stood still for longer than the idle limit.
    pub bodies_stalled: u64,
    /// Time from arrival to the beginning of the work.
    pub wait: TimeStats,
    /// Time that the work took, to the head of the answer.
    pub time: TimeStats,
    /// The same for each operation.
    pub operations: Vec<OperationStats>,
}

/// Whether a link takes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// A call would run at once.
    Open,
    /// All places are taken; a call would wait.
    Waiting,
    /// A call would be refused.
    Full,
    /// The service behind it is not there yet, or no more.
    Unbound,
    /// Takes no more calls.
    Closed,
}

/// One operation of a contract.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationStats {
    /// The method of the contract.
    pub name: &'static str,
    /// How long it took.
    pub time: TimeStats,
}

/// A distribution of times. The percentiles are upper bounds, at most a quarter above the truth.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimeStats {
    /// How many were measured.
    pub count: u64,
    /// Their sum, in microseconds.
    pub total_micros: f64,
    /// Half of them were not longer, in microseconds.
    pub p50_micros: f64,
    /// 99 of 100 were not longer, in microseconds.
    pub p99_micros: f64,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Answered,
    Error,
    Rejected,
    TimedOut,
    Panicked,
    Abandoned,
}

const ENDS: usize = 6;

/// The counters of one link.
pub(super) struct Meter {
    calls: AtomicU64,
    ends: [AtomicU64; ENDS],
    bodies_panicked: AtomicU64,
    bodies_stalled: AtomicU64,
    wait: Histogram,
    operations: Box<[(&'static str, Histogram)]>,
}

impl Meter {
    pub(super) fn new(operations: &[&'static str]) -> Self {
        Self {
            calls: AtomicU64::new(0),
            ends: Default::default(),
            bodies_panicked: AtomicU64::new(0),
            bodies_stalled: AtomicU64::new(0),
            wait: Histogram::default(),
            operations: operations.iter().map(|name| (*name, Histogram::default())).collect(),
        }
    }

    /// Counts a call; it has been abandoned unless the tally is told otherwise.
    pub(super) fn begin(&self) -> Tally<'_> {
        self.calls.fetch_add(1, Relaxed);
        Tally { meter: self, end: End::Abandoned }
    }

    pub(super) fn operation(&self, operation: usize) -> &'static str {
        self.operations.get(operation).map_or("call", |(name, _)| name)
    }

    pub(super) fn waited(&self, wait: Duration) {
        self.wait.record(wait);
    }

    pub(super) fn took(&self, operation: usize, time: Duration) {
        if let Some((_, histogram)) = self.operations.get(operation) {
            histogram.record(time);
        }
    }

    pub(super) fn body_panicked(&self) {
        self.bodies_panicked.fetch_add(1, Relaxed);
    }

    pub(super) fn body_stalled(&self) {
        self.bodies_stalled.fetch_add(1, Relaxed);
    }

    pub(super) fn stats(
        &self,
        name: String,
        state: LinkState,
        options: LinkOptions,
        in_flight: usize,
        queued: usize,
    ) -> LinkStats {
        let ended = |end: End| self.ends[end as usize].load(Relaxed);
        let mut all = Snapshot::default();
        let operations = self.operations.iter().map(|(name, histogram)| {
            let snapshot = histogram.snapshot();
            all.add(&snapshot);
            OperationStats { name, time: snapshot.stats() }
        });
        let operations = operations.collect();
        LinkStats {
            name,
            state,
            depth: options.depth,
            concurrency: options.concurrency,
            queued,
            in_flight,
            calls: self.calls.load(Relaxed),
            answered: ended(End::Answered),
            errors: ended(End::Error),
            rejected: ended(End::Rejected),
            timed_out: ended(End::TimedOut),
            panicked: ended(End::Panicked) + self.bodies_panicked.load(Relaxed),
            abandoned: ended(End::Abandoned),
            bodies_stalled: self.bodies_stalled.load(Relaxed),
            wait: self.wait.snapshot().stats(),
            time: all.stats(),
            operations,
        }
    }
}

/// One call on its way; counts its end when it goes.
pub(super) struct Tally<'a> {
    meter: &'a Meter,
    end: End,
}

impl Tally<'_> {
    pub(super) fn end(mut self, end: End) {
        self.end = end;
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        self.meter.ends[self.end as usize].fetch_add(1, Relaxed);
    }
}

/// Each power of two of nanoseconds in four steps, up to 2^41 (half an hour); what is longer counts as that.
const BUCKETS: usize = 160;

/// A histogram that many threads write without a lock.
struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    total_nanos: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| AtomicU64::new(0)), total_nanos: AtomicU64::new(0) }
    }
}

impl Histogram {
    fn record(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos)].fetch_add(1, Relaxed);
        if nanos > 0 {
            self.total_nanos.fetch_add(nanos, Relaxed);
        }
    }

    fn snapshot(&self) -> Snapshot {
        let counts = std::array::from_fn(|i| self.buckets[i].load(Relaxed));
        Snapshot { counts, total_nanos: self.total_nanos.load(Relaxed) }
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < 4 {
        return nanos as usize;
    }
    let power = nanos.ilog2() as usize;
    let step = (nanos >> (power - 2)) as usize & 3;
    ((power - 1) * 4 + step).min(BUCKETS - 1)
}

/// The largest number of nanoseconds that falls into a bucket (the last one is open).
fn upper_edge(bucket: usize) -> u64 {
    if bucket < 4 {
        return bucket as u64;
    }
    let (power, step) = (bucket / 4 + 1, bucket as u64 % 4);
    ((5 + step) << (power - 2)) - 1
}

struct Snapshot {
    counts: [u64; BUCKETS],
    total_nanos: u64,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], total_nanos: 0 }
    }
}

impl Snapshot {
    fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total_nanos = self.total_nanos.saturating_add(other.total_nanos);
    }

    fn stats(&self) -> TimeStats {
        let count: u64 = self.counts.iter().sum();
        let percentile = |percent: u64| {
            let rank = (count * percent).div_ceil(100);
            let mut seen = 0;
            let at = self.counts.iter().position(|n| {
                seen += n;
                seen >= rank
            });
            if count == 0 { 0.0 } else { at.map_or(0.0, |bucket| upper_edge(bucket) as f64 / 1_000.0) }
        };
        TimeStats {
            count,
            total_micros: self.total_nanos as f64 / 1_000.0,
            p50_micros: percentile(50),
            p99_micros: percentile(99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_falls_into_a_bucket_whose_edge_is_at_most_a_quarter_above() {
        for nanos in (0..100_000).chain((1..40).map(|power| (1_u64 << power) + 1)) {
            let edge = upper_edge(bucket(nanos));
            assert!(edge >= nanos && edge as f64 <= nanos as f64 * 1.25, "{nanos} in {edge}");
            assert_eq!(bucket(edge), bucket(nanos), "the edge of {nanos} is {edge}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_come_out_of_the_distribution() {
        let histogram = Histogram::default();
        assert_eq!(histogram.snapshot().stats(), TimeStats::default());
        for micros in 1..=1_000 {
            histogram.record(Duration::from_micros(micros));
        }
        let stats = histogram.snapshot().stats();
        assert_eq!((stats.count, stats.total_micros), (1_000, 500_500.0));
        assert!((500.0..=625.0).contains(&stats.p50_micros), "{}", stats.p50_micros);
        assert!((990.0..=1_240.0).contains(&stats.p99_micros), "{}", stats.p99_micros);
    }
}

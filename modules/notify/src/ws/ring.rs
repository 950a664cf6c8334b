//! What happened in the last minutes, in one order for all sockets of the cell.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use fabric::crypto::SealingKey;
use kernel::{DomainEvent, TenantId, Timestamp};
use tokio::sync::watch;

/// Most events kept.
const MOST_ENTRIES: usize = 20_000;
/// Most bytes of their data, as JSON.
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// Positions follow commits: an event may lie this far behind a younger one.
const OUT_OF_ORDER: Duration = Duration::from_secs(30);
/// What a sealed place is bound to.
const CONTEXT: &[u8] = b"place";

/// An event in the ring.
pub(crate) struct Entry {
    seq: u64,
    pub event: DomainEvent,
    /// Its place, as clients are told it.
    pub place: String,
    bytes: usize,
    came: Instant,
}

/// Events, the newest last.
pub(crate) struct Ring {
    kept: Duration,
    inner: RwLock<Inner>,
    /// Whether all that was in the log has been taken over.
    current: watch::Sender<bool>,
    /// Wakes the sockets of a tenant.
    ears: Mutex<HashMap<TenantId, watch::Sender<u64>>>,
}

struct Inner {
    /// Which following of the log this is: numbers of another one mean nothing here.
    round: u64,
    /// The number that the next event gets.
    next: u64,
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    /// All events from this moment on are here.
    since: Timestamp,
}

/// What a socket takes.
pub(crate) struct Taken {
    /// The tenant's events.
    pub entries: Vec<Arc<Entry>>,
    /// Where it stands now.
    pub at: Place,
    /// Whether there is more right away.
    pub more: bool,
}

/// Where a socket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    round: u64,
    next: u64,
}

/// The ring has gone past the place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Passed;

/// Entries that a socket looks at in one go.
const LOOK: usize = 4_096;

impl Ring {
    pub(crate) fn new(kept: Duration) -> Self {
        let inner = Inner { round: 0, next: 0, entries: VecDeque::new(), bytes: 0, since: Timestamp::real() };
        Self { kept, inner: RwLock::new(inner), current: watch::Sender::new(false), ears: Mutex::default() }
    }

    /// Another following of the log begins; it will bring all that happened since then.
    pub(crate) fn begin(&self, since: Timestamp) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        *inner = Inner { round: rand::random(), next: 0, entries: VecDeque::new(), bytes: 0, since };
    }

    /// All that was in the log is here: from now on it is live.
    pub(crate) fn is_current(&self) {
        self.current.send_if_modified(|current| !std::mem::replace(current, true));
    }

    /// The following has ended.
    pub(crate) fn end(&self) {
        self.current.send_replace(false);
        self.begin(Timestamp::real());
        // Those who stand somewhere look, and find that their place is gone.
        self.ears().values().for_each(|ear| ear.send_modify(|news| *news += 1));
    }

    /// Waits until it is live.
    pub(crate) async fn live(&self) {
        let mut current = self.current.subscribe();
        // The sender lives as long as the ring.
        let _ = current.wait_for(|current| *current).await;
    }

    /// Adds events and wakes the sockets of their tenants.
    pub(crate) fn push(&self, events: Vec<DomainEvent>, places: &SealingKey) {
        if events.is_empty() {
            return;
        }
        let tenants: HashSet<TenantId> = events.iter().filter_map(|event| event.tenant_id).collect();
        let now = Instant::now();
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            let (round, seq) = (inner.round, inner.next);
            let place = seal(places, round, seq, event.timestamp);
            // The data is nearly all of it; the rest is counted as a round sum.
            let bytes = event.data.to_string().len() + 500;
            inner.next += 1;
            inner.bytes += bytes;
            inner.entries.push_back(Arc::new(Entry { seq, event, place, bytes, came: now }));
        }
        while let Some(oldest) = inner.entries.front() {
            let over = inner.entries.len() > MOST_ENTRIES || inner.bytes > MOST_BYTES;
            if !over && now.saturating_duration_since(oldest.came) <= self.kept {
                break;
            }
            let (bytes, at) = (oldest.bytes, oldest.event.timestamp);
            inner.entries.pop_front();
            inner.bytes -= bytes;
            inner.since = inner.since.max(at);
        }
        drop(inner);
        let mut ears = self.ears();
        ears.retain(|_, ear| ear.receiver_count() > 0);
        for ear in tenants.iter().filter_map(|tenant| ears.get(tenant)) {
            ear.send_modify(|news| *news += 1);
        }
    }

    /// An ear that is told of news of a tenant.
    pub(crate) fn ear(&self, tenant: TenantId) -> watch::Receiver<u64> {
        self.ears().entry(tenant).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    /// Behind everything that is here now.
    pub(crate) fn head(&self) -> Place {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        Place { round: inner.round, next: inner.next }
    }

    /// Where to go on behind a place that a client was told; none when not all that happened since is here. After a
    /// restart it lies a little further back: an event may come twice then, and is told from its id.
    pub(crate) fn resume(&self, places: &SealingKey, text: &str) -> Option<Place> {
        let (round, seq, at) = open(places, text)?;
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let oldest = inner.entries.front().map_or(inner.next, |entry| entry.seq);
        if round == inner.round {
            return (seq < inner.next && seq + 1 >= oldest).then_some(Place { round, next: seq + 1 });
        }
        let wanted = at.micros().saturating_sub(OUT_OF_ORDER.as_micros() as i64);
        if wanted < inner.since.micros() {
            return None;
        }
        let first = inner.entries.iter().find(|entry| entry.event.timestamp.micros() >= wanted);
        Some(Place { round: inner.round, next: first.map_or(inner.next, |entry| entry.seq) })
    }

    /// A tenant's events behind a place, `most` at most.
    ///
    /// # Errors
    /// When the place is gone.
    pub(crate) fn after(&self, at: Place, tenant: TenantId, most: usize) -> Result<Taken, Passed> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let oldest = inner.entries.front().map_or(inner.next, |entry| entry.seq);
        if at.round != inner.round || at.next < oldest {
            return Err(Passed);
        }
        let skipped = usize::try_from(at.next - oldest).unwrap_or(usize::MAX);
        let mut taken = Taken { entries: Vec::new(), at, more: false };
        for entry in inner.entries.iter().skip(skipped).take(LOOK) {
            if taken.entries.len() == most {
                break;
            }
            taken.at.next = entry.seq + 1;
            if entry.event.tenant_id == Some(tenant) {
                taken.entries.push(Arc::clone(entry));
            }
        }
        taken.more = taken.at.next < inner.next;
        Ok(taken)
    }

    fn ears(&self) -> std::sync::MutexGuard<'_, HashMap<TenantId, watch::Sender<u64>>> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// The place at which it is the next one.
    pub(crate) fn before(&self, at: Place) -> Place {
        Place { round: at.round, next: self.seq }
    }
}

fn seal(key: &SealingKey, round: u64, seq: u64, at: Timestamp) -> String {
    let plain = [round.to_be_bytes(), seq.to_be_bytes(), at.micros().to_be_bytes()].concat();
    URL_SAFE_NO_PAD.encode(key.seal(CONTEXT, &plain))
}

fn open(key: &SealingKey, text: &str) -> Option<(u64, u64, Timestamp)> {
    if text.len() > 200 {
        return None;
    }
    let plain = key.open(CONTEXT, &URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let number = |at: usize| Some(u64::from_be_bytes(plain.get(at..at + 8)?.try_into().ok()?));
    let micros = i64::from_be_bytes(plain.get(16..24)?.try_into().ok()?);
    Some((number(0)?, number(8)?, Timestamp::from_micros(micros)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fabric::crypto::RootKey;
    use futures::FutureExt as _;
    use kernel::EventId;

    fn event(tenant: TenantId, key: &str, seconds: i64) -> DomainEvent {
        DomainEvent {
            id: EventId::new(),
            kind: "crm.deal.won".into(),
            source: "crm".into(),
            tenant_id: Some(tenant),
            key: key.into(),
            data: serde_json::json!({}),
            schema_version: "1.0.0".into(),
            timestamp: Timestamp::from_micros(1_700_000_000_000_000 + seconds * 1_000_000).unwrap(),
            trace_id: None,
        }
    }

    fn at(seconds: i64) -> Timestamp {
        event(TenantId::new(), "", seconds).timestamp
    }

    fn keys(taken: &Taken) -> Vec<&str> {
        taken.entries.iter().map(|entry| entry.event.key.as_str()).collect()
    }

    fn ground() -> (Ring, SealingKey, TenantId, TenantId) {
        let ring = Ring::new(Duration::from_secs(300));
        ring.begin(at(0));
        (ring, RootKey::new(&[1; 32]).sealing("test"), TenantId::new(), TenantId::new())
    }

    #[test]
    fn a_socket_reads_its_tenants_events_once_and_in_order() {
        let (ring, key, one, other) = ground();
        let start = ring.head();
        ring.push(vec![event(one, "a", 100), event(other, "x", 100), event(one, "b", 101)], &key);
        let first = ring.after(start, one, 1).unwrap();
        assert!(keys(&first) == ["a"] && first.more);
        let second = ring.after(first.at, one, 10).unwrap();
        assert!(keys(&second) == ["b"] && !second.more);
        assert!(ring.after(second.at, one, 10).unwrap().entries.is_empty());
        assert_eq!(keys(&ring.after(start, other, 10).unwrap()), ["x"]);
    }

    #[test]
    fn only_the_ears_of_the_tenant_hear() {
        let (ring, key, one, other) = ground();
        let (mut mine, mut theirs) = (ring.ear(one), ring.ear(other));
        ring.push(vec![event(one, "a", 100)], &key);
        assert!(mine.changed().now_or_never().is_some());
        assert!(theirs.changed().now_or_never().is_none());
        drop((mine, theirs));
        ring.push(vec![event(one, "b", 100)], &key);
        assert!(ring.ears().is_empty(), "nothing is kept of sockets that are gone");
    }

    #[test]
    fn a_place_that_the_ring_has_gone_past_is_told_so() {
        let (ring, key, one, _) = ground();
        let start = ring.head();
        for chunk in 0..=MOST_ENTRIES / 1000 {
            ring.push((0..1000).map(|n| event(one, &format!("{chunk}/{n}"), 100)).collect(), &key);
        }
        assert!(ring.after(start, one, 10).err() == Some(Passed));
        let here = ring.head();
        ring.end();
        assert!(ring.after(here, one, 10).err() == Some(Passed));
    }

    #[test]
    fn a_drop_misses_nothing() {
        let (ring, key, one, _) = ground();
        ring.push(vec![event(one, "a", 100), event(one, "b", 101), event(one, "c", 102)], &key);
        let seen = ring.after(Place { next: 0, ..ring.head() }, one, 1).unwrap().entries.remove(0);
        let on = ring.resume(&key, &seen.place).unwrap();
        assert_eq!(keys(&ring.after(on, one, 10).unwrap()), ["b", "c"]);

        // Another following has them in another order, as partitions go.
        ring.begin(at(0));
        ring.push(vec![event(one, "b", 101), event(one, "a", 100), event(one, "c", 102)], &key);
        let on = ring.resume(&key, &seen.place).unwrap();
        assert_eq!(keys(&ring.after(on, one, 10).unwrap()), ["b", "a", "c"], "rather twice than never");

        ring.begin(at(90));
        assert_eq!(ring.resume(&key, &seen.place), None, "not all that happened since is here");
        assert_eq!(ring.resume(&key, "AAAA"), None);
        assert_eq!(ring.resume(&RootKey::new(&[2; 32]).sealing("test"), &seen.place), None);
    }

    #[tokio::test]
    async fn it_is_live_when_it_has_caught_up() {
        let (ring, ..) = ground();
        assert!(ring.live().now_or_never().is_none());
        ring.is_current();
        ring.live().await;
        ring.end();
        assert!(ring.live().now_or_never().is_none());
    }
}

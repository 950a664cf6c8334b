use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use kernel::Result;
use moka::{Expiry, ops::compute::Op, sync};
use tokio::sync::broadcast;

use super::{Counted, Heard, Store, topics::Topics};

/// Of all bytes, one in this many is for counters, so that a flood of large values does not push them out.
const COUNTERS_SHARE: u64 = 8;

/// What an entry costs beside its key and value.
const OVERHEAD: usize = 120;

/// Values and counters in this process, bounded by bytes: what was used least goes first.
pub struct MemoryStore {
    values: sync::Cache<String, Value>,
    counters: sync::Cache<String, Counter>,
    topics: Topics,
}

#[derive(Clone)]
struct Value {
    bytes: Bytes,
    until: Instant,
}

#[derive(Clone, Copy)]
struct Counter {
    count: u64,
    until: Instant,
}

/// When an entry's time is over: told by the entry itself, at each write.
struct OwnTime;

impl Expiry<String, Value> for OwnTime {
    fn expire_after_create(&self, _: &String, value: &Value, now: Instant) -> Option<Duration> {
        Some(value.until.saturating_duration_since(now))
    }

    fn expire_after_update(
        &self,
        _: &String,
        value: &Value,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(value.until.saturating_duration_since(now))
    }
}

impl Expiry<String, Counter> for OwnTime {
    fn expire_after_create(&self, _: &String, counter: &Counter, now: Instant) -> Option<Duration> {
        Some(counter.until.saturating_duration_since(now))
    }

    fn expire_after_update(
        &self,
        _: &String,
        counter: &Counter,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(counter.until.saturating_duration_since(now))
    }
}

impl MemoryStore {
    /// What one keeps unless told otherwise.
    pub const DEFAULT_BYTES: u64 = 64 << 20;

    /// Room for `bytes` bytes, keys and overhead included.
    pub fn new(bytes: u64) -> Self {
        let counters = bytes / COUNTERS_SHARE;
        let weight = |bytes: usize| u32::try_from(bytes + OVERHEAD).unwrap_or(u32::MAX);
        Self {
            values: sync::Cache::builder()
                .max_capacity(bytes - counters)
                .weigher(move |key: &String, value: &Value| weight(key.len() + value.bytes.len()))
                .expire_after(OwnTime)
                .build(),
            counters: sync::Cache::builder()
                .max_capacity(counters)
                .weigher(move |key: &String, _: &Counter| weight(key.len()))
                .expire_after(OwnTime)
                .build(),
            topics: Topics::default(),
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(Self::DEFAULT_BYTES)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        let now = Instant::now();
        Ok(self.values.get(key).filter(|value| value.until > now).map(|value| value.bytes))
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> Result<()> {
        // A slice of a large buffer would keep all of it.
        let bytes = Bytes::copy_from_slice(&value);
        self.values.insert(key.to_owned(), Value { bytes, until: Instant::now() + ttl });
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.values.invalidate(key);
        self.counters.invalidate(key);
        Ok(())
    }

    async fn delete_prefix(&self, prefix: &str) -> Result<()> {
        for (key, _) in &self.values {
            if key.starts_with(prefix) {
                self.values.invalidate(key.as_str());
            }
        }
        for (key, _) in &self.counters {
            if key.starts_with(prefix) {
                self.counters.invalidate(key.as_str());
            }
        }
        Ok(())
    }

    async fn increment(&self, key: &str, by: u64, window: Duration) -> Result<Counted> {
        let now = Instant::now();
        let mut counted = Counted { count: by, resets_in: window };
        self.counters.entry(key.to_owned()).and_compute_with(|entry| {
            let running = entry.map(moka::Entry::into_value).filter(|counter| counter.until > now);
            let counter = match running {
                Some(Counter { count, until }) => Counter { count: count.saturating_add(by), until },
                None if by == 0 => return Op::Nop,
                None => Counter { count: by, until: now + window },
            };
            counted =
                Counted { count: counter.count, resets_in: counter.until.saturating_duration_since(now) };
            Op::Put(counter)
        });
        Ok(counted)
    }

    async fn publish(&self, topic: &str, message: Bytes) -> Result<()> {
        self.topics.tell(topic, Heard::Message(message));
        Ok(())
    }

    async fn subscribe(&self, topic: &str) -> Result<broadcast::Receiver<Heard>> {
        self.topics.drop_unheard(topic);
        Ok(self.topics.listen(topic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{Cache, contract, topics::BACKLOG};

    #[tokio::test]
    async fn the_memory_keeps_the_contract() {
        contract::check(&Cache::in_memory(MemoryStore::DEFAULT_BYTES)).await.unwrap();
        contract::check(&Cache::in_memory(MemoryStore::DEFAULT_BYTES).part("sandbox")).await.unwrap();
    }

    #[tokio::test]
    async fn it_never_holds_more_than_its_bytes_and_counters_survive_a_flood() {
        let store = MemoryStore::new(1 << 20);
        store.increment("logins", 1, Duration::from_secs(60)).await.unwrap();
        for n in 0..5_000 {
            store.set(&format!("k{n}"), vec![0; 1_000].into(), Duration::from_secs(60)).await.unwrap();
        }
        store.values.run_pending_tasks();
        assert!(store.values.weighted_size() <= 1 << 20);
        assert!(store.values.entry_count() > 100);
        assert_eq!(store.increment("logins", 1, Duration::from_secs(60)).await.unwrap().count, 2);
    }

    #[tokio::test]
    async fn a_listener_that_lags_learns_that_it_missed_something() {
        let cache = Cache::in_memory(1 << 20);
        let mut listener = cache.subscribe("t").await.unwrap();
        for n in 0..BACKLOG + 10 {
            cache.publish("t", n.to_string()).await.unwrap();
        }
        assert_eq!(listener.next().await, Some(Heard::Interrupted));
        assert_eq!(listener.next().await, Some(Heard::Message("10".into())));
    }

    #[tokio::test]
    async fn topics_that_nobody_listens_to_take_no_room() {
        let store = MemoryStore::new(1 << 20);
        for n in 0..100 {
            drop(store.subscribe(&format!("t{n}")).await.unwrap());
        }
        let _listener = store.subscribe("last").await.unwrap();
        assert_eq!(store.topics.names(), ["last"]);
    }
}

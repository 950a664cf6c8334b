use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use kernel::{Ctx, DomainEvent, Result, Timestamp};

use super::{Batch, Cursor, EventLog, Listener, News, PARTITIONS, Patterns, Read, topic_of};

/// A log in memory: what the contract means in the fewest lines, for tests.
#[derive(Default)]
pub struct MemoryLog {
    partitions: Mutex<BTreeMap<(String, i16), Vec<DomainEvent>>>,
    news: Arc<News>,
}

impl MemoryLog {
    /// An empty log.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Logs events in the order given.
    pub fn append(&self, events: impl IntoIterator<Item = DomainEvent>) {
        let mut kinds = Vec::new();
        let mut partitions = self.partitions();
        for event in events {
            let mut hash = DefaultHasher::new();
            event.key.hash(&mut hash);
            let partition = i16::try_from(hash.finish() % PARTITIONS.unsigned_abs() as u64).unwrap_or(0);
            kinds.push(event.kind.clone());
            partitions.entry((topic_of(&event.kind), partition)).or_default().push(event);
        }
        drop(partitions);
        self.news.tell(&kinds);
    }

    fn partitions(&self) -> MutexGuard<'_, BTreeMap<(String, i16), Vec<DomainEvent>>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cursor(&self, patterns: &Patterns, place: impl Fn(&[DomainEvent]) -> usize) -> Cursor {
        let mut cursor = Cursor::beginning();
        for ((topic, partition), events) in self.partitions().iter().filter(|((t, _), _)| patterns.reach(t)) {
            cursor.set(topic, *partition, i64::try_from(place(events)).unwrap_or(i64::MAX));
        }
        cursor
    }
}

#[async_trait]
impl EventLog for MemoryLog {
    async fn read(&self, _: &Ctx, read: Read<'_>) -> Result<Batch> {
        let mut batch = Batch { events: Vec::new(), next: read.from.clone(), more: false };
        for ((topic, partition), events) in
            self.partitions().iter().filter(|((t, _), _)| read.patterns.reach(t))
        {
            let mut place = usize::try_from(read.from.place(topic, *partition)).unwrap_or(0);
            for event in events.iter().skip(place) {
                let wanted = read.patterns.name(&event.kind)
                    && read.tenant.is_none_or(|tenant| event.tenant_id == Some(tenant));
                if wanted && batch.events.len() == read.most {
                    batch.more = true;
                    break;
                }
                if wanted {
                    batch.events.push(event.clone());
                }
                place += 1;
            }
            batch.next.set(topic, *partition, i64::try_from(place).unwrap_or(i64::MAX));
        }
        Ok(batch)
    }

    async fn head(&self, _: &Ctx, patterns: &Patterns) -> Result<Cursor> {
        Ok(self.cursor(patterns, <[_]>::len))
    }

    async fn at_time(&self, _: &Ctx, patterns: &Patterns, at: Timestamp) -> Result<Cursor> {
        let first =
            |events: &[DomainEvent]| events.iter().position(|e| e.timestamp >= at).unwrap_or(events.len());
        Ok(self.cursor(patterns, first))
    }

    fn listen(&self, patterns: Patterns) -> Listener {
        self.news.listen(patterns)
    }
}

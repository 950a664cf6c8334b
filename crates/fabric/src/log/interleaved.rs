use std::{collections::VecDeque, sync::Arc};

use async_trait::async_trait;
use kernel::{Ctx, DomainEvent, Result, Timestamp};

use super::{Batch, Cursor, EventLog, Listener, Patterns, Read, topic_of};

/// Another log whose partitions come mixed at random, as Kafka's may: only the order of each key is kept. For tests, so
/// that nobody comes to lean on an order that is not promised.
pub struct InterleavedLog(Arc<dyn EventLog>);

impl InterleavedLog {
    /// `log`, mixed.
    pub fn over(log: Arc<dyn EventLog>) -> Arc<Self> {
        Arc::new(Self(log))
    }
}

/// Draws from the keys at random, from each in order.
fn mix(events: Vec<DomainEvent>) -> Vec<DomainEvent> {
    let mut left = events.len();
    let mut keys: Vec<((String, String), VecDeque<DomainEvent>)> = Vec::new();
    for event in events {
        let key = (topic_of(&event.kind), event.key.clone());
        match keys.iter_mut().find(|(known, _)| *known == key) {
            Some((_, queue)) => queue.push_back(event),
            None => keys.push((key, VecDeque::from([event]))),
        }
    }
    let mut mixed = Vec::with_capacity(left);
    while left > 0 {
        let mut drawn = rand::random_range(0..left);
        for (_, queue) in &mut keys {
            if drawn < queue.len() {
                mixed.extend(queue.pop_front());
                break;
            }
            drawn -= queue.len();
        }
        left -= 1;
    }
    mixed
}

#[async_trait]
impl EventLog for InterleavedLog {
    async fn read(&self, cx: &Ctx, read: Read<'_>) -> Result<Batch> {
        // A batch of another size each time: nobody may count on getting as many as were asked for.
        let most = rand::random_range(1..=read.most.max(1));
        let mut batch = self.0.read(cx, Read { most, ..read }).await?;
        batch.events = mix(batch.events);
        Ok(batch)
    }

    async fn head(&self, cx: &Ctx, patterns: &Patterns) -> Result<Cursor> {
        self.0.head(cx, patterns).await
    }

    async fn at_time(&self, cx: &Ctx, patterns: &Patterns, at: Timestamp) -> Result<Cursor> {
        self.0.at_time(cx, patterns, at).await
    }

    fn listen(&self, patterns: Patterns) -> Listener {
        self.0.listen(patterns)
    }
}

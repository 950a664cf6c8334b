//! Values in this process, messages by Postgres' NOTIFY: what replicas without a Valkey have in common.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bytes::Bytes;
use kernel::{Error, Result};
use tokio::{sync::broadcast, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{Counted, Heard, MemoryStore, Store, topics::Topics};
use crate::{
    log::Contexts,
    postgres::{Database, Listening, Reason},
};

const CHANNEL: &str = "kernel_said";
/// Postgres takes less than 8,000 bytes.
const MOST_BYTES: usize = 7_999;
/// How often the connection is tried, and how often listeners are told while it is away.
const BEAT: Duration = Duration::from_millis(500);
/// How long Postgres may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Values and counters of this process alone; topics that all processes on one Postgres share.
///
/// They share one channel of one database, and each process listens on one connection, however many sandboxes it holds.
pub struct NotifyStore {
    memory: MemoryStore,
    topics: Topics,
    db: Database,
    contexts: Contexts,
}

impl NotifyStore {
    /// A store of at most `bytes` bytes whose messages go through `db`. Nothing is heard before [`NotifyStore::run`].
    pub fn new(bytes: u64, db: Database, contexts: Contexts) -> Arc<Self> {
        Arc::new(Self { memory: MemoryStore::new(bytes), topics: Topics::default(), db, contexts })
    }

    /// Listens until `stop`. Postgres may come and go: listeners are told that messages may have been missed, as long as
    /// it is away and when it is back.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.listen() => {}
        }
    }

    async fn listen(&self) {
        let mut told = false;
        loop {
            let ended = self.listen_once(&mut told).await;
            if let (Err(error), false) = (ended, told) {
                told = true;
                tracing::warn!(
                    ?error,
                    "word of other replicas does not arrive by Postgres; what it would have told is looked up instead"
                );
            }
            self.topics.interrupt();
            tokio::time::sleep(BEAT).await;
        }
    }

    /// Never returns but by an error.
    async fn listen_once(&self, told: &mut bool) -> Result<()> {
        let late = |_| Error::internal("Postgres does not answer in time");
        let mut ears = timeout(PATIENCE, self.db.listen(CHANNEL)).await.map_err(late)??;
        self.hear_itself(&mut ears).await?;
        self.topics.interrupt();
        if std::mem::take(told) {
            tracing::info!("word of other replicas arrives by Postgres again");
        }
        loop {
            match timeout(BEAT, ears.next()).await {
                Ok(payload) => self.tell(&payload?),
                Err(_) => timeout(PATIENCE, ears.check()).await.map_err(late)??,
            }
        }
    }

    /// A pooler that gives each transaction another connection takes the words and never brings them.
    async fn hear_itself(&self, ears: &mut Listening) -> Result<()> {
        let sign = format!("{:016x}", rand::random::<u64>());
        self.say(&sign, b"").await?;
        let heard = timeout(PATIENCE, async {
            loop {
                let payload = ears.next().await?;
                if payload.ends_with(&sign) {
                    return Ok::<_, Error>(());
                }
                self.tell(&payload);
            }
        });
        heard.await.unwrap_or_else(|_| {
            Err(Error::internal(
                "NOTIFY does not arrive (a pooler in transaction mode?): set VALKEY_URL for more than one replica",
            ))
        })
    }

    async fn say(&self, topic: &str, message: &[u8]) -> Result<()> {
        let payload = format!("{} {topic}", STANDARD_NO_PAD.encode(message));
        if payload.len() > MOST_BYTES {
            return Err(Error::internal(format!("a message of {} bytes is too long", message.len())));
        }
        let db = self.db.system(&self.contexts.own(), Reason::Events);
        db.query(crate::sql!("select pg_notify($1, $2)")).bind(CHANNEL).bind(payload).run().await.map(drop)
    }

    fn tell(&self, payload: &str) {
        let Some((message, topic)) = payload.split_once(' ') else { return };
        let heard = STANDARD_NO_PAD.decode(message);
        self.topics.tell(topic, heard.map_or(Heard::Interrupted, |bytes| Heard::Message(bytes.into())));
    }
}

#[async_trait]
impl Store for NotifyStore {
    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        self.memory.get(key).await
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> Result<()> {
        self.memory.set(key, value, ttl).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.memory.delete(key).await
    }

    async fn delete_prefix(&self, prefix: &str) -> Result<()> {
        self.memory.delete_prefix(prefix).await
    }

    async fn increment(&self, key: &str, by: u64, window: Duration) -> Result<Counted> {
        self.memory.increment(key, by, window).await
    }

    async fn publish(&self, topic: &str, message: Bytes) -> Result<()> {
        self.say(topic, &message).await
    }

    async fn subscribe(&self, topic: &str) -> Result<broadcast::Receiver<Heard>> {
        self.topics.drop_unheard(topic);
        Ok(self.topics.listen(topic))
    }
}

//! The cache: what may be forgotten at any moment. In memory, or in a server that all replicas share; the contract is
//! what both can keep.
//!
//! Nothing in it is the only copy of anything. Rates and short-lived marks live here, too: losing them is a nuisance and
//! never wrong.

pub mod contract;
mod memory;
mod notify;
mod topics;
mod valkey;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use kernel::Result;
use tokio::sync::broadcast::{self, error::RecvError};

pub use memory::MemoryStore;
pub use notify::NotifyStore;
pub use valkey::{Presence, ServerFacts, ValkeyError, ValkeyOptions, ValkeyStore};

/// What a store of cached values keeps to. A key is either a value or a counter, never both.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The value, unless its time is over or it was forgotten.
    async fn get(&self, key: &str) -> Result<Option<Bytes>>;
    /// Keeps a value for at most `ttl`.
    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> Result<()>;
    /// Forgets a value or a counter.
    async fn delete(&self, key: &str) -> Result<()>;
    /// Forgets everything whose key begins so. Takes time in proportion to everything kept.
    async fn delete_prefix(&self, prefix: &str) -> Result<()>;
    /// Counts so many more in the window that the first count began.
    async fn increment(&self, key: &str, by: u64, window: Duration) -> Result<Counted>;
    /// Tells those who listen now.
    async fn publish(&self, topic: &str, message: Bytes) -> Result<()>;
    /// Listens from now on. In a cluster what was said a moment before may be heard, too.
    async fn subscribe(&self, topic: &str) -> Result<broadcast::Receiver<Heard>>;
}

/// A counter after it was raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// By how much it was raised in this window.
    pub count: u64,
    /// When the window ends, from now.
    pub resets_in: Duration,
}

/// What a listener hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A message.
    Message(Bytes),
    /// Messages may have been missed: whatever was concluded from silence is to be looked at again.
    Interrupted,
}

/// A part of a cache: all keys and topics lie under its prefix. Cheap to clone.
#[derive(Clone)]
pub struct Cache {
    store: Arc<dyn Store>,
    prefix: Arc<str>,
}

impl Cache {
    /// The whole of a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, prefix: "".into() }
    }

    /// A cache in this process of at most `bytes` bytes.
    pub fn in_memory(bytes: u64) -> Self {
        Self::new(Arc::new(MemoryStore::new(bytes)))
    }

    /// The part that `name` names (a sandbox, a service): nothing in it is seen from another part. A slash in the name is
    /// written otherwise, so that no name reaches into another part.
    pub fn part(&self, name: &str) -> Self {
        let name = name.replace('%', "%25").replace('/', "%2F");
        Self { store: Arc::clone(&self.store), prefix: format!("{}{name}/", self.prefix).into() }
    }

    /// The value, unless its time is over or it was forgotten.
    ///
    /// # Errors
    /// What the server says; a caller goes on as if there were no value.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        self.store.get(&self.under(key)).await
    }

    /// Keeps a value for at most `ttl`, in real time.
    ///
    /// # Errors
    /// What the server says.
    pub async fn set(&self, key: &str, value: impl Into<Bytes> + Send, ttl: Duration) -> Result<()> {
        self.store.set(&self.under(key), value.into(), ttl).await
    }

    /// Forgets a value or a counter.
    ///
    /// # Errors
    /// What the server says.
    pub async fn delete(&self, key: &str) -> Result<()> {
        self.store.delete(&self.under(key)).await
    }

    /// Forgets everything in this part whose key begins with `prefix`. Takes time in proportion to everything kept: for
    /// rare events, not for requests.
    ///
    /// # Errors
    /// What the server says.
    pub async fn delete_prefix(&self, prefix: &str) -> Result<()> {
        self.store.delete_prefix(&self.under(prefix)).await
    }

    /// Counts `by` more, or with 0 looks only and makes no counter; the first count begins a window in real time, after which it starts anew.
    ///
    /// # Errors
    /// What the server says.
    pub async fn increment(&self, key: &str, by: u64, window: Duration) -> Result<Counted> {
        self.store.increment(&self.under(key), by, window).await
    }

    /// Tells those who listen to `topic` in this part now; nobody else ever hears it.
    ///
    /// # Errors
    /// What the server says.
    pub async fn publish(&self, topic: &str, message: impl Into<Bytes> + Send) -> Result<()> {
        self.store.publish(&self.under(topic), message.into()).await
    }

    /// Listens to `topic` in this part from now on. In a cluster what was said a moment before may be heard, too.
    ///
    /// # Errors
    /// What the server says.
    pub async fn subscribe(&self, topic: &str) -> Result<Subscription> {
        Ok(Subscription(self.store.subscribe(&self.under(topic)).await?))
    }

    fn under(&self, key: &str) -> String {
        [&self.prefix, key].concat()
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cache({})", self.prefix)
    }
}

/// A listener.
#[derive(Debug)]
pub struct Subscription(broadcast::Receiver<Heard>);

impl Subscription {
    /// The next message, or that messages may have been missed; `None` when nothing will come any more. Safe to drop
    /// while it waits.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.0.recv().await {
            Ok(heard) => Some(heard),
            Err(RecvError::Lagged(_)) => Some(Heard::Interrupted),
            Err(RecvError::Closed) => None,
        }
    }
}

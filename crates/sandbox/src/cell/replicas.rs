//! What the replicas of a sandbox tell each other, so that they behave as one.
//!
//! Messages go through the cell's part of the cache: Valkey carries them where there is one, else Postgres' NOTIFY.
//! `docs/decisions/0020-replicas.md` says what is said and what happens when it does not arrive.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use fabric::cache::{Cache, Heard, Subscription};
use iam::Change;
use kernel::{Error, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

use super::Cell;

/// Changes of sessions, members, keys and tenants: a list of [`Change`].
const RIGHTS: &str = "rights";
/// Types of events that came.
const NEWS: &str = "news";
/// Between attempts to tell what was not taken.
const AGAIN: Duration = Duration::from_millis(200);

/// A message, and which replica said it: each hears itself, too.
#[derive(Serialize, Deserialize)]
struct Said<T> {
    by: Uuid,
    what: T,
}

/// A replica's voice and ear for one topic.
struct Line {
    cache: Cache,
    topic: &'static str,
    me: Uuid,
}

impl Line {
    async fn say<T: Serialize + Send>(&self, what: T) -> Result<()> {
        let text = serde_json::to_vec(&Said { by: self.me, what }).map_err(Error::internal)?;
        self.cache.publish(self.topic, text).await
    }

    /// What another replica said next; none when something may have been missed, or can't be read.
    async fn hear<T: DeserializeOwned>(&self, ears: &mut Subscription) -> Option<T> {
        loop {
            let Some(Heard::Message(text)) = ears.next().await else { return None };
            match serde_json::from_slice::<Said<T>>(&text) {
                Ok(said) if said.by == self.me => {}
                Ok(said) => return Some(said.what),
                Err(error) => {
                    tracing::warn!(%error, topic = self.topic, "another replica said something that can't be read");
                    return None;
                }
            }
        }
    }
}

impl Cell {
    /// A changed right holds at once on every replica: what iam and the gateway remember of it is stale. Where word of
    /// it may have been missed, nothing that is remembered is trusted.
    pub(super) async fn share_rights(&self) -> Result<()> {
        let line = Arc::new(Line { cache: self.cache.clone(), topic: RIGHTS, me: Uuid::new_v4() });
        let mut ears = self.cache.subscribe(RIGHTS).await?;
        let (iam, gateway, stop) =
            (Arc::clone(&self.services.iam), Arc::clone(&self.gateway), self.stop.clone());
        let hearing = Arc::clone(&line);
        self.tasks.spawn(async move {
            loop {
                let changes: Option<Vec<Change>> = tokio::select! {
                    () = stop.cancelled() => return,
                    changes = hearing.hear(&mut ears) => changes,
                };
                let changes = changes.unwrap_or_else(|| vec![Change::Everything]);
                changes.into_iter().for_each(|change| iam.heard(change));
                // After iam: it would learn the old answer again.
                gateway.forget_credentials();
            }
        });
        let (iam, gateway, stop) =
            (Arc::clone(&self.services.iam), Arc::clone(&self.gateway), self.stop.clone());
        self.tasks.spawn(async move {
            loop {
                let mut changes = tokio::select! {
                    () = stop.cancelled() => return,
                    changes = iam.changes() => changes,
                };
                gateway.forget_credentials();
                while let Err(error) = line.say(&changes).await {
                    tracing::debug!(?error, "other replicas can't be told of changed rights yet");
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(AGAIN) => {}
                    }
                    // By then more may have changed, and who is told late has more to doubt.
                    changes = vec![Change::Everything];
                }
            }
        });
        Ok(())
    }

    /// Events that one replica's relay moved are news for the readers of all. Without word of them each relay finds out
    /// within a second.
    pub(super) async fn share_news(&self) -> Result<()> {
        let line = Arc::new(Line { cache: self.cache.clone(), topic: NEWS, me: Uuid::new_v4() });
        let mut ears = self.cache.subscribe(NEWS).await?;
        let (hearing, told, stop) = (Arc::clone(&line), Arc::clone(&self.news), self.stop.clone());
        self.tasks.spawn(async move {
            loop {
                let types: Option<Vec<String>> = tokio::select! {
                    () = stop.cancelled() => return,
                    types = hearing.hear(&mut ears) => types,
                };
                if let Some(types) = types {
                    told.tell(&types);
                }
            }
        });
        let (mut moves, stop) = (self.news.moves(), self.stop.clone());
        self.tasks.spawn(async move {
            loop {
                let moved = tokio::select! {
                    () = stop.cancelled() => return,
                    moved = moves.recv() => match moved {
                        Ok(types) => types,
                        Err(RecvError::Lagged(_)) => continue,
                        Err(RecvError::Closed) => return,
                    },
                };
                let mut types: BTreeSet<String> = moved.iter().cloned().collect();
                while let Ok(more) = moves.try_recv() {
                    types.extend(more.iter().cloned());
                }
                if let Err(error) = line.say(&types).await {
                    tracing::debug!(?error, "other replicas find out by themselves what came");
                }
            }
        });
        Ok(())
    }
}

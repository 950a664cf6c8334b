//! Who listens to what in this process.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::broadcast;

use super::Heard;

/// Messages that a slow listener may lag behind.
pub(super) const BACKLOG: usize = 256;

/// The topics that somebody listens to, or did until a moment ago.
#[derive(Default)]
pub(super) struct Topics(Mutex<HashMap<Box<str>, broadcast::Sender<Heard>>>);

impl Topics {
    /// One more listener.
    pub(super) fn listen(&self, topic: &str) -> broadcast::Receiver<Heard> {
        let mut topics = self.all();
        topics.entry(topic.into()).or_insert_with(|| broadcast::Sender::new(BACKLOG)).subscribe()
    }

    /// One more listener of a topic that has some, or had until a moment ago.
    pub(super) fn join(&self, topic: &str) -> Option<broadcast::Receiver<Heard>> {
        self.all().get(topic).map(broadcast::Sender::subscribe)
    }

    /// Drops the topics that nobody listens to any more, this one aside.
    pub(super) fn drop_unheard(&self, aside: &str) -> Vec<String> {
        let mut topics = self.all();
        let unheard = topics.extract_if(|name, sender| sender.receiver_count() == 0 && &**name != aside);
        unheard.map(|(name, _)| name.into()).collect()
    }

    /// Tells those who listen to the topic.
    pub(super) fn tell(&self, topic: &str, heard: Heard) {
        if let Some(sender) = self.all().get(topic) {
            // An error says that nobody listens any more.
            let _ = sender.send(heard);
        }
    }

    /// Tells all that messages may have been missed.
    pub(super) fn interrupt(&self) {
        for sender in self.all().values() {
            let _ = sender.send(Heard::Interrupted);
        }
    }

    /// Their names.
    pub(super) fn names(&self) -> Vec<String> {
        self.all().keys().map(|name| name.to_string()).collect()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Box<str>, broadcast::Sender<Heard>>> {
        // Nothing under this lock can fail half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

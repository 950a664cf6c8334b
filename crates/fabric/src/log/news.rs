use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Notify, broadcast};

use super::Patterns;

/// Tells readers in this process that there is something new for them. Only those are woken whose patterns name a type
/// that came.
pub struct News {
    ears: Mutex<Vec<Weak<Ear>>>,
    moved: broadcast::Sender<Arc<[String]>>,
}

/// What a slow teller may lag behind.
const BACKLOG: usize = 64;

struct Ear {
    patterns: Patterns,
    woken: Notify,
}

/// A reader's ear. What came while nobody listened to it is not forgotten.
pub struct Listener(Arc<Ear>);

impl Default for News {
    fn default() -> Self {
        Self { ears: Mutex::default(), moved: broadcast::Sender::new(BACKLOG) }
    }
}

impl News {
    /// Nobody listens yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Wakes the listener from now on for every type that `patterns` name.
    pub fn listen(&self, patterns: Patterns) -> Listener {
        let ear = Arc::new(Ear { patterns, woken: Notify::new() });
        let mut ears = self.ears();
        ears.retain(|ear| ear.strong_count() > 0);
        ears.push(Arc::downgrade(&ear));
        Listener(ear)
    }

    /// Events of these types came.
    pub fn tell<T: AsRef<str>>(&self, types: &[T]) {
        for ear in self.ears().iter().filter_map(Weak::upgrade) {
            if types.iter().any(|kind| ear.patterns.name(kind.as_ref())) {
                ear.woken.notify_one();
            }
        }
    }

    /// Our own relay gave events of these types their place: those here are told, and whoever tells other replicas.
    pub fn moved(&self, types: Vec<String>) {
        self.tell(&types);
        // An error says that nobody tells others.
        let _ = self.moved.send(types.into());
    }

    /// The types of what our own relay moves from now on, for other replicas.
    pub fn moves(&self) -> broadcast::Receiver<Arc<[String]>> {
        self.moved.subscribe()
    }

    /// Something came, it is not known what.
    pub fn tell_all(&self) {
        for ear in self.ears().iter().filter_map(Weak::upgrade) {
            ear.woken.notify_one();
        }
    }

    fn ears(&self) -> MutexGuard<'_, Vec<Weak<Ear>>> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// Waits until something came since the last time. Safe to drop half way.
    pub async fn heard(&self) {
        self.0.woken.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn only_those_wake_who_want_what_came_and_nothing_is_forgotten() {
        let news = News::new();
        let crm = news.listen(Patterns::new(["crm.*"]).unwrap());
        let auth = news.listen(Patterns::new(["auth.*"]).unwrap());
        news.tell(&["crm.deal.won"]);
        assert!(crm.heard().now_or_never().is_some());
        assert!(crm.heard().now_or_never().is_none());
        assert!(auth.heard().now_or_never().is_none());
        news.tell_all();
        assert!(crm.heard().now_or_never().is_some() && auth.heard().now_or_never().is_some());
    }
}

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use super::Patterns;

/// Tells readers in this process that there is something new for them. Only those are woken whose patterns name a type
/// that came.
#[derive(Default)]
pub struct News(Mutex<Vec<Weak<Ear>>>);

struct Ear {
    patterns: Patterns,
    woken: Notify,
}

/// A reader's ear. What came while nobody listened to it is not forgotten.
pub struct Listener(Arc<Ear>);

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

    /// Something came, it is not known what.
    pub fn tell_all(&self) {
        for ear in self.ears().iter().filter_map(Weak::upgrade) {
            ear.woken.notify_one();
        }
    }

    fn ears(&self) -> MutexGuard<'_, Vec<Weak<Ear>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

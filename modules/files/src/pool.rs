//! Where files are decoded and unpacked: few threads of their own, a bounded queue before them. One pool serves the process.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kernel::{Error, Result, Slug};
use tokio::sync::oneshot;

/// How much is taken on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilePoolOptions {
    /// Files at the same time.
    pub threads: usize,
    /// Files that may wait.
    pub places: usize,
}

impl Default for FilePoolOptions {
    /// As many threads as cores, at most eight: each may hold a decoded image.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { threads: cores.clamp(1, 8), places: 256 }
    }
}

/// A bounded pool of threads. Clones share it.
#[derive(Clone)]
pub struct FilePool(Arc<Shared>);

struct Shared {
    options: FilePoolOptions,
    state: Mutex<State>,
    work_came: Condvar,
}

type Work = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    waiting: VecDeque<Work>,
    threads: usize,
    idle: usize,
}

/// A thread without work ends after this time, and gives back what libvips kept for it.
const REST: Duration = Duration::from_secs(10);

impl FilePool {
    /// A pool; no thread is started before there is work.
    pub fn new(options: FilePoolOptions) -> Self {
        Self(Arc::new(Shared { options, state: Mutex::default(), work_came: Condvar::new() }))
    }

    /// Does `work` on a thread of the pool. Whoever stops waiting leaves it to be thrown away; what has begun is finished.
    ///
    /// # Errors
    /// `overloaded` at once when too much waits; `internal` when it panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let work = move || {
            if !answer.is_closed() {
                let _ = answer.send(work());
            }
        };
        if let Some(first) = self.0.take_on(Box::new(work))? {
            let shared = Arc::clone(&self.0);
            let started =
                std::thread::Builder::new().name("files".to_owned()).spawn(move || shared.work(first));
            if let Err(error) = started {
                self.0.lock().threads -= 1;
                return Err(Error::internal(error));
            }
        }
        answered.await.map_err(|_| Error::internal("work on a file ended without an answer"))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts work into the queue; gives it back when a thread has to be started for it, which is counted already.
    fn take_on(&self, work: Work) -> Result<Option<Work>> {
        let mut state = self.lock();
        if state.idle <= state.waiting.len() && state.threads < self.options.threads {
            state.threads += 1;
            return Ok(Some(work));
        }
        if state.waiting.len() >= self.options.places {
            return Err(Error::new(
                Slug::Overloaded,
                "Too many files are being looked at just now; try again in a moment.",
            ));
        }
        state.waiting.push_back(work);
        self.work_came.notify_one();
        Ok(None)
    }

    fn work(&self, first: Work) {
        let mut next = Some(first);
        while let Some(work) = next {
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                tracing::error!("work on a file panicked");
            }
            next = self.next();
        }
        vips::leave_thread();
    }

    /// The next piece of work; none when there was none for a while.
    fn next(&self) -> Option<Work> {
        let mut state = self.lock();
        loop {
            if let Some(work) = state.waiting.pop_front() {
                return Some(work);
            }
            state.idle += 1;
            let (back, waited) =
                self.work_came.wait_timeout(state, REST).unwrap_or_else(PoisonError::into_inner);
            state = back;
            state.idle -= 1;
            if waited.timed_out() && state.waiting.is_empty() {
                state.threads -= 1;
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_runs_side_by_side_and_no_more_than_allowed() {
        let pool = FilePool::new(FilePoolOptions { threads: 2, places: 1 });
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        let busy: Vec<_> = (0..2)
            .map(|n| {
                let (pool, wait) = (pool.clone(), Arc::clone(&wait));
                tokio::spawn(async move {
                    pool.run(move || {
                        let _ = wait.lock().unwrap().recv();
                        n
                    })
                    .await
                })
            })
            .collect();
        while pool.0.lock().threads < 2 {
            tokio::task::yield_now().await;
        }
        let queued = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(|| 2).await }
        });
        while pool.0.lock().waiting.is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.run(|| 3).await.unwrap_err().slug(), Slug::Overloaded);
        go.send(()).unwrap();
        go.send(()).unwrap();
        for (n, task) in busy.into_iter().enumerate() {
            assert_eq!(task.await.unwrap().unwrap(), n);
        }
        assert_eq!(queued.await.unwrap().unwrap(), 2);
    }

    #[tokio::test]
    async fn a_panic_is_one_failure() {
        let pool = FilePool::new(FilePoolOptions { threads: 1, places: 8 });
        let failed = pool.run(|| assert_eq!(1, 2, "on purpose")).await;
        assert_eq!(failed.unwrap_err().slug(), Slug::Internal);
        assert_eq!(pool.run(|| 5).await.unwrap(), 5);
    }
}

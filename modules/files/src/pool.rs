//! Where files are decoded and unpacked: few threads of their own, a bounded queue before them. One pool serves the process.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use kernel::{Error, Result, Slug};
use tokio::sync::{Semaphore, oneshot};

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
    /// Files whose bytes may be in memory: those that are worked on, and as many that are loaded meanwhile.
    room: Arc<Semaphore>,
    /// Those who wait for room.
    outside: AtomicUsize,
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
        Self(Arc::new(Shared {
            options,
            state: Mutex::default(),
            work_came: Condvar::new(),
            room: Arc::new(Semaphore::new(2 * options.threads)),
            outside: AtomicUsize::new(0),
        }))
    }

    /// Loads what `work` is about, once there is room for it, and does the work on a thread of the pool. Whoever stops
    /// waiting leaves it to be thrown away; what has begun is finished.
    ///
    /// # Errors
    /// Those of loading; `overloaded` at once when too many wait; `internal` when the work panicked.
    pub(crate) async fn run<B: Send + 'static, T: Send + 'static>(
        &self,
        load: impl Future<Output = Result<B>>,
        work: impl FnOnce(B) -> T + Send + 'static,
    ) -> Result<T> {
        let room = {
            let _waiting = Waiting::among(&self.0)?;
            Arc::clone(&self.0.room).acquire_owned().await.map_err(Error::internal)?
        };
        let loaded = load.await?;
        self.work(move || {
            let _room = room;
            work(loaded)
        })
        .await
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let work = move || {
            if !answer.is_closed() {
                let _ = answer.send(work());
            }
        };
        if let Some(first) = self.0.take_on(Box::new(work)) {
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

/// Somebody who waits for room.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn among(shared: &'a Shared) -> Result<Self> {
        let waiting = Self(shared);
        if shared.outside.fetch_add(1, Ordering::Relaxed) < shared.options.places {
            return Ok(waiting);
        }
        Err(Error::new(
            Slug::Overloaded,
            "Too many files are being looked at just now; try again in a moment.",
        ))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.outside.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts work into the queue; gives it back when a thread has to be started for it, which is counted already.
    fn take_on(&self, work: Work) -> Option<Work> {
        let mut state = self.lock();
        if state.idle <= state.waiting.len() && state.threads < self.options.threads {
            state.threads += 1;
            return Some(work);
        }
        state.waiting.push_back(work);
        self.work_came.notify_one();
        None
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
    async fn no_more_is_loaded_than_there_is_room_for() {
        let pool = FilePool::new(FilePoolOptions { threads: 2, places: 1 });
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        let loaded = Arc::new(AtomicUsize::new(0));
        let run = |n: usize| {
            let (pool, wait, loaded) = (pool.clone(), Arc::clone(&wait), Arc::clone(&loaded));
            tokio::spawn(async move {
                let load = async move { Ok(loaded.fetch_add(1, Ordering::SeqCst)) };
                let work = move |_| {
                    let _ = wait.lock().unwrap().recv();
                    n
                };
                pool.run(load, work).await
            })
        };
        // Two are worked on, two are loaded, one waits outside.
        let within: Vec<_> = (0..4).map(run).collect();
        while loaded.load(Ordering::SeqCst) < 4 {
            tokio::task::yield_now().await;
        }
        let outside = run(4);
        while pool.0.outside.load(Ordering::SeqCst) < 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(run(5).await.unwrap().unwrap_err().slug(), Slug::Overloaded);
        assert_eq!((loaded.load(Ordering::SeqCst), pool.0.lock().threads), (4, 2));
        for _ in 0..5 {
            go.send(()).unwrap();
        }
        for (n, task) in within.into_iter().chain([outside]).enumerate() {
            assert_eq!(task.await.unwrap().unwrap(), n);
        }
        assert_eq!(loaded.load(Ordering::SeqCst), 5);
    }

    #[tokio::test]
    async fn a_panic_is_one_failure() {
        let pool = FilePool::new(FilePoolOptions { threads: 1, places: 8 });
        for _ in 0..3 {
            let failed = pool.run(async { Ok(2) }, |two| assert_eq!(1, two, "on purpose")).await;
            assert_eq!(failed.unwrap_err().slug(), Slug::Internal);
        }
        assert_eq!(pool.run(async { Ok(5) }, |five| five).await.unwrap(), 5);
    }
}

//! Where passwords are hashed: few threads of their own, a bounded queue before them, and turns that are fair between
//! sandboxes and, within one, between addresses. One pool serves the process.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kernel::{Error, Result, SandboxName, Slug};
use tokio::sync::oneshot;

/// How much hashing is taken on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashPoolOptions {
    /// Hashes at the same time.
    pub threads: usize,
    /// Hashes that may wait, all sandboxes together.
    pub places: usize,
    /// Hashes of one address in one sandbox that may wait.
    pub places_of_address: usize,
}

impl Default for HashPoolOptions {
    /// All cores but one, so that hashing never takes the machine from those who are signed in.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { threads: cores.saturating_sub(1).max(1), places: 256, places_of_address: 64 }
    }
}

/// For whom a hash is worked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// The sandbox.
    pub sandbox: SandboxName,
    /// The client's address; none for work of our own.
    pub address: Option<IpAddr>,
}

/// A bounded pool for hashing. Clones share it.
#[derive(Clone)]
pub struct HashPool(Arc<Shared>);

struct Shared {
    options: HashPoolOptions,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    running: usize,
    waiting: usize,
    next_ticket: u64,
    /// In the order in which they get their turns.
    sandboxes: VecDeque<SandboxQueue>,
}

struct SandboxQueue {
    name: SandboxName,
    addresses: VecDeque<AddressQueue>,
}

struct AddressQueue {
    address: Option<IpAddr>,
    waiters: VecDeque<Waiter>,
}

struct Waiter {
    ticket: u64,
    go: oneshot::Sender<Turn>,
}

/// The right to hash; the next one gets it on drop.
struct Turn(Arc<Shared>);

/// A place in the queue; left on drop.
struct Place<'a> {
    shared: &'a Arc<Shared>,
    lane: Lane,
    ticket: u64,
}

impl HashPool {
    /// A pool; no thread is started before there is work.
    pub fn new(options: HashPoolOptions) -> Self {
        Self(Arc::new(Shared { options, queue: Mutex::default() }))
    }

    /// Does `work` on a thread of the pool when its turn has come. Whoever stops waiting gives the place back; work that
    /// has begun is finished.
    ///
    /// # Errors
    /// `rate-limited` at once when the queue, or the part of it that the lane may use, is full.
    pub async fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let turn = self.turn(lane).await?;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(Error::internal)
    }

    async fn turn(&self, lane: Lane) -> Result<Turn> {
        let (place, mut come) = {
            let mut queue = self.0.lock();
            if queue.running < self.0.options.threads && queue.waiting == 0 {
                queue.running += 1;
                return Ok(Turn(Arc::clone(&self.0)));
            }
            let (go, come) = oneshot::channel();
            let ticket = queue.enter(&lane, go, &self.0.options).ok_or_else(full)?;
            (Place { shared: &self.0, lane, ticket }, come)
        };
        let turn = (&mut come).await.map_err(Error::internal)?;
        // The place was left when the turn was given.
        drop(place);
        Ok(turn)
    }
}

fn full() -> Error {
    Error::new(Slug::RateLimited, "Too many passwords are being checked just now; try again in a moment.")
        .retry_after(Duration::from_secs(1))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn enter(&mut self, lane: &Lane, go: oneshot::Sender<Turn>, options: &HashPoolOptions) -> Option<u64> {
        if self.waiting >= options.places {
            return None;
        }
        let at =
            self.sandboxes.iter().position(|sandbox| sandbox.name == lane.sandbox).unwrap_or_else(|| {
                self.sandboxes
                    .push_back(SandboxQueue { name: lane.sandbox.clone(), addresses: VecDeque::new() });
                self.sandboxes.len() - 1
            });
        let addresses = &mut self.sandboxes[at].addresses;
        let at = addresses.iter().position(|one| one.address == lane.address).unwrap_or_else(|| {
            addresses.push_back(AddressQueue { address: lane.address, waiters: VecDeque::new() });
            addresses.len() - 1
        });
        let waiters = &mut addresses[at].waiters;
        // An empty queue was just made, and is below any limit of at least one.
        if waiters.len() >= options.places_of_address.max(1) {
            return None;
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting += 1;
        waiters.push_back(Waiter { ticket, go });
        Some(ticket)
    }

    /// Takes whoever is next: the sandboxes in turn, within each the addresses in turn.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let mut sandbox = self.sandboxes.pop_front()?;
        let mut address = sandbox.addresses.pop_front()?;
        let waiter = address.waiters.pop_front()?;
        if !address.waiters.is_empty() {
            sandbox.addresses.push_back(address);
        }
        if !sandbox.addresses.is_empty() {
            self.sandboxes.push_back(sandbox);
        }
        self.waiting -= 1;
        Some(waiter.go)
    }

    /// Takes a waiter out that has given up; nothing if it got its turn already.
    fn leave(&mut self, lane: &Lane, ticket: u64) {
        let Some(at) = self.sandboxes.iter().position(|sandbox| sandbox.name == lane.sandbox) else { return };
        let sandbox = &mut self.sandboxes[at];
        let Some(own) = sandbox.addresses.iter().position(|one| one.address == lane.address) else { return };
        let waiters = &mut sandbox.addresses[own].waiters;
        let before = waiters.len();
        waiters.retain(|waiter| waiter.ticket != ticket);
        self.waiting -= before - waiters.len();
        if waiters.is_empty() {
            sandbox.addresses.remove(own);
        }
        if sandbox.addresses.is_empty() {
            self.sandboxes.remove(at);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = {
            let mut queue = self.0.lock();
            let next = queue.next();
            if next.is_none() {
                queue.running -= 1;
            }
            next
        };
        if let Some(go) = next {
            // One that gave up at this very moment drops the turn it is given, which hands it on.
            drop(go.send(Turn(Arc::clone(&self.0))));
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.shared.lock().leave(&self.lane, self.ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::Ipv4Addr, sync::mpsc};

    fn lane(sandbox: &str, address: u8) -> Lane {
        Lane { sandbox: sandbox.parse().unwrap(), address: Some(Ipv4Addr::new(10, 0, 0, address).into()) }
    }

    fn pool(places: usize, places_of_address: usize) -> HashPool {
        HashPool::new(HashPoolOptions { threads: 1, places, places_of_address })
    }

    /// Waits in line, and says its name when it has its turn.
    fn wait(pool: &HashPool, lane: Lane, name: &'static str, told: &mpsc::Sender<&'static str>) {
        let (pool, told) = (pool.clone(), told.clone());
        tokio::spawn(async move { pool.run(lane, move || told.send(name).unwrap()).await });
    }

    async fn until_waiting(pool: &HashPool, number: usize) {
        while pool.0.lock().waiting != number {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn turns_go_round_between_sandboxes_and_addresses() {
        let pool = pool(10, 10);
        let turn = pool.turn(lane("a", 1)).await.unwrap();
        let (told, heard) = mpsc::channel();
        for (at, (lane, name)) in [
            (lane("a", 1), "a1 first"),
            (lane("a", 1), "a1 second"),
            (lane("a", 1), "a1 third"),
            (lane("a", 2), "a2"),
            (lane("b", 1), "b1 first"),
            (lane("b", 1), "b1 second"),
        ]
        .into_iter()
        .enumerate()
        {
            wait(&pool, lane, name, &told);
            until_waiting(&pool, at + 1).await;
        }
        drop((turn, told));
        let order = tokio::task::spawn_blocking(move || heard.iter().collect::<Vec<_>>()).await.unwrap();
        assert_eq!(order, ["a1 first", "b1 first", "a2", "b1 second", "a1 second", "a1 third"]);
        while pool.0.lock().running > 0 {
            tokio::task::yield_now().await;
        }
        assert!(pool.0.lock().sandboxes.is_empty());
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_and_one_address_does_not_fill_it() {
        let pool = pool(3, 2);
        let turn = pool.turn(lane("a", 1)).await.unwrap();
        let (told, _heard) = mpsc::channel();
        wait(&pool, lane("a", 1), "", &told);
        wait(&pool, lane("a", 1), "", &told);
        until_waiting(&pool, 2).await;
        let refused = pool.turn(lane("a", 1)).await.err().unwrap();
        assert_eq!(refused.slug(), Slug::RateLimited);
        assert!(refused.retry_after_hint().is_some());
        wait(&pool, lane("a", 2), "", &told);
        until_waiting(&pool, 3).await;
        assert!(pool.turn(lane("b", 1)).await.is_err());
        drop(turn);
    }

    #[tokio::test]
    async fn whoever_gives_up_leaves_the_queue() {
        let pool = pool(1, 1);
        let turn = pool.turn(lane("a", 1)).await.unwrap();
        let gone = tokio::time::timeout(Duration::from_millis(5), pool.turn(lane("a", 1))).await;
        assert!(gone.is_err());
        assert_eq!(pool.0.lock().waiting, 0);
        drop(turn);
        assert_eq!(pool.0.lock().running, 0);
        assert_eq!(pool.run(lane("a", 1), || 7).await.unwrap(), 7);
    }
}

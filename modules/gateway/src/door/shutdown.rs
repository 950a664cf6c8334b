//! Closing the door without losing a request.
//!
//! `announce` (listeners go on; HTTP/1.1 answers carry `Connection: close`, so that balancers move away) → `drain`
//! (nothing new is accepted; each connection ends after its requests) → `finished` (waits, then cuts the rest).

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The stages of closing, shared by all listeners. Clones are the same door.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(Arc<Stages>);

#[derive(Debug, Default)]
struct Stages {
    announced: CancellationToken,
    draining: CancellationToken,
    cut: CancellationToken,
    /// Accept loops and connections; upgraded connections have left it.
    open: TaskTracker,
}

impl Shutdown {
    /// A door that is open.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that the end is near: everything is still accepted, HTTP/1.1 connections close after their next answer.
    pub fn announce(&self) {
        self.0.announced.cancel();
    }

    /// Stops accepting and lets every connection finish what it is doing. Connections that the system has already
    /// taken in are still answered.
    pub fn drain(&self) {
        self.0.announced.cancel();
        self.0.draining.cancel();
        self.0.open.close();
    }

    /// [Drains](Self::drain), waits for at most `limit`, then cuts what is still open. Returns how many accept loops
    /// and connections were cut; 0 is a clean end.
    pub async fn finished(&self, limit: Duration) -> usize {
        self.drain();
        if tokio::time::timeout(limit, self.0.open.wait()).await.is_ok() {
            return 0;
        }
        let cut = self.0.open.len();
        self.0.cut.cancel();
        self.0.open.wait().await; // every task selects on `cut`, so this is immediate
        cut
    }

    /// Whether the end has been announced.
    pub fn is_announced(&self) -> bool {
        self.0.announced.is_cancelled()
    }

    /// Resolves when draining begins.
    pub async fn draining(&self) {
        self.0.draining.cancelled().await;
    }

    /// Runs a task that `finished` waits for, and ends it when the rest is cut.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stages = Arc::clone(&self.0);
        self.0.open.spawn(async move {
            tokio::select! {
                () = task => {}
                () = stages.cut.cancelled() => {}
            }
        });
    }
}

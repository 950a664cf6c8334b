//! Waiting for what comes about by itself.

use std::time::{Duration, Instant};

/// How long anything may take that has no limit of its own.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between looks.
const LOOK: Duration = Duration::from_millis(20);

/// What is waited for: that it is so, or that there is something.
pub trait Wanted {
    /// What there is then.
    type Found;
    /// It, once it is there.
    fn found(self) -> Option<Self::Found>;
}

impl Wanted for bool {
    type Found = ();

    fn found(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Wanted for Option<T> {
    type Found = T;

    fn found(self) -> Self {
        self
    }
}

/// Asks until it is so, or until there is something, for at most a minute.
pub async fn until<W: Wanted>(what: &str, ask: impl AsyncFnMut() -> W) -> W::Found {
    within(PATIENCE, what, ask).await
}

/// The same, for at most `limit`.
pub async fn within<W: Wanted>(limit: Duration, what: &str, mut ask: impl AsyncFnMut() -> W) -> W::Found {
    let give_up = Instant::now() + limit;
    loop {
        if let Some(found) = ask().await.found() {
            return found;
        }
        assert!(Instant::now() < give_up, "waited for {limit:?}: {what}");
        tokio::time::sleep(LOOK).await;
    }
}

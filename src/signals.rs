//! What the outside tells a running kernel: to go, to go at once, to read its certificates again.

use std::io::IsTerminal;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// A wish to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// In order: balancers get time to notice (SIGTERM).
    InOrder,
    /// Somebody waits (SIGINT, as ^C sends it; or the terminal was closed).
    Soon,
}

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// To stop.
    Stop(Stop),
    /// SIGHUP of a process without a terminal: the configured certificates may be new.
    Reload,
}

/// The signals of this process, from now on.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    on_terminal: bool,
}

impl Signals {
    /// Listens. A second signal of the same kind is no longer fatal by itself: see [`Signals::next`].
    ///
    /// # Errors
    /// The system refused.
    pub fn listen() -> Result<Self, Failure> {
        let on =
            |kind| signal(kind).map_err(|error| Failure::new(format!("signals can't be heard: {error}")));
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hang_up: on(SignalKind::hangup())?,
            on_terminal: std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
        })
    }

    /// The next one. Cancel safe.
    pub async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop(Stop::InOrder),
            _ = self.interrupt.recv() => Told::Stop(Stop::Soon),
            _ = self.hang_up.recv() => if self.on_terminal { Told::Stop(Stop::Soon) } else { Told::Reload },
        }
    }

    /// The next wish to stop. Cancel safe.
    pub async fn stop(&mut self) -> Stop {
        loop {
            if let Told::Stop(stop) = self.next().await {
                return stop;
            }
        }
    }
}

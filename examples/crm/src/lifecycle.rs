//! Starting and stopping.

use std::future::IntoFuture;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::watch;

use crate::http::{App, router};
use crate::{CrmError, Options};

/// How long requests under way may take to finish once the end was asked for.
const DRAIN: Duration = Duration::from_secs(10);

/// What long-lived answers watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Serving,
    /// Begin nothing new; websockets say goodbye.
    Draining,
    /// The time to finish is over; streams break off.
    Ended,
}

/// A view of the phase that can be waited on.
#[derive(Clone, Debug)]
pub(crate) struct PhaseWatch(watch::Receiver<Phase>);

impl PhaseWatch {
    /// Returns when `phase` is reached, or when the back-end is gone altogether.
    pub(crate) async fn reached(&mut self, phase: Phase) {
        // An error means that the sender is gone: later than every phase.
        let _ = self.0.wait_for(|now| *now >= phase).await;
    }
}

/// Runs the back-end until its `shutdown` ends: requests under way get 10 s to finish,
/// websockets are closed with code 1001.
///
/// # Errors
/// [`CrmError`], when the options don't hold or the address can't be bound; nothing was started
/// then.
pub async fn serve(options: Options) -> Result<(), CrmError> {
    let (phase, watching) = watch::channel(Phase::Serving);
    let watching = PhaseWatch(watching);
    let app = App::new(&options.kernel_url, options.issuers, options.module_keys, watching.clone())?;
    let listener = options.listen.open().await?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, kernel = options.kernel_url, "the CRM back-end listens");
    }

    let mut draining = watching;
    let stop = async move { draining.reached(Phase::Draining).await };
    let server = axum::serve(listener, router(app)).with_graceful_shutdown(stop);
    let mut server = pin!(server.into_future());
    tokio::select! {
        ended = &mut server => return ended.map_err(CrmError::Serve),
        () = options.shutdown => phase.send_replace(Phase::Draining),
    };
    match tokio::time::timeout(DRAIN, &mut server).await {
        Ok(ended) => ended.map_err(CrmError::Serve),
        Err(_) => {
            tracing::warn!("requests were still under way after {DRAIN:?} and are broken off");
            phase.send_replace(Phase::Ended);
            Ok(())
        }
    }
}

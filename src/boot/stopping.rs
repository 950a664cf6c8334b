//! The way back: no request is lost, everything is written, nothing keeps running.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway::Front;
use gateway::door::Shutdown;
use kernel::config::Config;
use sandbox::Estate;

use crate::backend::Backend;
use crate::failure::Failure;
use crate::signals::Stop;

/// Somebody waits at the terminal: requests get this.
const SOON: Duration = Duration::from_secs(1);
/// What PostgreSQL gets at least to write everything out.
const LAST_WORK: Duration = Duration::from_secs(5);

/// What a running kernel holds open.
pub struct Open<'a> {
    /// The listeners and their connections.
    pub door: &'a Shutdown,
    /// Says whether it is ready.
    pub front: &'a Front,
    /// Sandboxes and their PostgreSQL.
    pub estate: &'a Arc<Estate>,
    /// The example's back-end.
    pub backend: Option<Backend>,
}

/// Stops everything in the reverse order of the start.
///
/// # Errors
/// PostgreSQL did not end in time. Its next start recovers what was acknowledged.
pub async fn stop(stop: Stop, config: &Config, open: Open<'_>) -> Result<(), Failure> {
    let Open { door, front, estate, backend } = open;
    let began = Instant::now();
    let (grace, requests) = match stop {
        Stop::InOrder => (config.shutdown.grace, config.shutdown.requests),
        Stop::Soon => (Duration::ZERO, SOON),
    };
    tracing::info!(grace_s = grace.as_secs(), "stopping");
    // Not ready from now on, but still answering, until balancers have noticed.
    front.begin_shutdown();
    door.announce();
    tokio::time::sleep(grace).await;
    let cut = door.finished(requests).await;
    if cut > 0 {
        tracing::warn!(cut, "connections were cut: their requests took longer than GATEWAY_SHUTDOWN_TIMEOUT");
    }
    // The back-end is only called through the gateway, which is closed now.
    let backend = async {
        if let Some(backend) = backend {
            backend.stop().await;
        }
    };
    let patience = (grace + requests + LAST_WORK).saturating_sub(began.elapsed()).max(LAST_WORK);
    let (closed, ()) = tokio::join!(tokio::time::timeout(patience, estate.close()), backend);
    match closed {
        Ok(Ok(())) => {
            tracing::info!(
                took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
                "stopped"
            );
            Ok(())
        }
        Ok(Err(error)) => Err(Failure::new(error)),
        Err(_) => Err(Failure::new(format!(
            "PostgreSQL did not end within {} s and is left to its recovery: the next start takes longer, nothing \
             acknowledged is lost",
            patience.as_secs()
        ))),
    }
}

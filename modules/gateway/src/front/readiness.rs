//! Whether the process takes requests.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Cells;

/// Whether requests can be answered, for all who ask: HTTP probes and gRPC health.
pub(super) struct Readiness {
    cells: Arc<dyn Cells>,
    closing: CancellationToken,
}

impl Readiness {
    pub(super) fn new(cells: Arc<dyn Cells>) -> Self {
        Self { cells, closing: CancellationToken::new() }
    }

    /// The process is about to stop: it is not ready from now on.
    pub(super) fn close(&self) {
        self.closing.cancel();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Resolves when the process is about to stop.
    pub(super) async fn closed(&self) {
        self.closing.cancelled().await;
    }

    /// Whether requests can be answered; why not, as a sentence.
    pub(super) fn now(&self) -> Result<(), String> {
        match self.is_closing() {
            true => Err("the process is being stopped".to_owned()),
            false => self.cells.ready(),
        }
    }
}

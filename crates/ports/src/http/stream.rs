use std::{any::Any, fmt, sync::Arc};

use axum::extract::FromRequestParts;
use http::request::Parts;
use kernel::Error;
use tokio_util::sync::CancellationToken;

use super::Problem;

/// The place that the gateway keeps for a connection which a service takes over after an upgrade, out of reach of the
/// Link: as long as one of its clones lives, the sandbox counts an open stream and does not fall asleep; when the sandbox
/// drains, it says so. A handler that upgrades takes it and keeps it until the connection ends.
#[derive(Clone)]
pub struct OpenStream {
    _counted: Arc<dyn Any + Send + Sync>,
    cut: CancellationToken,
}

impl OpenStream {
    /// A place that is counted while `counted` lives and ends with `cut`.
    pub fn new(counted: impl Any + Send + Sync, cut: CancellationToken) -> Self {
        Self { _counted: Arc::new(counted), cut }
    }

    /// Resolves when the connection must end.
    pub async fn is_cut(&self) {
        self.cut.cancelled().await;
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OpenStream {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let place = parts.extensions.remove::<Self>();
        place.ok_or_else(|| Error::internal("an upgrade came without a place for its stream").into())
    }
}

impl fmt::Debug for OpenStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenStream")
    }
}

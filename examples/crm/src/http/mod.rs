//! The back-end's routes. Each is also a line of `backend.routes` in the manifest, where the
//! permission stands that the gateway asks for.

mod deals;
mod health;
mod reports;
mod streams;
mod websocket;
mod whoami;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::issuer::Issuer;
use crate::kernel_api::KernelApi;
use crate::keys::KeyRing;
use crate::lifecycle::PhaseWatch;
use crate::problem::Problem;
use crate::{CrmError, ModuleKeys};

/// Requests in work at once, to the head of their answer.
const MAX_REQUESTS: usize = 256;
/// Streams and websockets open at once.
const MAX_STREAMS: usize = 64;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) kernel: KernelApi,
    pub(crate) keys: KeyRing,
    pub(crate) module_keys: ModuleKeys,
    issuers: Vec<String>,
    phase: PhaseWatch,
    requests: Semaphore,
    streams: Arc<Semaphore>,
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    pub(crate) fn new(
        kernel_url: &str,
        issuers: Vec<String>,
        module_keys: ModuleKeys,
        phase: PhaseWatch,
    ) -> Result<Self, CrmError> {
        let kernel = KernelApi::at(kernel_url)?;
        Ok(App(Arc::new(Shared {
            keys: KeyRing::of(kernel.clone()),
            kernel,
            module_keys,
            issuers,
            phase,
            requests: Semaphore::new(MAX_REQUESTS),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
        })))
    }

    /// Whether tokens of this issuer are taken at all.
    pub(crate) fn takes(&self, issuer: &Issuer) -> bool {
        self.issuers.is_empty() || self.issuers.iter().any(|url| url == issuer.url())
    }

    /// A place among the open streams, held as long as the answer is written.
    fn stream_place(&self) -> Result<(OwnedSemaphorePermit, PhaseWatch), Problem> {
        let place = Arc::clone(&self.streams).try_acquire_owned().map_err(|_| Problem::overloaded())?;
        Ok((place, self.phase.clone()))
    }
}

pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/reports/pipeline", get(reports::pipeline))
        .route("/deals/{id}/win", post(deals::win))
        .route("/whoami", get(whoami::whoami))
        .route("/slow", get(streams::slow))
        .route("/stream", get(streams::stream))
        .route("/ws", get(websocket::echo))
        .fallback(async || Problem::not_found("address in this module"))
        .method_not_allowed_fallback(async || Problem::not_found("address in this module"))
        .layer(from_fn_with_state(app.clone(), limited))
        // Added after the limit: a busy back-end is still a healthy one.
        .route("/health", get(health::health))
        .with_state(app)
}

/// Answers `overloaded` at once rather than queueing without end.
async fn limited(State(app): State<App>, request: Request, next: Next) -> Result<Response, Problem> {
    let _place = app.requests.try_acquire().map_err(|_| Problem::overloaded())?;
    Ok(next.run(request).await)
}

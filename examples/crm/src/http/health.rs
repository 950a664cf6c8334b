//! `GET /health`: the manifest's `healthCheck`, without a token.

use axum::Json;
use serde_json::{Value, json};

/// Alive. It asks nobody: a kernel that checks us must not fail because of itself.
pub(super) async fn health() -> Json<Value> {
    Json(json!({ "status": "ok", "module": crate::NAME }))
}

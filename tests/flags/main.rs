//! Feature flags over HTTP: the tenant's own, OFREP, the relay proxy's addresses, a file that changes; and real clients.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test: what fails here fails the test"
)]

mod clients;
mod file;
mod own;
mod protocols;

use serde_json::{Value, json};
use testkit::{Answer, Api};

/// A flag of the installation, and one that no tenant has.
const SHIPPED: &str = "console-banner";

async fn define(api: &Api, key: &str, definition: Value) -> Answer {
    api.post("/api/v1/flags", json!({ "key": key, "definition": definition })).await
}

async fn ofrep(api: &Api, key: &str, context: Value) -> Answer {
    api.post(&format!("/ofrep/v1/evaluate/flags/{key}"), json!({ "context": context })).await
}

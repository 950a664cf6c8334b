//! The manifest's JSON Schema, for editors.

use std::sync::LazyLock;

use axum::response::Response;
use http::StatusCode;
use ports::http::{Access, Operation, Routes, json_bytes};

use super::Registry;
use crate::manifest;

pub(super) fn add(table: Routes<Registry>) -> Routes<Registry> {
    table.add(
        Operation::protocol("/schemas/module.manifest.json", "getManifestSchema", Access::Public)
            .summary("The JSON Schema of module.manifest.json.")
            .answer::<serde_json::Value>(200),
        schema,
    )
}

static SCHEMA: LazyLock<String> = LazyLock::new(|| manifest::json_schema().as_value().to_string());

async fn schema() -> Response {
    json_bytes(StatusCode::OK, SCHEMA.as_str())
}

use ports::http::{Operation, openapi};
use serde_json::Value;

use crate::core::Core;

/// The document of everything in the table. What takes the rest of a path is one parameter there: OpenAPI has no
/// others.
pub(super) fn document(core: &Core) -> Value {
    let told: Vec<Operation> = core
        .table
        .entries()
        .iter()
        .map(|entry| {
            let operation = Operation::clone(&entry.operation);
            Operation { path: operation.path.replace("{*", "{"), ..operation }
        })
        .collect();
    openapi::document(&told, &core.settings.public_url, core.settings.version)
}

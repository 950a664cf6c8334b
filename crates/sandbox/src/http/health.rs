use std::sync::Arc;

use serde_json::{Value, json};

use crate::estate::Estate;

/// The component tree of `/health`.
pub(crate) async fn health(estate: &Arc<Estate>) -> Value {
    let mut sandboxes = serde_json::Map::new();
    for cell in estate.open_cells() {
        let mut services = serde_json::Map::new();
        for service in cell.services().each() {
            let health = service.health().await;
            services.insert(service.name().to_owned(), json!(health));
        }
        let links = cell.gateway().link_stats();
        let mut entry =
            json!({ "state": "awake", "generation": cell.generation, "services": services, "links": links });
        if let Some(feed) = cell.feed() {
            entry["unfed"] = json!(feed.waiting(&cell.cx("sandbox")).await.ok());
        }
        sandboxes.insert(cell.name().to_string(), entry);
    }
    let failures = estate.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    for (name, reason) in failures {
        sandboxes.insert(name, json!({ "state": "failed", "reason": reason }));
    }
    let postgres = match estate.parts.embedded() {
        Some(embedded) => json!({
            "kind": "embedded",
            "pid": embedded.pid(),
            "state": format!("{:?}", *embedded.state().borrow()),
            "durability": format!("{:?}", estate.options.config.database.server),
        }),
        None => json!({ "kind": "external" }),
    };
    let mut health = json!({
        "version": estate.options.version,
        "postgres": postgres,
        "connectionsLeft": estate.parts.budget.left(),
        "sandboxes": sandboxes,
    });
    if let Some(kafka) = &estate.parts.kafka {
        health["kafka"] = json!(kafka.figures().counted());
        health["kafka"]["brokers"] = json!(kafka.options().server.brokers);
    }
    health
}

use std::{sync::Arc, time::Duration};

use fabric::blobs::Blobs;
use serde_json::{Value, json};

use crate::estate::Estate;

/// How long a part may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

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
        None => external(estate).await,
    };
    let mut health = json!({
        "version": estate.options.version,
        "postgres": postgres,
        "files": files(&estate.parts.blobs).await,
        "cache": cache(estate).await,
        "connectionsLeft": estate.parts.budget.left(),
        "sandboxes": sandboxes,
    });
    if let Some(kafka) = &estate.parts.kafka {
        health["kafka"] = json!(kafka.figures().counted());
        health["kafka"]["brokers"] = json!(kafka.options().server.brokers);
    }
    health
}

async fn external(estate: &Estate) -> Value {
    let reason = match tokio::time::timeout(PATIENCE, estate.parts.cluster.status()).await {
        Ok(Ok(status)) => {
            return json!({
                "kind": "external",
                "state": "reachable",
                "version": status.version,
                "synchronousCommit": status.synchronous_commit,
            });
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    json!({ "kind": "external", "state": "unreachable", "reason": reason })
}

async fn files(blobs: &Blobs) -> Value {
    let Some((bucket, endpoint)) = blobs.bucket() else { return json!({ "kind": "folder" }) };
    let reason = match tokio::time::timeout(PATIENCE, blobs.answers()).await {
        Ok(Ok(())) => {
            return json!({ "kind": "bucket", "bucket": bucket, "endpoint": endpoint, "state": "reachable" });
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    json!({ "kind": "bucket", "bucket": bucket, "endpoint": endpoint, "state": "unreachable", "reason": reason })
}

async fn cache(estate: &Estate) -> Value {
    let Some(valkey) = &estate.parts.valkey else { return json!({ "kind": "memory" }) };
    let since = valkey.presence().since;
    match valkey.health().await {
        Ok(facts) => json!({
            "kind": "valkey",
            "state": "up",
            "since": since,
            "version": facts.version,
            "place": facts.place,
            "latencyMs": facts.latency.as_secs_f64() * 1000.0,
        }),
        Err(error) => {
            json!({ "kind": "valkey", "state": "down", "since": since, "reason": crate::error::told(&error) })
        }
    }
}

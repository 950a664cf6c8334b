//! The installation's own echo: a server on loopback that answers what it was sent. For trying things out.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
};

use axum::{Json, Router, body::Bytes, extract::DefaultBodyLimit, http::request::Parts};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The address under which a provider is the installation's own echo.
pub const ECHO: &str = "kernel://echo";

/// Most bytes that it takes.
const MOST_BYTES: usize = 10_000_000;

/// The echo, serving until it is dropped.
#[derive(Debug)]
pub struct Echo {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Echo {
    /// Serves on a free port of loopback.
    ///
    /// # Errors
    /// What the system says against listening there.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let router = Router::new().fallback(answer).layer(DefaultBodyLimit::max(MOST_BYTES));
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!(%error, "the echo ended");
            }
        });
        Ok(Self { address, server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address for requests.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(head: Parts, body: Bytes) -> Json<Value> {
    let headers: BTreeMap<&str, &str> =
        head.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
    let body = match serde_json::from_slice(&body) {
        Ok(json) => json,
        Err(_) if body.is_empty() => Value::Null,
        Err(_) => Value::String(String::from_utf8_lossy(&body).into_owned()),
    };
    Json(json!({
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": head.uri.query(),
        "headers": headers,
        "body": body,
    }))
}

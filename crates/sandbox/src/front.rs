//! The estate as the door sees it.

use std::sync::{Arc, atomic::Ordering};

use async_trait::async_trait;
use fabric::postgres::embedded::State;
use gateway::{Cells, Gateway, HostVerdict};
use kernel::{Result, SandboxName};

use crate::estate::Estate;

/// The estate as the front sees it.
pub struct EstateCells(pub Arc<Estate>);

#[async_trait]
impl Cells for EstateCells {
    fn sandbox_of_host(&self, host: &str) -> HostVerdict {
        match self.0.hosts.verdict(host) {
            HostVerdict::Unknown => self.0.hostnames.verdict(host),
            known => known,
        }
    }

    async fn gateway(&self, name: &SandboxName) -> Result<Arc<Gateway>> {
        Ok(Arc::clone(self.0.cell(name).await?.gateway()))
    }

    fn ready(&self) -> Result<(), String> {
        if self.0.closing.load(Ordering::Relaxed) {
            return Err("shutting down".to_owned());
        }
        match self.0.parts.embedded().map(|postgres| postgres.state().borrow().clone()) {
            Some(State::Down { reason }) => Err(format!("Postgres: {reason}")),
            Some(State::Starting) => Err("Postgres is starting".to_owned()),
            _ => Ok(()),
        }
    }

    async fn health(&self) -> serde_json::Value {
        crate::http::health(&self.0).await
    }
}

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use kernel::config::{Network, Target};
use rustls::pki_types::CertificateDer;

use super::connect::{Resolve, SystemResolver};

/// How a [`super::Dialler`] behaves.
#[derive(Clone)]
pub struct DiallerOptions {
    /// What may be reached although it is not on the public internet.
    pub allowed: Vec<Target>,
    /// Where programs listen that the process itself runs: these addresses with these ports, and nothing beside them.
    pub own: Vec<SocketAddr>,
    /// The time for name, connection and TLS together.
    pub connect_timeout: Duration,
    /// Whose certificates count.
    pub trust: Trust,
    /// Who knows names.
    pub resolver: Arc<dyn Resolve>,
}

/// Whose certificates count.
#[derive(Debug, Clone, Default)]
pub enum Trust {
    /// The authorities that browsers trust, compiled in: no file of the system is read.
    #[default]
    PublicAuthorities,
    /// Those and these.
    And(Vec<CertificateDer<'static>>),
    /// Exactly these authorities.
    Only(Vec<CertificateDer<'static>>),
}

impl Default for DiallerOptions {
    fn default() -> Self {
        Self {
            allowed: Vec::new(),
            own: Vec::new(),
            connect_timeout: Duration::from_secs(5),
            trust: Trust::default(),
            resolver: Arc::new(SystemResolver),
        }
    }
}

impl DiallerOptions {
    /// Reaches the public internet and what the operator listed (`config.outbound.allowed_targets`).
    pub fn allowing(allowed: impl Into<Vec<Target>>) -> Self {
        Self { allowed: allowed.into(), ..Self::default() }
    }

    /// This machine, too: for a developer's back-ends, and for tests.
    pub fn and_loopback(mut self) -> Self {
        let loopback = [format!("{}/8", Ipv4Addr::new(127, 0, 0, 0)), Ipv6Addr::LOCALHOST.to_string()];
        self.allowed
            .extend(loopback.iter().filter_map(|text| Network::parse(text).ok()).map(Target::Network));
        self
    }
}

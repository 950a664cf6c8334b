//! The configuration: one table of settings, four places they come from, one typed result.
//!
//! A flag goes before the environment, the environment before the file, the file before the default. All
//! mistakes are found before anything starts and are told at once. Nothing here reads files or the
//! environment: what was found there is handed in as [`Sources`].

mod address;
mod bucket;
mod choice;
mod form;
mod kafka;
mod mistake;
mod nearest;
mod resolve;
mod rules;
mod settings;
mod source;
#[cfg(test)]
mod tests;
mod toml_file;
mod valkey;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub use address::{ListenHost, Network, PublicUrl, Target};
pub use choice::{Durability, LogFilter, SandboxMode, Template};
pub use form::{Kind, Unfit};
pub use kafka::{Kafka, KafkaLogin, KafkaTls, SaslMechanism};
use mistake::quoted;
pub use mistake::{Mistake, Origin};
pub use resolve::{Resolved, Row};
pub use settings::{DefaultValue, SETTINGS, Setting};
pub use source::{Sources, VALUE_LIMIT, config_file, setting_of_flag};
pub use toml_file::example_toml;

use crate::Secret;

/// Everything an operator can decide, checked and typed.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Embedded PostgreSQL, files, keys, `operator.key`.
    pub data_dir: PathBuf,
    /// What the `default` sandbox is made from at the first start.
    pub template: Template,
    /// Many sandboxes, or the given database as the only one.
    pub sandbox_mode: SandboxMode,
    /// The owner of a platform made from `empty`; without one the log prints a set-up link.
    pub owner: Option<Owner>,
    /// The demo's users keep their published passwords although the listeners are not on loopback.
    pub demo_on_network: bool,
    /// The installation key, at least 32 characters; without one it lies in the data folder.
    pub secret_key: Option<Secret>,
    /// The address outside; without one it follows the port really bound.
    pub public_url: Option<PublicUrl>,
    /// Further host names of the `default` sandbox, lower case.
    pub hosts: Vec<String>,
    /// Where to listen.
    pub listen: Listen,
    /// PostgreSQL.
    pub database: Database,
    /// The cache that replicas share; without one each process has its own.
    pub valkey: Option<Valkey>,
    /// A PEM file of authorities that count beside the public ones when a part outside shows its certificate.
    pub more_authorities: Option<PathBuf>,
    /// Bounds of requests.
    pub limits: Limits,
    /// The order of going.
    pub shutdown: Shutdown,
    /// The event log.
    pub events: Events,
    /// Uploaded files.
    pub files: Files,
    /// Sandboxes.
    pub sandboxes: Sandboxes,
    /// Installed modules.
    pub modules: Modules,
    /// Feature flags.
    pub flags: Flags,
    /// Outgoing requests.
    pub outbound: Outbound,
    /// Outgoing mail.
    pub mail: Mail,
    /// The log.
    pub logging: Logging,
}

/// The first owner of an empty platform.
#[derive(Debug, Clone, PartialEq)]
pub struct Owner {
    /// The address to sign in with.
    pub email: String,
    /// The first password; iam's rules for passwords apply.
    pub password: Secret,
}

/// The listeners. Ports already carry the offset; 0 is any free one.
#[derive(Debug, Clone, PartialEq)]
pub struct Listen {
    /// The address of all of them.
    pub host: ListenHost,
    /// HTTPS of the gateway.
    pub tls_port: u16,
    /// HTTP and gRPC of the gateway.
    pub http_port: u16,
    /// gRPC and health of iam.
    pub iam_port: u16,
    /// gRPC of every service.
    pub grpc_port: u16,
    /// The certificate of the HTTPS listener; without one a local authority makes them.
    pub certificate: Option<CertificateFiles>,
    /// Who may tell the caller's address in a forwarded header.
    pub trusted_proxies: Vec<Network>,
}

impl Listen {
    /// Whether a peer's forwarded headers count.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(peer))
    }
}

/// A certificate in two PEM files.
#[derive(Debug, Clone, PartialEq)]
pub struct CertificateFiles {
    /// The chain, leaf first.
    pub chain: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// PostgreSQL.
#[derive(Debug, Clone, PartialEq)]
pub struct Database {
    /// Which server.
    pub server: DatabaseServer,
    /// The budget of all pools together.
    pub max_connections: u32,
}

/// Our own PostgreSQL or somebody's.
#[derive(Debug, Clone, PartialEq)]
pub enum DatabaseServer {
    /// The one in the binary.
    Embedded {
        /// What a power cut may cost.
        durability: Durability,
        /// Also listen on this TCP port; 0 is any free one.
        tcp_port: Option<u16>,
    },
    /// A server outside.
    External {
        /// The administrator's address.
        url: Secret,
        /// In single mode the address that may change tables; without it modules with migrations are refused.
        owner_url: Option<Secret>,
        /// Use the database although it holds tables that are not ours.
        adopt: bool,
    },
}

/// A Valkey or Redis server.
#[derive(Debug, Clone, PartialEq)]
pub struct Valkey {
    /// Its address.
    pub url: Secret,
    /// Its password, unless the address holds it.
    pub password: Option<Secret>,
}

/// Bounds of requests at the gateway.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// To the head of the answer.
    pub request_timeout: Duration,
    /// Requests a second from one client address.
    pub requests_per_second: u32,
    /// Requests at once from one client address.
    pub burst: u32,
    /// How long requests of a removed route may finish.
    pub route_drain: Duration,
}

/// The order of going.
#[derive(Debug, Clone, PartialEq)]
pub struct Shutdown {
    /// Not ready, but still answering, so that balancers notice.
    pub grace: Duration,
    /// Then requests in flight may finish.
    pub requests: Duration,
}

/// The event log.
#[derive(Debug, Clone, PartialEq)]
pub struct Events {
    /// What carries events beside the tables in PostgreSQL, which are the record on every set-up.
    pub kafka: Option<Kafka>,
    /// How long events are kept.
    pub retention: Duration,
    /// How long audit events are kept.
    pub audit_retention: Duration,
}

/// Uploaded files.
#[derive(Debug, Clone, PartialEq)]
pub struct Files {
    /// Most bytes of an image.
    pub max_image_bytes: u64,
    /// Where they lie; without one in the data folder.
    pub bucket: Option<Bucket>,
}

/// A bucket of an S3 store.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// The store's address; without one AWS's own of the region.
    pub endpoint: Option<PublicUrl>,
    /// The store's address as people reach it; without one the same.
    pub public_endpoint: Option<PublicUrl>,
    /// Its region.
    pub region: String,
    /// The key's name.
    pub access_key_id: Secret,
    /// The key.
    pub secret_access_key: Secret,
    /// A PEM file with authorities beside the public ones.
    pub ca_file: Option<PathBuf>,
}

/// Sandboxes.
#[derive(Debug, Clone, PartialEq)]
pub struct Sandboxes {
    /// After this time without a request a sandbox sleeps.
    pub idle: Duration,
}

/// Installed modules.
#[derive(Debug, Clone, PartialEq)]
pub struct Modules {
    /// How long registering may take.
    pub install_timeout: Duration,
}

/// Feature flags.
#[derive(Debug, Clone, PartialEq)]
pub struct Flags {
    /// The file; without one those built in hold.
    pub file: Option<PathBuf>,
}

/// Outgoing requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Outbound {
    /// Private places that may be called all the same.
    pub allowed_targets: Vec<Target>,
    /// Name servers asked about domains; none: those of the system.
    pub name_servers: Vec<SocketAddr>,
}

/// Outgoing mail.
#[derive(Debug, Clone, PartialEq)]
pub struct Mail {
    /// The server; without one nothing leaves.
    pub server: Option<Secret>,
    /// The sender; without one `no-reply` at the host of the public address.
    pub from: Option<String>,
    /// The time for each attempt.
    pub timeout: Duration,
}

/// The log.
#[derive(Debug, Clone, PartialEq)]
pub struct Logging {
    /// How much.
    pub level: LogFilter,
    /// One JSON object a line; otherwise for reading.
    pub json: bool,
}

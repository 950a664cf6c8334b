//! The parts we stand on: a Postgres, embedded or external, a folder for blobs, and a Kafka where there is one.

use std::{path::Path, str::FromStr, sync::Arc, time::Duration};

use fabric::{
    blobs::Blobs,
    log::kafka::{Kafka, KafkaOptions},
    postgres::{
        Budget, Cluster, PgConnectOptions,
        embedded::{Durability, EmbeddedOptions, EmbeddedPostgres},
    },
};
use kernel::{
    Secret,
    config::{Config, DatabaseServer, SandboxMode},
};

use crate::error::OpenError;

/// What keeps everything.
pub struct Parts {
    /// Its administration.
    pub cluster: Cluster,
    /// The connections that all sandboxes share.
    pub budget: Arc<Budget>,
    /// Where blobs lie; each sandbox has a prefix there.
    pub blobs: Blobs,
    /// What carries events outside and between replicas.
    pub kafka: Option<Arc<Kafka>>,
    embedded: Option<EmbeddedPostgres>,
}

impl Parts {
    /// Starts or reaches the server.
    ///
    /// # Errors
    /// With a sentence that helps.
    pub async fn open(config: &Config) -> Result<Self, OpenError> {
        // Before anything that takes longer: a setting that can't be right is told at once.
        let kafka = open_kafka(config).await?;
        Ok(Self { kafka, ..Self::open_others(config).await? })
    }

    async fn open_others(config: &Config) -> Result<Self, OpenError> {
        let budget = Budget::new(config.database.max_connections as usize);
        let in_memory = matches!(
            config.database.server,
            DatabaseServer::Embedded { durability: kernel::config::Durability::Memory, .. }
        );
        let blobs = open_blobs(&config.data_dir, !in_memory)?;
        match &config.database.server {
            DatabaseServer::Embedded { durability, tcp_port } => {
                let durability = match durability {
                    kernel::config::Durability::Memory => Durability::Memory,
                    kernel::config::Durability::Hybrid => Durability::Hybrid,
                    kernel::config::Durability::Persistent => Durability::Persistent,
                };
                let tcp_port = *tcp_port;
                let connections = config.database.max_connections;
                Self::start(&config.data_dir, durability, tcp_port, connections, budget, blobs).await
            }
            DatabaseServer::External { url, owner_url, .. } => {
                let user = address("DATABASE_URL", url)?;
                let cluster = match config.sandbox_mode {
                    SandboxMode::Many => Cluster::new(user),
                    SandboxMode::Single => {
                        let owner = owner_url.as_ref().map(|url| address("DATABASE_OWNER_URL", url));
                        Cluster::single(user, owner.transpose()?)
                    }
                };
                Ok(Self { cluster, budget, blobs, kafka: None, embedded: None })
            }
        }
    }

    async fn start(
        data_dir: &Path,
        durability: Durability,
        tcp_port: Option<u16>,
        connections: u32,
        budget: Arc<Budget>,
        blobs: Blobs,
    ) -> Result<Self, OpenError> {
        let options = EmbeddedOptions {
            data_dir: data_dir.to_owned(),
            durability,
            tcp_port,
            // Beside the pools: the administrator, migrations, modules' own connections, a person with psql.
            max_connections: connections + 20,
        };
        let postgres = EmbeddedPostgres::start(options).await?;
        let reach = postgres.connection();
        let admin = PgConnectOptions::new_without_pgpass()
            .socket(&reach.socket_dir)
            .port(reach.port)
            .username(&reach.user)
            .password(&reach.password)
            .database("postgres")
            .application_name("platform-kernel");
        Ok(Self { cluster: Cluster::new(admin), budget, blobs, kafka: None, embedded: Some(postgres) })
    }

    /// The embedded server, if it is one.
    pub fn embedded(&self) -> Option<&EmbeddedPostgres> {
        self.embedded.as_ref()
    }

    /// Stops what was started here.
    ///
    /// # Errors
    /// When the server does not end in time.
    pub async fn close(&self) -> Result<(), OpenError> {
        if let Some(kafka) = &self.kafka {
            kafka.close().await;
        }
        self.cluster.close().await;
        match &self.embedded {
            Some(postgres) => Ok(postgres.stop().await?),
            None => Ok(()),
        }
    }
}

fn address(name: &'static str, url: &Secret) -> Result<PgConnectOptions, OpenError> {
    match PgConnectOptions::from_str(url.expose()) {
        Ok(options) => Ok(options.application_name("platform-kernel")),
        Err(error) => Err(OpenError::Address { name, why: error.to_string() }),
    }
}

/// How long Kafka may take to say who is there.
const PATIENCE: Duration = Duration::from_secs(5);

/// A Kafka that is away for now keeps nobody from starting: events wait in Postgres. One that can't be reached with these
/// settings does.
async fn open_kafka(config: &Config) -> Result<Option<Arc<Kafka>>, OpenError> {
    let Some(options) = KafkaOptions::of(&config.events) else { return Ok(None) };
    match options.look(PATIENCE).await {
        Ok(probe) => tracing::info!(brokers = probe.brokers, version = probe.version, "Kafka answers"),
        Err(fault) if fault.is_setting() => return Err(fault.into()),
        Err(fault) => {
            tracing::warn!(%fault, "started without Kafka; events wait in PostgreSQL until it answers")
        }
    }
    Ok(Some(Kafka::open(options)?))
}

/// The folder of blobs. `durable`: as safe from a power cut as the rows that tell of them.
fn open_blobs(data_dir: &Path, durable: bool) -> Result<Blobs, OpenError> {
    let folder = data_dir.join("blobs");
    // The place itself; each sandbox gets its own prefix in it.
    let nobodys = "none".parse().map_err(|error| OpenError::Kernel(kernel::Error::internal(error)))?;
    Blobs::in_folder(&folder, durable, nobodys)
        .map_err(|source| OpenError::Folder { path: folder.display().to_string(), source })
}

//! The parts we stand on: a Postgres, embedded or external, a folder for blobs, and a cache in memory or in Valkey.

use std::{path::Path, str::FromStr, sync::Arc};

use fabric::{
    blobs::Blobs,
    cache::{Cache, MemoryStore, NotifyStore, Store, ValkeyOptions, ValkeyStore},
    log::Contexts,
    postgres::{
        Budget, Cluster, Database, PgConnectOptions,
        embedded::{Durability, EmbeddedOptions, EmbeddedPostgres},
    },
};
use kernel::{
    Clock, SandboxName, Secret,
    config::{Config, DatabaseServer, SandboxMode},
};
use tokio_util::sync::CancellationToken;

use crate::error::OpenError;

/// What keeps everything.
pub struct Parts {
    /// Its administration.
    pub cluster: Cluster,
    /// The connections that all sandboxes share.
    pub budget: Arc<Budget>,
    /// Where blobs lie; each sandbox has a prefix there.
    pub blobs: Blobs,
    /// What may be forgotten; each sandbox has a part of it.
    pub cache: Cache,
    /// The server behind the cache, if there is one.
    pub valkey: Option<Arc<ValkeyStore>>,
    embedded: Option<EmbeddedPostgres>,
}

impl Parts {
    /// Starts or reaches the server.
    ///
    /// # Errors
    /// With a sentence that helps.
    pub async fn open(config: &Config) -> Result<Self, OpenError> {
        let budget = Budget::new(config.database.max_connections as usize);
        let in_memory = matches!(
            config.database.server,
            DatabaseServer::Embedded { durability: kernel::config::Durability::Memory, .. }
        );
        let blobs = open_blobs(&config.data_dir, !in_memory)?;
        let (cache, valkey) = open_cache(config).await?;
        let (cluster, embedded) = match &config.database.server {
            DatabaseServer::Embedded { durability, tcp_port } => {
                let durability = match durability {
                    kernel::config::Durability::Memory => Durability::Memory,
                    kernel::config::Durability::Hybrid => Durability::Hybrid,
                    kernel::config::Durability::Persistent => Durability::Persistent,
                };
                let tcp_port = *tcp_port;
                let connections = config.database.max_connections;
                let (cluster, postgres) = start(&config.data_dir, durability, tcp_port, connections).await?;
                (cluster, Some(postgres))
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
                (cluster, None)
            }
        };
        Ok(Self { cluster, budget, blobs, cache, valkey, embedded })
    }

    /// Without a Valkey, replicas on one external Postgres tell each other by it; the embedded one has no replicas.
    pub(crate) fn listen_by(&mut self, control: &Database, stop: &CancellationToken) {
        if self.valkey.is_some() || self.embedded.is_some() {
            return;
        }
        let contexts = Contexts::new(SandboxName::default_sandbox(), Clock::real(), "sandbox");
        let store = NotifyStore::new(MemoryStore::DEFAULT_BYTES, control.clone(), contexts);
        self.cache = Cache::new(Arc::clone(&store) as Arc<dyn Store>);
        tokio::spawn(store.run(stop.clone()));
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
        self.cluster.close().await;
        match &self.embedded {
            Some(postgres) => Ok(postgres.stop().await?),
            None => Ok(()),
        }
    }
}

async fn start(
    data_dir: &Path,
    durability: Durability,
    tcp_port: Option<u16>,
    connections: u32,
) -> Result<(Cluster, EmbeddedPostgres), OpenError> {
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
    Ok((Cluster::new(admin), postgres))
}

/// The cache in the server that is named, else in this process.
async fn open_cache(config: &Config) -> Result<(Cache, Option<Arc<ValkeyStore>>), OpenError> {
    let Some(options) = ValkeyOptions::of(config) else {
        return Ok((Cache::in_memory(MemoryStore::DEFAULT_BYTES), None));
    };
    let store = Arc::new(ValkeyStore::connect(&options).await?);
    Ok((Cache::new(Arc::clone(&store) as Arc<dyn Store>), Some(store)))
}

fn address(name: &'static str, url: &Secret) -> Result<PgConnectOptions, OpenError> {
    match PgConnectOptions::from_str(url.expose()) {
        Ok(options) => Ok(options.application_name("platform-kernel")),
        Err(error) => Err(OpenError::Address { name, why: error.to_string() }),
    }
}

/// The folder of blobs. `durable`: as safe from a power cut as the rows that tell of them.
fn open_blobs(data_dir: &Path, durable: bool) -> Result<Blobs, OpenError> {
    let folder = data_dir.join("blobs");
    // The place itself; each sandbox gets its own prefix in it.
    let nobodys = "none".parse().map_err(|error| OpenError::Kernel(kernel::Error::internal(error)))?;
    Blobs::in_folder(&folder, durable, nobodys)
        .map_err(|source| OpenError::Folder { path: folder.display().to_string(), source })
}

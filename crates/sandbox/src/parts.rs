//! The parts we stand on: a Postgres, embedded or external, a folder or a bucket for blobs, a cache in memory or in Valkey,
//! and a Kafka where there is one.

use std::{path::Path, str::FromStr, sync::Arc, time::Duration};

use fabric::{
    blobs::{BlobPrefix, Blobs, BucketOptions, MOST_SKEW},
    cache::{Cache, MemoryStore, NotifyStore, Store, ValkeyOptions, ValkeyStore},
    crypto::RootKey,
    log::{
        Contexts,
        kafka::{Kafka, KafkaOptions},
    },
    postgres::{
        Budget, Cluster, Database, PgConnectOptions,
        embedded::{Durability, EmbeddedOptions, EmbeddedPostgres},
    },
};
use kernel::{
    Clock, SandboxName, Secret,
    config::{Bucket, Config, DatabaseServer, PublicUrl, SandboxMode},
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
    /// What carries events outside and between replicas.
    pub kafka: Option<Arc<Kafka>>,
    embedded: Option<EmbeddedPostgres>,
}

impl Parts {
    /// Starts or reaches the server, and reaches the bucket if there is one.
    ///
    /// # Errors
    /// With a sentence that helps.
    pub async fn open(config: &Config, key: &RootKey) -> Result<Self, OpenError> {
        // Before anything that takes longer: a setting that can't be right is told at once.
        let kafka = open_kafka(config).await?;
        let budget = Budget::new(config.database.max_connections as usize);
        let in_memory = matches!(
            config.database.server,
            DatabaseServer::Embedded { durability: kernel::config::Durability::Memory, .. }
        );
        let blobs = match &config.files.bucket {
            Some(bucket) => open_bucket(bucket, key).await?,
            None => open_folder(&config.data_dir, !in_memory)?,
        };
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
                let cluster = external(config.sandbox_mode, url, owner_url.as_ref())?;
                cluster.reach().await?;
                (cluster, None)
            }
        };
        Ok(Self { cluster, budget, blobs, cache, valkey, kafka, embedded })
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

/// A server that is somebody else's; nothing is opened yet.
///
/// # Errors
/// [`OpenError::Address`].
pub fn external(mode: SandboxMode, url: &Secret, owner_url: Option<&Secret>) -> Result<Cluster, OpenError> {
    let user = address("DATABASE_URL", url)?;
    Ok(match mode {
        SandboxMode::Many => Cluster::new(user),
        SandboxMode::Single => {
            let owner = owner_url.map(|url| address("DATABASE_OWNER_URL", url));
            Cluster::single(user, owner.transpose()?)
        }
    })
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
fn open_folder(data_dir: &Path, durable: bool) -> Result<Blobs, OpenError> {
    let folder = data_dir.join("blobs");
    Blobs::in_folder(&folder, durable, nobodys()?)
        .map_err(|source| OpenError::Folder { path: folder.display().to_string(), source })
}

async fn open_bucket(bucket: &Bucket, key: &RootKey) -> Result<Blobs, OpenError> {
    let blobs = Blobs::in_bucket(&bucket_options(bucket, root_of(key)), nobodys()?)?;
    if let Some(checked) = blobs.check().await? {
        if !checked.writes_once {
            tracing::warn!(
                "the S3 store does not know If-None-Match: it would overwrite what is written twice at once"
            );
        }
        if let Some(skew) = checked.skew.filter(|skew| *skew > MOST_SKEW / 15) {
            tracing::warn!(seconds = skew.as_secs(), "the clock of the S3 store is away from this machine's");
        }
    }
    Ok(blobs)
}

/// How to reach a bucket, of which everything below `root` is ours.
pub fn bucket_options(bucket: &Bucket, root: String) -> BucketOptions {
    let text = |url: &PublicUrl| url.as_str().to_owned();
    BucketOptions {
        endpoint: bucket.endpoint.as_ref().map(text),
        public_endpoint: bucket.public_endpoint.as_ref().map(text),
        bucket: bucket.name.clone(),
        region: bucket.region.clone(),
        access_key_id: bucket.access_key_id.clone(),
        secret_access_key: bucket.secret_access_key.clone(),
        authorities: bucket.ca_file.clone(),
        root,
    }
}

/// Each installation has a root of its own in a bucket, by its key: what else lies there is not ours, and all replicas
/// know it.
fn root_of(key: &RootKey) -> String {
    let mark = key.derive(&["blobs"]);
    mark.iter().take(8).fold("platform-kernel-".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// The prefix of the place itself; each sandbox gets its own in it.
fn nobodys() -> Result<BlobPrefix, OpenError> {
    "none".parse().map_err(|error| OpenError::Kernel(kernel::Error::internal(error)))
}

use fabric::{
    blobs::BucketError,
    cache::ValkeyError,
    log::kafka::KafkaFault,
    postgres::{ClusterError, MigrationError, embedded::EmbeddedError},
};

/// Why the product could not be opened. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The embedded Postgres.
    #[error("{0}")]
    Embedded(#[from] EmbeddedError),
    /// The server.
    #[error("{0}")]
    Cluster(#[from] ClusterError),
    /// The bucket of files.
    #[error("{0}")]
    Bucket(#[from] BucketError),
    /// The cache that replicas share.
    #[error("{0}")]
    Valkey(#[from] ValkeyError),
    /// Kafka.
    #[error("{0}")]
    Kafka(#[from] KafkaFault),
    /// A migration of the control database or a template.
    #[error("{0}")]
    Migration(#[from] MigrationError),
    /// The data folder.
    #[error("{path}: {source}; give the process a folder it may write, with --data-dir")]
    Folder {
        /// Which.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another installation's key.
    #[error(
        "this database was set up with another secret key: set KERNEL_SECRET_KEY (or KERNEL_SECRET_KEY_FILE) to the key \
         of the installation that made it, or use a fresh database"
    )]
    OtherKey,
    /// A key file that is no key.
    #[error("the key in {0} is damaged: restore the file from a copy; without it, sealed data can't be read")]
    DamagedKey(String),
    /// A part that this version does not have.
    #[error("{0}")]
    NotYet(String),
    /// An address that does not parse.
    #[error(
        "{name} can't be read: {why}; an example: postgres://kernel:password@db.example.com:5432/postgres"
    )]
    Address {
        /// The setting.
        name: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// In single mode, a new schema without the login that may make it.
    #[error(
        "this version brings a new schema and the database has an older or a newer one: start it once with \
         DATABASE_OWNER_URL set to the login that may change tables"
    )]
    SchemaOfAnother,
    /// The owner of the settings.
    #[error("{name} {why}")]
    Owner {
        /// Which setting.
        name: &'static str,
        /// What is wrong with its value.
        why: String,
    },
    /// The seed.
    #[error("the template could not be made: {0}")]
    Seed(#[from] crate::seed::SeedError),
    /// Something else went wrong while opening.
    #[error("{}", told(.0))]
    Kernel(#[source] kernel::Error),
}

/// An error with its causes: whoever starts the process may see them.
pub(crate) fn told(error: &kernel::Error) -> String {
    match error.causes() {
        causes if causes.is_empty() => error.detail().to_owned(),
        causes => format!("{} ({causes})", error.detail()),
    }
}

impl From<kernel::Error> for OpenError {
    fn from(error: kernel::Error) -> Self {
        Self::Kernel(error)
    }
}

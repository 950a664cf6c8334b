use std::time::Duration;

use kernel::{Error, Result, Slug};
use sqlx::{
    ConnectOptions,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};

use super::{Database, fault::fault};

/// How long opening the connection may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A channel of NOTIFY, listened to on a connection of its own, which no budget counts.
pub struct Listening(PgListener);

impl Listening {
    async fn open(options: &PgConnectOptions, channel: &str) -> Result<Self> {
        let options = options.clone().disable_statement_logging();
        let pool =
            PgPoolOptions::new().max_connections(1).acquire_timeout(PATIENCE).connect_lazy_with(options);
        let mut listener = PgListener::connect_with(&pool).await.map_err(fault)?;
        listener.eager_reconnect(false);
        listener.listen(channel).await.map_err(fault)?;
        Ok(Self(listener))
    }

    /// What is said next. Safe to drop while it waits.
    ///
    /// # Errors
    /// The connection is lost: something may have been missed.
    pub async fn next(&mut self) -> Result<String> {
        match self.0.try_recv().await.map_err(fault)? {
            Some(said) => Ok(said.payload().to_owned()),
            None => Err(Error::new(Slug::DependencyUnavailable, "The database does not answer just now.")),
        }
    }

    /// Whether the connection is alive.
    ///
    /// # Errors
    /// What the database says.
    pub async fn check(&mut self) -> Result<()> {
        sqlx::query("select 1").execute(&mut self.0).await.map(drop).map_err(fault)
    }
}

impl Database {
    /// Listens to a channel of NOTIFY from now on, on one more connection as the system.
    ///
    /// # Errors
    /// What the database says.
    pub async fn listen(&self, channel: &str) -> Result<Listening> {
        Listening::open(self.system_options(), channel).await
    }
}

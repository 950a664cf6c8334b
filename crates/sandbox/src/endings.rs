//! What is given up when a sandbox ends or gets another database.

use std::sync::Arc;

use fabric::postgres::Logins;
use kernel::{Error, Result, SandboxName};

use crate::{control::SandboxRow, error::OpenError, estate::Estate, snapshots::snapshot_database};

impl Estate {
    /// Removes what belongs to a sandbox, whatever of it exists.
    pub(crate) async fn raze(&self, row: &SandboxRow) -> Result<(), OpenError> {
        let Ok(name) = row.name.parse::<SandboxName>() else { return Ok(()) };
        self.cluster().drop_database(&name.database()).await?;
        for snapshot in self.control.snapshots(Some(&row.name)).await? {
            self.cluster().drop_database(&snapshot_database(snapshot.id)).await?;
        }
        self.cluster().drop_logins(&Logins::new(&name, self.sandbox_key(row))).await?;
        self.control.remove(&row.name).await?;
        Ok(())
    }

    /// Gives up the database that a sandbox had: its logins have nothing to do with it any more, so that they can go with
    /// the sandbox, however long dropping it takes.
    pub(crate) async fn retire(
        self: &Arc<Self>,
        name: &SandboxName,
        row: &SandboxRow,
        aside: String,
    ) -> Result<()> {
        let logins = Logins::new(name, self.sandbox_key(row));
        let left = self.cluster().databases(&aside).await.map_err(Error::internal)?;
        if !left.is_empty() {
            self.cluster().shut_out(&logins, &aside).await.map_err(Error::internal)?;
        }
        self.drop_later(aside);
        Ok(())
    }

    /// The sandbox's topics at Kafka go with it; where Kafka is away, they stay until their records are old.
    pub(crate) async fn remove_topics(&self, name: &SandboxName) {
        let Some(kafka) = self.parts.kafka.as_ref().filter(|_| !name.is_default()) else { return };
        if let Err(fault) = kafka.remove_topics(name).await {
            tracing::warn!(sandbox = %name, %fault, "the topics of a deleted sandbox are left at Kafka");
        }
    }

    pub(crate) fn drop_later(self: &Arc<Self>, database: String) {
        let estate = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = estate.cluster().drop_database(&database).await {
                tracing::warn!(%error, database, "will be dropped at the next start");
            }
        });
    }
}

use fabric::{
    postgres::{FromRow, Reason},
    sql,
};
use kernel::{Error, Result, Slug, Timestamp};
use uuid::Uuid;

use super::Control;

/// A snapshot as the registry knows it.
#[derive(Debug, Clone, FromRow)]
pub struct SnapshotRow {
    /// Of which sandbox.
    pub sandbox: String,
    /// Its name there.
    pub label: String,
    /// Names its database.
    pub id: Uuid,
    /// Names the keys with which its secrets are sealed.
    pub key_id: Uuid,
    /// Where its files lie: the sandbox's own prefix at that time, then its ancestors'.
    pub blob_prefixes: Vec<String>,
    /// Of the schema that it has.
    pub schema_fingerprint: String,
    /// What the sandbox's clock showed.
    pub clock: Timestamp,
    /// Real time.
    pub created_at: Timestamp,
}

/// Most snapshots of one sandbox: each is a whole database.
const MOST: i64 = 20;

impl Control {
    /// Whether a sandbox may have a snapshot of this name beside those that it has.
    ///
    /// # Errors
    /// `already-exists`, `limit-exceeded`.
    pub(crate) async fn admit_snapshot(&self, sandbox: &str, label: &str) -> Result<()> {
        let query = self.db.system(&Self::cx(), Reason::Sandbox).query(sql!(
            "select count(*), coalesce(bool_or(label = $2), false) from control.snapshot where sandbox = $1"
        ));
        let (count, taken): (i64, bool) = query.bind(sandbox.to_owned()).bind(label.to_owned()).one().await?;
        if taken {
            let text = format!("{sandbox} has a snapshot {label} already; choose another label.");
            return Err(Error::new(Slug::AlreadyExists, text));
        }
        if count >= MOST {
            let text = format!("A sandbox has at most {MOST} snapshots; delete one.");
            return Err(Error::new(Slug::LimitExceeded, text));
        }
        Ok(())
    }

    /// Notes a snapshot that is about to be made.
    ///
    /// # Errors
    /// As [`Self::admit_snapshot`].
    pub(crate) async fn insert_snapshot(&self, row: &SnapshotRow) -> Result<()> {
        self.admit_snapshot(&row.sandbox, &row.label).await?;
        self.db
            .system(&Self::cx(), Reason::Sandbox)
            .query(sql!(
                "insert into control.snapshot (sandbox, label, id, key_id, blob_prefixes, schema_fingerprint, clock)
                 values ($1, $2, $3, $4, $5, $6, $7)"
            ))
            .bind(row.sandbox.clone())
            .bind(row.label.clone())
            .bind(row.id)
            .bind(row.key_id)
            .bind(row.blob_prefixes.clone())
            .bind(row.schema_fingerprint.clone())
            .bind(row.clock)
            .run()
            .await?;
        Ok(())
    }

    /// One snapshot.
    pub(crate) async fn snapshot(&self, sandbox: &str, label: &str) -> Result<SnapshotRow> {
        self.db
            .system(&Self::cx(), Reason::Sandbox)
            .query(sql!("select * from control.snapshot where sandbox = $1 and label = $2"))
            .bind(sandbox.to_owned())
            .bind(label.to_owned())
            .optional()
            .await?
            .ok_or_else(|| Error::not_found("snapshot"))
    }

    /// The snapshots of a sandbox, the newest first; of all sandboxes with `None`.
    pub(crate) async fn snapshots(&self, sandbox: Option<&str>) -> Result<Vec<SnapshotRow>> {
        self.db
            .system(&Self::cx(), Reason::Sandbox)
            .query(sql!(
                "select * from control.snapshot where $1::text is null or sandbox = $1
                 order by created_at desc, label"
            ))
            .bind(sandbox.map(str::to_owned))
            .all()
            .await
    }

    /// Forgets a snapshot.
    pub(crate) async fn remove_snapshot(&self, sandbox: &str, label: &str) -> Result<()> {
        self.db
            .system(&Self::cx(), Reason::Sandbox)
            .query(sql!("delete from control.snapshot where sandbox = $1 and label = $2"))
            .bind(sandbox.to_owned())
            .bind(label.to_owned())
            .run()
            .await?;
        Ok(())
    }
}

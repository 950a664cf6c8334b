//! Snapshots: named points that a sandbox can go back to, with data, clock and places in the log.
//!
//! A snapshot is a clone of the sandbox's database that lies beside it. It stays within its installation and its secrets
//! stay sealed with the sandbox's key, as in the sandbox itself; what is made *from* it (a new sandbox) has them cleared
//! like any copy. Going back ends every sign-in, so that no session that was ended since comes to life again, and keys
//! that were revoked since stay revoked.

use std::sync::Arc;

use fabric::postgres::{Login, Logins, Purpose, after_clone, carry_over, shown_clock};
use kernel::{Ctx, Error, FieldCode, Result, SandboxName, Slug, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    control::SnapshotRow,
    error::OpenError,
    estate::Estate,
    verbs::{SandboxOut, internal},
};

/// A snapshot, as it is shown.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotOut {
    /// Its name within the sandbox.
    pub label: String,
    /// The sandbox.
    pub sandbox: String,
    /// What the sandbox's clock showed.
    pub clock: Timestamp,
    /// When it was taken, in real time.
    pub created_at: Timestamp,
}

impl From<SnapshotRow> for SnapshotOut {
    fn from(row: SnapshotRow) -> Self {
        Self { label: row.label, sandbox: row.sandbox, clock: row.clock, created_at: row.created_at }
    }
}

/// How the databases of snapshots begin.
pub(crate) const SNAPSHOT: &str = "pk__snap_";

/// The database of a snapshot.
pub(crate) fn snapshot_database(id: Uuid) -> String {
    format!("{SNAPSHOT}{}", id.simple())
}

/// A database that lives for the time of a verb; the next start drops what a killed process left.
fn passing(what: &str) -> String {
    format!("pk__{what}_{}", Uuid::new_v4().simple())
}

/// A label: lower-case letters, digits and single hyphens within, at most 40.
fn checked(label: &str) -> Result<()> {
    let fits = !label.is_empty()
        && label.len() <= 40
        && label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !label.starts_with('-')
        && !label.ends_with('-');
    if fits {
        return Ok(());
    }
    let message = "takes 1 to 40 lower-case letters, digits and hyphens, like before-the-demo";
    Err(Error::field("/label", FieldCode::InvalidFormat, message))
}

/// The label of a snapshot that was given none: its moment, `20261126-113400`.
fn label_of(moment: Timestamp) -> String {
    moment.datetime().format("%Y%m%d-%H%M%S").to_string()
}

impl Estate {
    /// Takes a snapshot of a sandbox as it is now.
    ///
    /// # Errors
    /// `not-found`, `already-exists`, `limit-exceeded`, `validation-error` for a label that is none.
    pub async fn snapshot(
        self: &Arc<Self>,
        cx: &Ctx,
        name: &SandboxName,
        label: Option<&str>,
    ) -> Result<SnapshotOut> {
        self.with_databases("can't copy the given database")?;
        let label = label.map_or_else(|| label_of(Timestamp::real()), str::to_owned);
        checked(&label)?;
        let _verb = self.verbs.acquire().await.map_err(Error::internal)?;
        let request = self.control.begin(cx).await?;
        // What is refused closes nothing.
        self.control.admit_snapshot(name.as_str(), &label).await?;
        let turn = self.turn_alone(name).await?;
        let owner = Logins::new(name, self.sandbox_key(&turn.row)).options(
            self.cluster(),
            Login::Owner,
            &name.database(),
        );
        let row = SnapshotRow {
            sandbox: name.to_string(),
            label,
            id: Uuid::new_v4(),
            key_id: turn.row.id,
            blob_prefixes: turn.row.all_prefixes(),
            schema_fingerprint: turn.row.schema_fingerprint.clone(),
            clock: shown_clock(&owner).await.map_err(Error::internal)?,
            created_at: Timestamp::real(),
        };
        let database = snapshot_database(row.id);
        // Noted first: a killed process leaves a row without its database, which the next start takes away.
        self.control.insert_snapshot(&row).await?;
        let made = async {
            self.cluster().end_sessions(&name.database()).await?;
            Ok::<_, OpenError>(self.cluster().create_database(&database, Some(&name.database())).await?)
        };
        if let Err(error) = made.await {
            self.control.remove_snapshot(name.as_str(), &row.label).await?;
            return Err(Error::internal(error));
        }
        request.commit(SnapshotOut::from(row)).await
    }

    /// A sandbox's snapshots, the newest first.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn snapshots(&self, name: &SandboxName) -> Result<Vec<SnapshotOut>> {
        self.control.find(name).await?;
        Ok(self.control.snapshots(Some(name.as_str())).await?.into_iter().map(SnapshotOut::from).collect())
    }

    /// Throws a snapshot away.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn delete_snapshot(self: &Arc<Self>, name: &SandboxName, label: &str) -> Result<()> {
        let _turn = self.turn(name).await?;
        let row = self.control.snapshot(name.as_str(), label).await?;
        self.control.remove_snapshot(name.as_str(), label).await?;
        self.drop_later(snapshot_database(row.id));
        self.clear_blobs_later();
        Ok(())
    }

    /// Puts a sandbox back to a snapshot: data, clock, places in the log. Everybody signs in anew.
    ///
    /// # Errors
    /// `not-found`, or what the server says; the sandbox is as it was then.
    pub async fn restore(self: &Arc<Self>, cx: &Ctx, name: &SandboxName, label: &str) -> Result<SandboxOut> {
        self.with_databases("can't put another database in place of the given one")?;
        let _verb = self.verbs.acquire().await.map_err(Error::internal)?;
        let request = self.control.begin(cx).await?;
        // What is refused closes nothing.
        self.control.snapshot(name.as_str(), label).await?;
        let turn = self.turn_alone(name).await?;
        let snapshot = self.control.snapshot(name.as_str(), label).await?;
        let database = name.database();
        let (fresh, aside) = (passing("build"), passing("gone"));
        let logins = Logins::new(name, self.sandbox_key(&turn.row));
        let prepared = async {
            self.cluster().end_sessions(&database).await?;
            self.cluster().create_database(&fresh, Some(&snapshot_database(snapshot.id))).await?;
            self.cluster().let_in(&logins, &fresh).await?;
            let owner = |database: &str| logins.options(self.cluster(), Login::Owner, database);
            let purpose = Purpose::Restore { same_key: snapshot.key_id == turn.row.id };
            after_clone(&owner(&fresh), purpose).await?;
            carry_over(&owner(&database), &owner(&fresh)).await?;
            self.cluster().end_sessions(&database).await?;
            self.cluster().end_sessions(&fresh).await?;
            Ok(self.cluster().replace_database(&database, &fresh, &aside).await?)
        };
        if let Err(error) = prepared.await {
            self.drop_later(fresh);
            return Err(internal(error));
        }
        let own = turn.row.id.to_string();
        let ancestors: Vec<String> =
            snapshot.blob_prefixes.into_iter().filter(|prefix| *prefix != own).collect();
        self.control.next_generation(name.as_str(), turn.row.id, &ancestors).await?;
        self.control.set_schema(name.as_str(), &snapshot.schema_fingerprint).await?;
        self.retire(name, &turn.row, aside).await?;
        self.clear_blobs_later();
        let out = self.show(self.control.find(name).await?);
        request.commit(out).await
    }

    /// Snapshots without a database, and databases of snapshots that nobody knows, are cleared away at the start.
    pub(crate) async fn clear_half_snapshots(&self, databases: &[String]) -> Result<Vec<String>, OpenError> {
        let known = self.control.snapshots(None).await?;
        for row in &known {
            if !databases.contains(&snapshot_database(row.id)) {
                self.control.remove_snapshot(&row.sandbox, &row.label).await?;
            }
        }
        let orphans = databases.iter().filter(|name| name.starts_with(SNAPSHOT));
        let orphans = orphans.filter(|name| !known.iter().any(|row| snapshot_database(row.id) == **name));
        Ok(orphans.cloned().collect())
    }

    /// The snapshot that `sandbox@label` names, for a new sandbox to be made from.
    pub(crate) async fn snapshot_named(&self, template: &str) -> Result<Option<SnapshotRow>> {
        let Some((sandbox, label)) = template.split_once('@') else { return Ok(None) };
        match self.control.snapshot(sandbox, label).await {
            Ok(row) => Ok(Some(row)),
            Err(error) if error.slug() == Slug::NotFound => Err(Error::field(
                "/template",
                FieldCode::NotAllowed,
                format!("there is no snapshot {label} of a sandbox {sandbox}"),
            )),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_short_and_plain() {
        for good in ["a", "before-the-demo", &label_of(Timestamp::real())] {
            assert!(checked(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a b", "../x", &"a".repeat(41)] {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }
}

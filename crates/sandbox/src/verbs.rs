//! What can be done with a sandbox.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use fabric::postgres::{Logins, Purpose};
use kernel::{Ctx, Error, FieldCode, Result, SandboxName, Slug, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    control::{SandboxRow, SandboxState, SnapshotRow},
    error::OpenError,
    estate::Estate,
    snapshots::{SNAPSHOT, snapshot_database},
};

/// A sandbox to be made.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Create {
    /// A DNS label of up to 40 characters.
    pub name: String,
    /// `demo` (unless said), `empty`, or a snapshot: `sandbox@label`.
    pub template: Option<String>,
    /// When it deletes itself, from now, in seconds.
    #[schemars(range(min = 1))]
    pub expires_in_seconds: Option<u64>,
}

/// A sandbox, as it is shown.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SandboxOut {
    /// Its name.
    pub name: String,
    /// Its address.
    pub url: String,
    /// `creating`, `ready`, `changing`, `deleting` or `failed`.
    pub state: String,
    /// Whether its services run now; the first request wakes it.
    pub awake: bool,
    /// What a reset goes back to.
    pub template: String,
    /// What it was forked from.
    pub source: Option<String>,
    /// Grows with each reset.
    pub generation: i64,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it deletes itself.
    pub expires_at: Option<Timestamp>,
}

/// Longest life that `expiresInSeconds` may ask for.
const LONGEST_LIFE: u64 = 10 * 365 * 86_400;

impl Estate {
    /// A sandbox as it is shown.
    pub fn show(&self, row: SandboxRow) -> SandboxOut {
        let name: Option<SandboxName> = row.name.parse().ok();
        let awake =
            name.as_ref().is_some_and(|name| self.open_cells().iter().any(|cell| cell.name() == name));
        // Its row says nothing of a cell that would not open here.
        let failure = row.failure.or_else(|| {
            let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.get(&row.name).cloned()
        });
        let state = if failure.is_some() { SandboxState::Failed.text().to_owned() } else { row.state };
        SandboxOut {
            url: name.map(|name| self.issuer(&name)).unwrap_or_default(),
            awake,
            name: row.name,
            state,
            template: row.template,
            source: row.source,
            generation: row.generation,
            failure,
            created_at: row.created_at,
            expires_at: row.expires_at,
        }
    }

    /// One sandbox.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn find(&self, name: &SandboxName) -> Result<SandboxOut> {
        Ok(self.show(self.control.find(name).await?))
    }

    /// Makes a sandbox from a template.
    ///
    /// # Errors
    /// `already-exists`, `validation-error`, or what the server says; nothing remains then.
    pub async fn create(
        self: &Arc<Self>,
        cx: &Ctx,
        name: &SandboxName,
        template: &str,
        expires_in: Option<u64>,
    ) -> Result<SandboxOut> {
        self.with_databases("holds the one sandbox of its database")?;
        let expires_at = end_of_life(expires_in)?;
        if let Some(snapshot) = self.snapshot_named(template).await? {
            return self.create_from(cx, name, snapshot, expires_at).await;
        }
        let known = template == "demo" || template == "empty" || template == self.default_template();
        if !known {
            return Err(Error::field(
                "/template",
                FieldCode::NotAllowed,
                format!(
                    "there is no template \u{201c}{template}\u{201d}; use demo, empty or a snapshot as \u{201c}sandbox@label\u{201d}"
                ),
            ));
        }
        let database = self.ensure_template(template).await.map_err(internal)?;
        let row = SandboxRow {
            // What the template holds lies under its own name.
            blob_prefixes: vec![database.clone()],
            expires_at,
            ..SandboxRow::new(name.as_str(), template, self.templates.fingerprint())
        };
        self.make(cx, row, async |row, name| {
            self.clone_template(&database, &name.database()).await?;
            self.let_in(row, name).await?;
            self.close_demo(row, name).await
        })
        .await
    }

    /// Makes a sandbox of its own from a snapshot of another.
    async fn create_from(
        self: &Arc<Self>,
        cx: &Ctx,
        name: &SandboxName,
        snapshot: SnapshotRow,
        expires_at: Option<Timestamp>,
    ) -> Result<SandboxOut> {
        let template = format!("{}@{}", snapshot.sandbox, snapshot.label);
        let row = SandboxRow {
            source: Some(snapshot.sandbox),
            blob_prefixes: snapshot.blob_prefixes,
            expires_at,
            ..SandboxRow::new(name.as_str(), &template, &snapshot.schema_fingerprint)
        };
        self.make(cx, row, async |row, name| self.copy_snapshot(snapshot.id, row, name).await).await
    }

    /// Makes the database of a sandbox as a copy of a snapshot, without its secrets.
    async fn copy_snapshot(
        &self,
        snapshot: Uuid,
        row: &SandboxRow,
        name: &SandboxName,
    ) -> Result<(), OpenError> {
        self.cluster().create_database(&name.database(), Some(&snapshot_database(snapshot))).await?;
        self.let_in(row, name).await?;
        let logins = Logins::new(name, self.sandbox_key(row));
        self.clear_secrets(&logins, &name.database(), Purpose::OwnSandbox).await
    }

    /// Copies a sandbox as it is now, without its secrets, sessions and queued outward work; with its API keys, if those
    /// are to be kept.
    ///
    /// # Errors
    /// `already-exists`, `not-found`, or what the server says; nothing remains then and the source is as it was.
    pub async fn fork(
        self: &Arc<Self>,
        cx: &Ctx,
        source: &SandboxName,
        name: &SandboxName,
        expires_in: Option<u64>,
        keep_keys: bool,
    ) -> Result<SandboxOut> {
        self.with_databases("holds the one sandbox of its database")?;
        let purpose = if keep_keys { Purpose::OwnSandboxWithKeys } else { Purpose::OwnSandbox };
        let expires_at = end_of_life(expires_in)?;
        let from = self.control.find(source).await?;
        let row = SandboxRow {
            source: Some(source.to_string()),
            expires_at,
            ..SandboxRow::new(name.as_str(), &from.template, &from.schema_fingerprint)
        };
        self.make(cx, row, async |row, name| {
            let turn = self.turn_alone(source).await?;
            // It may have been reset since it was found, and have its files elsewhere now.
            self.control.set_blob_prefixes(name.as_str(), &turn.row.all_prefixes()).await?;
            self.cluster().end_sessions(&source.database()).await?;
            self.cluster().create_database(&name.database(), Some(&source.database())).await?;
            drop(turn);
            self.let_in(row, name).await?;
            let logins = Logins::new(name, self.sandbox_key(row));
            self.clear_secrets(&logins, &name.database(), purpose).await
        })
        .await
    }

    /// Notes a new sandbox, makes it, and notes that it is ready; on failure nothing remains.
    async fn make(
        self: &Arc<Self>,
        cx: &Ctx,
        row: SandboxRow,
        work: impl AsyncFnOnce(&SandboxRow, &SandboxName) -> Result<(), OpenError>,
    ) -> Result<SandboxOut> {
        let name: SandboxName = row.name.parse().map_err(Error::internal)?;
        // The caller's Idempotency-Key is held by this transaction until the sandbox is there; the row itself is
        // committed first, so that a killed process leaves a trace to clear away.
        let _turn = self.verbs.acquire().await.map_err(Error::internal)?;
        let request = self.control.begin(cx).await?;
        let mut noted = self.control.begin(&crate::control::Control::cx()).await?;
        self.control.insert(&mut noted, &row).await?;
        noted.commit(()).await?;
        // Nobody deletes it while it is being made, its own expiry included.
        let _alone = self.turn(&name).await?;
        if let Err(error) = work(&row, &name).await {
            if let Err(second) = self.raze(&row).await {
                tracing::error!(sandbox = row.name, error = %second, "what was half made could not be removed");
            }
            self.forget(&name);
            return Err(internal(error));
        }
        self.control.set_state(&row.name, SandboxState::Ready, None).await?;
        let out = self.show(SandboxRow { state: SandboxState::Ready.text().to_owned(), ..row });
        request.commit(out).await
    }

    /// Back to the template it was created from; a fork goes back to its source's.
    ///
    /// # Errors
    /// `not-found`, or what the server says.
    pub async fn reset(self: &Arc<Self>, cx: &Ctx, name: &SandboxName) -> Result<SandboxOut> {
        self.with_databases("can't put another database in place of the given one")?;
        let _turn = self.verbs.acquire().await.map_err(Error::internal)?;
        let request = self.control.begin(cx).await?;
        let row = self.control.find(name).await?;
        let snapshot = self.snapshot_named(&row.template).await.map_err(origin_gone)?;
        let (template, schema) = match &snapshot {
            Some(snapshot) => (snapshot_database(snapshot.id), snapshot.schema_fingerprint.clone()),
            None => (
                self.ensure_template(&row.template).await.map_err(internal)?,
                self.templates.fingerprint().to_owned(),
            ),
        };
        let turn = self.turn_alone(name).await?;
        // What a killed process leaves in this state is reset again by the next.
        self.control.set_state(name.as_str(), SandboxState::Changing, None).await?;
        // The old database steps aside at once and is dropped later: a drop makes the server write out every file.
        let aside = format!("pk__gone_{}", Uuid::new_v4().simple());
        let blob_prefixes =
            snapshot.map_or_else(|| vec![template.clone()], |snapshot| snapshot.blob_prefixes);
        let row = SandboxRow { id: Uuid::new_v4(), blob_prefixes, ..turn.row.clone() };
        if let Err(error) = self.renew(&row, name, &template, &aside).await {
            self.control.set_state(name.as_str(), SandboxState::Ready, None).await?;
            return Err(internal(error));
        }
        self.control.next_generation(name.as_str(), row.id, &row.blob_prefixes).await?;
        self.control.set_schema(name.as_str(), &schema).await?;
        self.retire(name, &row, aside).await?;
        self.clear_blobs_later();
        let out = self.show(self.control.find(name).await?);
        request.commit(out).await
    }

    /// Puts a clone of the template in place of a sandbox's database, which steps aside. A reset that was cut off may
    /// have left none.
    async fn renew(
        self: &Arc<Self>,
        row: &SandboxRow,
        name: &SandboxName,
        template: &str,
        aside: &str,
    ) -> Result<(), OpenError> {
        let database = name.database();
        let present = self.cluster().databases(&database).await?.contains(&database);
        if present {
            self.cluster().end_sessions(&database).await?;
            self.cluster().rename_database(&database, aside).await?;
        }
        if let Err(error) = self.clone_template(template, &database).await {
            if present {
                self.cluster().rename_database(aside, &database).await?;
            }
            return Err(error);
        }
        self.let_in(row, name).await?;
        if template.starts_with(SNAPSHOT) {
            let logins = Logins::new(name, self.sandbox_key(row));
            self.clear_secrets(&logins, &database, Purpose::OwnSandbox).await?;
        }
        self.close_demo(row, name).await
    }

    /// Removes a sandbox: its cell, database, logins and row. Nothing remains.
    ///
    /// # Errors
    /// `not-found`, or what the server says.
    pub async fn delete(self: &Arc<Self>, name: &SandboxName) -> Result<()> {
        self.with_databases("can't drop the given database")?;
        let turn = self.turn_alone(name).await?;
        self.control.set_state(name.as_str(), SandboxState::Deleting, None).await?;
        self.raze(&turn.row).await.map_err(internal)?;
        self.forget(name);
        self.remove_topics(name).await;
        self.clear_blobs_later();
        Ok(())
    }

    /// Says when a sandbox deletes itself; never with `None`.
    ///
    /// # Errors
    /// `not-found`, `validation-error`.
    pub async fn expire(&self, cx: &Ctx, name: &SandboxName, expires_in: Option<u64>) -> Result<SandboxOut> {
        if name.is_default() && expires_in.is_some() {
            return Err(Error::new(
                Slug::InvalidState,
                "The default sandbox does not expire; reset or delete it.",
            ));
        }
        let at = end_of_life(expires_in)?;
        let mut tx = self.control.begin(cx).await?;
        let row = self.control.set_expiry(&mut tx, name.as_str(), at).await?;
        tx.commit(self.show(row)).await
    }

    async fn let_in(&self, row: &SandboxRow, name: &SandboxName) -> Result<(), OpenError> {
        Ok(self.cluster().let_in(&Logins::new(name, self.sandbox_key(row)), &name.database()).await?)
    }
}

/// When a sandbox that lives for so many seconds from now ends.
fn end_of_life(expires_in: Option<u64>) -> Result<Option<Timestamp>> {
    let Some(seconds) = expires_in else { return Ok(None) };
    if seconds == 0 || seconds > LONGEST_LIFE {
        return Err(Error::field(
            "/expiresInSeconds",
            FieldCode::OutOfRange,
            format!("must be between 1 and {LONGEST_LIFE} seconds"),
        ));
    }
    Ok(Some(Timestamp::real().plus(Duration::from_secs(seconds))))
}

/// A reset goes back to what a sandbox was made from, and that is no more.
fn origin_gone(error: Error) -> Error {
    match error.slug() {
        Slug::ValidationError => Error::new(
            Slug::InvalidState,
            "The snapshot that this sandbox was made from is gone, so there is nothing to go back to.",
        ),
        _ => error,
    }
}

pub(crate) fn internal(error: OpenError) -> Error {
    match error {
        OpenError::Kernel(error) => error,
        other => Error::internal(other),
    }
}

//! The control database: which sandboxes there are. All its SQL.

mod hostnames;
mod snapshots;

use fabric::{
    postgres::{Database, FromRow, Reason, Tx},
    sql,
};
use kernel::{Clock, Ctx, Error, Result, SandboxName, Slug, Timestamp};
use uuid::Uuid;

pub(crate) use hostnames::HostnameRow;
pub(crate) use snapshots::SnapshotRow;

/// The registry of sandboxes.
#[derive(Clone)]
pub struct Control {
    db: Database,
}

/// A sandbox as the registry knows it.
#[derive(Debug, Clone, FromRow)]
pub struct SandboxRow {
    /// Its name.
    pub name: String,
    /// Names its keys.
    pub id: Uuid,
    /// See [`SandboxState`].
    pub state: String,
    /// What a reset goes back to.
    pub template: String,
    /// What it was forked from.
    pub source: Option<String>,
    /// Grows with each reset and fork.
    pub generation: i64,
    /// The schema's fingerprint when it was last opened.
    pub schema_fingerprint: String,
    /// Why it failed.
    pub failure: Option<String>,
    /// Where its ancestors' files lie, nearest first.
    pub blob_prefixes: Vec<String>,
    /// Real time.
    pub created_at: Timestamp,
    /// Real time.
    pub last_used_at: Timestamp,
    /// Real time.
    pub expires_at: Option<Timestamp>,
    /// Real time.
    pub due_at: Option<Timestamp>,
}

impl SandboxRow {
    /// A sandbox that is about to be made from `template`, with the schema of that fingerprint.
    pub(crate) fn new(name: &str, template: &str, schema_fingerprint: &str) -> Self {
        Self {
            name: name.to_owned(),
            id: Uuid::new_v4(),
            state: SandboxState::Creating.text().to_owned(),
            template: template.to_owned(),
            source: None,
            generation: 1,
            schema_fingerprint: schema_fingerprint.to_owned(),
            failure: None,
            blob_prefixes: Vec::new(),
            created_at: Timestamp::real(),
            last_used_at: Timestamp::real(),
            expires_at: None,
            due_at: None,
        }
    }

    /// Where its files lie: under its own prefix, then under its ancestors'.
    pub(crate) fn all_prefixes(&self) -> Vec<String> {
        std::iter::once(self.id.to_string()).chain(self.blob_prefixes.iter().cloned()).collect()
    }
}

/// States of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SandboxState {
    /// Its database is being made.
    Creating,
    /// It can be opened.
    Ready,
    /// It is being reset.
    Changing,
    /// It is being removed.
    Deleting,
    /// It could not be opened; `failure` says why.
    Failed,
}

impl SandboxState {
    /// As it is stored and shown.
    pub fn text(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Ready => "ready",
            Self::Changing => "changing",
            Self::Deleting => "deleting",
            Self::Failed => "failed",
        }
    }
}

impl Control {
    /// The registry in the control database.
    pub fn new(db: Database) -> Self {
        Self { db }
    }

    /// A context of the process itself.
    pub fn cx() -> Ctx {
        Ctx::system(SandboxName::default_sandbox(), Clock::real(), "sandbox")
    }

    /// A transaction of the caller's: carries his Idempotency-Key.
    pub async fn begin(&self, cx: &Ctx) -> Result<Tx> {
        self.db.system(cx, Reason::Sandbox).begin().await
    }

    /// The key check of the installation: kept at the first call, compared later.
    pub async fn installation_check(&self, id: Uuid, key_check: Vec<u8>) -> Result<Vec<u8>> {
        self.db
            .system(&Self::cx(), Reason::Sandbox)
            .query(sql!(
                "with made as (
                     insert into control.installation (id, key_check) values ($1, $2)
                     on conflict (only_row) do nothing returning key_check
                 )
                 select key_check from made union all select key_check from control.installation limit 1"
            ))
            .bind(id)
            .bind(key_check)
            .value()
            .await
    }

    /// One sandbox.
    pub async fn find(&self, name: &SandboxName) -> Result<SandboxRow> {
        self.db
            .system(&Self::cx(), Reason::Sandbox)
            .query(sql!("select * from control.sandbox where name = $1"))
            .bind(name.as_str().to_owned())
            .optional()
            .await?
            .ok_or_else(|| Error::not_found("sandbox"))
    }

    /// All sandboxes after `after`, by name.
    pub async fn list(&self, after: &str, limit: i64) -> Result<Vec<SandboxRow>> {
        self.db
            .system(&Self::cx(), Reason::Sandbox)
            .query(sql!("select * from control.sandbox where name > $1 order by name limit $2"))
            .bind(after.to_owned())
            .bind(limit)
            .all()
            .await
    }

    /// Notes a new sandbox.
    pub async fn insert(&self, tx: &mut Tx, row: &SandboxRow) -> Result<()> {
        let done = tx
            .query(sql!(
                "insert into control.sandbox (name, id, state, template, source, schema_fingerprint, blob_prefixes,
                                              expires_at)
                 values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (name) do nothing"
            ))
            .bind(row.name.clone())
            .bind(row.id)
            .bind(row.state.clone())
            .bind(row.template.clone())
            .bind(row.source.clone())
            .bind(row.schema_fingerprint.clone())
            .bind(row.blob_prefixes.clone())
            .bind(row.expires_at)
            .run()
            .await?;
        if done == 0 {
            return Err(Error::new(
                Slug::AlreadyExists,
                format!("There is a sandbox {} already; choose another name or delete it.", row.name),
            ));
        }
        Ok(())
    }

    /// Moves a sandbox to another state.
    pub async fn set_state(&self, name: &str, state: SandboxState, failure: Option<&str>) -> Result<()> {
        self.db
            .system(&Self::cx(), Reason::Sandbox)
            .query(sql!("update control.sandbox set state = $2, failure = $3 where name = $1"))
            .bind(name.to_owned())
            .bind(state.text())
            .bind(failure.map(str::to_owned))
            .run()
            .await?;
        Ok(())
    }

    /// A new generation: cells of the old one are closed.
    pub async fn next_generation(&self, name: &str, id: Uuid, blob_prefixes: &[String]) -> Result<()> {
        self.db
            .system(&Self::cx(), Reason::Sandbox)
            .query(sql!(
                "update control.sandbox
                 set generation = generation + 1, id = $2, blob_prefixes = $3, state = 'ready', failure = null
                 where name = $1"
            ))
            .bind(name.to_owned())
            .bind(id)
            .bind(blob_prefixes.to_vec())
            .run()
            .await?;
        Ok(())
    }

    /// Waits until no other process works on a sandbox or opens it; nobody else does until the transaction ends.
    pub async fn lock(&self, name: &SandboxName) -> Result<Tx> {
        let mut tx = self.begin(&Self::cx()).await?;
        let lock = sql!("select pg_advisory_xact_lock(hashtextextended($1, 51))");
        tx.query(lock).bind(name.as_str().to_owned()).run().await?;
        Ok(tx)
    }

    /// Waits until no other process works on a sandbox; nobody does until the transaction ends.
    pub async fn lock_shared(&self, name: &SandboxName) -> Result<Tx> {
        let mut tx = self.begin(&Self::cx()).await?;
        let lock = sql!("select pg_advisory_xact_lock_shared(hashtextextended($1, 51))");
        tx.query(lock).bind(name.as_str().to_owned()).run().await?;
        Ok(tx)
    }

    /// The generations of those of these sandboxes that there are.
    pub async fn generations(&self, names: Vec<String>) -> Result<Vec<(String, i64)>> {
        self.db
            .system(&Self::cx(), Reason::Sandbox)
            .query(sql!("select name, generation from control.sandbox where name = any ($1)"))
            .bind(names)
            .all()
            .await
    }

    /// Whether a copy or a snapshot of a sandbox reads the blobs that were written under this id.
    pub async fn has_descendants(&self, id: Uuid) -> Result<bool> {
        self.db
            .system(&Self::cx(), Reason::Sandbox)
            .query(sql!(
                "select exists (select 1 from control.sandbox where $1 = any (blob_prefixes))
                     or exists (select 1 from control.snapshot where $1 = any (blob_prefixes))"
            ))
            .bind(id.to_string())
            .value()
            .await
    }

    /// Every prefix under which some sandbox or snapshot has blobs.
    pub async fn blob_prefixes(&self) -> Result<Vec<String>> {
        let rows: Vec<(String,)> = self
            .db
            .system(&Self::cx(), Reason::Sandbox)
            .query(sql!(
                "select id::text from control.sandbox union select unnest(blob_prefixes) from control.sandbox
                 union select unnest(blob_prefixes) from control.snapshot"
            ))
            .all()
            .await?;
        Ok(rows.into_iter().map(|(prefix,)| prefix).collect())
    }

    /// Notes where the files lie that a copy has from its source.
    pub async fn set_blob_prefixes(&self, name: &str, blob_prefixes: &[String]) -> Result<()> {
        self.db
            .system(&Self::cx(), Reason::Sandbox)
            .query(sql!("update control.sandbox set blob_prefixes = $2 where name = $1"))
            .bind(name.to_owned())
            .bind(blob_prefixes.to_vec())
            .run()
            .await?;
        Ok(())
    }

    /// Notes that a sandbox has today's schema.
    pub async fn set_schema(&self, name: &str, fingerprint: &str) -> Result<()> {
        self.db
            .system(&Self::cx(), Reason::Sandbox)
            .query(sql!(
                "update control.sandbox set schema_fingerprint = $2, state = 'ready', failure = null where name = $1"
            ))
            .bind(name.to_owned())
            .bind(fingerprint.to_owned())
            .run()
            .await?;
        Ok(())
    }

    /// When a sandbox deletes itself; never with `None`.
    pub async fn set_expiry(&self, tx: &mut Tx, name: &str, at: Option<Timestamp>) -> Result<SandboxRow> {
        tx.query(sql!("update control.sandbox set expires_at = $2 where name = $1 returning *"))
            .bind(name.to_owned())
            .bind(at)
            .optional()
            .await?
            .ok_or_else(|| Error::not_found("sandbox"))
    }

    /// Notes, before it sleeps, when work is due.
    pub async fn put_to_sleep(&self, name: &str, due_at: Option<Timestamp>) -> Result<()> {
        self.db
            .system(&Self::cx(), Reason::Sandbox)
            .query(sql!(
                "update control.sandbox set due_at = $2, last_used_at = clock_timestamp() where name = $1"
            ))
            .bind(name.to_owned())
            .bind(due_at)
            .run()
            .await?;
        Ok(())
    }

    /// Forgets a sandbox.
    pub async fn remove(&self, name: &str) -> Result<()> {
        self.db
            .system(&Self::cx(), Reason::Sandbox)
            .query(sql!("delete from control.sandbox where name = $1"))
            .bind(name.to_owned())
            .run()
            .await?;
        Ok(())
    }

    /// Sandboxes whose time is over, and those whose sleeping work is due.
    pub async fn due(&self) -> Result<Vec<(String, bool)>> {
        self.db
            .system(&Self::cx(), Reason::Sandbox)
            .query(sql!(
                "select name, expires_at is not null and expires_at <= clock_timestamp()
                 from control.sandbox
                 where state <> 'deleting' and (expires_at <= clock_timestamp() or due_at <= clock_timestamp())
                 order by least(expires_at, due_at) limit 100"
            ))
            .all()
            .await
    }

    /// Keeps a single-use link of the operator.
    pub async fn put_link(&self, tx: &mut Tx, hash: &[u8], expires_at: Timestamp) -> Result<()> {
        tx.query(sql!("insert into control.operator_link (hash, expires_at) values ($1, $2)"))
            .bind(hash.to_vec())
            .bind(expires_at)
            .run()
            .await?;
        Ok(())
    }

    /// Uses a link up; says whether it was good. Opens a session in its place.
    pub async fn use_link(&self, link: &[u8], session: &[u8], expires_at: Timestamp) -> Result<bool> {
        let opened = self
            .db
            .system(&Self::cx(), Reason::Sandbox)
            .query(sql!(
                "with used as (
                     delete from control.operator_link where hash = $1 and expires_at > clock_timestamp() returning 1
                 ), old as (
                     delete from control.operator_session where expires_at <= clock_timestamp()
                 )
                 insert into control.operator_session (hash, expires_at) select $2, $3 from used"
            ))
            .bind(link.to_vec())
            .bind(session.to_vec())
            .bind(expires_at)
            .run()
            .await?;
        Ok(opened == 1)
    }

    /// Forgets a session.
    pub async fn end_session(&self, session: &[u8]) -> Result<()> {
        self.db
            .system(&Self::cx(), Reason::Sandbox)
            .query(sql!("delete from control.operator_session where hash = $1"))
            .bind(session.to_vec())
            .run()
            .await?;
        Ok(())
    }

    /// The sessions that are open, so that checking one needs no query.
    pub async fn sessions(&self) -> Result<Vec<(Vec<u8>, Timestamp)>> {
        self.db
            .system(&Self::cx(), Reason::Sandbox)
            .query(sql!(
                "select hash, expires_at from control.operator_session where expires_at > clock_timestamp()"
            ))
            .all()
            .await
    }
}

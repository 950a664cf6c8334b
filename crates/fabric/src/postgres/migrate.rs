//! The numbered series of SQL files that makes a sandbox's schema, and the one that makes the control database.

use std::fmt;

use include_dir::{Dir, include_dir};
use kernel::Timestamp;
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgConnectOptions};

use super::pool::single;
use crate::crypto::sha256;

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../migrations");

/// A series of migrations.
#[derive(Clone)]
pub struct Migrations(Vec<Migration>);

/// One file: `NNNN_<service>_<what>.sql`.
#[derive(Clone)]
pub struct Migration {
    /// Its number; the series is applied in this order.
    pub number: i32,
    /// Its file name.
    pub name: String,
    /// Its SQL.
    pub sql: String,
}

/// Why a database could not be brought to this version.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// A statement failed; nothing of its file remains.
    #[error("migration {name} failed: {source}")]
    Failed {
        /// The file.
        name: String,
        /// What Postgres said.
        source: sqlx::Error,
    },
    /// The database is ahead of the program.
    #[error(
        "the database is of a newer version (migration {found}; this program knows up to {known}): start the newer \
         program, or restore an older copy of the data"
    )]
    Newer {
        /// The newest migration in the database.
        found: i32,
        /// The newest the program knows.
        known: i32,
    },
    /// A file is not the one that was applied.
    #[error("migration {0} was changed after it was applied: put the file back as it was and add a new one")]
    Changed(String),
    /// The database does not answer.
    #[error("the database does not answer: {0}")]
    Unreachable(#[from] sqlx::Error),
}

impl Migrations {
    /// What makes a sandbox.
    pub fn sandbox() -> Self {
        Self::of(&FILES)
    }

    /// What makes the control database: the ground alone, then its own files.
    pub fn control() -> Self {
        let mut series = Self::of(&FILES);
        series.0.retain(|migration| migration.name.contains("_kernel_"));
        let own = FILES.get_dir("control").map(Self::of).unwrap_or(Self(Vec::new()));
        series.0.extend(
            own.0.into_iter().map(|migration| Migration { number: migration.number + CONTROL, ..migration }),
        );
        series
    }

    /// This series together with the control database's own files, for the one database of single mode.
    pub fn with_control(mut self) -> Self {
        self.0.extend(Self::control().0.into_iter().filter(|migration| migration.number >= CONTROL));
        self
    }

    /// A series of its own, for tests of upgrades.
    pub fn from_files(files: Vec<Migration>) -> Self {
        Self(files)
    }

    fn of(dir: &Dir<'_>) -> Self {
        let mut series: Vec<Migration> = dir
            .files()
            .filter_map(|file| {
                let name = file.path().file_name()?.to_str()?.to_owned();
                let number = name.split_once('_')?.0.parse().ok()?;
                name.ends_with(".sql")
                    .then(|| file.contents_utf8().map(str::to_owned))
                    .flatten()
                    .map(|sql| Migration { number, name, sql })
            })
            .collect();
        series.sort_by_key(|migration| migration.number);
        Self(series)
    }

    /// The files, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Migration> {
        self.0.iter()
    }

    /// The newest number.
    pub fn newest(&self) -> i32 {
        self.0.last().map_or(0, |migration| migration.number)
    }

    /// Names the series by its content, so that a template is made anew when any file changes.
    pub fn fingerprint(&self) -> String {
        let parts: Vec<&[u8]> = self
            .0
            .iter()
            .flat_map(|migration| [migration.name.as_bytes(), migration.sql.as_bytes()])
            .collect();
        sha256(&parts).iter().take(6).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }

    /// Brings a database to the newest version, as its owner, under a lock in that database. Answers how many files were
    /// applied.
    ///
    /// # Errors
    /// See [`MigrationError`]; the files before a failing one stay applied.
    pub async fn apply(&self, owner: &PgConnectOptions) -> Result<usize, MigrationError> {
        let mut connection = single(owner).await?;
        let done = self.apply_on(&mut connection).await;
        let closed = connection.close().await;
        let applied = done?;
        closed?;
        Ok(applied)
    }

    async fn apply_on(&self, connection: &mut PgConnection) -> Result<usize, MigrationError> {
        sqlx::raw_sql("select pg_advisory_lock(hashtext('kernel.migrations'))")
            .execute(&mut *connection)
            .await?;
        sqlx::raw_sql(
            "create schema if not exists kernel_migrations;
             create table if not exists kernel_migrations.applied (
                 number integer primary key, name text not null, hash bytea not null,
                 at timestamptz not null default clock_timestamp())",
        )
        .execute(&mut *connection)
        .await?;
        let applied: Vec<(i32, Vec<u8>)> =
            sqlx::query_as("select number, hash from kernel_migrations.applied order by number")
                .fetch_all(&mut *connection)
                .await?;
        let found = applied.last().map_or(0, |(number, _)| *number);
        if found > self.newest() {
            return Err(MigrationError::Newer { found, known: self.newest() });
        }
        let mut count = 0;
        for migration in &self.0 {
            let hash = sha256(&[migration.sql.as_bytes()]);
            match applied.iter().find(|(number, _)| *number == migration.number) {
                Some((_, known)) if *known == hash => continue,
                Some(_) => return Err(MigrationError::Changed(migration.name.clone())),
                None => {}
            }
            let failed = |source| MigrationError::Failed { name: migration.name.clone(), source };
            let mut transaction = connection.begin().await?;
            sqlx::raw_sql(AssertSqlSafe(migration.sql.clone()))
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
            sqlx::query("insert into kernel_migrations.applied (number, name, hash) values ($1, $2, $3)")
                .bind(migration.number)
                .bind(&migration.name)
                .bind(hash.to_vec())
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
            transaction.commit().await.map_err(failed)?;
            count += 1;
        }
        Ok(count)
    }
}

/// What a clone of a sandbox's database is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A sandbox of its own, which answers to none of its source's credentials but passwords.
    OwnSandbox,
    /// The same, but for API keys, which work in it, too.
    OwnSandboxWithKeys,
    /// A template: what is made from it is nobody's copy, so its mail may leave.
    Template,
    /// To take the place of the sandbox it was cloned from, which keeps its keys and has every sign-in ended.
    Restore {
        /// Whether the sandbox still has the key with which the clone's secrets are sealed: a reset gives it another.
        same_key: bool,
    },
}

/// Empties, in a copy, what it must not inherit: sessions, keys, leases, queued outward work (the tables and statements
/// that migrations noted in `kernel.not_cloned`).
///
/// # Errors
/// What the server says.
pub async fn after_clone(owner: &PgConnectOptions, purpose: Purpose) -> Result<(), MigrationError> {
    let purposes: &[&str] = match purpose {
        Purpose::OwnSandbox => &[],
        Purpose::OwnSandboxWithKeys => &["keys"],
        Purpose::Template => &["template"],
        Purpose::Restore { same_key: true } => &["restore", "sealed"],
        Purpose::Restore { same_key: false } => &["restore"],
    };
    let mut connection = single(owner).await?;
    sqlx::query("select kernel.after_clone($1)").bind(purposes).execute(&mut connection).await?;
    Ok(connection.close().await?)
}

/// Tells the planner what lies in the tables. Copies of the database inherit it. Without it, until the server gets to it
/// by itself, the planner takes all indexes of a filled table for equally good: reading one record went through all
/// those of its tenant.
///
/// # Errors
/// What the server says.
pub async fn gather_statistics(owner: &PgConnectOptions) -> Result<(), MigrationError> {
    let mut connection = single(owner).await?;
    // By name: of all that it leaves out, such as the server's own tables, the server would write a warning into its log.
    // A partition comes with its table. Tables of modules have owners of their own; the database's may look at all.
    let tables = "do $$ begin execute (
        select 'analyze ' || string_agg(oid::regclass::text, ', ') from pg_class
        where relkind in ('r', 'p') and not relispartition
          and relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
    ); end $$";
    sqlx::raw_sql(tables).execute(&mut connection).await?;
    Ok(connection.close().await?)
}

/// Brings over from a sandbox's database to the one that takes its place what going back must not take back: revoked
/// keys stay revoked.
///
/// # Errors
/// What the server says.
pub async fn carry_over(from: &PgConnectOptions, to: &PgConnectOptions) -> Result<(), MigrationError> {
    let mut present = single(from).await?;
    let (gathered,): (serde_json::Value,) =
        sqlx::query_as("select kernel.gather_carried()").fetch_one(&mut present).await?;
    present.close().await?;
    let mut connection = single(to).await?;
    sqlx::query("select kernel.apply_carried($1)").bind(gathered).execute(&mut connection).await?;
    Ok(connection.close().await?)
}

/// What the clock shows of the sandbox that has this database.
///
/// # Errors
/// What the server says.
pub async fn shown_clock(owner: &PgConnectOptions) -> Result<Timestamp, MigrationError> {
    let mut connection = single(owner).await?;
    let (now,): (Timestamp,) = sqlx::query_as("select kernel.now()").fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(now)
}

/// Numbers of the control database's own files start here.
const CONTROL: i32 = 100_000;

impl fmt::Debug for Migrations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Migrations(up to {})", self.newest())
    }
}

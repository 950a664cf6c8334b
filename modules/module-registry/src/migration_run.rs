//! The one transaction in which a module's schema changes.
//!
//! # Why one, and on whose connection
//! A module's SQL runs logged in as the module's own role, because `SET ROLE` can be undone from within. What the
//! platform adds (columns, row-level security, policies, triggers) would naturally be the owner's work, on the owner's
//! connection; but then module and platform commit apart, and between the two commits lie tables without row-level
//! security, or an update that can't be taken back. So the platform's part runs on the same connection, in the same
//! transaction, after the module's last statement: the module's role owns its tables, which is all that columns,
//! policies and grants need, and the few steps that need more (making the schema, naming the kernel's trigger functions,
//! writing the registry's rows) are functions of the schema `registration` that act as the owner and look at the login.
//!
//! The registry's rows are prepared beforehand, in a row that the module's login can't read, and become the present by a
//! random ticket that this file names only after the module's SQL has run and the resulting schema was checked in
//! Postgres' own catalogue. So even SQL that got past the allow-list could not choose what is registered.

use std::time::{Duration, Instant};

use fabric::postgres::{ClusterError, ModuleConnection, Schemas};
use kernel::{Error, FieldCode, FieldError, ModuleSlug, Slug};
use sqlx::{
    AssertSqlSafe, PgConnection,
    postgres::{PgDatabaseError, PgErrorPosition},
};
use uuid::Uuid;

use crate::{
    model::rejected,
    sql::{Migration, Statement},
};

/// What a run is to do.
pub(crate) struct Run {
    /// Whose schema.
    pub slug: ModuleSlug,
    /// The migrations that have not been run, by number.
    pub fresh: Vec<Migration>,
    /// Per table, the columns that events leave out: `{"deals": ["internal_note"]}`.
    pub hidden: serde_json::Value,
    /// When it must be over.
    pub until: Instant,
    /// How it ends.
    pub end: End,
}

/// How a run ends when all went well.
#[derive(Clone, Copy)]
pub(crate) enum End {
    /// The rows prepared under this ticket become the present.
    Adopt(Uuid),
    /// Everything is taken back: it was a trial.
    RollBack,
}

/// Why a run came to nothing.
pub(crate) struct Stopped {
    /// For the author.
    pub error: Error,
    /// The answer to COMMIT was not read: whether it happened has to be looked up.
    pub uncertain: bool,
}

/// Beyond the time that statements get: the server ends them by itself, and says so.
const GRACE: Duration = Duration::from_secs(2);

/// Runs it. Nothing remains of a run that stopped.
pub(crate) async fn run(schemas: &Schemas, run: &Run) -> Result<(), Stopped> {
    let mut module =
        connect(schemas, &run.slug).await.map_err(|error| Stopped { error, uncertain: false })?;
    let mut committing = false;
    let done = tokio::time::timeout_at(
        (run.until + GRACE).into(),
        work(&mut module.connection, run, &mut committing),
    )
    .await;
    if let Err(error) = module.close().await {
        tracing::warn!(%error, module = %run.slug, "a module's login was not removed");
    }
    let error = match done {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error,
        Err(_) => late(),
    };
    Err(Stopped { error, uncertain: committing })
}

async fn connect(schemas: &Schemas, slug: &ModuleSlug) -> Result<ModuleConnection, Error> {
    match schemas.module(slug.as_str()).await {
        Ok(module) => Ok(module),
        // The role is of the whole server: another sandbox may have made it between look and leap.
        Err(ClusterError::Server(error)) if code(&error).as_deref() == Some("42710") => {
            schemas.module(slug.as_str()).await.map_err(no_login)
        }
        Err(error) => Err(no_login(error)),
    }
}

fn no_login(error: ClusterError) -> Error {
    let sentence = error.to_string();
    if matches!(error, ClusterError::NoOwner | ClusterError::NoModuleRoles(_)) {
        return Error::new(Slug::InvalidState, "This installation can't change tables for modules.")
            .for_author(sentence);
    }
    Error::new(Slug::DependencyUnavailable, "The database gives modules no login just now.")
        .for_author(sentence)
        .because(error)
}

fn late() -> Error {
    Error::new(
        Slug::DeadlineExceeded,
        "The migrations took longer than MODULE_INSTALL_TIMEOUT_SEC allows; nothing was changed.",
    )
}

async fn work(connection: &mut PgConnection, run: &Run, committing: &mut bool) -> Result<(), Error> {
    let slug = run.slug.as_str();
    say(connection, "begin").await?;
    say(connection, "set local standard_conforming_strings = on").await?;
    let (moment,): (chrono::DateTime<chrono::Utc>,) = sqlx::query_as("select registration.open($1)")
        .bind(slug)
        .fetch_one(&mut *connection)
        .await
        .map_err(ours)?;
    for migration in &run.fresh {
        for statement in &migration.up {
            limit(connection, run.until).await?;
            // The extended protocol takes one statement, whatever the text holds.
            sqlx::query(AssertSqlSafe(statement.text.clone()))
                .persistent(false)
                .execute(&mut *connection)
                .await
                .map_err(|error| theirs(&migration.file, statement, &error))?;
            if makes_a_table(&statement.text) {
                // The next statement may point at the table's (tenant_id, id).
                call(connection, "select registration.tenant_keys($1)", slug).await?;
            }
        }
    }
    say(connection, "set local search_path = pg_catalog").await?;
    limit(connection, run.until).await?;
    sqlx::query("select registration.finish($1, $2)")
        .bind(slug)
        .bind(moment)
        .execute(&mut *connection)
        .await
        .map_err(ours)?;
    sqlx::query("select registration.watch($1, $2)")
        .bind(slug)
        .bind(&run.hidden)
        .execute(&mut *connection)
        .await
        .map_err(ours)?;
    let faults: Vec<(String, String)> = sqlx::query_as("select relation, fault from registration.faults($1)")
        .bind(slug)
        .fetch_all(&mut *connection)
        .await
        .map_err(ours)?;
    if !faults.is_empty() {
        let field = |(relation, fault): (String, String)| {
            FieldError::new(
                format!("module_{slug}.{relation}"),
                FieldCode::NotAllowed,
                format!("{relation} {fault}."),
            )
        };
        return Err(rejected(faults.into_iter().map(field).collect()));
    }
    match run.end {
        End::RollBack => say(connection, "rollback").await,
        End::Adopt(ticket) => {
            sqlx::query("select registration.complete($1, $2)")
                .bind(slug)
                .bind(ticket)
                .execute(&mut *connection)
                .await
                .map_err(ours)?;
            *committing = true;
            say(connection, "commit").await?;
            Ok(())
        }
    }
}

async fn say(connection: &mut PgConnection, statement: &'static str) -> Result<(), Error> {
    sqlx::query(statement).persistent(false).execute(&mut *connection).await.map(drop).map_err(ours)
}

async fn call(connection: &mut PgConnection, function: &'static str, slug: &str) -> Result<(), Error> {
    sqlx::query(function).bind(slug).execute(&mut *connection).await.map(drop).map_err(ours)
}

/// The server itself ends a statement that outlasts the registration.
async fn limit(connection: &mut PgConnection, until: Instant) -> Result<(), Error> {
    let left = until.saturating_duration_since(Instant::now()).as_millis();
    if left == 0 {
        return Err(late());
    }
    sqlx::query("select set_config('statement_timeout', $1, true)")
        .bind(left.min(i32::MAX as u128).to_string())
        .execute(&mut *connection)
        .await
        .map(drop)
        .map_err(ours)
}

fn makes_a_table(statement: &str) -> bool {
    let mut words = statement.split_whitespace().map(str::to_ascii_lowercase);
    words.next().as_deref() == Some("create") && words.next().as_deref() == Some("table")
}

fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// What failures of every kind have in common; `None` when the statement itself is at fault.
fn circumstance(error: &sqlx::Error) -> Option<Error> {
    match code(error).as_deref() {
        Some("57014") => Some(late()),
        Some("55P03" | "40P01" | "40001") => Some(Error::new(
            Slug::Conflict,
            "The module's tables are in use, or were changed at the same moment; nothing was changed. Try again.",
        )),
        Some(code) if code.starts_with("53") || code.starts_with("57") || code.starts_with("08") => {
            Some(Error::new(
                Slug::DependencyUnavailable,
                "The database does not answer just now; nothing was changed.",
            ))
        }
        Some(_) => None,
        None => Some(Error::new(Slug::DependencyUnavailable, "The database does not answer just now.")),
    }
}

/// A statement of the module failed: its author sees file, line and Postgres' words.
fn theirs(file: &str, statement: &Statement, error: &sqlx::Error) -> Error {
    if let Some(error) = circumstance(error) {
        return error;
    }
    let postgres = error.as_database_error().and_then(|db| db.try_downcast_ref::<PgDatabaseError>());
    let line = line_of(statement, postgres.and_then(position));
    rejected(vec![FieldError::new(
        format!("{file}:{line}"),
        FieldCode::InvalidFormat,
        words(error, postgres),
    )])
}

/// A step of the platform failed on what the module made.
fn ours(error: sqlx::Error) -> Error {
    if let Some(circumstance) = circumstance(&error) {
        return circumstance.because(error);
    }
    let postgres = error.as_database_error().and_then(|db| db.try_downcast_ref::<PgDatabaseError>());
    let message = format!("after the migrations: {}", words(&error, postgres));
    rejected(vec![FieldError::new("migrations", FieldCode::NotAllowed, message)]).because(error)
}

fn words(error: &sqlx::Error, postgres: Option<&PgDatabaseError>) -> String {
    let Some(postgres) = postgres else { return error.to_string() };
    let more = [postgres.detail(), postgres.hint()];
    let more = more.into_iter().flatten().fold(String::new(), |text, part| format!("{text} {part}"));
    format!("Postgres says: {}.{more}", postgres.message())
}

fn position(postgres: &PgDatabaseError) -> Option<usize> {
    match postgres.position()? {
        PgErrorPosition::Original(at) => Some(at),
        PgErrorPosition::Internal { .. } => None,
    }
}

/// The line in the file: that of the statement, or of the place in it that Postgres names (in characters, from 1).
fn line_of(statement: &Statement, at: Option<usize>) -> u32 {
    let breaks =
        statement.text.chars().take(at.unwrap_or(1).saturating_sub(1)).filter(|c| *c == '\n').count();
    statement.line.saturating_add(u32::try_from(breaks).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_that_of_the_place_which_postgres_names() {
        let statement = Statement { text: "create table a (\n  id uuid,\n  x nonsense)".to_owned(), line: 4 };
        assert_eq!(line_of(&statement, None), 4);
        assert_eq!(line_of(&statement, Some(31)), 6);
        assert_eq!(line_of(&statement, Some(10_000)), 6);
    }

    #[test]
    fn a_new_table_is_known_by_its_first_words() {
        assert!(makes_a_table("CREATE\n  Table x (id uuid)"));
        assert!(!makes_a_table("create type x as enum ()") && !makes_a_table("drop table x"));
    }
}

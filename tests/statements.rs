//! Every SQL statement of the program is prepared on the migrated schema, and one of the logins may run it.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests: a panic is a failed test")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use fabric::postgres::{Login, STATEMENTS, Statement};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, SqlSafeStr as _};
use testkit::Kernel;

/// The logins under which services run statements.
const LOGINS: [Login; 3] = [Login::App, Login::System, Login::Data];

/// What Postgres says against a statement.
async fn refusal(owner: &mut PgConnection, statement: &Statement) -> Option<String> {
    let error = owner.prepare(AssertSqlSafe(statement.text.to_owned()).into_sql_str()).await.err()?;
    let place = error.as_database_error().and_then(|error| {
        let error = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>()?;
        Some(format!(
            "{} {}: {}",
            error.code(),
            error.message(),
            error.detail().or(error.hint()).unwrap_or_default()
        ))
    });
    Some(place.unwrap_or_else(|| error.to_string()))
}

/// Whether a login may run a statement: explaining it checks the rights and runs nothing.
async fn allowed(connection: &mut PgConnection, statement: &Statement) -> Result<(), String> {
    let explained = format!("explain (generic_plan) {}", statement.text);
    match sqlx::raw_sql(AssertSqlSafe(explained)).execute(connection).await {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn can_be_explained(statement: &Statement) -> bool {
    let first = statement.text.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    ["select", "insert", "update", "delete", "with"].contains(&first.as_str())
}

/// A column that is not there and a table that is not the services' are noticed.
async fn that_the_test_can_fail(owner: &mut PgConnection, app: &mut PgConnection) {
    let statement = |text| Statement { file: "here", line: 1, text };
    let told = refusal(owner, &statement("select colour from iam.role where tenant_id = $1")).await;
    assert!(told.as_ref().is_some_and(|told| told.contains("42703") && told.contains("colour")), "{told:?}");
    let told = allowed(app, &statement("select private_sealed from iam.signing_key where kid = $1")).await;
    assert!(told.as_ref().is_err_and(|told| told.contains("permission denied")), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_fits_the_schema_and_somebodys_rights() {
    let kernel = Kernel::empty().await;
    let mut owner = kernel.owner_sql("default").await;
    let mut control = kernel.admin_sql("pk_control").await;
    let mut logins = Vec::new();
    for login in LOGINS {
        logins.push((login, kernel.sql("default", login).await));
    }
    that_the_test_can_fail(&mut owner, &mut logins[0].1).await;
    let (mut wrong, mut single, mut prepared) = (Vec::new(), Vec::new(), 0);
    for statement in STATEMENTS.iter() {
        let place = format!("{}:{}", statement.file, statement.line);
        prepared += 1;
        let of_process = statement.text.contains("control.");
        let connection = if of_process { &mut control } else { &mut owner };
        if let Some(told) = refusal(connection, statement).await {
            wrong.push(format!("{place}: {told}\n    {}", statement.text));
            continue;
        }
        if of_process || !can_be_explained(statement) {
            continue;
        }
        let mut refusals = Vec::new();
        let mut by = Login::App;
        for (login, connection) in &mut logins {
            match allowed(connection, statement).await {
                Ok(()) => {
                    refusals.clear();
                    by = *login;
                    break;
                }
                Err(told) => refusals.push(format!("{login:?}: {told}")),
            }
        }
        if by == Login::System && statement.text.contains("kernel.owns(") {
            single.push(place.clone());
        }
        if !refusals.is_empty() {
            wrong.push(format!(
                "{place}: no login may run it: {}\n    {}",
                refusals.join("; "),
                statement.text
            ));
        }
    }
    println!("{prepared} statements prepared");
    println!("filtered by tenant, but for the system's login alone, which no policy binds: {single:#?}");
    assert!(wrong.is_empty(), "{} of {prepared} statements do not fit:\n{}", wrong.len(), wrong.join("\n"));
    kernel.close().await;
}

fn sources(under: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(under).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The linker could leave out a service whose statements would then go unchecked.
#[test]
fn every_file_with_statements_is_heard_of() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["crates", "modules"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let source = entry.unwrap().path().join("src");
            if source.is_dir() {
                sources(&source, &mut files);
            }
        }
    }
    let known: BTreeSet<&str> = STATEMENTS.iter().map(|statement| statement.file).collect();
    // This names the crates, so that they are linked.
    assert!(std::mem::size_of::<Kernel>() > 0 && !known.is_empty());
    let missing: Vec<String> = files
        .iter()
        .filter_map(|path| {
            let text = fs::read_to_string(path).unwrap();
            let product = text.split("#[cfg(test)]").next().unwrap_or_default();
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            let uses =
                product.lines().any(|line| !line.trim_start().starts_with("//") && line.contains("sql!("));
            (uses && !known.contains(name.as_str())).then_some(name)
        })
        .collect();
    assert!(missing.is_empty(), "their statements are not registered: {missing:#?}");
}

//! A new version on an old data folder: each sandbox is migrated when it is first asked for, one that can't be takes
//! only itself out, and an older program leaves newer data alone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test: what fails here fails the test"
)]

use std::{path::Path, time::Instant};

use fabric::postgres::{Login, Migration, MigrationError, Migrations};
use serde_json::json;
use sqlx::AssertSqlSafe;
use testkit::{Kernel, KernelOptions, data_folder};

const SANDBOXES: usize = 50;
const SABOTAGED: &str = "s17";

/// Today's series and one file more: a table, and a column that is filled from what is there.
fn next_version() -> Migrations {
    let next = Migration {
        number: 9000,
        name: "9000_kernel_marks.sql".to_owned(),
        sql: "create table kernel.marks (id integer primary key, note text not null);
              insert into kernel.marks values (1, 'made by 9000');
              alter table iam.tenant add column shout text;
              update iam.tenant set shout = upper(name);"
            .to_owned(),
    };
    Migrations::from_files(Migrations::sandbox().iter().cloned().chain([next]).collect())
}

fn options(data: &Path) -> KernelOptions {
    KernelOptions::default().with("KERNEL_TEMPLATE", "empty").on(data)
}

fn upgraded(data: &Path) -> KernelOptions {
    KernelOptions { migrations: Some(next_version()), ..options(data) }
}

async fn run(kernel: &Kernel, sandbox: &str, statement: &str) {
    let mut owner = kernel.owner_sql(sandbox).await;
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut owner).await.unwrap();
}

async fn note(kernel: &Kernel, sandbox: &str) -> String {
    let mut owner = kernel.owner_sql(sandbox).await;
    sqlx::query_scalar("select note from kernel.marks").fetch_one(&mut owner).await.unwrap()
}

/// A stranger is told to sign in: the sandbox is open.
async fn opens(kernel: &Kernel, sandbox: &str) {
    let asked = kernel.api().sandbox(sandbox).get("/api/v1/auth/me").await;
    if asked.status != 401 {
        panic!("{}: {}\n{}", asked.asked, asked.text, kernel.operator().get("/health").await.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_sandboxes_of_an_older_version_open_migrated_and_a_failing_one_takes_only_itself_out() {
    let folder = data_folder();
    let data = folder.path().join("data");
    let names: Vec<String> = (0..SANDBOXES).map(|n| format!("s{n:02}")).collect();

    let old = Kernel::start(options(&data)).await;
    let begun = Instant::now();
    for name in &names {
        let body = json!({ "name": name, "template": "empty" });
        old.operator().post("/api/v1/sandboxes", body).await.expect(201);
    }
    println!("{SANDBOXES} sandboxes made in {:?}", begun.elapsed());
    let (_, registered) = old.api().sandbox("s03").register("Acme Tools").await;
    run(&old, SABOTAGED, "create table kernel.marks ()").await;
    old.close().await;

    let new = Kernel::start(upgraded(&data)).await;
    let begun = Instant::now();
    for name in names.iter().filter(|name| *name != SABOTAGED) {
        opens(&new, name).await;
        assert_eq!(note(&new, name).await, "made by 9000", "{name}");
    }
    println!("{} sandboxes migrated and opened in {:?}", SANDBOXES - 1, begun.elapsed());

    let stranger = new.api().sandbox(SABOTAGED);
    let refused = stranger.get("/api/v1/auth/me").await.expect_problem(503, "dependency-unavailable");
    assert!(refused.body["detail"].as_str().unwrap().contains(SABOTAGED), "{}", refused.text);
    assert!(!refused.text.contains("9000"), "why it fails is for the operator: {}", refused.text);

    let health = new.operator().get("/health").await.expect(200);
    let sandboxes = health.body["sandboxes"].as_object().unwrap();
    assert_eq!(sandboxes[SABOTAGED]["state"], "failed", "{}", sandboxes[SABOTAGED]);
    let reason = sandboxes[SABOTAGED]["reason"].as_str().unwrap();
    assert!(reason.contains("9000_kernel_marks.sql") && reason.contains("already exists"), "{reason}");
    let failed = sandboxes.values().filter(|sandbox| sandbox["state"] == "failed").count();
    assert_eq!(failed, 1, "no other sandbox is affected");

    // What was there before is there, and has the new column.
    let email = registered["user"]["email"].as_str().unwrap();
    let owner = new.api().sandbox("s03").sign_in(email, "correct horse battery").await;
    let me = owner.get("/api/v1/auth/me").await.expect(200);
    assert_eq!(me.body["tenant"]["id"], registered["tenant"]["id"]);
    let mut s03 = new.owner_sql("s03").await;
    let shout: Vec<String> =
        sqlx::query_scalar("select shout from iam.tenant").fetch_all(&mut s03).await.unwrap();
    assert!(shout.iter().any(|shout| shout == "ACME TOOLS"), "{shout:?}");

    // Nothing of the failed file remains; once the obstacle is gone, it opens without a restart.
    run(&new, SABOTAGED, "drop table kernel.marks").await;
    opens(&new, SABOTAGED).await;
    assert_eq!(note(&new, SABOTAGED).await, "made by 9000");
    let health = new.operator().get("/health").await.expect(200);
    assert_eq!(health.body["sandboxes"][SABOTAGED]["state"], "awake");
    new.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_sandbox_is_no_failure_any_more() {
    let folder = data_folder();
    let data = folder.path().join("data");
    let old = Kernel::start(options(&data)).await;
    for name in ["broken", "renewed"] {
        let body = json!({ "name": name, "template": "empty" });
        old.operator().post("/api/v1/sandboxes", body).await.expect(201);
        run(&old, name, "create table kernel.marks ()").await;
    }
    old.close().await;

    let new = Kernel::start(upgraded(&data)).await;
    for name in ["broken", "renewed"] {
        let stranger = new.api().sandbox(name);
        stranger.get("/api/v1/auth/me").await.expect_problem(503, "dependency-unavailable");
    }
    new.operator().delete("/api/v1/sandboxes/broken").await.expect(204);
    new.operator().post("/api/v1/sandboxes/renewed/reset", json!({})).await.expect(200);
    opens(&new, "renewed").await;
    assert_eq!(note(&new, "renewed").await, "made by 9000");
    let health = new.operator().get("/health").await.expect(200);
    assert!(!health.text.contains("failed"), "{}", health.text);
    new.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_program_refuses_a_newer_sandbox_and_names_both_versions() {
    let folder = data_folder();
    let data = folder.path().join("data");
    let (today, next) = (Migrations::sandbox().newest(), next_version().newest());

    let old = Kernel::start(options(&data)).await;
    for name in ["ahead", "level"] {
        let body = json!({ "name": name, "template": "empty" });
        old.operator().post("/api/v1/sandboxes", body).await.expect(201);
    }
    // As the newer program would leave it.
    let login = old.estate.login(&"ahead".parse().unwrap(), Login::Owner).await.unwrap();
    assert_eq!(next_version().apply(&login).await.unwrap(), 1);
    sqlx::query("update control.sandbox set schema_fingerprint = $1 where name = 'ahead'")
        .bind(next_version().fingerprint())
        .execute(&mut old.admin_sql("pk_control").await)
        .await
        .unwrap();

    let refused = Migrations::sandbox().apply(&login).await.unwrap_err();
    assert!(
        matches!(refused, MigrationError::Newer { found, known } if (found, known) == (next, today)),
        "{refused}"
    );
    let stranger = old.api().sandbox("ahead");
    stranger.get("/api/v1/auth/me").await.expect_problem(503, "dependency-unavailable");
    let health = old.operator().get("/health").await.expect(200);
    let reason = health.body["sandboxes"]["ahead"]["reason"].as_str().unwrap();
    assert!(reason.contains(&next.to_string()) && reason.contains(&today.to_string()), "{reason}");
    opens(&old, "level").await;
    opens(&old, "default").await;
    old.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_program_does_not_start_on_a_newer_folder_and_leaves_it_usable() {
    let folder = data_folder();
    let data = folder.path().join("data");
    let new = Kernel::start(upgraded(&data)).await;
    new.operator()
        .post("/api/v1/sandboxes", json!({ "name": "kept", "template": "empty" }))
        .await
        .expect(201);
    new.close().await;

    let Err(refused) = Kernel::try_start(options(&data)).await else {
        panic!("an older program started on newer data")
    };
    let told = refused.to_string();
    let versions = [next_version().newest(), Migrations::sandbox().newest()];
    assert!(versions.iter().all(|version| told.contains(&version.to_string())), "{told}");

    let new = Kernel::start(upgraded(&data)).await;
    opens(&new, "default").await;
    opens(&new, "kept").await;
    assert_eq!(note(&new, "kept").await, "made by 9000");
    new.close().await;
}

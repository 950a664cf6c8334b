//! An external Postgres, reached as an administrator who is no superuser. The server is a real one of its own; only the
//! kernel under test does not know where it comes from.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test: what fails here fails the test"
)]

use serde_json::json;
use testkit::{DEMO_OWNER, DEMO_PASSWORD, Launch, Postgres, data_folder};

fn refused(url: &str) -> String {
    refused_with(&[("DATABASE_URL", url)])
}

fn refused_with(settings: &[(&str, &str)]) -> String {
    let folder = data_folder();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_platform-kernel"))
        .env("KERNEL_DATA_DIR", folder.path().join("data"))
        .envs(settings.iter().copied())
        .envs(["GATEWAY_PORT", "GATEWAY_TLS_PORT", "IAM_PORT", "GRPC_PORT"].map(|port| (port, "0")))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_of_ones_own_serves_as_well() {
    let server = Postgres::bare().await;
    server.run("postgres", "create role kernel_admin login createdb createrole password 'secret'").await;
    server.run("postgres", "create role nobody_much login password 'secret'").await;

    let said = refused(&server.url("nobody_much", "postgres"));
    assert!(said.contains("CREATEDB") && said.contains("KERNEL_SANDBOX_MODE"), "{said}");

    let url = server.url("kernel_admin", "postgres");
    let kernel = Launch::default().with("DATABASE_URL", &url).start(env!("CARGO_BIN_EXE_platform-kernel"));
    let (stranger, operator) = (kernel.api(), kernel.operator());
    let demo = stranger.sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    let contacts = demo.get("/api/v1/data/crm/contacts?limit=1&count=true").await.expect(200);
    assert_eq!(contacts.body["meta"]["total"], 200);
    demo.post("/api/v1/data/crm/companies", json!({ "name": "External" })).await.expect(201);
    assert_eq!(demo.get("/api/v1/audit/verify").await.expect(200).body["valid"], true);

    operator.post("/api/v1/sandboxes/default/fork", json!({ "name": "copy" })).await.expect(201);
    let copy = stranger.sandbox("copy").sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    let found = copy.get("/api/v1/data/crm/companies?name=eq.External").await.expect(200);
    assert_eq!(found.data().len(), 1);
    operator.post("/api/v1/sandboxes/copy/reset", json!({})).await.expect(200);
    operator.delete("/api/v1/sandboxes/copy").await.expect(204);
    drop(kernel);

    // Another installation, with a key of its own, does not get in and changes nothing.
    let said = refused(&url);
    assert!(said.contains("KERNEL_SECRET_KEY"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_somebody_else_is_left_alone() {
    let server = Postgres::bare().await;
    server.run("postgres", "create role kernel_admin login createdb createrole password 'secret'").await;
    server.run("postgres", "create database pk_control").await;
    let said = refused(&server.url("kernel_admin", "postgres"));
    assert!(said.contains("pk_control") && said.contains("not ours"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_given_database_is_the_one_sandbox() {
    let server = Postgres::bare().await;
    server.run("postgres", "create role keeper login createrole password 'secret'").await;
    server.run("postgres", "create role plain login password 'secret'").await;
    server.run("postgres", "create role mighty login bypassrls password 'secret'").await;
    server.run("postgres", "create database shop owner keeper").await;
    server.run("postgres", "create database others owner keeper").await;
    let shop = |user: &str| server.url(user, "shop");
    let single = |url: &str, owner: Option<&str>| {
        let launch = Launch::default().with("KERNEL_SANDBOX_MODE", "single").with("DATABASE_URL", url);
        owner.map_or(launch.clone(), |owner| launch.with("DATABASE_OWNER_URL", owner))
    };
    let refused = |url: &str, owner: Option<&str>| {
        let launch = single(url, owner);
        let settings: Vec<_> = launch.settings.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        refused_with(&settings)
    };

    // Without the login that may change tables nothing can be made; with one that is above the policies, neither.
    let said = refused(&shop("plain"), None);
    assert!(said.contains("DATABASE_OWNER_URL"), "{said}");
    let said = refused(&shop("mighty"), Some(&shop("keeper")));
    assert!(said.contains("mighty") && said.contains("row-level security"), "{said}");
    let said = refused(&shop("keeper"), Some(&shop("keeper")));
    assert!(said.contains("keeper") && said.contains("DATABASE_OWNER_URL"), "{said}");
    // A database with tables of somebody else is left alone.
    let others = |user: &str| server.url(user, "others");
    server.run("others", "create table public.orders (id int)").await;
    let said = refused(&others("plain"), Some(&others("keeper")));
    assert!(said.contains("public.orders") && said.contains("KERNEL_ADOPT_DATABASE"), "{said}");

    let folder = data_folder();
    let data = folder.path().join("data");
    let program = env!("CARGO_BIN_EXE_platform-kernel");
    let kernel = single(&shop("plain"), Some(&shop("keeper"))).on(&data).start(program);
    let demo = kernel.api().sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    demo.post("/api/v1/data/crm/companies", json!({ "name": "Single" })).await.expect(201);
    assert_eq!(demo.get("/api/v1/audit/verify").await.expect(200).body["valid"], true);
    let operator = kernel.operator();
    let listed = operator.get("/api/v1/sandboxes").await.expect(200);
    assert_eq!(listed.data().len(), 1);
    for (path, body) in [
        ("/api/v1/sandboxes", json!({ "name": "second" })),
        ("/api/v1/sandboxes/default/fork", json!({ "name": "second" })),
        ("/api/v1/sandboxes/default/reset", json!({})),
        ("/api/v1/sandboxes/default/psql-url", json!({})),
    ] {
        let answer = operator.post(path, body).await.expect_problem(409, "invalid-state");
        assert!(answer.text.contains("KERNEL_SANDBOX_MODE=single"), "{}", answer.text);
    }
    operator.delete("/api/v1/sandboxes/default").await.expect_problem(409, "invalid-state");
    drop(kernel);

    // From day to day the plain login is enough; a module with migrations then is not.
    let kernel = single(&shop("plain"), None).on(&data).start(program);
    let demo = kernel.api().sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    let found = demo.get("/api/v1/data/crm/companies?name=eq.Single").await.expect(200);
    assert_eq!(found.data().len(), 1);
    let crm = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/crm");
    let copy = folder.path().join("crm2");
    copy_module_as(&crm, &copy, "crm2");
    let registered = kernel.verb(&["module", "register", copy.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&registered.stderr);
    assert!(!registered.status.success() && told.contains("DATABASE_OWNER_URL"), "{told}");
    drop(kernel);
    let made: Vec<(String,)> =
        sqlx::query_as("select datname::text from pg_database where datname like 'pk\\_%'")
            .fetch_all(&mut server.connect("postgres").await)
            .await
            .unwrap();
    assert!(made.is_empty(), "{made:?}");
}

/// The same module under another name.
fn copy_module_as(from: &std::path::Path, to: &std::path::Path, slug: &str) {
    std::fs::create_dir_all(to.join("migrations")).unwrap();
    let manifest = std::fs::read_to_string(from.join("module.manifest.json")).unwrap();
    let manifest =
        manifest.replace("@example/crm", &format!("@example/{slug}")).replace("crm.", &format!("{slug}."));
    std::fs::write(to.join("module.manifest.json"), manifest).unwrap();
    for entry in std::fs::read_dir(from.join("migrations")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join("migrations").join(path.file_name().unwrap())).unwrap();
    }
}

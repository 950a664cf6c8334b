//! An external Postgres, reached as an administrator who is no superuser. The server is a real one of its own; only the
//! kernel under test does not know where it comes from.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test: what fails here fails the test"
)]

use fabric::postgres::embedded::{Durability, EmbeddedOptions, EmbeddedPostgres};
use serde_json::json;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use testkit::{DEMO_OWNER, DEMO_PASSWORD, Launch, data_folder};

struct Server {
    postgres: EmbeddedPostgres,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        let folder = data_folder();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let postgres = EmbeddedPostgres::start(EmbeddedOptions {
            data_dir: folder.path().join("server"),
            durability: Durability::Hybrid,
            tcp_port: Some(port),
            max_connections: 100,
        })
        .await
        .unwrap();
        let server = Self { postgres, port, _folder: folder };
        server.forget_the_kernel().await;
        server
    }

    /// A packed data folder brings templates and roles; a server of somebody's own has none.
    async fn forget_the_kernel(&self) {
        let mut connection = self.connect().await;
        let clear: Vec<(String,)> = sqlx::query_as(
            "select format('drop database %I', datname) from pg_database where datname like 'pk\\_%'
             union all select format('drop role %I', rolname) from pg_roles where rolname like 'pk\\_%'
             order by 1",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap();
        for (statement,) in clear {
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        }
    }

    async fn connect(&self) -> PgConnection {
        let at = self.postgres.connection();
        let options = PgConnectOptions::new_without_pgpass()
            .socket(&at.socket_dir)
            .port(at.port)
            .username(&at.user)
            .password(&at.password)
            .database("postgres");
        PgConnection::connect_with(&options).await.unwrap()
    }

    async fn sql(&self, text: &'static str) {
        let mut connection = self.connect().await;
        sqlx::raw_sql(text).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    fn url(&self, user: &str) -> String {
        format!("postgres://{user}:secret@127.0.0.1:{}/postgres", self.port)
    }
}

fn refused(url: &str) -> String {
    let folder = data_folder();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_platform-kernel"))
        .env("KERNEL_DATA_DIR", folder.path().join("data"))
        .env("DATABASE_URL", url)
        .envs(["GATEWAY_PORT", "GATEWAY_TLS_PORT", "IAM_PORT", "GRPC_PORT"].map(|port| (port, "0")))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_of_ones_own_serves_as_well() {
    let server = Server::start().await;
    server.sql("create role kernel_admin login createdb createrole password 'secret'").await;
    server.sql("create role nobody_much login password 'secret'").await;

    let said = refused(&server.url("nobody_much"));
    assert!(said.contains("CREATEDB") && said.contains("KERNEL_SANDBOX_MODE"), "{said}");

    let url = server.url("kernel_admin");
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
    let server = Server::start().await;
    server.sql("create role kernel_admin login createdb createrole password 'secret'").await;
    server.sql("create database pk_control").await;
    let said = refused(&server.url("kernel_admin"));
    assert!(said.contains("pk_control") && said.contains("not ours"), "{said}");
}

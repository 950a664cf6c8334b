use fabric::postgres::{
    PgConnectOptions,
    embedded::{Durability, EmbeddedOptions, EmbeddedPostgres},
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::data_folder;

/// A Postgres server of its own in a folder that goes with the test: a kernel under test does not know where it comes
/// from.
pub struct Postgres {
    server: EmbeddedPostgres,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Postgres {
    /// A server as somebody else's would be, on a TCP port: nothing of the kernel's is in it.
    pub async fn bare() -> Self {
        let folder = data_folder();
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("its number").port();
        drop(free);
        let server = EmbeddedPostgres::start(EmbeddedOptions {
            data_dir: folder.path().join("server"),
            durability: Durability::Hybrid,
            tcp_port: Some(port),
            max_connections: 100,
        })
        .await
        .unwrap_or_else(|error| panic!("the server does not start: {error}"));
        let postgres = Self { server, port, _folder: folder };
        postgres.forget_the_kernel().await;
        postgres
    }

    /// A packed data folder brings templates and roles.
    async fn forget_the_kernel(&self) {
        let mut connection = self.connect("postgres").await;
        let clear: Vec<(String,)> = sqlx::query_as(
            "select format('drop database %I', datname) from pg_database where datname like 'pk\\_%'
             union all select format('drop role %I', rolname) from pg_roles where rolname like 'pk\\_%'
             order by 1",
        )
        .fetch_all(&mut connection)
        .await
        .expect("databases and roles");
        for (statement,) in clear {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.expect("a drop");
        }
    }

    /// How its administrator reaches a database.
    pub fn administrator(&self, database: &str) -> PgConnectOptions {
        let at = self.server.connection();
        PgConnectOptions::new_without_pgpass()
            .socket(&at.socket_dir)
            .port(at.port)
            .username(&at.user)
            .password(&at.password)
            .database(database)
    }

    /// A connection of its administrator.
    pub async fn connect(&self, database: &str) -> PgConnection {
        PgConnection::connect_with(&self.administrator(database)).await.expect("a connection")
    }

    /// Runs a statement of the test in a database.
    pub async fn run(&self, database: &str, statement: &'static str) {
        let mut connection = self.connect(database).await;
        let done = sqlx::raw_sql(statement).execute(&mut connection).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
        connection.close().await.expect("closed");
    }

    /// The address of a database for a user whose password is `secret`.
    pub fn url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}:secret@127.0.0.1:{}/{database}", self.port)
    }
}

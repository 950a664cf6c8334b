use std::{
    fs::Permissions,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
};

use ::kernel::SandboxName;
use fabric::{
    crypto::RootKey,
    postgres::{
        Budget, Cluster, Database, DatabaseOptions, Login, Logins, Migrations, PgConnectOptions, Schemas,
        embedded::{Durability, EmbeddedOptions, EmbeddedPostgres},
    },
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::data_folder;

/// A Postgres server of its own in a folder that goes with the test: a kernel under test does not know where it comes
/// from.
pub struct Postgres {
    server: EmbeddedPostgres,
    /// On 127.0.0.1, if it listens there.
    port: Option<u16>,
    folder: tempfile::TempDir,
}

/// The database of a sandbox without a kernel around it: for the tests of a service on its own.
pub struct SandboxDatabase {
    /// What the service is given.
    pub db: Database,
    /// The schemas of modules in it.
    pub schemas: Schemas,
    /// How its owner reaches it.
    pub owner: PgConnectOptions,
    /// How its services reach it.
    pub app: PgConnectOptions,
    /// How the server's administrator reaches it.
    pub admin: PgConnectOptions,
    server: Postgres,
}

impl SandboxDatabase {
    /// A server with one sandbox's database, which has the tables of the kernel and of these services.
    pub async fn with(services: &[&str]) -> Self {
        const NAME: &str = "pk_default";
        let server = Postgres::start(None, Durability::Hybrid).await;
        let cluster = Cluster::new(server.administrator("postgres"));
        cluster.prepare(false).await.expect("the roles");
        let key = RootKey::new(&[1; 32]);
        let logins = Logins::new(&SandboxName::default_sandbox(), key.clone());
        cluster.create_database(NAME, None).await.expect("a database");
        cluster.let_in(&logins, NAME).await.expect("its logins");
        let needed = |name: &str| {
            name.contains("_kernel_") || services.iter().any(|service| name.contains(&format!("_{service}_")))
        };
        let files = Migrations::sandbox().iter().filter(|file| needed(&file.name)).cloned().collect();
        let options = |login| logins.options(&cluster, login, NAME);
        let owner = options(Login::Owner);
        Migrations::from_files(files).apply(&owner).await.expect("the tables");
        let db = database(options, key);
        let app = options(Login::App);
        let admin = server.administrator(NAME);
        Self { db, schemas: Schemas::new(cluster, logins, NAME), owner, app, admin, server }
    }

    /// How another process reaches it; for [`SandboxDatabase::reach`].
    pub fn address(&self) -> String {
        let at = self.server.server.connection();
        format!("{}\n{}\n{}\n{}", at.socket_dir.display(), at.port, at.user, at.password)
    }

    /// The database of another process, as its services reach it.
    pub fn reach(address: &str) -> Database {
        let mut lines = address.lines();
        let mut line = || lines.next().expect("an address");
        let admin = PgConnectOptions::new_without_pgpass()
            .socket(line())
            .port(line().parse().expect("a port"))
            .username(line())
            .password(line());
        let (cluster, key) = (Cluster::new(admin), RootKey::new(&[1; 32]));
        let logins = Logins::new(&SandboxName::default_sandbox(), key.clone());
        database(|login| logins.options(&cluster, login, "pk_default"), key)
    }

    /// Ends the server, and says when that fails.
    pub async fn stop(self) {
        self.db.close();
        self.server.server.stop().await.expect("a server that ends");
    }
}

fn database(options: impl Fn(Login) -> PgConnectOptions, key: RootKey) -> Database {
    Database::new(DatabaseOptions {
        app: options(Login::App),
        system: options(Login::System),
        data: options(Login::Data),
        budget: Budget::new(20),
        pool_size: 6,
        key,
    })
}

impl Postgres {
    /// A server as somebody else's would be, on a TCP port: nothing of the kernel's is in it.
    pub async fn bare() -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("its number").port();
        drop(free);
        let postgres = Self::start(Some(port), Durability::Persistent).await;
        postgres.forget_the_kernel().await;
        postgres
    }

    async fn start(port: Option<u16>, durability: Durability) -> Self {
        let folder = data_folder();
        let server = EmbeddedPostgres::start(EmbeddedOptions {
            data_dir: folder.path().join("server"),
            durability,
            tcp_port: port,
            max_connections: 100,
        })
        .await
        .unwrap_or_else(|error| panic!("the server does not start: {error}"));
        Self { server, port, folder }
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

    /// Ends the server as `kill` with this signal does (`INT` is a fast shutdown, `KILL` a crash); it comes back by itself.
    /// Answers when it was gone.
    pub async fn kill(&self, signal: &str) {
        let pid = self.server.pid().expect("a server that runs");
        let told =
            std::process::Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status();
        assert!(told.expect("kill runs").success());
        while self.server.pid() == Some(pid) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    /// From now on connections may be encrypted, with this certificate and key (PEM).
    pub async fn encrypt(&self, certificate: &str, key: &str) {
        let data = self.folder.path().join("server/pgdata");
        let owner = std::fs::metadata(&data).expect("the server's data").uid();
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let file = data.join(name);
            std::fs::write(&file, text).expect("a file");
            std::fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("its mode");
            std::os::unix::fs::chown(&file, Some(owner), None).expect("its owner");
        }
        self.run("postgres", "alter system set ssl = on").await;
        self.run("postgres", "select pg_reload_conf()").await;
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.expect("a server on a port")
    }

    /// The address of a database for a user whose password is `secret`.
    pub fn url(&self, user: &str, database: &str) -> String {
        let port = self.port();
        format!("postgres://{user}:secret@127.0.0.1:{port}/{database}")
    }
}

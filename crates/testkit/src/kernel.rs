use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use fabric::postgres::{Login, Migrations, PgConnectOptions};
use gateway::{
    Front, FrontSettings,
    door::{self, Connections, Mode, Shutdown, Wanted},
};
use kernel::{
    SandboxName,
    config::{Config, Sources},
};
use ports::http::ServiceRoutes;
use sandbox::{Cell, Estate, EstateCells, EstateOptions, OpenError};
use sqlx::{ConnectOptions as _, PgConnection};

use crate::{Api, data_folder};

/// A kernel inside of the test's process: its estate can be looked into, its databases reached as any of their roles.
pub struct Kernel {
    /// All sandboxes.
    pub estate: Arc<Estate>,
    url: String,
    door: Shutdown,
    front: Arc<Front>,
    _folder: Option<tempfile::TempDir>,
}

/// How a kernel is started.
#[derive(Clone, Default)]
pub struct KernelOptions {
    /// Settings, by their names in the environment. Ports and data folder are chosen here unless they are named.
    pub settings: Vec<(String, String)>,
    /// Another series of migrations than the program's own, for what comes with a new version.
    pub migrations: Option<Migrations>,
    /// Operations beside those of the services, for services that misbehave.
    pub extra_routes: Vec<fn() -> ServiceRoutes>,
    /// An existing data folder.
    pub data: Option<PathBuf>,
}

impl KernelOptions {
    /// With one more setting.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// On a data folder that the test keeps.
    pub fn on(mut self, data: &Path) -> Self {
        self.data = Some(data.to_owned());
        self
    }
}

/// How long running requests get when a kernel is closed.
const PATIENCE: Duration = Duration::from_secs(2);

impl Kernel {
    /// Its default sandbox is the demo.
    pub async fn demo() -> Self {
        Self::start(KernelOptions::default()).await
    }

    /// Its default sandbox holds nothing.
    pub async fn empty() -> Self {
        Self::start(KernelOptions::default().with("KERNEL_TEMPLATE", "empty")).await
    }

    /// Opens a kernel and serves it on a free loopback port, with a data folder of its own unless one is named.
    pub async fn start(options: KernelOptions) -> Self {
        Self::try_start(options).await.unwrap_or_else(|error| panic!("the estate can't be opened: {error}"))
    }

    /// The same, for a start that may be refused.
    ///
    /// # Errors
    /// Why the estate can't be opened.
    pub async fn try_start(options: KernelOptions) -> Result<Self, OpenError> {
        let (folder, data) = match options.data {
            Some(data) => (None, data),
            None => {
                let folder = data_folder();
                let data = folder.path().join("data");
                (Some(folder), data)
            }
        };
        let config = resolved(&data, options.settings);
        let wanted = Wanted { name: "http", port: config.listen.http_port, env: "GATEWAY_PORT" };
        let mut bound = door::bind(None, &[wanted]).unwrap_or_else(|error| panic!("{error}"));
        let port = bound.port("http").expect("the port was bound");
        let url = format!("http://127.0.0.1:{port}");
        let public_url = config
            .public_url
            .as_ref()
            .map_or_else(|| format!("http://localhost:{port}"), |configured| configured.as_str().to_owned());
        let estate = Estate::open(EstateOptions {
            config,
            public_url: public_url.clone(),
            version: env!("CARGO_PKG_VERSION"),
            backends: Default::default(),
            migrations: options.migrations.unwrap_or_else(Migrations::sandbox),
            extra_routes: options.extra_routes,
        })
        .await?;
        let operator = Arc::clone(estate.operator());
        let front =
            Front::new(Arc::new(EstateCells(Arc::clone(&estate))), operator, FrontSettings { public_url });
        let door = Shutdown::new();
        let listening = bound.take("http").expect("the port was bound");
        door::serve(listening, Mode::Plain, front.service(), &Connections::default(), &door);
        Ok(Self { estate, url, door, front, _folder: folder })
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A stranger in the default sandbox.
    pub fn api(&self) -> Api {
        Api::new(self.url.clone(), "localhost")
    }

    /// The operator.
    pub fn operator(&self) -> Api {
        let path = self.estate.operator().key_path();
        let key = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.api().with(key.trim())
    }

    /// The running form of a sandbox, woken if it sleeps.
    pub async fn cell(&self, sandbox: &str) -> Arc<Cell> {
        self.estate.cell(&name(sandbox)).await.unwrap_or_else(|error| panic!("{sandbox}: {}", error.detail()))
    }

    /// A connection to a sandbox's database as the one who owns its tables and sees every tenant's rows.
    pub async fn owner_sql(&self, sandbox: &str) -> PgConnection {
        self.sql(sandbox, Login::Owner).await
    }

    /// A connection to a sandbox's database as one of its logins, bound to no tenant.
    pub async fn sql(&self, sandbox: &str, login: Login) -> PgConnection {
        let options = self.estate.login(&name(sandbox), login).await;
        connect(&options.unwrap_or_else(|error| panic!("{sandbox}: {}", error.detail()))).await
    }

    /// A connection to any database as the server's administrator, whom no policy binds.
    pub async fn admin_sql(&self, database: &str) -> PgConnection {
        connect(&self.estate.administrator(database)).await
    }

    /// Stops everything that was started: the listener, every sandbox, the server.
    pub async fn close(self) {
        self.front.begin_shutdown();
        self.door.finished(PATIENCE).await;
        self.estate.close().await.unwrap_or_else(|error| panic!("the estate does not close: {error}"));
    }
}

fn name(sandbox: &str) -> SandboxName {
    sandbox.parse().unwrap_or_else(|error| panic!("{sandbox}: {error}"))
}

async fn connect(options: &PgConnectOptions) -> PgConnection {
    let opened = options.clone().disable_statement_logging().connect().await;
    opened.unwrap_or_else(|error| panic!("no connection: {error}"))
}

/// A configuration from nothing but these settings: the test's own environment has no say.
fn resolved(data_dir: &Path, settings: Vec<(String, String)>) -> Config {
    let mut env: Vec<(String, String)> = ["GATEWAY_PORT", "GATEWAY_TLS_PORT", "IAM_PORT", "GRPC_PORT"]
        .into_iter()
        .map(|port| (port.to_owned(), "0".to_owned()))
        .collect();
    env.push(("KERNEL_DATA_DIR".to_owned(), data_dir.display().to_string()));
    env.retain(|(name, _)| !settings.iter().any(|(other, _)| other == name));
    env.extend(settings);
    let sources = Sources {
        env,
        flags: Vec::new(),
        file: None,
        read_secret_file: &|_| Err(io::ErrorKind::NotFound.into()),
        home: None,
        in_container: false,
        is_root: false,
        on_terminal: false,
    };
    match Config::resolve(sources) {
        Ok(resolved) => resolved.config,
        Err(mistakes) => panic!("the settings of the test are not right: {mistakes:?}"),
    }
}

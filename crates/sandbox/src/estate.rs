//! The estate: which sandboxes there are, which of them are awake.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock},
    time::{Duration, Instant},
};

use fabric::{
    crypto::RootKey,
    dialler::{Dialler, DiallerOptions},
    dns::Dns,
    postgres::{Cluster, Database, Login, Logins, Migrations, PgConnectOptions},
};
use files::{FilePool, FilePoolOptions};
use flags::FlagFile;
use gateway::{HostRules, Metrics};
use iam::{HashPool, HashPoolOptions};
use integration_hub::Echo;
use kernel::{
    Result, SandboxName, Slug,
    config::{Config, DatabaseServer, Template},
};
use ports::http::ServiceRoutes;
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    cell::Cell,
    control::{Control, SandboxRow},
    error::OpenError,
    fellows::Fellows,
    hostnames::Directory,
    installation::Installation,
    opening::{CONTROL, check_key, open_control},
    operator::Operator,
    parts::Parts,
    people::check_owner,
    templates::{Spares, Templates},
    waking::own_hosts,
};

/// All sandboxes of the process.
pub struct Estate {
    pub(crate) options: EstateOptions,
    pub(crate) installation: Installation,
    pub(crate) parts: Parts,
    pub(crate) control: Control,
    control_db: Database,
    pub(crate) templates: Templates,
    pub(crate) spares: Spares,
    /// Verbs under way: each holds a connection to the control database while it waits for others.
    pub(crate) verbs: tokio::sync::Semaphore,
    /// Other processes on the same server; none where there can be no other.
    pub(crate) fellows: Option<Fellows>,
    pub(crate) operator: Arc<Operator>,
    pub(crate) dialler: Dialler,
    pub(crate) echo: Option<Echo>,
    pub(crate) dns: Dns,
    pub(crate) flag_file: Arc<FlagFile>,
    pub(crate) hash_pool: HashPool,
    pub(crate) file_pool: FilePool,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) hosts: HostRules,
    /// What tenants added to them.
    pub(crate) hostnames: Arc<Directory>,
    slots: Mutex<HashMap<SandboxName, Arc<Slot>>>,
    timings: OnceLock<Timings>,
    stop: CancellationToken,
    keeper: Mutex<Option<JoinHandle<()>>>,
    /// What reads Kafka.
    pub(crate) reading: TaskTracker,
    /// What each closed sandbox failed with, for `/health`.
    pub(crate) failures: Mutex<BTreeMap<String, String>>,
    pub(crate) closing: std::sync::atomic::AtomicBool,
    /// The default sandbox was made by this process.
    pub(crate) first: std::sync::atomic::AtomicBool,
}

/// How the estate is set up.
#[derive(Clone)]
pub struct EstateOptions {
    /// The whole configuration.
    pub config: Config,
    /// The address people use, as really bound.
    pub public_url: String,
    /// Of the program.
    pub version: &'static str,
    /// Addresses of back-ends that the process runs itself, by module name.
    pub backends: BTreeMap<String, String>,
    /// The schema of sandboxes: the program's own, unless a test of upgrades says otherwise.
    pub migrations: Migrations,
    /// Operations of whoever embeds the estate, beside those of the services: each sandbox's gateway serves them over a
    /// link of their own. Made anew for each sandbox that opens.
    pub extra_routes: Vec<fn() -> ServiceRoutes>,
}

/// How long each step of opening took.
pub type Timings = Vec<(&'static str, Duration)>;

/// A sandbox's place in the process: its cell while it is awake, and a lock for whoever opens, closes or changes it.
#[derive(Default)]
pub(crate) struct Slot {
    cell: RwLock<Option<Arc<Cell>>>,
    pub(crate) change: Arc<tokio::sync::Mutex<()>>,
}

impl Slot {
    pub(crate) fn cell(&self) -> Option<Arc<Cell>> {
        self.cell.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, cell: Option<Arc<Cell>>) -> Option<Arc<Cell>> {
        std::mem::replace(&mut *self.cell.write().unwrap_or_else(PoisonError::into_inner), cell)
    }
}

impl Estate {
    /// Opens everything: the server, the control database, the templates, the default sandbox.
    ///
    /// # Errors
    /// With a sentence that helps.
    pub async fn open(options: EstateOptions) -> Result<Arc<Self>, OpenError> {
        let mut timings = Timings::new();
        let mut clock = Instant::now();
        let mut step = |name: &'static str, timings: &mut Timings| {
            timings.push((name, clock.elapsed()));
            clock = Instant::now();
        };
        let config = &options.config;
        check_owner(config)?;
        let installation = Installation::open(&config.data_dir, config.secret_key.as_ref())?;
        let mut parts = Parts::open(config, installation.key()).await?;
        step("postgres", &mut timings);
        parts.cluster.prepare(adopts(config)).await?;
        let migrations = match parts.cluster.is_single() {
            true => options.migrations.clone().with_control(),
            false => options.migrations.clone(),
        };
        let control_db = open_control(&parts, &migrations, installation.key()).await?;
        let control = Control::new(control_db.clone());
        check_key(&control, installation.key()).await?;
        let stop = CancellationToken::new();
        parts.listen_by(&control_db, &stop);
        step("control database", &mut timings);
        let templates = Templates::new(migrations);
        let operator = Arc::new(Operator::open(&installation, control.clone()).await?);
        let echo = Echo::start()
            .await
            .inspect_err(|error| tracing::warn!(%error, "the echo for integrations could not be started"))
            .ok();
        let backends = options.backends.values().filter_map(|url| url.strip_prefix("http://")?.parse().ok());
        let dialler = Dialler::new(DiallerOptions {
            allowed: config.outbound.allowed_targets.clone(),
            own: backends.chain(echo.as_ref().map(Echo::address)).collect(),
            ..DiallerOptions::default()
        })
        .map_err(|error| OpenError::NotYet(error.to_string()))?;
        let hosts = HostRules::new(own_hosts(&options));
        let hostnames = Arc::new(Directory::default());
        hostnames.refresh(&control).await?;
        let dns = Dns::new(&config.outbound.name_servers);
        let estate = Arc::new(Self {
            spares: Spares::default(),
            verbs: tokio::sync::Semaphore::new(4),
            fellows: Fellows::new(&parts, &installation),
            installation,
            parts,
            control,
            control_db,
            templates,
            operator,
            dialler,
            echo,
            dns,
            flag_file: options.config.flags.file.as_deref().map_or_else(FlagFile::built_in, FlagFile::open),
            hash_pool: HashPool::new(HashPoolOptions::default()),
            file_pool: FilePool::new(FilePoolOptions::default()),
            metrics: Arc::new(Metrics::new()),
            hosts,
            hostnames,
            slots: Mutex::default(),
            timings: OnceLock::new(),
            stop,
            keeper: Mutex::default(),
            reading: TaskTracker::new(),
            failures: Mutex::default(),
            closing: std::sync::atomic::AtomicBool::new(false),
            first: std::sync::atomic::AtomicBool::new(false),
            options,
        });
        estate.parts.blobs.clear_staging().await?;
        let kind = estate.default_template();
        let mut stale = Vec::new();
        let first = if estate.parts.cluster.is_single() {
            estate.ensure_single(&kind).await?
        } else {
            let alone = match &estate.fellows {
                Some(fellows) => fellows.enter().await?,
                None => true,
            };
            if alone {
                estate.clear_halves().await?;
                stale = estate.adopt_spares().await?;
            }
            estate.ensure_template(&kind).await?;
            if alone {
                estate.finish_resets().await?;
            }
            step("templates", &mut timings);
            let first = estate.ensure_default(&kind).await?;
            if let Some(fellows) = estate.fellows.as_ref().filter(|_| alone) {
                fellows.settle().await?;
            }
            first
        };
        if let Some(fellows) = &estate.fellows {
            tokio::spawn(Arc::clone(&estate).hear_fellows(fellows.ears().await?, estate.stop.clone()));
        }
        estate.first.store(first, std::sync::atomic::Ordering::Relaxed);
        step("default sandbox", &mut timings);
        estate.cell(&SandboxName::default_sandbox()).await?;
        step("services", &mut timings);
        // Not before: a program that is older than the data has been refused by now.
        estate.drop_stale(stale);
        estate.clear_blobs_later();
        let keeper = tokio::spawn(crate::keeper::keep(Arc::clone(&estate), estate.stop.clone()));
        if let Some(kafka) = &estate.parts.kafka {
            estate.read_kafka(kafka, estate.stop.clone());
        }
        *estate.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper);
        estate.remember(timings);
        Ok(estate)
    }

    fn remember(&self, timings: Timings) {
        for (name, took) in &timings {
            tracing::debug!(step = name, took_ms = took.as_millis() as u64, "opened");
        }
        let _ = self.timings.set(timings);
    }

    /// How long each step of opening took.
    pub fn timings(&self) -> &[(&'static str, Duration)] {
        self.timings.get().map_or(&[], Vec::as_slice)
    }

    /// What the default sandbox is made from.
    pub(crate) fn default_template(&self) -> String {
        match &self.options.config.template {
            Template::Demo => "demo".to_owned(),
            Template::Empty => "empty".to_owned(),
            Template::File(path) => path.display().to_string(),
        }
    }

    async fn ensure_default(self: &Arc<Self>, template: &str) -> Result<bool, OpenError> {
        let name = SandboxName::default_sandbox();
        match self.control.find(&name).await {
            Ok(_) => Ok(false),
            Err(error) if error.slug() == Slug::NotFound => {
                let cx = Control::cx();
                self.create(&cx, &name, template, None).await?;
                Ok(true)
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn sandbox_key(&self, row: &SandboxRow) -> RootKey {
        self.installation.key().branch(&row.id.to_string())
    }

    pub(crate) fn open_slot(&self, name: &SandboxName) -> Option<Arc<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn slot(&self, name: &SandboxName) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(name.clone()).or_default())
    }

    pub(crate) fn forget_slot(&self, name: &SandboxName) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The cells that are awake.
    pub fn open_cells(&self) -> Vec<Arc<Cell>> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.values().filter_map(|slot| slot.cell()).collect()
    }

    pub(crate) fn idle_limit(&self) -> Duration {
        self.options.config.sandboxes.idle
    }

    /// How many sandboxes may lie idle awake.
    pub(crate) fn most_idle(&self) -> usize {
        self.options.config.database.max_connections as usize / 2
    }

    /// The registry.
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// The server's administration.
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.parts.cluster
    }

    /// An address for psql, whose login can only read.
    ///
    /// # Errors
    /// `not-found`; `invalid-state` in single mode.
    pub async fn psql_url(&self, name: &SandboxName) -> Result<String> {
        self.with_databases("has no login of its own for reading: use one of yours")?;
        let row = self.control.find(name).await?;
        let logins = Logins::new(name, self.sandbox_key(&row));
        Ok(logins.address(self.cluster(), Login::Reader, &name.database()))
    }

    /// How to reach a sandbox's database as one of its logins.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn login(&self, name: &SandboxName, login: Login) -> Result<PgConnectOptions> {
        let row = self.control.find(name).await?;
        Ok(Logins::new(name, self.sandbox_key(&row)).options(&self.parts.cluster, login, &name.database()))
    }

    /// How to reach a database as the server's administrator.
    pub fn administrator(&self, database: &str) -> PgConnectOptions {
        self.parts.cluster.admin_options(database)
    }

    /// No cell is opened any more, and nobody looks around.
    async fn stop_keeping(&self) {
        self.closing.store(true, std::sync::atomic::Ordering::Relaxed);
        self.stop.cancel();
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeper) = keeper {
            let _ = keeper.await;
        }
        if self.parts.kafka.is_some() {
            // It leaves the group, so that its partitions go to others at once. Within a bounded time by itself.
            self.reading.wait().await;
        }
    }

    /// Before the data folder is packed: the control database and every login go, which carry this installation's key.
    pub(crate) async fn clear_for_packing(&self) -> Result<(), OpenError> {
        self.stop_keeping().await;
        self.control_db.close();
        self.cluster().drop_database(CONTROL).await?;
        self.cluster().drop_logins(&Logins::control(self.installation.key().branch("control"))).await?;
        Ok(())
    }

    /// Who runs the process.
    pub fn operator(&self) -> &Arc<Operator> {
        &self.operator
    }

    /// Closes every cell, then the server.
    ///
    /// # Errors
    /// When the server does not end in time.
    pub async fn close(&self) -> Result<(), OpenError> {
        self.stop_keeping().await;
        let cells = self.open_cells();
        futures::future::join_all(cells.iter().map(|cell| cell.close())).await;
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.control_db.close();
        self.parts.close().await
    }
}

/// Whether a database that holds tables of others may be used beside them.
fn adopts(config: &Config) -> bool {
    matches!(config.database.server, DatabaseServer::External { adopt: true, .. })
}

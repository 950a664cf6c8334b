//! Postgres 17, carried in the binary: unpacked, started, watched and stopped by the kernel.
//!
//! ```text
//! <data folder>/postgres/<version>/   the server, unpacked once per version
//! <data folder>/pgdata/               its data (pgdata-memory in memory mode, made anew at each start)
//! <data folder>/postgres.password     the superuser's password of this installation, mode 600
//! <data folder>/postgres.lock         held while a kernel has the folder
//! <data folder>/run/                  the socket, in a folder closed to others (elsewhere when the path is long)
//! ```
//! Postgres is a child in a session of its own. It refuses root, so under root it runs as the owner of the data
//! (uid 65534 at first). When the kernel dies it stops by itself with every commit kept: its parent-death signal is
//! SIGINT. When it dies, it is started again.

mod archive;
mod cluster;
mod error;
mod pack;
mod password;
mod place;
mod postmaster;
mod server_log;
mod settings;
mod settle;
mod spawn;
mod supervise;
mod unpack;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::sync::watch;

pub use self::archive::Payload;
pub use self::error::EmbeddedError;
pub use self::pack::pack_data;

use self::cluster::Server;
use self::place::{Account, Hold};
use self::settings::Settings;
use self::supervise::{Launch, Supervisor};

/// The socket's number when no TCP port is asked for.
const SOCKET_PORT: u16 = 5432;
const STOP_PATIENCE: Duration = Duration::from_secs(10);
const CLEARING_PATIENCE: Duration = Duration::from_millis(500);
const FORMER_PATIENCE: Duration = Duration::from_secs(10);

/// What survives what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Nothing survives the process: data are made anew at each start, in a folder of their own.
    Memory,
    /// The death of the kernel loses nothing; a power cut, or killing Postgres itself, may lose the last 200 ms.
    #[default]
    Hybrid,
    /// Each acknowledged write is on disk.
    Persistent,
}

/// What [`EmbeddedPostgres::start`] is to do.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// The kernel's data folder; made if it is not there.
    pub data_dir: PathBuf,
    /// What survives what.
    pub durability: Durability,
    /// Listens on this port of 127.0.0.1 beside the socket. Without it there is no TCP.
    pub tcp_port: Option<u16>,
    /// The most connections at once, all pools and the operator's own together (100 is a good number).
    pub max_connections: u32,
}

/// Where and as whom to connect.
#[derive(Clone, PartialEq, Eq)]
pub struct Connection {
    /// The folder of the socket.
    pub socket_dir: PathBuf,
    /// The number in the socket's name, and the TCP port when one was asked for.
    pub port: u16,
    /// The superuser.
    pub user: String,
    /// Its password, random per installation.
    pub password: String,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("socket_dir", &self.socket_dir)
            .field("port", &self.port)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// How Postgres does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is being started, or recovers from a crash.
    Starting,
    /// It takes connections.
    Ready {
        /// Since when.
        since: Instant,
    },
    /// It ended unexpectedly and will be started again.
    Down {
        /// What is known about the cause.
        reason: String,
    },
    /// It was told to stop and is gone.
    Stopped,
}

/// Where the data of this start came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstStart {
    /// A pristine cluster: no database of the kernel in it yet.
    Fresh,
    /// The packed data folder of the executable, with the kernel's templates.
    Unpacked,
    /// They were there.
    Existing,
}

/// A running Postgres. Dropping it tells Postgres to stop and does not wait; [`stop`](Self::stop) does.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    connection: Connection,
    first_start: FirstStart,
    timings: Vec<(&'static str, Duration)>,
    supervisor: Supervisor,
    durability: Durability,
    pgdata: PathBuf,
    _hold: Hold,
}

impl EmbeddedPostgres {
    /// Unpacks what is missing, starts Postgres and waits until it takes connections.
    ///
    /// # Errors
    /// Each with its remedy: see [`EmbeddedError`]. Nothing keeps running after an error.
    pub async fn start(options: EmbeddedOptions) -> Result<Self, EmbeddedError> {
        let Prepared { launch, hold, password, first_start, mut timings, connection, unsettled, data_dir } =
            blocking({
                let options = options.clone();
                move || prepare(&options)
            })
            .await?;
        let mut clock = Clock::start();
        let (pgdata, account, server) = (launch.pgdata.clone(), launch.account, launch.server.clone());

        // The disk is given its work while Postgres starts.
        let settling = tokio::task::spawn_blocking({
            let (data_dir, folders) = (data_dir.clone(), unsettled);
            move || settle::finish(&data_dir, &folders)
        });
        let supervisor = Supervisor::start(launch).await?;
        clock.lap("postgres", &mut timings);
        if password.unset {
            let socket = connection.socket_dir.join(format!(".s.PGSQL.{}", connection.port));
            let folder = pgdata.clone();
            blocking(move || password::set(&socket, &password.text, &folder, &account)).await?;
            supervisor.reload();
            clock.lap("password", &mut timings);
        }
        if options.durability == Durability::Persistent {
            settling.await.map_err(|error| EmbeddedError::Thread(error.into()))??;
            clock.lap("on disk", &mut timings);
        } else {
            tokio::spawn(async move {
                if let Ok(Err(error)) = settling.await {
                    tracing::warn!(target: "postgres", "{error}");
                }
            });
        }
        tokio::task::spawn_blocking(move || server.remove_others());
        Ok(Self {
            connection,
            first_start,
            timings,
            supervisor,
            durability: options.durability,
            pgdata,
            _hold: hold,
        })
    }

    /// Where and as whom to connect.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// How Postgres does, from now on.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.supervisor.state()
    }

    /// The process, while there is one.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.supervisor.pid()
    }

    /// Where the data of this start came from.
    #[must_use]
    pub fn first_start(&self) -> FirstStart {
        self.first_start
    }

    /// What the start took, step by step.
    #[must_use]
    pub fn timings(&self) -> &[(&'static str, Duration)] {
        &self.timings
    }

    /// Stops Postgres and waits until it is gone: open transactions are rolled back, everything is written out.
    /// What is not done after 10 s is left to the recovery of the next start.
    ///
    /// # Errors
    /// [`EmbeddedError::NotStopped`] when it does not even end at once.
    pub async fn stop(&self) -> Result<(), EmbeddedError> {
        let keeps = self.durability != Durability::Memory;
        self.supervisor.tell_to_stop(keeps);
        if tokio::time::timeout(STOP_PATIENCE, self.supervisor.stopped()).await.is_err() {
            tracing::warn!(target: "postgres", "Postgres did not stop within 10 s; it is ended at once and recovers at the next start");
            self.supervisor.tell_to_stop(false);
            if tokio::time::timeout(STOP_PATIENCE, self.supervisor.stopped()).await.is_err() {
                return Err(EmbeddedError::NotStopped { pid: self.pid().unwrap_or(0) });
            }
        }
        if !keeps {
            // A slow disk does not hold up the end: what is left goes at the next start.
            let folder = self.pgdata.clone();
            tokio::time::timeout(CLEARING_PATIENCE, blocking(move || cluster::remove_folder(&folder)))
                .await
                .ok();
        }
        // The folder stays where it is within the data folder; one elsewhere would be litter.
        fs::remove_dir(&self.connection.socket_dir).ok();
        Ok(())
    }
}

/// What is ready before the process is started.
struct Prepared {
    launch: Launch,
    hold: Hold,
    password: password::Password,
    first_start: FirstStart,
    timings: Vec<(&'static str, Duration)>,
    connection: Connection,
    unsettled: Vec<PathBuf>,
    data_dir: PathBuf,
}

fn prepare(options: &EmbeddedOptions) -> Result<Prepared, EmbeddedError> {
    let mut clock = Clock::start();
    let mut timings = Vec::new();
    let payload = Payload::find()?;
    let data_dir = place::make_data_dir(&options.data_dir)?;
    let pgdata = cluster::data_folder(&data_dir, options.durability);
    let account = Account::choose(&pgdata)?;
    let hold = Hold::take(&data_dir)?;
    postmaster::wait_for_former(&pgdata, FORMER_PATIENCE, || false)?;
    place::check_data_dir(&data_dir, &account)?;
    // Before anything is made: the folder of a newer kernel stays as it is, its server included.
    if pgdata.exists() {
        cluster::check(&pgdata, &payload.server.first_text()?)?;
    }
    clock.lap("checks", &mut timings);

    let server = Server::unpack(&payload, &data_dir)?;
    clock.lap("server", &mut timings);
    let first_start = cluster::prepare(&payload, &server, &pgdata, &account, options.durability)?;
    clock.lap("data", &mut timings);

    let password = password::prepare(&data_dir.join("postgres.password"), &pgdata, &account)?;
    let socket_dir = place::socket_folder(&data_dir, &account)?;
    let settings = Settings {
        durability: options.durability,
        socket_dir: &socket_dir,
        port: options.tcp_port.unwrap_or(SOCKET_PORT),
        tcp: options.tcp_port.is_some(),
        max_connections: options.max_connections,
    };
    let connection = Connection {
        port: settings.port,
        user: password::SUPERUSER.to_owned(),
        password: password.text.clone(),
        socket_dir: settings.socket_dir.to_path_buf(),
    };
    let unsettled =
        [&server.folder, &pgdata].into_iter().filter(|folder| is_unsettled(folder)).cloned().collect();
    let launch = Launch {
        arguments: settings.arguments(),
        socket_dir: connection.socket_dir.clone(),
        port: settings.port,
        server,
        pgdata,
        account,
    };
    clock.lap("folders", &mut timings);
    Ok(Prepared { launch, hold, password, first_start, timings, connection, unsettled, data_dir })
}

fn is_unsettled(folder: &Path) -> bool {
    !matches!(settle::trust(folder), Ok(settle::Trust::Settled))
}

/// Runs `work`, which waits for the disk, off the async workers.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EmbeddedError> + Send + 'static,
) -> Result<T, EmbeddedError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(EmbeddedError::Thread(error.into())),
    }
}

/// Measures steps that follow each other.
struct Clock(Instant);

impl Clock {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn lap(&mut self, step: &'static str, timings: &mut Vec<(&'static str, Duration)>) {
        let now = Instant::now();
        timings.push((step, now - self.0));
        self.0 = now;
    }
}

//! From a checked configuration to a kernel that answers, and back.

mod steps;
mod stopping;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::net::IpAddr;
use std::sync::Arc;

use gateway::door::{Bound, Certificates, DoorError, Shutdown, TlsDoor, TrustStores};
use gateway::{Front, FrontSettings};
use kernel::config::{Config, Resolved, Template};
use kernel::{Clock, Ctx, SandboxName, Timestamp};
use sandbox::{Estate, EstateCells, EstateOptions};
use tokio::task::JoinHandle;

use crate::backend::Backend;
use crate::data_folder::DataFolder;
use crate::failure::Failure;
use crate::greeting::Greeting;
use crate::output;
use crate::running::{self, Running};
use crate::signals::{Signals, Told};
use crate::{authority, listeners, logs};
use steps::Steps;

/// The program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Serves until told to stop.
///
/// # Errors
/// What kept it from starting, with what to do; nothing keeps running then.
pub async fn serve(resolved: &Resolved, verbose: bool) -> Result<(), Failure> {
    let mut steps = Steps::begin();
    let config = &resolved.config;
    let folder = DataFolder::take(&config.data_dir)?;
    let logs = logs::begin(resolved, folder.path(), verbose)?;
    for warning in resolved.warnings() {
        tracing::warn!("{warning}");
    }
    Running::forget(folder.path());
    listeners::raise_file_limit();
    steps.lap("configuration, data folder, log");

    let bound = listeners::bind(&config.listen)?;
    let place = Place::of(config, &bound);
    let mut signals = Signals::listen()?;
    steps.lap("ports");

    // While PostgreSQL starts: certificates, what browsers think of them, the example's back-end.
    let doors = tokio::task::spawn_blocking({
        let config = config.clone();
        move || authority::certificates(&config)
    });
    let backend = match config.template {
        Template::Demo => Backend::start(place.local_url(), config.logging.json),
        Template::Empty | Template::File(_) => None,
    };
    let backends =
        backend.iter().map(|backend| (crm_example::NAME.to_owned(), backend.url().to_owned())).collect();
    let opening = Estate::open(EstateOptions {
        config: config.clone(),
        public_url: place.public_url.clone(),
        version: VERSION,
        backends,
        migrations: fabric::postgres::Migrations::sandbox(),
        extra_routes: Vec::new(),
    });
    let estate = tokio::select! {
        opened = opening => opened.map_err(Failure::new)?,
        _ = signals.stop() => {
            tracing::info!("told to stop before it was ready");
            return Ok(());
        }
    };
    steps.add(estate.timings());
    let (certificates, tls) = ready_doors(doors).await?;
    let trusted = tokio::spawn(is_trusted(Arc::clone(&certificates)));
    steps.lap("certificates");

    let door = Shutdown::new();
    let settings = FrontSettings { public_url: place.public_url.trim_end_matches('/').to_owned() };
    let front = Front::new(Arc::new(EstateCells(Arc::clone(&estate))), estate.operator().clone(), settings);
    listeners::serve(bound, tls, &front.service(), &door);
    let running = place.running();
    running
        .write(folder.path())
        .map_err(|e| crate::data_folder::refused("write runtime.json in", folder.path(), &e))?;
    steps.lap("listeners");
    tracing::info!(
        url = place.public_url,
        pid = running.pid,
        version = VERSION,
        took_ms = steps.total_ms(),
        "ready"
    );
    greet(&estate, config, &place, trusted).await?;
    if verbose {
        eprint!("{}", steps.text());
    }

    let stop = loop {
        match signals.next().await {
            Told::Stop(stop) => break stop,
            Told::Reload => reload(&certificates),
        }
    };
    let result = tokio::select! {
        result = stopping::stop(stop, config, stopping::Open { door: &door, front: &front, estate: &estate, backend }) => result,
        _ = signals.stop() => {
            tracing::warn!("told to stop again: leaving at once");
            Err(Failure::told(130))
        }
    };
    Running::remove(folder.path());
    drop(logs);
    result
}

/// Where this kernel answers.
struct Place {
    address: IpAddr,
    ports: BTreeMap<String, u16>,
    public_url: String,
    configured_url: bool,
}

impl Place {
    fn of(config: &Config, bound: &Bound) -> Self {
        let address = running::reachable(config.listen.host);
        let ports: BTreeMap<String, u16> =
            bound.ports().map(|(name, port)| (name.to_owned(), port)).collect();
        let http = ports.get("http").copied().unwrap_or(config.listen.http_port);
        let public_url = match &config.public_url {
            Some(url) => url.as_str().to_owned(),
            None => running::url(address, http),
        };
        Self { address, ports, public_url, configured_url: config.public_url.is_some() }
    }

    fn port(&self, listener: &str) -> u16 {
        self.ports.get(listener).copied().unwrap_or(0)
    }

    /// For children on this machine: by address, so that no name has to resolve.
    fn local_url(&self) -> String {
        match self.address {
            IpAddr::V4(address) => format!("http://{address}:{}", self.port("http")),
            IpAddr::V6(address) => format!("http://[{address}]:{}", self.port("http")),
        }
    }

    fn running(&self) -> Running {
        Running {
            pid: std::process::id(),
            ports: self.ports.clone(),
            address: self.address,
            url: running::url(self.address, self.port("http")),
            version: VERSION.to_owned(),
            started_at: Timestamp::real(),
        }
    }
}

async fn ready_doors(
    doors: JoinHandle<Result<(Arc<Certificates>, TlsDoor), DoorError>>,
) -> Result<(Arc<Certificates>, TlsDoor), Failure> {
    match doors.await {
        Ok(doors) => doors.map_err(Failure::new),
        Err(error) => Err(Failure::new(format!("the certificates could not be prepared: {error}"))),
    }
}

async fn is_trusted(certificates: Arc<Certificates>) -> bool {
    match certificates.ca() {
        Some(ca) => TrustStores::of_this_machine().is_trusted(ca).await,
        None => false,
    }
}

/// The five lines. The link goes to a person's terminal or, with loopback alone, to whoever started the kernel; elsewhere
/// stdout is a log that others keep, and a right to everything does not belong there.
async fn greet(
    estate: &Arc<Estate>,
    config: &Config,
    place: &Place,
    trusted: JoinHandle<bool>,
) -> Result<(), Failure> {
    let on_terminal = std::io::stdout().is_terminal();
    let by_https = trusted.is_finished() && trusted.await.unwrap_or(false) && !place.configured_url;
    let base = if by_https && config.listen.host.is_loopback() {
        format!("https://localhost:{}", place.port("https"))
    } else {
        place.public_url.clone()
    };
    let console = if on_terminal || config.listen.host.is_loopback() {
        let cx = Ctx::system(SandboxName::default_sandbox(), Clock::real(), "sandbox");
        let token = estate.operator().link(&cx).await.map_err(Failure::new)?;
        format!("{base}/open?token={token}")
    } else {
        "platform-kernel open (prints a one-time sign-in link)".to_owned()
    };
    let sign_in = estate.way_in().await.map_err(Failure::new)?;
    let greeting = Greeting {
        console: &console,
        url: &base,
        sign_in: sign_in.as_deref(),
        data_dir: &config.data_dir,
        on_terminal,
        pid: std::process::id(),
    };
    if output::print(&greeting.lines()).is_err() {
        tracing::debug!("stdout is closed; nobody was greeted");
    }
    Ok(())
}

fn reload(certificates: &Certificates) {
    match certificates.reload() {
        Ok(()) => tracing::info!("certificates were read again"),
        Err(error) => tracing::error!(%error, "certificates could not be read again; those in use stay"),
    }
}

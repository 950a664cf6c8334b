//! `health`: for the health check of a container.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http::Method;
use kernel::{Timestamp, config::Config};

use super::{Call, span};
use crate::boot::VERSION;
use crate::client::Kernel;
use crate::failure::Failure;
use crate::output;
use crate::running::{self, Running};
use crate::settings;

/// For one answer. Shorter than a health check waits.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two questions while it starts.
const PAUSE: Duration = Duration::from_millis(50);

/// Exit with 0 when the running kernel is ready, else with 1.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Asks /health/ready of the kernel that runs on the data folder, else of the one on the configured port.

Examples:
  platform-kernel health
  platform-kernel health && echo ready
  platform-kernel health --wait 30s && ./tests")]
pub struct Args {
    /// How long to wait for a kernel that starts: 10s, 2m …
    #[arg(long, value_parser = span::parse)]
    wait: Option<Duration>,
}

/// Asks the running kernel.
///
/// # Errors
/// It is not ready, and why.
pub async fn run(args: Args, call: Call) -> Result<(), Failure> {
    let config = settings::resolve(call.settings)?.config;
    let until = Instant::now() + args.wait.unwrap_or_default();
    loop {
        match ask(&config).await {
            Err(_) if Instant::now() < until => tokio::time::sleep(PAUSE).await,
            answered => return answered.and_then(|()| output::line("ready")),
        }
    }
}

async fn ask(config: &Config) -> Result<(), Failure> {
    // A container whose data folder is another's volume still has its port.
    let running = Running::read(&config.data_dir).unwrap_or_else(|| {
        let address = running::reachable(config.listen.host);
        Running {
            pid: 0,
            ports: BTreeMap::from([("http".to_owned(), config.listen.http_port)]),
            address,
            url: running::url(address, config.listen.http_port),
            version: VERSION.to_owned(),
            started_at: Timestamp::real(),
        }
    });
    let url = running.url.clone();
    let kernel = Kernel::without_key(running, &config.data_dir)?.within(PATIENCE);
    let answer = kernel.call(Method::GET, "/health/ready", None, None).await.map_err(|failure| {
        if std::fs::exists(running::path(&config.data_dir)).unwrap_or(false) {
            return failure;
        }
        Failure::new(format!("not ready: nothing answers at {url}; start it with `platform-kernel`"))
    })?;
    if answer.status.is_success() {
        return Ok(());
    }
    Err(Failure::new(format!("not ready: {}", answer.reason())))
}

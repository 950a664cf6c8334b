//! `serve`: the kernel itself.

use super::Call;
use crate::boot;
use crate::failure::Failure;
use crate::settings;

/// What stands below its help.
pub const EXAMPLES: &str = "\
Examples:
  platform-kernel                                     demo data, loopback, data in the user's folder
  platform-kernel serve --data-dir ./data -v          another folder; each step of the start with its time
  platform-kernel --template empty                    a platform without demo data
  platform-kernel --port-offset 100 --data-dir ./two  a second kernel beside the first
  DATABASE_URL=postgres://admin@db/postgres platform-kernel   an external PostgreSQL 17

Ports: 8443 HTTPS and gRPC, 8080 HTTP and gRPC, 8081 gRPC of iam, 50050 gRPC of every service (both with /health).
SIGTERM stops in order (SHUTDOWN_GRACE, then GATEWAY_SHUTDOWN_TIMEOUT), Ctrl-C within two seconds, a second signal at once.
SIGHUP reads the configured certificate again.";

/// Start and serve until told to stop (the default).
#[derive(Debug, Default, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {}

/// Serves until told to stop.
///
/// # Errors
/// What kept it from starting.
pub fn run(_: &Args, call: Call) -> Result<(), Failure> {
    let resolved = settings::resolve(call.settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("the system refused the threads a server needs: {error}")))?;
    let served = runtime.block_on(Box::pin(boot::serve(&resolved, call.verbose)));
    // What is still running has had its time.
    runtime.shutdown_background();
    served
}

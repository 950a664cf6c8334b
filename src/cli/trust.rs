//! `trust`: browsers on this machine believe `https://localhost`.

use gateway::door::{TrustStores, trust};

use super::Call;
use crate::authority;
use crate::failure::Failure;
use crate::output;
use crate::settings;

/// Make this machine believe the local certificate authority.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The authority belongs to this user and can only vouch for localhost, names below it and loopback addresses.

Examples:
  platform-kernel trust              install it: the system's store, Chromium, Firefox
  platform-kernel trust --print      the certificate, for a store elsewhere
  platform-kernel trust --remove     take it out again")]
pub struct Args {
    /// Print the certificate and change nothing.
    #[arg(long, conflicts_with = "remove")]
    print: bool,
    /// Take the authority out of every store.
    #[arg(long)]
    remove: bool,
}

/// Installs, prints or removes the authority.
///
/// # Errors
/// The authority can't be opened, or a store could not be changed (each is named with what to do).
pub async fn run(args: Args, call: Call) -> Result<(), Failure> {
    let config = settings::resolve(call.settings)?.config;
    let ca = authority::open(&config.data_dir).map_err(Failure::new)?;
    if args.print {
        return output::print(&trust::print(&ca));
    }
    let stores = TrustStores::of_this_machine();
    let report = if args.remove { stores.remove(&ca).await } else { stores.install(&ca).await };
    output::print(&format!("{}\n{report}", ca.name()))?;
    if report.is_done() { Ok(()) } else { Err(Failure::new("not every store could be changed; see above")) }
}

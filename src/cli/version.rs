//! `version`.

use serde_json::json;

use crate::boot::VERSION;
use crate::failure::Failure;
use crate::output;
use fabric::postgres::embedded::Payload;

/// Print the version.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  platform-kernel version
  platform-kernel version --notices | less")]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Print what travels in this file, whose it is, and under which licence.
    #[arg(long, conflicts_with = "json")]
    notices: bool,
}

/// The licences' texts travel with what they are about.
const NOTICES: [&str; 4] = [
    include_str!("../../NOTICES.md"),
    include_str!("../../LICENSE-MIT"),
    include_str!("../../LICENSE-APACHE"),
    include_str!("../../licenses/LGPL-2.1.txt"),
];

/// Prints the version, and whether a PostgreSQL is carried.
///
/// # Errors
/// Stdout is gone.
pub fn run(args: &Args) -> Result<(), Failure> {
    if args.notices {
        return output::print(&NOTICES.join("\n\n"));
    }
    let payload = Payload::find().ok();
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    if args.json {
        return output::json(&json!({
            "version": VERSION,
            "system": format!("{os}-{arch}"),
            "carriesPostgres": payload.is_some(),
            "carriesTemplates": payload.is_some_and(|payload| payload.has_data()),
        }));
    }
    let carried = match payload.map(|payload| payload.has_data()) {
        None => "no PostgreSQL",
        Some(false) => "PostgreSQL 17",
        Some(true) => "PostgreSQL 17 and prepared templates",
    };
    output::line(format!("platform-kernel {VERSION} ({os} {arch}, carries {carried})"))
}

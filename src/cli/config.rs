//! `config`: what is in force, and why.

use kernel::config::{Row, example_toml};
use serde_json::{Value, json};

use super::Call;
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::settings;

/// Show the settings in force and where they come from.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Secrets are shown as ***. Flags and environment of this very call count, so it also answers \"what if\":

Examples:
  platform-kernel config
  platform-kernel config --gateway-port 9090 --json
  platform-kernel config --example > platform-kernel.toml")]
pub struct Args {
    /// Print a configuration file with every setting, commented out.
    #[arg(long, conflicts_with = "json")]
    example: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints the effective values.
///
/// # Errors
/// The configuration's mistakes.
pub fn run(args: &Args, call: Call) -> Result<(), Failure> {
    if args.example {
        return output::print(&example_toml());
    }
    let resolved = settings::resolve(call.settings)?;
    if args.json {
        let settings: Vec<Value> = resolved.table().iter().map(as_json).collect();
        return output::json(&json!({ "settings": settings, "warnings": resolved.warnings() }));
    }
    let mut table = Table::new(&["setting", "value", "from"]);
    for row in resolved.table() {
        table.row([row.name.clone(), row.value.clone(), origin(row)]);
    }
    output::print(&table.text())?;
    for warning in resolved.warnings() {
        eprintln!("Note: {warning}");
    }
    Ok(())
}

fn origin(row: &Row) -> String {
    match &row.secret_file {
        Some(file) => format!("{} ({})", row.origin, file.display()),
        None => row.origin.to_string(),
    }
}

fn as_json(row: &Row) -> Value {
    json!({
        "name": row.name,
        "value": row.value,
        "origin": row.origin.to_string(),
        "secretFile": row.secret_file.as_ref().map(|file| file.display().to_string()),
    })
}

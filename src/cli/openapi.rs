//! `openapi`: the document that generators and tests start from.

use http::Method;

use super::Call;
use crate::client::Kernel;
use crate::failure::Failure;
use crate::output;
use crate::running::Running;
use crate::settings;

/// Print the OpenAPI document of the running kernel.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  platform-kernel openapi > openapi.json
  platform-kernel openapi | jq '.paths | keys'")]
pub struct Args {}

/// Prints the document.
///
/// # Errors
/// Nothing runs.
pub async fn run(_: Args, call: Call) -> Result<(), Failure> {
    let config = settings::resolve(call.settings)?.config;
    let kernel = match Running::read(&config.data_dir) {
        Some(running) => Kernel::without_key(running, &config.data_dir)?,
        None => Kernel::of(&config)?,
    };
    let answer = kernel.call(Method::GET, "/openapi.json", None, None).await?;
    if !answer.status.is_success() {
        return Err(answer.failure());
    }
    output::json(&answer.json()?)
}

//! `psql-url`: a look into a sandbox's database.

use http::Method;
use kernel::SandboxName;

use super::{Call, sandbox};
use crate::client::Kernel;
use crate::failure::Failure;
use crate::output;
use crate::settings;

/// Print a read-only address of a sandbox's database.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The login reads every table of that sandbox and changes none.

Examples:
  psql \"$(platform-kernel psql-url)\"
  psql \"$(platform-kernel psql-url acme)\" -c 'select * from iam.tenant'")]
pub struct Args {
    /// The sandbox.
    #[arg(default_value = "default")]
    sandbox: SandboxName,
}

/// Prints the address.
///
/// # Errors
/// A sentence.
pub async fn run(args: Args, call: Call) -> Result<(), Failure> {
    let kernel = Kernel::of(&settings::resolve(call.settings)?.config)?;
    let answer = kernel.ask(Method::POST, &sandbox::path(&args.sandbox, "/psql-url"), None, None).await?;
    match answer["url"].as_str() {
        Some(url) => output::line(url),
        None => Err(Failure::new("the kernel answered without an address; is it of another version?")),
    }
}

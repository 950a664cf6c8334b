//! `open`: the console, signed in.

use std::io::IsTerminal;
use std::process::Stdio;

use http::Method;

use super::Call;
use crate::client::Kernel;
use crate::failure::Failure;
use crate::output;
use crate::settings;

/// Open the console in a browser, signed in as the operator.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The link works once, within 10 minutes. Without a browser on this machine it is only printed.

Examples:
  platform-kernel open
  platform-kernel open --print
  docker compose exec kernel /platform-kernel open")]
pub struct Args {
    /// Only print the link.
    #[arg(long)]
    print: bool,
}

/// Makes a link, prints it, and opens it where there is a browser.
///
/// # Errors
/// A sentence.
pub async fn run(args: Args, call: Call) -> Result<(), Failure> {
    let kernel = Kernel::of(&settings::resolve(call.settings)?.config)?;
    let made = kernel.ask(Method::POST, "/api/v1/operator/links", None, None).await?;
    let url = made["url"]
        .as_str()
        .ok_or_else(|| Failure::new("the kernel answered without a link; is it of another version?"))?;
    output::line(url)?;
    if !args.print && std::io::stdout().is_terminal() && has_screen() {
        browse(url).await;
    }
    Ok(())
}

fn has_screen() -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"].iter().any(|name| std::env::var_os(name).is_some())
}

/// The link is printed already, so a browser that does not open is no failure.
async fn browse(url: &str) {
    for program in ["xdg-open", "wslview", "open"] {
        let mut command = tokio::process::Command::new(program);
        command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if command.status().await.is_ok_and(|status| status.success()) {
            return;
        }
    }
}

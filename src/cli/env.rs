//! `env`: what a client needs, for `eval`.

use http::Method;
use kernel::SandboxName;
use kernel::config::Config;
use serde_json::Value;

use super::{Call, sandbox};
use crate::client::Kernel;
use crate::failure::Failure;
use crate::output;
use crate::settings;

/// The demo's owner, as published.
const DEMO_EMAIL: &str = "admin@sandbox.localhost";
const DEMO_PASSWORD: &str = "Sandbox2026!";

/// Print what a client needs, as lines for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
PK_URL, PK_HOST, PK_SANDBOX; of a demo also PK_EMAIL and PK_PASSWORD. A client that can't resolve names below localhost
connects to 127.0.0.1 and sends PK_HOST as its Host, or PK_SANDBOX as X-Kernel-Sandbox.

Examples:
  eval \"$(platform-kernel env)\"
  eval \"$(platform-kernel env acme)\" && curl \"$PK_URL/health/ready\"
  platform-kernel env acme --json")]
pub struct Args {
    /// The sandbox.
    #[arg(default_value = "default")]
    sandbox: SandboxName,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints the lines.
///
/// # Errors
/// Nothing runs, or there is no such sandbox.
pub async fn run(args: Args, call: Call) -> Result<(), Failure> {
    let config = settings::resolve(call.settings)?.config;
    let kernel = Kernel::of(&config)?;
    let found = kernel.ask(Method::GET, &sandbox::path(&args.sandbox, ""), None, None).await?;
    let url = kernel.running().url_of(args.sandbox.as_str());
    let mut variables = vec![
        ("PK_URL", url.clone()),
        ("PK_HOST", host(&url, args.sandbox.as_str())),
        ("PK_SANDBOX", args.sandbox.to_string()),
    ];
    if found["template"] == "demo" && has_published_passwords(&config) {
        variables.push(("PK_EMAIL", DEMO_EMAIL.to_owned()));
        variables.push(("PK_PASSWORD", DEMO_PASSWORD.to_owned()));
    }
    if args.json {
        let object: serde_json::Map<String, Value> =
            variables.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        return output::json(&object);
    }
    output::print(&lines(&variables))
}

/// On a network the demo's users have random passwords, shown once at the first start.
fn has_published_passwords(config: &Config) -> bool {
    config.listen.host.is_loopback() || config.demo_on_network
}

fn host(url: &str, sandbox: &str) -> String {
    let authority = url.split_once("://").map_or(url, |(_, authority)| authority);
    if sandbox == "default" || authority.starts_with(&format!("{sandbox}.")) {
        return authority.to_owned();
    }
    format!("{sandbox}.localhost")
}

fn lines(variables: &[(&str, String)]) -> String {
    variables.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value))).collect()
}

/// One word of a POSIX shell, whatever is in it.
fn quoted(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:@%+=,".contains(&b);
    if !value.is_empty() && value.bytes().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_in_a_value_stays_one_word() {
        assert_eq!(quoted("http://acme.localhost:8080"), "http://acme.localhost:8080");
        assert_eq!(quoted("Sandbox2026!"), "'Sandbox2026!'");
        assert_eq!(quoted("it's $(rm -rf /)"), r"'it'\''s $(rm -rf /)'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("a\nb"), "'a\nb'");
    }

    #[test]
    fn a_real_shell_reads_back_what_was_meant() {
        let value = "a'b\"c$d`e\\f g\nh!*?;&|";
        let script = format!("{}printf %s \"$PK_X\"", lines(&[("PK_X", value.to_owned())]));
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), value);
    }

    #[test]
    fn the_host_names_the_sandbox() {
        assert_eq!(host("http://localhost:8080", "default"), "localhost:8080");
        assert_eq!(host("http://acme.localhost:8080", "acme"), "acme.localhost:8080");
        assert_eq!(host("http://10.0.0.5:8080", "acme"), "acme.localhost");
    }
}

//! The command line: a file for each verb.

mod argv;
mod config;
mod doctor;
mod env;
mod example;
mod health;
mod logs;
mod module;
mod open;
mod openapi;
mod payload;
mod proto;
mod psql_url;
mod sandbox;
mod serve;
mod settings_help;
mod span;

mod trust;
mod version;
mod wipe;

use std::ffi::OsString;

use clap::error::{ContextKind, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::failure::Failure;
use crate::settings::{self, Flags};

/// A complete multi-tenant SaaS back-end in one file.
///
/// Without a verb it serves: makes its data folder, starts its PostgreSQL, makes the demo sandbox and says where to
/// sign in. Nothing has to be installed or configured.
#[derive(Debug, Parser)]
#[command(
    name = "platform-kernel",
    version,
    max_term_width = 110,
    after_help = EXAMPLES,
)]
struct Cli {
    /// Say more: each step of the start with its time.
    #[arg(short, long, global = true)]
    verbose: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

const EXAMPLES: &str = "\
Examples:
  platform-kernel                              start, with demo data, on http://localhost:8080
  platform-kernel --port-offset 100            a second one beside the first
  platform-kernel sandbox create acme          a kernel of its own inside this one
  eval \"$(platform-kernel env acme)\"           addresses and sign-in for a shell
  platform-kernel doctor                       what would keep it from starting

Settings are flags too, for every verb (--data-dir, --gateway-port …): `platform-kernel --help` lists them.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start and serve until told to stop (the default).
    Serve(serve::Args),
    /// Make, list, copy, reset and throw away sandboxes.
    #[command(subcommand)]
    Sandbox(sandbox::Verb),
    /// Check and register modules from a folder.
    #[command(subcommand)]
    Module(module::Verb),
    /// Open the console in a browser, signed in as the operator.
    Open(open::Args),
    /// Make this machine believe the local certificate authority.
    Trust(trust::Args),
    /// Show the settings in force and where they come from.
    Config(config::Args),
    /// Check everything a start needs, and say what to do.
    Doctor(doctor::Args),
    /// Exit with 0 when the running kernel is ready, else with 1.
    Health(health::Args),
    /// Print the OpenAPI document of the running kernel.
    Openapi(openapi::Args),
    /// Print the gRPC contracts, or write them to a folder.
    Proto(proto::Args),
    /// Print what a client needs, as lines for a shell.
    Env(env::Args),
    /// Show the log, all of it or of one request.
    Logs(logs::Args),
    /// Print a read-only address of a sandbox's database.
    PsqlUrl(psql_url::Args),
    /// Delete the data folder, after showing what is in it.
    Wipe(wipe::Args),
    /// The example module: run its back-end, or copy it.
    #[command(subcommand)]
    Example(example::Verb),
    /// Print the version.
    Version(version::Args),
    /// For the build: make the packed data folder.
    #[command(name = "__pack-data", hide = true)]
    PackData(payload::PackData),
    /// For the build: put the archives at the end of the executable.
    #[command(name = "__append", hide = true)]
    Append(payload::Append),
}

/// What every verb knows of its call.
struct Call {
    settings: Flags,
    verbose: bool,
}

/// The whole command, as clap builds it, with the settings in the help of `serve`.
fn command() -> clap::Command {
    let with_settings = |examples: &str| format!("{examples}\n\n{}", settings_help::text());
    let mut command = Cli::command()
        .after_long_help(with_settings(EXAMPLES))
        .mut_subcommand("serve", |serve| serve.after_long_help(with_settings(serve::EXAMPLES)));
    command.build();
    command
}

/// Does what the command line says.
///
/// # Errors
/// A sentence and an exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    let split = argv::split(&command(), args)?;
    let parsed = command().try_get_matches_from(split.verbs).and_then(|found| Cli::from_arg_matches(&found));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    let call = Call { settings: split.settings, verbose: cli.verbose };
    match cli.verb.unwrap_or_else(|| Verb::Serve(serve::Args::default())) {
        Verb::Serve(args) => serve::run(&args, call),
        Verb::Sandbox(verb) => alone(sandbox::run(verb, call)),
        Verb::Module(verb) => alone(module::run(verb, call)),
        Verb::Open(args) => alone(open::run(args, call)),
        Verb::Trust(args) => alone(trust::run(args, call)),
        Verb::Config(args) => config::run(&args, call),
        Verb::Doctor(args) => alone(doctor::run(args, call)),
        Verb::Health(args) => alone(health::run(args, call)),
        Verb::Openapi(args) => alone(openapi::run(args, call)),
        Verb::Proto(args) => proto::run(&args),
        Verb::Env(args) => alone(env::run(args, call)),
        Verb::Logs(args) => logs::run(&args, call),
        Verb::PsqlUrl(args) => alone(psql_url::run(args, call)),
        Verb::Wipe(args) => wipe::run(&args, call),
        Verb::Example(verb) => example::run(verb, call),
        Verb::Version(args) => version::run(&args),
        Verb::PackData(args) => payload::pack_data(&args),
        Verb::Append(args) => payload::append(&args),
    }
}

/// Runs a short verb: one thread is enough, and starts faster.
fn alone(verb: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .map_err(|error| Failure::new(format!("the system refused what a program needs: {error}")))?
        .block_on(verb)
}

/// What clap says: help and version are no mistakes; of a flag that may have been meant as a setting the settings know
/// more.
fn refused(error: &clap::Error) -> Result<(), Failure> {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return error
            .print()
            .map_err(|error| Failure::new(format!("the help could not be printed: {error}")));
    }
    let unknown = error.get(ContextKind::InvalidArg).filter(|_| error.kind() == ErrorKind::UnknownArgument);
    let guessed = error.get(ContextKind::SuggestedArg).is_some();
    if let Some(flag) = unknown.map(ToString::to_string).filter(|_| !guessed)
        && let Some(flag) = flag.strip_prefix("--")
        && let Some(told) = settings::about_unknown_flag(flag)
    {
        return Err(Failure::usage(format!("{told} (see `platform-kernel --help`)")));
    }
    // clap's own words are kept, with its usage line. If stderr is gone there is nobody to tell.
    error.print().ok();
    Err(Failure::told(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        command().debug_assert();
    }

    #[test]
    fn every_verb_has_its_help() {
        for verb in command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
            assert!(verb.get_about().is_some(), "{}", verb.get_name());
        }
    }

    #[test]
    fn the_help_of_serve_names_every_setting() {
        let mut serve = command().find_subcommand("serve").unwrap().clone();
        assert!(serve.render_long_help().to_string().contains("--data-dir"));
    }

    #[test]
    fn a_mistyped_setting_is_a_usage_error_with_a_hint() {
        let args = ["platform-kernel", "--dta-dir", "/x"].map(OsString::from);
        let failure = run(args).unwrap_err();
        assert!(failure.sentence().contains("did you mean --data-dir?"), "{failure:?}");
    }
}

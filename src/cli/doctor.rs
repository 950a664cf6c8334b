//! `doctor`: everything a start needs, checked for real.

mod ground;
mod parts;

use std::time::Duration;

use gateway::door::{LocalCa, TrustStores};
use http::Method;
use kernel::config::Config;
use serde::Serialize;

use super::Call;
use crate::boot::VERSION;
use crate::client::Kernel;
use crate::failure::Failure;
use crate::output;
use crate::running::Running;
use crate::{listeners, settings};

/// How long a part may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Check everything a start needs, and say what to do.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Changes nothing that stays. Exits with 1 when something would keep a kernel from starting, or a running one is not well.

Examples:
  platform-kernel doctor
  platform-kernel doctor --data-dir /srv/data --gateway-port 9090
  platform-kernel doctor --json")]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Good,
    /// It works, but look at it.
    Note,
    /// It keeps a kernel from starting or working.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    what: &'static str,
    state: State,
    told: String,
}

impl Finding {
    fn new(what: &'static str, state: State, told: impl ToString) -> Self {
        Self { what, state, told: told.to_string() }
    }
}

/// Looks at everything and prints it.
///
/// # Errors
/// Something is bad; it was printed with what to do.
pub async fn run(args: Args, call: Call) -> Result<(), Failure> {
    let resolved = settings::resolve(call.settings)?;
    let config = &resolved.config;
    let mut findings = vec![Finding::new("version", State::Good, VERSION)];
    match resolved.warnings() {
        [] => findings.push(Finding::new(
            "configuration",
            State::Good,
            "no mistakes; `platform-kernel config` shows it",
        )),
        warnings => findings.extend(warnings.iter().map(|w| Finding::new("configuration", State::Note, w))),
    }
    findings.extend(ground::look(config));
    findings.push(parts::postgres(config).await);
    findings.extend(parts::valkey(config).await);
    findings.extend(parts::kafka(config).await);
    findings.extend(parts::files(config).await);
    let running = Running::read(&config.data_dir);
    match &running {
        Some(running) => findings.extend(kernel(config, running).await),
        None => findings.push(ports(config)),
    }
    findings.push(certificates(config).await);
    report(&findings, args.json)
}

fn report(findings: &[Finding], json: bool) -> Result<(), Failure> {
    let bad = findings.iter().filter(|finding| finding.state == State::Bad).count();
    if json {
        output::json(&findings)?;
    } else {
        for Finding { what, state, told } in findings {
            let mark = match state {
                State::Good => "ok  ",
                State::Note => "note",
                State::Bad => "BAD ",
            };
            let told = told.trim_end().replace('\n', "\n                      ");
            output::line(format!("{mark}  {what:14}  {told}"))?;
        }
        let closing = match bad {
            0 => "Nothing keeps a kernel from running here.".to_owned(),
            1 => "1 thing has to be put right.".to_owned(),
            many => format!("{many} things have to be put right."),
        };
        output::line(closing)?;
    }
    if bad == 0 { Ok(()) } else { Err(Failure::told(1)) }
}

/// No kernel runs on the folder: its ports must be free.
fn ports(config: &Config) -> Finding {
    match listeners::bind(&config.listen) {
        Ok(bound) => {
            let shown: Vec<String> = bound.ports().map(|(name, port)| format!("{port} {name}")).collect();
            Finding::new("ports", State::Good, format!("free: {}", shown.join(", ")))
        }
        Err(failure) => Finding::new("ports", State::Bad, failure.into_sentence()),
    }
}

/// A kernel runs, or has left its file behind.
async fn kernel(config: &Config, running: &Running) -> Vec<Finding> {
    const WHAT: &str = "kernel";
    let kernel = match Kernel::of(config) {
        Ok(kernel) => kernel.within(PATIENCE),
        Err(failure) => return vec![Finding::new(WHAT, State::Bad, failure.into_sentence())],
    };
    let ready = match kernel.call(Method::GET, "/health/ready", None, None).await {
        Ok(ready) => ready,
        // Killed: then its ports are free again.
        Err(_) if !std::path::Path::new(&format!("/proc/{}", running.pid)).exists() => {
            let told = format!("process {} ended without a word; the next start recovers", running.pid);
            return vec![Finding::new(WHAT, State::Note, told), ports(config)];
        }
        Err(failure) => return vec![Finding::new(WHAT, State::Bad, failure.into_sentence())],
    };
    let mut findings = vec![if ready.status.is_success() {
        Finding::new(WHAT, State::Good, format!("process {} is ready at {}", running.pid, running.url))
    } else {
        Finding::new(WHAT, State::Bad, format!("process {} is not ready: {}", running.pid, ready.reason()))
    }];
    if running.version != VERSION {
        let told = format!("the running one is {}, this program {VERSION}", running.version);
        findings.push(Finding::new("version", State::Note, told));
    }
    match kernel.ask(Method::GET, "/health", None, None).await {
        Ok(health) => findings.extend(failed_sandboxes(&health)),
        Err(failure) => findings.push(Finding::new("operator", State::Bad, failure.into_sentence())),
    }
    findings
}

fn failed_sandboxes(health: &serde_json::Value) -> Vec<Finding> {
    let sandboxes = health["sandboxes"].as_object().into_iter().flatten();
    let failed = sandboxes.filter(|(_, sandbox)| sandbox["state"] == "failed");
    let told = |(name, sandbox): (&String, &serde_json::Value)| {
        let reason = sandbox["reason"].as_str().unwrap_or("no reason is known");
        Finding::new("sandbox", State::Bad, format!("{name} can't be opened: {reason}"))
    };
    failed.map(told).collect()
}

/// Looks at the authority without making one.
async fn certificates(config: &Config) -> Finding {
    const WHAT: &str = "certificates";
    if let Some(files) = &config.listen.certificate {
        return match crate::authority::certificates(config) {
            Ok(_) => Finding::new(WHAT, State::Good, format!("{} fits its key", files.chain.display())),
            Err(error) => Finding::new(WHAT, State::Bad, error),
        };
    }
    let Some(folder) = LocalCa::default_folder().filter(|folder| folder.exists()) else {
        return Finding::new(WHAT, State::Good, "a local authority is made at the first start");
    };
    let ca = match LocalCa::load_or_create(&folder) {
        Ok(ca) => ca,
        Err(error) => return Finding::new(WHAT, State::Bad, error),
    };
    let report = TrustStores::of_this_machine().inspect(&ca).await;
    if report.is_done() {
        return Finding::new(
            WHAT,
            State::Good,
            "this machine trusts the local authority: https://localhost opens without a warning",
        );
    }
    let told = format!("browsers warn at https://localhost until `platform-kernel trust` has run\n{report}");
    Finding::new(WHAT, State::Note, told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_failed_sandbox_is_bad() {
        let health = json!({"sandboxes": {"default": {"state": "awake"}, "acme": {"state": "failed", "reason": "no"}}});
        let found = failed_sandboxes(&health);
        assert_eq!(found, [Finding::new("sandbox", State::Bad, "acme can't be opened: no")]);
    }

    #[test]
    fn one_bad_thing_is_an_exit_code() {
        let good = Finding::new("ports", State::Good, "free");
        let note = Finding::new("clock", State::Note, "late");
        assert_eq!(report(&[good, note], true), Ok(()));
        assert_eq!(report(&[Finding::new("ports", State::Bad, "taken")], true), Err(Failure::told(1)));
    }
}

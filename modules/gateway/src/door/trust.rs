//! Makes this machine believe the local authority: the system's store, and those of Chromium and Firefox, which do
//! not look there. Nothing is done quietly in part: the [`Report`] has a line for every store.

mod nss;
mod system;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use super::LocalCa;

/// A program that takes longer (it waits for a passphrase) is stopped.
const PROGRAM_LIMIT: Duration = Duration::from_secs(60);

/// Where the stores of this machine are. Tests have a machine of their own.
#[derive(Clone, Debug)]
pub struct TrustStores {
    root: PathBuf,
    home: Option<PathBuf>,
    path: Vec<PathBuf>,
}

/// What was found or done, one entry a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// In the order they were visited; never empty.
    pub entries: Vec<Entry>,
}

/// One store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// "the system's store (Debian)", "Firefox, ~/.mozilla/…".
    pub store: String,
    /// How it stands now.
    pub outcome: Outcome,
}

/// How a store stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has just been installed.
    Installed,
    /// It trusts the authority; nothing had to be done.
    Trusted,
    /// It does not trust the authority.
    NotTrusted,
    /// The authority has just been taken out.
    Removed,
    /// The authority was not there; nothing had to be done.
    Absent,
    /// This user may not; the line to run instead.
    NeedsRights {
        /// To be copied to a shell.
        command: String,
    },
    /// A program is missing.
    NeedsProgram {
        /// Its name.
        program: &'static str,
        /// How to get it.
        remedy: &'static str,
    },
    /// It did not work.
    Failed {
        /// What the system or the program said.
        why: String,
    },
}

impl Outcome {
    /// Whether what was asked for is so now.
    pub fn is_done(&self) -> bool {
        matches!(self, Outcome::Installed | Outcome::Trusted | Outcome::Removed | Outcome::Absent)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Installed => f.write_str("installed"),
            Outcome::Trusted => f.write_str("trusts it already"),
            Outcome::NotTrusted => f.write_str("does not trust it"),
            Outcome::Removed => f.write_str("removed"),
            Outcome::Absent => f.write_str("does not hold it"),
            Outcome::NeedsRights { command } => write!(f, "not done: it needs rights; run\n    {command}"),
            Outcome::NeedsProgram { program, remedy } => {
                write!(f, "not done: the program {program} is missing; {remedy}")
            }
            Outcome::Failed { why } => write!(f, "not done: {why}"),
        }
    }
}

impl Report {
    /// Whether what was asked for is so in every store.
    pub fn is_done(&self) -> bool {
        self.entries.iter().all(|entry| entry.outcome.is_done())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Entry { store, outcome } in &self.entries {
            writeln!(f, "  {store}: {outcome}")?;
        }
        Ok(())
    }
}

/// What `trust --print` shows: the certificate, and what it is.
pub fn print(ca: &LocalCa) -> String {
    format!(
        "# {}\n# SHA-256 {}\n{}",
        ca.certificate_path().display(),
        ca.fingerprint_sha256(),
        ca.certificate_pem()
    )
}

impl TrustStores {
    /// The stores of this machine and this user. Administrators' programs are found also where `PATH` lacks sbin.
    pub fn of_this_machine() -> Self {
        let mut path: Vec<PathBuf> =
            std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
        path.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
        let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        Self { root: PathBuf::from("/"), home, path }
    }

    /// Puts the authority into every store. What this user may not do is reported with the command that does it.
    pub async fn install(&self, ca: &LocalCa) -> Report {
        let mut entries = vec![self.install_in_system(ca).await];
        entries.extend(self.each_browser(ca, nss::Act::Install).await);
        Report { entries }
    }

    /// Takes the authority out of every store.
    pub async fn remove(&self, ca: &LocalCa) -> Report {
        let mut entries = vec![self.remove_from_system(ca).await];
        entries.extend(self.each_browser(ca, nss::Act::Remove).await);
        Report { entries }
    }

    /// How every store stands; changes nothing.
    pub async fn inspect(&self, ca: &LocalCa) -> Report {
        let mut entries = vec![self.inspect_system(ca)];
        entries.extend(self.each_browser(ca, nss::Act::Inspect).await);
        Report { entries }
    }

    /// Whether every store that was found trusts the authority, so that `https://localhost` opens without a warning.
    /// Runs one short program for each browser profile.
    pub async fn is_trusted(&self, ca: &LocalCa) -> bool {
        self.inspect(ca).await.is_done()
    }

    fn program(&self, name: &str) -> Option<PathBuf> {
        self.path.iter().map(|folder| folder.join(name)).find(|program| program.is_file())
    }

    /// Runs a program that must not ask anything. Errors: a sentence.
    async fn run(&self, program: &Path, arguments: &[&str]) -> Result<Output, String> {
        let mut command = tokio::process::Command::new(program);
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        match tokio::time::timeout(PROGRAM_LIMIT, command.output()).await {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(e)) => Err(format!("{} cannot be run: {e}", program.display())),
            Err(_) => {
                let seconds = PROGRAM_LIMIT.as_secs();
                Err(format!("{} did not end within {seconds} seconds and was stopped", program.display()))
            }
        }
    }

    /// As [`run`](Self::run), and an unsuccessful end is an error with the program's last words.
    async fn run_well(&self, program: &Path, arguments: &[&str]) -> Result<(), String> {
        let output = self.run(program, arguments).await?;
        if output.status.success() {
            return Ok(());
        }
        let words = String::from_utf8_lossy(&output.stderr);
        let last =
            words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it gave no reason").trim();
        Err(format!("{} ended with {}: {last}", program.display(), output.status))
    }
}

/// A path as one word of a shell command.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;

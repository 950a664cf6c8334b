//! The ground: the data folder's place, the clock, what the system allows.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use kernel::config::{Config, DatabaseServer};
use rustix::fs::StatVfsMountFlags;
use rustix::process::{Resource, getrlimit};

use super::{Finding, State};
use crate::output::size;

/// Server, templates and a few sandboxes.
const LEAST_SPACE: u64 = 300_000_000;
const COMFORTABLE_SPACE: u64 = 2_000_000_000;
/// PostgreSQL's user under a kernel that runs as root.
const NOBODY: u32 = 65_534;
/// 2026-01-01: this program is younger.
const BEGINNING: Duration = Duration::from_secs(1_767_225_600);
/// Tokens live minutes; a clock may be off by less.
pub(super) const SKEW: Duration = Duration::from_secs(5);
const LEAST_FILES: u64 = 4_096;

/// Looks at the place of the data folder, at the clock and the limits.
pub fn look(config: &Config) -> Vec<Finding> {
    let embedded = matches!(config.database.server, DatabaseServer::Embedded { .. });
    let mut findings = vec![data_folder(&config.data_dir, embedded)];
    findings.extend(space(&config.data_dir));
    findings.push(clock(&config.data_dir));
    findings.push(files());
    findings
}

/// The folder itself, or the nearest one above it that is there.
fn nearest(path: &Path) -> PathBuf {
    path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned()
}

fn data_folder(path: &Path, embedded: bool) -> Finding {
    const WHAT: &str = "data folder";
    let there = nearest(path);
    let bad = |told: String| Finding::new(WHAT, State::Bad, told);
    if !there.is_dir() {
        return bad(format!(
            "{} is a file: move it, or choose another folder with --data-dir",
            there.display()
        ));
    }
    let mount = match rustix::fs::statvfs(&there) {
        Ok(mount) => mount.f_flag,
        Err(error) => return bad(format!("{} can't be looked at: {error}", there.display())),
    };
    if mount.contains(StatVfsMountFlags::RDONLY) {
        return bad(format!(
            "{} is mounted read-only: choose another place with --data-dir",
            there.display()
        ));
    }
    if embedded && mount.contains(StatVfsMountFlags::NOEXEC) {
        return bad(format!(
            "{} is mounted noexec, and PostgreSQL is started from there: choose another place with --data-dir",
            there.display()
        ));
    }
    match try_writing(&there) {
        Ok(true) => {}
        Ok(false) => {
            return bad(format!(
                "{} keeps no Unix modes (a Windows or network share?): choose a Linux file system with --data-dir",
                there.display()
            ));
        }
        Err(error) => {
            return bad(format!(
                "{} can't be written: {error}; start as its owner, or choose another place with --data-dir",
                there.display()
            ));
        }
    }
    if embedded && let Some(told) = wrong_owner(path) {
        return bad(told);
    }
    let is_new = if path.exists() { "" } else { ", made at the first start" };
    Finding::new(WHAT, State::Good, format!("{}{is_new}", path.display()))
}

/// Writes, reads and removes a file; says whether its mode was kept.
fn try_writing(folder: &Path) -> io::Result<bool> {
    let path = folder.join(format!(".platform-kernel-doctor-{}", std::process::id()));
    let tried = (|| {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(b"doctor\n")?;
        file.sync_all()?;
        if fs::read(&path)? != b"doctor\n" {
            return Err(io::Error::other("what was written does not come back"));
        }
        Ok(file.metadata()?.permissions().mode() & 0o777 == 0o600)
    })();
    fs::remove_file(&path).ok();
    tried
}

/// Who must get in and can't.
fn wrong_owner(path: &Path) -> Option<String> {
    let uid = rustix::process::geteuid();
    if uid.is_root() {
        let blocked = nearest(path).ancestors().skip(1).find_map(|folder| {
            let metadata = fs::metadata(folder).ok()?;
            (metadata.uid() != NOBODY && metadata.mode() & 0o001 == 0).then(|| folder.to_owned())
        })?;
        return Some(format!(
            "PostgreSQL refuses root and runs as uid {NOBODY}, which can't pass through {}: run `chmod o+x {}`, or choose \
             /var/lib/platform-kernel with --data-dir",
            blocked.display(),
            blocked.display()
        ));
    }
    let data = path.join("pgdata");
    let owner = fs::metadata(&data).ok()?.uid();
    (owner != uid.as_raw()).then(|| {
        format!("{} belongs to uid {owner}, this is uid {}: start as that user", data.display(), uid.as_raw())
    })
}

fn space(path: &Path) -> Option<Finding> {
    let mount = rustix::fs::statvfs(nearest(path)).ok()?;
    let free = mount.f_bavail.saturating_mul(mount.f_frsize);
    let state = match free {
        ..LEAST_SPACE => State::Bad,
        LEAST_SPACE..COMFORTABLE_SPACE => State::Note,
        _ => State::Good,
    };
    let more =
        if state == State::Good { "" } else { "; each sandbox takes about 15 MB and grows with its data" };
    Some(Finding::new("disk", state, format!("{} free{more}", size(free))))
}

/// Nobody is asked over the network: the clock is held against this program's age and the file system's clock.
fn clock(path: &Path) -> Finding {
    const WHAT: &str = "clock";
    let now = SystemTime::now();
    if now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() < BEGINNING {
        return Finding::new(
            WHAT,
            State::Bad,
            "it stands before 2026: tokens and certificates won't be good; set it",
        );
    }
    let probe = nearest(path).join(format!(".platform-kernel-doctor-clock-{}", std::process::id()));
    let written = File::options().write(true).create_new(true).mode(0o600).open(&probe);
    let on_disk = written.and_then(|file| file.metadata()).and_then(|metadata| metadata.modified());
    fs::remove_file(&probe).ok();
    let apart =
        on_disk.ok().map(|disk| disk.duration_since(now).unwrap_or_else(|earlier| earlier.duration()));
    match apart {
        Some(apart) if apart > SKEW => Finding::new(
            WHAT,
            State::Note,
            format!(
                "the file system's clock is {} s away from this machine's: synchronise both",
                apart.as_secs()
            ),
        ),
        _ => Finding::new(WHAT, State::Good, kernel::Timestamp::real()),
    }
}

fn files() -> Finding {
    match getrlimit(Resource::Nofile).maximum {
        Some(most) if most < LEAST_FILES => Finding::new(
            "open files",
            State::Note,
            format!("at most {most}: each connection is one; raise the limit (ulimit -Hn, LimitNOFILE)"),
        ),
        Some(most) => Finding::new("open files", State::Good, format!("up to {most}")),
        None => Finding::new("open files", State::Good, "no limit"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_still_to_be_made_is_good_and_a_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let found = data_folder(&folder.path().join("a/b"), false);
        assert_eq!(found.state, State::Good, "{found:?}");
        assert!(found.told.ends_with("made at the first start"));

        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(data_folder(&file, false).state, State::Bad);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn the_clock_of_this_machine_is_good() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(clock(folder.path()).state, State::Good);
    }
}

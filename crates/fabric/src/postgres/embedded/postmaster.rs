//! What Postgres' own lock file tells: `postmaster.pid` in the data folder holds the number of the process in its
//! first line and its state in the eighth.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::error::{EmbeddedError, IoContext};

const STATE_LINE: usize = 7;

/// Whether the Postgres of process `pid` takes connections.
pub(super) fn is_ready(pgdata: &Path, pid: u32) -> bool {
    fs::read_to_string(pgdata.join("postmaster.pid")).is_ok_and(|text| {
        let mut lines = text.lines();
        lines.next().and_then(|line| line.trim().parse().ok()) == Some(pid)
            && lines.nth(STATE_LINE - 1).is_some_and(|line| line.trim() == "ready")
    })
}

/// Waits until a Postgres that an earlier kernel left (it stops when its parent dies) has let go of the data.
///
/// The file of one that is gone is left to Postgres, which sees that itself, unless its number is another
/// process's by now (in containers that is the rule): then it is removed.
pub(super) fn wait_for_former(
    pgdata: &Path,
    patience: Duration,
    given_up: impl Fn() -> bool,
) -> Result<(), EmbeddedError> {
    let file = pgdata.join("postmaster.pid");
    let began = Instant::now();
    loop {
        let Some(pid) = holder(&file)? else { return Ok(()) };
        let alive = match rustix::process::test_kill_process(pid) {
            Ok(()) => true,
            Err(error) => error == rustix::io::Errno::PERM,
        };
        if !alive || given_up() {
            return Ok(());
        }
        if !works_in(pid, pgdata) {
            fs::remove_file(&file).context("remove", &file)?;
            return Ok(());
        }
        if began.elapsed() > patience {
            let pid = pid.as_raw_nonzero().get().unsigned_abs();
            return Err(EmbeddedError::InUse { path: pgdata.to_path_buf(), pid });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Removes the socket (and its lock file) of a Postgres that did not end by itself. The folder is this
/// installation's alone, so nobody can be listening there any more; Postgres itself would trust the number in the
/// file, which may be another process's by now.
pub(super) fn remove_sockets(folder: &Path, port: u16) -> Result<(), EmbeddedError> {
    for name in [format!(".s.PGSQL.{port}"), format!(".s.PGSQL.{port}.lock")] {
        let path = folder.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(EmbeddedError::io("remove", &path, error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn holder(file: &Path) -> Result<Option<Pid>, EmbeddedError> {
    match fs::read_to_string(file) {
        Ok(text) => {
            let first = text.lines().next().and_then(|line| line.trim().parse::<i32>().ok());
            Ok(first.filter(|pid| *pid > 0).and_then(Pid::from_raw))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(EmbeddedError::io("read", file, error)),
    }
}

/// Whether the process works in the data folder, as each Postgres does in its own. A process of another user shows
/// no folder; then its name decides.
fn works_in(pid: Pid, pgdata: &Path) -> bool {
    let number = pid.as_raw_nonzero();
    match (fs::metadata(format!("/proc/{number}/cwd")), fs::metadata(pgdata)) {
        (Ok(its), Ok(ours)) => its.dev() == ours.dev() && its.ino() == ours.ino(),
        (Err(error), _) if error.kind() == io::ErrorKind::PermissionDenied => {
            fs::read_to_string(format!("/proc/{number}/cmdline")).is_ok_and(|line| line.contains("postgres"))
        }
        // Ended but not reaped yet; or no /proc at all, and then Postgres' own check has to do.
        _ => !Path::new("/proc/self").exists(),
    }
}

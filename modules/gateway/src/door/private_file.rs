//! Files and folders that hold a private key: kept from others, never seen half written, never written twice.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::DoorError;

const LOCK_PATIENCE: Duration = Duration::from_secs(10);
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// Makes a folder that only its owner may enter; its parents as usual. One that others can write to is refused.
pub(super) fn make_folder(folder: &Path) -> Result<(), DoorError> {
    let failed = |source| DoorError::File { verb: "make", path: folder.to_owned(), source };
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(failed(e)),
        _ => {}
    }
    let mode = fs::metadata(folder).map_err(failed)?.permissions().mode();
    if mode & 0o022 != 0 {
        return Err(DoorError::Unusable {
            path: folder.to_owned(),
            why: format!("can be written by others (mode {:o})", mode & 0o777),
            remedy: format!("run `chmod 700 {}`", folder.display()),
        });
    }
    Ok(())
}

/// Held while the authority is read or made. A file system that has no locks is used without: the first link or the
/// last rename wins, and what is on the disk counts.
pub(super) fn lock(path: &Path) -> Result<Option<File>, DoorError> {
    let failed = |source| DoorError::File { verb: "open", path: path.to_owned(), source };
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path).map_err(failed)?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if began.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(LOCK_RETRY)
            }
            Err(TryLockError::WouldBlock) => return Err(DoorError::Busy { path: path.to_owned() }),
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
}

/// The text of a file that nobody else may read; `None` if there is no such file.
pub(super) fn read_private(path: &Path) -> Result<Option<String>, DoorError> {
    let failed = |source| DoorError::File { verb: "read", path: path.to_owned(), source };
    let mode = match fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    if mode & 0o077 != 0 {
        return Err(DoorError::Unusable {
            path: path.to_owned(),
            why: format!("is a private key that others can read (mode {:o})", mode & 0o777),
            remedy: format!(
                "run `chmod 600 {}`; if that changes nothing, the file system has no Unix modes: choose another folder",
                path.display()
            ),
        });
    }
    fs::read(path).map(|bytes| Some(String::from_utf8_lossy(&bytes).into_owned())).map_err(failed)
}

/// How a finished file takes its name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Publish {
    /// Only if there is none: another process that was first stays.
    First,
    Replace,
}

/// Writes a file that only its owner may read. It appears whole or not at all.
pub(super) fn write_private(path: &Path, text: &str, publish: Publish) -> Result<(), DoorError> {
    let temporary = temporary_name(path);
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        if publish == Publish::Replace {
            return fs::rename(&temporary, path);
        }
        match fs::hard_link(&temporary, path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(_) => fs::rename(&temporary, path), // no hard links here
            Ok(()) => Ok(()),
        }
    };
    let written = write();
    let _ = fs::remove_file(&temporary); // gone already after a rename
    written.map_err(|source| DoorError::File { verb: "write", path: path.to_owned(), source })
}

/// A name beside the file that no other thread or process takes.
pub(super) fn temporary_name(path: &Path) -> PathBuf {
    let nanos =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    path.with_extension(format!("{}-{:?}-{nanos}.tmp", std::process::id(), std::thread::current().id()))
}

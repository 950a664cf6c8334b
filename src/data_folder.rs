//! The data folder: made, and held by one kernel at a time.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::running::Running;

/// The file that says which process has the folder.
pub const LOCK: &str = "kernel.lock";
/// PostgreSQL's user must get in when the kernel runs as root; what is in the folder has modes of its own.
const MODE: u32 = 0o711;

/// A data folder, held until dropped or until this process is gone.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Makes the folder if it is not there, and takes it.
    ///
    /// # Errors
    /// Another process has it (named by its pid), or it can't be made or written.
    pub fn take(path: &Path) -> Result<Self, Failure> {
        DirBuilder::new().recursive(true).mode(MODE).create(path).map_err(|e| refused("make", path, &e))?;
        let file = path.join(LOCK);
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&file)
            .map_err(|e| refused("write to", path, &e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path, &mut lock)),
            // A file system without locks: PostgreSQL's own checks still hold there.
            Err(TryLockError::Error(_)) => {}
        }
        let pid = format!("{}\n", std::process::id());
        lock.set_len(0)
            .and_then(|()| lock.write_all(pid.as_bytes()))
            .map_err(|e| refused("write to", path, &e))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn in_use(path: &Path, lock: &mut File) -> Failure {
    let mut pid = String::new();
    lock.rewind().and_then(|()| lock.take(20).read_to_string(&mut pid)).ok();
    let pid = pid.trim();
    let at = match Running::read(path) {
        Some(running) => format!(", which answers at {}", running.url),
        None => String::new(),
    };
    let process = if pid.is_empty() { "another process".to_owned() } else { format!("process {pid}") };
    let stop = if pid.is_empty() { String::new() } else { format!(" (kill {pid})") };
    Failure::new(format!(
        "the data folder {} is in use by {process}{at}. Use that one (platform-kernel open), stop it{stop}, or start a \
         second one beside it:\n  platform-kernel --data-dir {}-2 --port-offset 100",
        path.display(),
        path.display()
    ))
}

/// The sentence that fits what the system said.
pub fn refused(verb: &str, path: &Path, error: &io::Error) -> Failure {
    let uid = rustix::process::geteuid().as_raw();
    let give = format!(
        "this is the user {uid}: give it the folder (chown -R {uid} {}), start it as the user that the folder belongs to, \
         or choose another with --data-dir",
        path.display()
    );
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied => &give,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full: free some space, or choose a folder on another disk with --data-dir"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "that file system is mounted read-only: choose a folder on another with --data-dir"
        }
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            "a file is in the way: move it, or choose another folder with --data-dir"
        }
        io::ErrorKind::InvalidFilename => "the name is too long: choose a shorter one with --data-dir",
        _ => "choose another folder with --data-dir",
    };
    Failure::new(format!("cannot {verb} the data folder {}: {error}; {remedy}", path.display()))
}

/// What an ordinary data folder holds: (name, what it is). `wipe` deletes these and nothing else.
pub const CONTENT: &[(&str, &str)] = &[
    ("pgdata", "the databases of all sandboxes"),
    ("pgdata-memory", "databases of a start with durability memory"),
    ("postgres", "the PostgreSQL server, unpacked from the executable"),
    ("postgres.password", "its password"),
    ("postgres.lock", "a lock"),
    ("run", "its socket"),
    ("blobs", "files of all sandboxes"),
    ("secret.key", "the installation key"),
    ("operator.key", "the operator's key"),
    ("ca", "a certificate authority"),
    ("logs", "log files"),
    ("runtime.json", "where the last kernel ran"),
    (LOCK, "a lock"),
];

/// Whether a kernel has lived in this folder.
pub fn is_ours(path: &Path) -> bool {
    let holds = |name: &str| fs::symlink_metadata(path.join(name)).is_ok();
    holds(LOCK) || holds("operator.key") || (holds("pgdata") && holds("postgres.password"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_use_names_the_process_and_a_line_that_works() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let held = DataFolder::take(&data).unwrap();

        let failure = DataFolder::take(&data).unwrap_err();
        let told = failure.sentence();
        assert!(told.contains(&format!("in use by process {}", std::process::id())), "{told}");
        assert!(told.contains("--port-offset 100"), "{told}");

        drop(held);
        DataFolder::take(&data).unwrap();
    }

    #[test]
    fn a_file_in_the_way_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let failure = DataFolder::take(&file).unwrap_err();
        assert!(failure.sentence().contains("a file is in the way"), "{failure:?}");
        let failure = DataFolder::take(&file.join("data")).unwrap_err();
        assert!(failure.sentence().contains("a file is in the way"), "{failure:?}");
    }

    #[test]
    fn a_path_of_150_characters_works() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("d".repeat(150));
        assert_eq!(DataFolder::take(&data).unwrap().path(), data);
        assert!(is_ours(&data));
        assert!(!is_ours(folder.path()));
    }
}

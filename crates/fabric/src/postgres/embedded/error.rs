//! What can go wrong around the carried Postgres, as sentences for the person who started the kernel.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why the embedded Postgres could not be unpacked, started, packed or stopped. Each message says what
/// happened and what to do.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// No Postgres is carried by the executable and none lies beside it.
    #[error(
        "this executable carries no Postgres (looked in {looked}). Use the released binary, set DATABASE_URL to a \
         Postgres 17 of your own, or make the archive with tools/pack-postgres.sh and name its folder in \
         PLATFORM_KERNEL_PAYLOAD"
    )]
    PayloadMissing {
        /// The places that were looked at, for the reader.
        looked: String,
    },
    /// The carried archive can't be read.
    #[error("the Postgres carried in {} is damaged ({detail}): download the binary again", path.display())]
    PayloadDamaged {
        /// The file that holds the archive.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// No space is left.
    #[error("the disk that holds {} is full: free some space or choose another folder with --data-dir", path.display())]
    DiskFull {
        /// What was being written.
        path: PathBuf,
    },
    /// The file system can't be written to.
    #[error(
        "{} is on a file system mounted read-only: mount it writable or choose another folder with --data-dir",
        path.display()
    )]
    ReadOnly {
        /// What was being written.
        path: PathBuf,
    },
    /// The rights don't suffice.
    #[error(
        "not allowed to {action} {}: the folder must belong to the user that runs the kernel (uid {uid}); change its \
         owner or choose another folder with --data-dir",
        path.display()
    )]
    Denied {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Who tried.
        uid: u32,
    },
    /// Another error of the operating system.
    #[error("could not {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// Programs may not be started from the data folder.
    #[error(
        "{} is on a file system mounted noexec, and Postgres is started from there: choose a folder on another \
         file system with --data-dir, or mount it without noexec",
        path.display()
    )]
    NoExec {
        /// The data folder.
        path: PathBuf,
    },
    /// The file system keeps no owners and modes.
    #[error(
        "{} is on a file system without Unix modes (a Windows or network share, perhaps), and Postgres keeps its \
         data only in a folder that nobody else may read: choose a folder on a Linux file system with --data-dir",
        path.display()
    )]
    NoUnixModes {
        /// The data folder.
        path: PathBuf,
    },
    /// Started as root, Postgres' user can't reach the data folder.
    #[error(
        "Postgres refuses to run as root and runs as uid {uid}, which can't pass through {}: run `chmod o+x {}`, or \
         choose a folder such as /var/lib/platform-kernel with --data-dir",
        folder.display(), folder.display()
    )]
    NotTraversable {
        /// The folder in the way.
        folder: PathBuf,
        /// Postgres' user.
        uid: u32,
    },
    /// Root in name only: the right to change the user is missing.
    #[error(
        "the kernel runs as root, Postgres refuses root, and changing to uid {uid} is not allowed here (a container \
         without the capabilities SETUID and SETGID, perhaps): run the kernel as an ordinary user"
    )]
    CannotChangeUser {
        /// Postgres' user.
        uid: u32,
    },
    /// The data belong to somebody else.
    #[error(
        "{} belongs to uid {owner}, the kernel runs as uid {uid}: start it as that user, run `chown -R {uid} {}`, or \
         choose another folder with --data-dir",
        path.display(), path.display()
    )]
    WrongOwner {
        /// Postgres' data folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who runs.
        uid: u32,
    },
    /// The data were written by a newer Postgres. Nothing was touched.
    #[error(
        "{} was written by Postgres {found}, this kernel carries Postgres {carried}: nothing was touched; start it \
         with the newer kernel that wrote it, or choose another folder with --data-dir",
        path.display()
    )]
    NewerData {
        /// Postgres' data folder.
        path: PathBuf,
        /// The version that wrote it.
        found: String,
        /// The version carried here.
        carried: String,
    },
    /// The data were written by an older major version. Nothing was touched.
    #[error(
        "{} was written by Postgres {found}, this kernel carries Postgres {carried} and can't read it: nothing was \
         touched; export the sandboxes with the kernel that wrote it and import them here",
        path.display()
    )]
    OlderData {
        /// Postgres' data folder.
        path: PathBuf,
        /// The version that wrote it.
        found: String,
        /// The version carried here.
        carried: String,
    },
    /// The folder is not Postgres' data.
    #[error(
        "{} is not a data folder of Postgres ({detail}): nothing was touched; move it away or choose another folder \
         with --data-dir",
        path.display()
    )]
    NotData {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Another process works on the data.
    #[error("{} is in use by process {pid}: stop it first (kill {pid}), or choose another folder with --data-dir", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Who uses it.
        pid: u32,
    },
    /// No folder for the socket.
    #[error(
        "no folder for Postgres' socket: {tried}. Its path may have {limit} bytes: choose a shorter --data-dir or \
         make /tmp writable"
    )]
    NoSocketFolder {
        /// Each folder with what is wrong with it.
        tried: String,
        /// The longest path of a folder that works.
        limit: usize,
    },
    /// The TCP port is taken.
    #[error("port {port} on 127.0.0.1 is taken: set KERNEL_POSTGRES_PORT to a free one, or leave it unset")]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// Postgres ended before it was ready.
    #[error("Postgres did not start ({status}): {log}")]
    StartFailed {
        /// How the process ended.
        status: String,
        /// The last lines of its log.
        log: String,
    },
    /// Postgres does not become ready.
    #[error("Postgres was not ready after {} s; its last words: {log}", waited.as_secs())]
    StartTimeout {
        /// How long it was waited for.
        waited: Duration,
        /// The last lines of its log.
        log: String,
    },
    /// The password of the installation could not be set.
    #[error("could not set the password of this installation's Postgres: {detail}")]
    Password {
        /// What Postgres answered.
        detail: String,
    },
    /// Only a cleanly stopped data folder can be packed.
    #[error("{} can't be packed: {detail}", path.display())]
    NotPackable {
        /// Postgres' data folder.
        path: PathBuf,
        /// Why not.
        detail: String,
    },
    /// Postgres does not stop.
    #[error(
        "Postgres (process {pid}) did not stop, not even when told to at once: look what it waits for, then kill it"
    )]
    NotStopped {
        /// The process.
        pid: u32,
    },
    /// A thread could not be started.
    #[error("the operating system refused another thread: {0}")]
    Thread(io::Error),
}

impl EmbeddedError {
    /// The sentence that fits the operating system's answer to `action` on `path`.
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            io::ErrorKind::PermissionDenied => {
                Self::Denied { action, path, uid: rustix::process::geteuid().as_raw() }
            }
            _ => Self::Io { action, path, source },
        }
    }
}

/// Adds what was done, and on what, to an answer of the operating system.
pub(super) trait IoContext<T> {
    /// Names the action ("create", "read") and its object.
    fn context(self, action: &'static str, path: &Path) -> Result<T, EmbeddedError>;
}

impl<T, E: Into<io::Error>> IoContext<T> for Result<T, E> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, EmbeddedError> {
        self.map_err(|source| EmbeddedError::io(action, path, source.into()))
    }
}

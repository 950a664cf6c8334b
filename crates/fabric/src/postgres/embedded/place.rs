//! The ground that Postgres stands on: whose process it is, whether its folders suit it, who holds them.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, lchown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, StatVfsMountFlags};

use super::error::{EmbeddedError, IoContext};

/// "nobody": the user of Postgres when the kernel runs as root.
const NOBODY: u32 = 65_534;
/// A socket's address has 108 bytes with the closing zero; the name in the folder is at most this long.
const SOCKET_NAME: &str = "/.s.PGSQL.65535.lock";
const SOCKET_FOLDER_LIMIT: usize = 107 - SOCKET_NAME.len();

/// The user that Postgres runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Another user than the kernel's: the process has to change to it.
    pub(super) differs: bool,
}

impl Account {
    /// The kernel's own user. Postgres refuses root: then the owner of the data that are there, else nobody.
    ///
    /// # Errors
    /// Data that belong to another ordinary user.
    pub(super) fn choose(pgdata: &Path) -> Result<Self, EmbeddedError> {
        let uid = rustix::process::geteuid().as_raw();
        let owner = match fs::metadata(pgdata) {
            Ok(metadata) => Some((metadata.uid(), metadata.gid())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(EmbeddedError::io("look into", pgdata, error)),
        };
        match owner {
            Some((owner, _)) if uid != 0 && owner != uid => {
                Err(EmbeddedError::WrongOwner { path: pgdata.to_path_buf(), owner, uid })
            }
            _ if uid != 0 => Ok(Self { uid, gid: rustix::process::getegid().as_raw(), differs: false }),
            Some((owner, gid)) if owner != 0 => Ok(Self { uid: owner, gid, differs: true }),
            _ => Ok(Self { uid: NOBODY, gid: NOBODY, differs: true }),
        }
    }

    /// Makes `path` this user's.
    pub(super) fn give(&self, path: &Path) -> Result<(), EmbeddedError> {
        if self.differs {
            lchown(path, Some(self.uid), Some(self.gid)).context("change the owner of", path)?;
        }
        Ok(())
    }

    /// Makes `folder` and everything in it this user's.
    pub(super) fn give_all(&self, folder: &Path) -> Result<(), EmbeddedError> {
        self.give(folder)?;
        for entry in fs::read_dir(folder).context("read", folder)? {
            let entry = entry.context("read", folder)?;
            if entry.file_type().context("read", folder)?.is_dir() {
                self.give_all(&entry.path())?;
            } else {
                self.give(&entry.path())?;
            }
        }
        Ok(())
    }

    fn can_pass(&self, folder: &fs::Metadata) -> bool {
        let mode = folder.mode();
        let bit = match () {
            () if folder.uid() == self.uid => 0o100,
            () if folder.gid() == self.gid => 0o010,
            () => 0o001,
        };
        mode & bit != 0
    }
}

/// Makes the data folder, if need be, and gives its full path.
pub(super) fn make_data_dir(data_dir: &Path) -> Result<PathBuf, EmbeddedError> {
    fs::DirBuilder::new().recursive(true).mode(0o711).create(data_dir).context("create", data_dir)?;
    fs::canonicalize(data_dir).context("find", data_dir)
}

/// Checks that Postgres can live in `data_dir`: writable, executable, with Unix modes, reachable by its user.
pub(super) fn check_data_dir(data_dir: &Path, account: &Account) -> Result<(), EmbeddedError> {
    let mount = rustix::fs::statvfs(data_dir).context("look into", data_dir)?.f_flag;
    if mount.contains(StatVfsMountFlags::RDONLY) {
        return Err(EmbeddedError::ReadOnly { path: data_dir.to_path_buf() });
    }
    if mount.contains(StatVfsMountFlags::NOEXEC) {
        return Err(EmbeddedError::NoExec { path: data_dir.to_path_buf() });
    }
    let trial = data_dir.join(".modes");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&trial).context("create", &trial)?;
    for mode in [0o711, 0o700] {
        let set = fs::set_permissions(&trial, Permissions::from_mode(mode));
        let kept = fs::metadata(&trial).context("look into", &trial)?.mode() & 0o777;
        if kept != mode || set.is_err() {
            fs::remove_dir(&trial).ok();
            return Err(EmbeddedError::NoUnixModes { path: data_dir.to_path_buf() });
        }
    }
    fs::remove_dir(&trial).context("remove", &trial)?;
    if account.differs {
        let own = fs::metadata(data_dir).context("look into", data_dir)?;
        if !account.can_pass(&own) {
            // The data folder is the kernel's own: what is in it has modes of its own.
            let opened = Permissions::from_mode(own.mode() & 0o777 | 0o011);
            fs::set_permissions(data_dir, opened).context("set the mode of", data_dir)?;
        }
        for folder in data_dir.ancestors().skip(1) {
            let metadata = fs::metadata(folder).context("look into", folder)?;
            if !account.can_pass(&metadata) {
                return Err(EmbeddedError::NotTraversable { folder: folder.to_path_buf(), uid: account.uid });
            }
        }
    }
    Ok(())
}

/// Holds the data folder against other kernels, until dropped or until this process is gone.
#[derive(Debug)]
pub(super) struct Hold {
    _file: File,
}

impl Hold {
    /// # Errors
    /// [`EmbeddedError::InUse`] with the process that has it.
    pub(super) fn take(data_dir: &Path) -> Result<Self, EmbeddedError> {
        let path = data_dir.join("postgres.lock");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .context("open", &path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                file.read_to_string(&mut text).context("read", &path)?;
                let pid = text.trim().parse().unwrap_or(0);
                return Err(EmbeddedError::InUse { path: data_dir.to_path_buf(), pid });
            }
            Err(error) => return Err(EmbeddedError::io("lock", &path, error.into())),
        }
        file.set_len(0).context("write", &path)?;
        writeln!(file, "{}", std::process::id()).context("write", &path)?;
        Ok(Self { _file: file })
    }
}

/// A folder for the socket that only Postgres' user (and root) can enter, with a path short enough for a
/// socket's address: within the data folder when that is short, else in the user's runtime folder or in /tmp.
pub(super) fn socket_folder(data_dir: &Path, account: &Account) -> Result<PathBuf, EmbeddedError> {
    let mut hasher = DefaultHasher::new();
    data_dir.hash(&mut hasher);
    let name = format!("pk-{}-{:016x}", account.uid, hasher.finish());
    let mut places = vec![data_dir.join("run")];
    // The runtime folder is the kernel user's alone: no way in for another user.
    if let Some(runtime) = std::env::var_os("XDG_RUNTIME_DIR").filter(|_| !account.differs) {
        places.push(Path::new(&runtime).join(&name));
    }
    places.push(Path::new("/tmp").join(&name));
    let mut tried = Vec::new();
    for folder in places {
        match try_socket_folder(&folder, account) {
            Ok(()) => return Ok(folder),
            Err(reason) => tried.push(format!("{} ({reason})", folder.display())),
        }
    }
    Err(EmbeddedError::NoSocketFolder { tried: tried.join(", "), limit: SOCKET_FOLDER_LIMIT })
}

fn try_socket_folder(folder: &Path, account: &Account) -> Result<(), String> {
    if folder.as_os_str().as_bytes().len() > SOCKET_FOLDER_LIMIT {
        return Err("its path is too long".to_owned());
    }
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => account.give(folder).map_err(|error| error.to_string())?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(folder).map_err(|error| error.to_string())?;
            // Anybody can make a folder of this name in /tmp first.
            if !found.is_dir() || found.uid() != account.uid || found.mode() & 0o077 != 0 {
                return Err(
                    "it is there already and belongs to somebody else or is open to others".to_owned()
                );
            }
        }
        Err(error) => return Err(error.to_string()),
    }
    // Some file systems (shares of another system, mostly) have folders but no sockets.
    let mut trial = OsString::from(folder);
    trial.push("/.trial");
    let trial = PathBuf::from(trial);
    // One may be left over from a process that was killed right here.
    fs::remove_file(&trial).ok();
    let listened = UnixListener::bind(&trial).map(drop).map_err(|error| error.to_string());
    fs::remove_file(&trial).ok();
    listened
}

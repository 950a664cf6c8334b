//! The folders of an installation: the unpacked server and Postgres' data.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use super::archive::{Archive, Payload};
use super::error::{EmbeddedError, IoContext};
use super::place::Account;
use super::settle::{self, Trust};
use super::unpack::{Access, unpack};
use super::{Durability, FirstStart};

/// A data folder is read by the major version that wrote it and by no other.
const MAJOR: u32 = 17;
/// The server looks for time zones by this name in its data folder (see tools/pack-postgres.sh).
pub(super) const ZONES: &str = "zoneinfo";

/// The unpacked server.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) folder: PathBuf,
    pub(super) version: String,
}

impl Server {
    /// Unpacks the carried server into `<data_dir>/postgres/<version>` unless it is there, and removes others.
    pub(super) fn unpack(payload: &Payload, data_dir: &Path) -> Result<Self, EmbeddedError> {
        let version = payload.server.first_text()?;
        let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-');
        if version.is_empty() || version.starts_with('.') || !version.chars().all(plain) {
            let detail = format!("its version reads {version:?}");
            return Err(EmbeddedError::PayloadDamaged { path: payload.server.file.clone(), detail });
        }
        let home = data_dir.join("postgres");
        let folder = home.join(&version);
        if folder.join("VERSION").is_file() && settle::trust(&folder)? != Trust::Doubtful {
            return Ok(Self { folder, version });
        }
        fs::create_dir_all(&home).context("create", &home)?;
        fs::set_permissions(&home, Permissions::from_mode(0o755)).context("set the mode of", &home)?;
        // Another process (a tool that packs) may unpack the same version: each into a folder of its own.
        let unfinished = home.join(format!(".new-{}", std::process::id()));
        remove_folder(&unfinished)?;
        unpack(&payload.server, &unfinished, Access::Everyone).inspect_err(|_| {
            fs::remove_dir_all(&unfinished).ok();
        })?;
        if settle::trust(&folder)? == Trust::Doubtful {
            remove_folder(&folder)?;
        }
        settle::begin(&folder)?;
        if let Err(error) = fs::rename(&unfinished, &folder) {
            // The other one was faster; its content is the same.
            fs::remove_dir_all(&unfinished).ok();
            if !folder.join("VERSION").is_file() {
                return Err(EmbeddedError::io("create", &folder, error));
            }
        }
        Ok(Self { folder, version })
    }

    /// Removes the servers of other versions, left by updates.
    pub(super) fn remove_others(&self) {
        let Some(home) = self.folder.parent() else { return };
        let Ok(entries) = fs::read_dir(home) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() && path != self.folder {
                let removed = remove_folder(&path).and_then(|()| settle::forget(&path));
                if let Err(error) = removed {
                    tracing::warn!(target: "postgres", "an older server stays in {}: {error}", path.display());
                }
            }
        }
    }

    /// The program, run by the carried loader with the carried libraries, so that the system's glibc (another one,
    /// or none) does not matter. Its environment is empty: nothing of it reaches Postgres.
    pub(super) fn command(&self, pgdata: &Path) -> Command {
        let libraries = self.folder.join("glibc");
        let mut path = libraries.clone().into_os_string();
        path.push(":");
        path.push(self.folder.join("lib"));
        let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
        command.arg("--inhibit-cache").arg("--library-path").arg(path);
        command.arg(self.folder.join("bin/postgres"));
        command.current_dir(pgdata).env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin");
        command
    }

    /// The data folder that initdb made when the server was packed.
    pub(super) fn pristine(&self) -> Result<Archive, EmbeddedError> {
        Archive::of_file(self.folder.join("cluster.tar.zst"))
    }
}

/// Where the data lie. In memory mode they are made anew at each start, so they have a folder of their own: an
/// attempt with that mode must not cost anybody their data.
pub(super) fn data_folder(data_dir: &Path, durability: Durability) -> PathBuf {
    data_dir.join(if durability == Durability::Memory { "pgdata-memory" } else { "pgdata" })
}

/// Leaves a data folder in `pgdata` that this server can start with.
pub(super) fn prepare(
    payload: &Payload,
    server: &Server,
    pgdata: &Path,
    account: &Account,
    durability: Durability,
) -> Result<FirstStart, EmbeddedError> {
    if durability == Durability::Memory {
        clear_away(pgdata)?;
        settle::forget(pgdata)?;
    }
    if settle::trust(pgdata)? == Trust::Doubtful {
        set_aside(pgdata)?;
    }
    let started = match check(pgdata, &server.version)? {
        true => FirstStart::Existing,
        false => create(payload, server, pgdata, account)?,
    };
    let found = fs::metadata(pgdata).context("look into", pgdata)?;
    if account.differs && found.uid() != account.uid {
        // Restored by root, perhaps.
        account.give_all(pgdata)?;
    }
    if found.mode() & 0o777 != 0o700 {
        fs::set_permissions(pgdata, Permissions::from_mode(0o700)).context("set the mode of", pgdata)?;
    }
    link_zones(server, pgdata)?;
    Ok(started)
}

/// Whether there are data, written by this major version.
pub(super) fn check(pgdata: &Path, carried: &str) -> Result<bool, EmbeddedError> {
    let file = pgdata.join("PG_VERSION");
    let path = pgdata.to_path_buf();
    let found = match fs::read_to_string(&file) {
        Ok(text) => text.trim().to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return nothing_there(pgdata).map(|()| false);
        }
        Err(error) => return Err(EmbeddedError::io("read", &file, error)),
    };
    let carried = carried.split('-').next().unwrap_or(carried).to_owned();
    match found.parse::<u32>() {
        Ok(MAJOR) => Ok(true),
        Ok(newer) if newer > MAJOR => Err(EmbeddedError::NewerData { path, found, carried }),
        Ok(_) => Err(EmbeddedError::OlderData { path, found, carried }),
        Err(_) => Err(EmbeddedError::NotData { path, detail: format!("its PG_VERSION reads {found:?}") }),
    }
}

/// Removes an empty folder, which somebody may have made beforehand; refuses one with something in it.
fn nothing_there(pgdata: &Path) -> Result<(), EmbeddedError> {
    match fs::remove_dir(pgdata) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            let detail = "it holds files but no PG_VERSION".to_owned();
            Err(EmbeddedError::NotData { path: pgdata.to_path_buf(), detail })
        }
        Err(error) => Err(EmbeddedError::io("replace", pgdata, error)),
    }
}

fn create(
    payload: &Payload,
    server: &Server,
    pgdata: &Path,
    account: &Account,
) -> Result<FirstStart, EmbeddedError> {
    let (archive, started) = match &payload.data {
        Some(archive) => (archive.clone(), FirstStart::Unpacked),
        None => (server.pristine()?, FirstStart::Fresh),
    };
    let unfinished = pgdata.with_extension("new");
    remove_folder(&unfinished)?;
    unpack(&archive, &unfinished, Access::Only(account)).inspect_err(|_| {
        fs::remove_dir_all(&unfinished).ok();
    })?;
    check(&unfinished, &server.version)?;
    settle::begin(pgdata)?;
    fs::rename(&unfinished, pgdata).context("create", pgdata)?;
    Ok(started)
}

/// Takes a folder of memory mode out of the way at once; its many files are removed on the side, and what is left
/// when the process ends by the next start.
fn clear_away(pgdata: &Path) -> Result<(), EmbeddedError> {
    let old = pgdata.with_extension("old");
    let aside = old.join(std::process::id().to_string());
    if pgdata.exists() {
        fs::create_dir_all(&old).context("create", &old)?;
        fs::rename(pgdata, &aside).context("rename", pgdata)?;
    }
    if old.exists() {
        std::thread::Builder::new()
            .name("clear-away".to_owned())
            .spawn(move || remove_folder(&old).ok())
            .map_err(EmbeddedError::Thread)?;
    }
    Ok(())
}

/// Keeps what a power failure left of a folder that was just being made.
fn set_aside(pgdata: &Path) -> Result<(), EmbeddedError> {
    if pgdata.exists() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let aside = pgdata.with_extension(format!("interrupted-{now}"));
        fs::rename(pgdata, &aside).context("rename", pgdata)?;
        tracing::warn!(
            target: "postgres",
            "the machine went down while {} was being made for the first time; it is made anew, what was there is in {}",
            pgdata.display(),
            aside.display()
        );
    }
    settle::forget(pgdata)
}

/// The data folder and the versions of the server move independently: the link is set at each start.
fn link_zones(server: &Server, pgdata: &Path) -> Result<(), EmbeddedError> {
    let (link, target) = (pgdata.join(ZONES), server.folder.join(ZONES));
    if fs::read_link(&link).is_ok_and(|present| present == target) {
        return Ok(());
    }
    let unfinished = pgdata.join("zoneinfo.new");
    fs::remove_file(&unfinished).ok();
    symlink(&target, &unfinished).context("create", &unfinished)?;
    fs::rename(&unfinished, &link).context("create", &link)
}

/// Removes a folder with all that is in it; one that is not there is fine.
pub(super) fn remove_folder(folder: &Path) -> Result<(), EmbeddedError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(EmbeddedError::io("remove", folder, error))
        }
        _ => Ok(()),
    }
}

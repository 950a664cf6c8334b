//! Packs a data folder, so that an installation starts with prepared templates.
//!
//! Every installation of a release begins with these bytes, so there must be no secret in them: the passwords of
//! all roles are removed, and so is what their removal leaves behind (old row versions, the write-ahead log).

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::archive::{Payload, WINDOW_LOG};
use super::cluster::{self, Server, ZONES};
use super::error::{EmbeddedError, IoContext};
use super::place::{Account, Hold};
use super::{postmaster, spawn};

const LEVEL: i32 = 19;
/// Made by each start, or of no use to another one.
const LEFT_OUT: [&str; 4] = ["postmaster.pid", "postmaster.opts", ZONES, "pg_hba.new"];
/// Folders of which only the folder counts.
const EMPTIED: [&str; 4] = ["pg_stat_tmp", "pg_dynshmem", "pg_notify", "pg_wal"];
/// What Postgres keeps beside a table about its free and its visible pages, and makes again as it needs it. Each file costs
/// a first start some time, and these are one in seven.
const FORKS: [&str; 2] = ["_fsm", "_vm"];
/// The next start writes its own.
const HOSTS: &str = "pg_hba.conf";

/// Removes the secrets from the stopped cluster `pgdata` (the passwords of all its roles; the installation that
/// owned it sets its superuser's again at its next start) and packs it into `out`, a `data.tar.zst` for
/// [`Payload`].
///
/// Takes seconds and blocks.
///
/// # Errors
/// A cluster that is in use or was not stopped cleanly; files that can't be read or written.
pub fn pack_data(pgdata: &Path, out: &Path) -> Result<(), EmbeddedError> {
    let pgdata = fs::canonicalize(pgdata).context("find", pgdata)?;
    let data_dir = pgdata.parent().unwrap_or(&pgdata);
    let _hold = Hold::take(data_dir)?;
    let server = Server::unpack(&Payload::find()?, data_dir)?;
    if !cluster::check(&pgdata, &server.version)? {
        return Err(not_packable(&pgdata, "there are no data in it"));
    }
    let account = Account::choose(&pgdata)?;
    postmaster::wait_for_former(&pgdata, std::time::Duration::ZERO, || false)?;
    Control::read(&pgdata)?;
    // The installation that packs has to set its password again.
    fs::write(pgdata.join(HOSTS), "").context("write", &pgdata.join(HOSTS))?;
    remove_secrets(&server, &pgdata, &account)?;
    let control = Control::read(&pgdata)?;
    write_archive(&pgdata, &control, out)
}

fn not_packable(pgdata: &Path, detail: impl Into<String>) -> EmbeddedError {
    EmbeddedError::NotPackable { path: pgdata.to_path_buf(), detail: detail.into() }
}

/// Runs Postgres by itself (no socket, no other process) for a few statements.
fn remove_secrets(server: &Server, pgdata: &Path, account: &Account) -> Result<(), EmbeddedError> {
    // The full vacuum leaves no old versions of the rows; after the switch, what the log held of them is in
    // segments that are not packed.
    const STATEMENTS: &[u8] =
        b"UPDATE pg_catalog.pg_authid SET rolpassword = NULL WHERE rolpassword IS NOT NULL\n\
        VACUUM FULL pg_catalog.pg_authid\n\
        CHECKPOINT\n\
        SELECT pg_catalog.pg_switch_wal()\n";
    let mut command = server.command(pgdata);
    command.args(["--single", "-D"]).arg(pgdata);
    for setting in ["exit_on_error=on", "timezone=UTC", "log_timezone=UTC", "wal_recycle=off"] {
        command.args(["-c", setting]);
    }
    command.arg("postgres").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = spawn::spawn(command, account).context("start", &server.folder)?;
    if let Some(mut input) = child.stdin.take() {
        // A Postgres that ended early says why on its error stream.
        input.write_all(STATEMENTS).ok();
    }
    let done = child.wait_with_output().context("run", &server.folder)?;
    if done.status.success() {
        Ok(())
    } else {
        Err(not_packable(pgdata, String::from_utf8_lossy(&done.stderr).trim()))
    }
}

/// What Postgres' control file tells about a stopped cluster.
struct Control {
    /// Where in the log the last checkpoint is.
    checkpoint: u64,
    timeline: u32,
}

impl Control {
    /// The fields of version 1700 of the file: identifier (8 bytes), versions (4, 4), state (4, padded), time (8),
    /// checkpoint (8), then a copy of that checkpoint: redo (8), timeline (4).
    fn read(pgdata: &Path) -> Result<Self, EmbeddedError> {
        const VERSION: u32 = 1700;
        const SHUT_DOWN: u32 = 1;
        let path = pgdata.join("global/pg_control");
        let mut bytes = [0_u8; 64];
        File::open(&path).and_then(|mut file| file.read_exact(&mut bytes)).context("read", &path)?;
        let four = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let eight = |at: usize| u64::from(four(at)) | u64::from(four(at + 4)) << 32;
        if four(8) != VERSION {
            return Err(not_packable(
                pgdata,
                format!("its control file has version {}, not {VERSION}", four(8)),
            ));
        }
        if four(16) != SHUT_DOWN || eight(32) != eight(40) {
            return Err(not_packable(pgdata, "it was not stopped cleanly: start and stop the kernel once"));
        }
        Ok(Self { checkpoint: eight(32), timeline: four(48) })
    }

    fn segment(&self, size: u64) -> String {
        let number = self.checkpoint / size;
        let per_id = (1_u64 << 32) / size;
        format!("{:08X}{:08X}{:08X}", self.timeline, number / per_id, number % per_id)
    }
}

fn write_archive(pgdata: &Path, control: &Control, out: &Path) -> Result<(), EmbeddedError> {
    let mut name = out.as_os_str().to_owned();
    name.push(".tar");
    let plain = PathBuf::from(name);
    let packed = out.with_extension("new");
    let written = write_tar(pgdata, control, &plain).and_then(|()| compress(&plain, &packed));
    fs::remove_file(&plain).ok();
    written?;
    fs::rename(&packed, out).context("write", out)
}

fn write_tar(pgdata: &Path, control: &Control, plain: &Path) -> Result<(), EmbeddedError> {
    let mut tar = tar::Builder::new(io::BufWriter::new(File::create(plain).context("create", plain)?));
    add_folder(&mut tar, pgdata, Path::new(""), plain)?;
    add_log(&mut tar, pgdata, control, plain)?;
    tar.into_inner().and_then(|mut file| file.flush()).context("write", plain)
}

/// From a file, whose size zstd then knows: unpacking asks for no more memory than that.
fn compress(plain: &Path, packed: &Path) -> Result<(), EmbeddedError> {
    let mut source = File::open(plain).context("open", plain)?;
    let size = source.metadata().context("read", plain)?.len();
    let target = File::create(packed).context("create", packed)?;
    let mut encoder = zstd::stream::write::Encoder::new(target, LEVEL).context("write", packed)?;
    encoder.include_checksum(true).context("write", packed)?;
    // Databases copied from one template repeat it at a distance: the window spans them.
    encoder.long_distance_matching(true).context("write", packed)?;
    encoder.window_log(WINDOW_LOG).context("write", packed)?;
    encoder.set_pledged_src_size(Some(size)).context("write", packed)?;
    io::copy(&mut source, &mut encoder).context("write", packed)?;
    encoder.finish().and_then(|file| file.sync_all()).context("write", packed)
}

type Tar = tar::Builder<io::BufWriter<File>>;

fn add_folder(tar: &mut Tar, pgdata: &Path, relative: &Path, out: &Path) -> Result<(), EmbeddedError> {
    let folder = pgdata.join(relative);
    let mut entries: Vec<_> =
        fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).context("read", &folder)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let emptied = relative.to_str().is_some_and(|name| EMPTIED.contains(&name));
    for entry in entries {
        let path = relative.join(entry.file_name());
        let kind = entry.file_type().context("read", &entry.path())?;
        if path.to_str().is_some_and(|name| LEFT_OUT.contains(&name)) {
            continue;
        }
        if kind.is_dir() {
            let mut header = header(tar::EntryType::Directory, 0o700, 0);
            tar.append_data(&mut header, &path, io::empty()).context("write", out)?;
            add_folder(tar, pgdata, &path, out)?;
        } else if !kind.is_file() {
            return Err(not_packable(pgdata, format!("{} is neither a file nor a folder", path.display())));
        } else if !emptied && !is_fork(&path) {
            let mut file = File::open(entry.path()).context("open", &entry.path())?;
            let size = file.metadata().context("read", &entry.path())?.len();
            let mut header = header(tar::EntryType::Regular, 0o600, size);
            tar.append_data(&mut header, &path, &mut file).context("write", out)?;
        }
    }
    Ok(())
}

fn is_fork(path: &Path) -> bool {
    path.starts_with("base")
        && path.to_str().is_some_and(|name| FORKS.iter().any(|fork| name.ends_with(fork)))
}

/// Of the log only the segment with the last checkpoint is needed, and of that only what lies before its end.
fn add_log(tar: &mut Tar, pgdata: &Path, control: &Control, out: &Path) -> Result<(), EmbeddedError> {
    const PAGE: u64 = 8192;
    /// More than the record of a checkpoint takes.
    const RECORD: u64 = 1024;
    let folder = pgdata.join("pg_wal");
    // All segments have the same size, and there is always one.
    let size = fs::read_dir(&folder)
        .context("read", &folder)?
        .flatten()
        .filter(|entry| entry.file_name().len() == 24)
        .find_map(|entry| entry.metadata().ok().map(|metadata| metadata.len()))
        .filter(|size| size.is_power_of_two())
        .ok_or_else(|| not_packable(pgdata, "it has no write-ahead log"))?;
    let name = control.segment(size);
    let path = folder.join(&name);
    let file = File::open(&path).context("open", &path)?;
    let end = ((control.checkpoint % size + RECORD).next_multiple_of(PAGE)).min(size);
    let mut content = vec![0; usize::try_from(end).unwrap_or(0)];
    file.read_exact_at(&mut content, 0).context("read", &path)?;
    let padded = content.chain(io::repeat(0).take(size - end));
    let mut header = header(tar::EntryType::Regular, 0o600, size);
    tar.append_data(&mut header, Path::new("pg_wal").join(name), padded).context("write", out)
}

/// The same data give the same archive: no owner, no time.
fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

//! Unpacks an archive into a folder: one thread decompresses, another writes.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

use super::archive::{Archive, WINDOW_LOG};
use super::error::{EmbeddedError, IoContext};
use super::place::Account;

const CHUNK: usize = 256 * 1024;
/// Chunks between the two threads.
const AHEAD: usize = 16;
const BLOCK: usize = 64 * 1024;
static ZEROES: [u8; BLOCK] = [0; BLOCK];

/// Who may read what is unpacked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Access<'a> {
    /// Programs: owned by the kernel's user, readable and executable by all.
    Everyone,
    /// Data: owned by Postgres' user and closed to everybody else.
    Only(&'a Account),
}

/// Unpacks `archive` into the new folder `into` (which must not exist).
pub(super) fn unpack(archive: &Archive, into: &Path, access: Access<'_>) -> Result<(), EmbeddedError> {
    let packed = archive.open()?;
    let (chunks, received) = sync_channel(AHEAD);
    std::thread::scope(|scope| {
        let decoding = std::thread::Builder::new()
            .name("unpack".to_owned())
            .spawn_scoped(scope, move || decode(packed, &chunks))
            .map_err(EmbeddedError::Thread)?;
        let written = write_tree(Chunks { received, chunk: Vec::new(), at: 0 }, archive, into, access);
        // A failed writer has dropped its end, so the decoder ends too.
        match (written, decoding.join()) {
            (_, Ok(Err(error))) => Err(damaged(archive, &error)),
            (Err(error), _) => Err(error),
            (Ok(()), Ok(Ok(()))) => Ok(()),
            (Ok(()), Err(_)) => Err(damaged(archive, &"unpacking ended early")),
        }
    })
}

fn damaged(archive: &Archive, detail: &impl ToString) -> EmbeddedError {
    EmbeddedError::PayloadDamaged { path: archive.file.clone(), detail: detail.to_string() }
}

/// Decompresses to the end (where zstd checks its sum), unless nobody wants more.
fn decode(packed: impl Read, chunks: &SyncSender<Vec<u8>>) -> io::Result<()> {
    let mut decoder = zstd::stream::read::Decoder::new(packed)?;
    decoder.window_log_max(WINDOW_LOG)?;
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        if decoder.by_ref().take(CHUNK as u64).read_to_end(&mut chunk)? == 0 {
            return Ok(());
        }
        if chunks.send(chunk).is_err() {
            return Ok(());
        }
    }
}

/// The decompressed bytes on the writer's side.
struct Chunks {
    received: Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            match self.received.recv() {
                Ok(chunk) => (self.chunk, self.at) = (chunk, 0),
                Err(_) => return Ok(0),
            }
        }
        let length = buffer.len().min(self.chunk.len() - self.at);
        buffer[..length].copy_from_slice(&self.chunk[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

fn write_tree(
    mut content: Chunks,
    archive: &Archive,
    into: &Path,
    access: Access<'_>,
) -> Result<(), EmbeddedError> {
    make_folder(into, access)?;
    let mut tree = tar::Archive::new(&mut content);
    let mut block = vec![0; BLOCK];
    for entry in tree.entries().map_err(|error| damaged(archive, &error))? {
        let mut entry = entry.map_err(|error| damaged(archive, &error))?;
        let path = inside(into, &entry.path().map_err(|error| damaged(archive, &error))?)
            .ok_or_else(|| damaged(archive, &"an entry lies outside of the archive"))?;
        match entry.header().entry_type() {
            tar::EntryType::Directory => make_folder(&path, access)?,
            tar::EntryType::Regular => {
                let executable = entry.header().mode().is_ok_and(|mode| mode & 0o100 != 0);
                let size = entry.size();
                write_file(&mut entry, size, &path, executable, access, &mut block)?;
            }
            tar::EntryType::Link => {
                let link = entry.link_name().map_err(|error| damaged(archive, &error))?;
                let first = link.and_then(|link| inside(into, &link)).ok_or_else(|| {
                    damaged(archive, &format!("the link {} leads out of the archive", path.display()))
                })?;
                fs::hard_link(first, &path).context("link", &path)?;
            }
            other => return Err(damaged(archive, &format!("an entry of kind {other:?}"))),
        }
    }
    // What follows the last entry is padding; the decoder checks its sum when all has been read.
    io::copy(&mut content, &mut io::sink()).map_err(|error| damaged(archive, &error))?;
    Ok(())
}

/// `relative` within `into`, unless it tries to leave.
fn inside(into: &Path, relative: &Path) -> Option<PathBuf> {
    relative
        .components()
        .try_fold(into.to_path_buf(), |path, component| match component {
            Component::Normal(name) => Some(path.join(name)),
            Component::CurDir => Some(path),
            _ => None,
        })
        .filter(|path| path != into)
}

fn make_folder(path: &Path, access: Access<'_>) -> Result<(), EmbeddedError> {
    match access {
        Access::Everyone => {
            // Of an archive without folder entries the parents are made as needed.
            fs::create_dir_all(path).context("create", path)?;
            fs::set_permissions(path, Permissions::from_mode(0o755)).context("set the mode of", path)?;
        }
        Access::Only(account) => {
            fs::DirBuilder::new().mode(0o700).create(path).context("create", path)?;
            account.give(path)?;
        }
    }
    spread(path);
    Ok(())
}

/// Has ext4 look for a place of its own for each folder in this one, as `chattr +T` does. It takes long to put thousands
/// of files where thousands were deleted in the last minutes, as databases are: 1.3 s instead of 0.1 s for 3,000 files,
/// and 0.3 s this way. Other file systems do not know it and do not need it.
fn spread(folder: &Path) {
    let Ok(folder) = File::open(folder) else { return };
    if let Ok(flags) = ioctl_getflags(&folder) {
        ioctl_setflags(&folder, flags | IFlags::TOPDIR).ok();
    }
}

fn write_file(
    content: &mut impl Read,
    size: u64,
    path: &Path,
    executable: bool,
    access: Access<'_>,
    block: &mut [u8],
) -> Result<(), EmbeddedError> {
    let mode = match access {
        Access::Everyone if executable => 0o755,
        Access::Everyone => 0o644,
        Access::Only(_) => 0o600,
    };
    let mut file =
        File::options().write(true).create_new(true).mode(mode).open(path).context("create", path)?;
    let mut left = size;
    while left > 0 {
        let want = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        content.read_exact(&mut block[..want]).context("read the archive for", path)?;
        // Empty stretches (most of a write-ahead log segment) become holes.
        if block[..want] == ZEROES[..want] {
            file.seek(SeekFrom::Current(want as i64)).context("write", path)?;
        } else {
            file.write_all(&block[..want]).context("write", path)?;
        }
        left -= want as u64;
    }
    file.set_len(size).context("write", path)?;
    match access {
        // Says it again for those with a strict umask.
        Access::Everyone => {
            file.set_permissions(Permissions::from_mode(mode)).context("set the mode of", path)
        }
        Access::Only(account) if account.differs => {
            fchown(&file, Some(account.uid), Some(account.gid)).context("change the owner of", path)
        }
        Access::Only(_) => Ok(()),
    }
}

//! The payload: archives of the server and of a prepared data folder, carried at the end of the executable.
//!
//! ```text
//! executable | server.tar.zst | data.tar.zst | trailer (64 bytes)
//! ```
//! The trailer holds, little-endian, offset and length of both archives, a format number and the magic word.
//! That the content is whole is checked by zstd itself: both frames end with a checksum.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::error::{EmbeddedError, IoContext};

const MAGIC: &[u8; 24] = b"platform-kernel payload\n";
const FORMAT: u64 = 1;
const TRAILER: u64 = 64;
const SERVER_FILE: &str = "postgres-17.tar.zst";
const DATA_FILE: &str = "data.tar.zst";
/// Names a folder that holds the archives as files: for development builds, whose executable carries none.
const FOLDER_VARIABLE: &str = "PLATFORM_KERNEL_PAYLOAD";
/// The archives are packed with a window of up to 2^27 bytes.
pub(super) const WINDOW_LOG: u32 = 27;

/// An archive: a stretch of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Archive {
    pub(super) file: PathBuf,
    offset: u64,
    length: u64,
}

/// The archives this executable carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    pub(super) server: Archive,
    pub(super) data: Option<Archive>,
}

impl Payload {
    /// Looks in the folder named by `PLATFORM_KERNEL_PAYLOAD`, at the end of the executable, and in the folder
    /// `payload` beside the executable; the first that has a server wins.
    ///
    /// # Errors
    /// [`EmbeddedError::PayloadMissing`] names the places; a trailer that contradicts its file is
    /// [`EmbeddedError::PayloadDamaged`].
    pub fn find() -> Result<Self, EmbeddedError> {
        let mut looked = Vec::new();
        if let Some(folder) = std::env::var_os(FOLDER_VARIABLE).map(PathBuf::from) {
            if let Some(payload) = Self::in_folder(&folder)? {
                return Ok(payload);
            }
            looked.push(format!("{} named by {FOLDER_VARIABLE}", folder.display()));
        }
        let program = crate::this_program().context("find", Path::new("the program's own file"))?;
        if let Some(payload) = Self::in_executable(&program)? {
            return Ok(payload);
        }
        // The name that people know it by.
        let executable = std::env::current_exe().unwrap_or(program);
        looked.push(executable.display().to_string());
        if let Some(folder) = executable.parent().map(|parent| parent.join("payload")) {
            if let Some(payload) = Self::in_folder(&folder)? {
                return Ok(payload);
            }
            looked.push(folder.display().to_string());
        }
        Err(EmbeddedError::PayloadMissing { looked: looked.join(", ") })
    }

    /// Whether a prepared data folder is carried, so that a first start needs no migrations.
    #[must_use]
    pub fn has_data(&self) -> bool {
        self.data.is_some()
    }

    /// Writes `out`: the executable `exe` (without what it may carry already) with the archives at its end,
    /// mode 755. `out` may be `exe` itself.
    ///
    /// # Errors
    /// Files that can't be read or written.
    pub fn append(exe: &Path, server: &Path, data: Option<&Path>, out: &Path) -> Result<(), EmbeddedError> {
        let mut source = File::open(exe).context("open", exe)?;
        let size = source.metadata().context("read", exe)?.len();
        let code = match read_trailer(&source, exe)? {
            Some(trailer) => trailer.server.0,
            None => size,
        };
        let mut name = out.as_os_str().to_owned();
        name.push(".new");
        let unfinished = PathBuf::from(name);
        let mut target = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o755)
            .open(&unfinished)
            .context("create", &unfinished)?;
        source.seek(SeekFrom::Start(0)).context("read", exe)?;
        io::copy(&mut source.take(code), &mut target).context("write", &unfinished)?;
        let mut copy = |path: &Path| -> Result<u64, EmbeddedError> {
            let mut file = File::open(path).context("open", path)?;
            io::copy(&mut file, &mut target).context("write", &unfinished)
        };
        let server_length = copy(server)?;
        let data_length = data.map(&mut copy).transpose()?.unwrap_or(0);
        let mut trailer = Vec::with_capacity(TRAILER as usize);
        for number in [code, server_length, code + server_length, data_length, FORMAT] {
            trailer.extend_from_slice(&number.to_le_bytes());
        }
        trailer.extend_from_slice(MAGIC);
        target.write_all(&trailer).context("write", &unfinished)?;
        target.set_permissions(fs::Permissions::from_mode(0o755)).context("write", &unfinished)?;
        target.sync_all().context("write", &unfinished)?;
        fs::rename(&unfinished, out).context("write", out)
    }

    fn in_folder(folder: &Path) -> Result<Option<Self>, EmbeddedError> {
        let whole = |name: &str| -> Result<Option<Archive>, EmbeddedError> {
            let file = folder.join(name);
            match fs::metadata(&file) {
                Ok(metadata) => Ok(Some(Archive { file, offset: 0, length: metadata.len() })),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(EmbeddedError::io("read", &file, error)),
            }
        };
        Ok(match whole(SERVER_FILE)? {
            Some(server) => Some(Self { server, data: whole(DATA_FILE)? }),
            None => None,
        })
    }

    /// The archives at the end of `executable`; none when it has no trailer or can't be opened.
    fn in_executable(executable: &Path) -> Result<Option<Self>, EmbeddedError> {
        let Ok(file) = File::open(executable) else { return Ok(None) };
        let Some(trailer) = read_trailer(&file, executable)? else { return Ok(None) };
        let stretch =
            |(offset, length): (u64, u64)| Archive { file: executable.to_path_buf(), offset, length };
        let data = (trailer.data.1 > 0).then(|| stretch(trailer.data));
        Ok(Some(Self { server: stretch(trailer.server), data }))
    }
}

impl Archive {
    /// The packed bytes.
    pub(super) fn open(&self) -> Result<impl Read + Send + use<>, EmbeddedError> {
        let mut file = File::open(&self.file).context("open", &self.file)?;
        file.seek(SeekFrom::Start(self.offset)).context("read", &self.file)?;
        Ok(file.take(self.length))
    }

    /// An archive that is a whole file.
    pub(super) fn of_file(file: PathBuf) -> Result<Self, EmbeddedError> {
        let length = fs::metadata(&file).context("read", &file)?.len();
        Ok(Self { file, offset: 0, length })
    }

    /// The content of the archive's first entry, which is a small text (`VERSION`); only the beginning is unpacked.
    pub(super) fn first_text(&self) -> Result<String, EmbeddedError> {
        let damaged = |detail: String| EmbeddedError::PayloadDamaged { path: self.file.clone(), detail };
        let mut decoder =
            zstd::stream::read::Decoder::new(self.open()?).map_err(|error| damaged(error.to_string()))?;
        decoder.window_log_max(WINDOW_LOG).map_err(|error| damaged(error.to_string()))?;
        let mut archive = tar::Archive::new(decoder);
        let mut entries = archive.entries().map_err(|error| damaged(error.to_string()))?;
        let first = entries.next().ok_or_else(|| damaged("it is empty".to_owned()))?;
        let mut text = String::new();
        first
            .and_then(|entry| entry.take(256).read_to_string(&mut text))
            .map_err(|e| damaged(e.to_string()))?;
        Ok(text.trim().to_owned())
    }
}

struct Trailer {
    server: (u64, u64),
    data: (u64, u64),
}

fn read_trailer(file: &File, path: &Path) -> Result<Option<Trailer>, EmbeddedError> {
    let size = file.metadata().context("read", path)?.len();
    let Some(start) = size.checked_sub(TRAILER) else { return Ok(None) };
    let mut bytes = [0_u8; TRAILER as usize];
    file.read_exact_at(&mut bytes, start).context("read", path)?;
    let (numbers, magic) = bytes.split_at(TRAILER as usize - MAGIC.len());
    if magic != MAGIC {
        return Ok(None);
    }
    let number = |index: usize| {
        let mut word = [0_u8; 8];
        word.copy_from_slice(&numbers[index * 8..index * 8 + 8]);
        u64::from_le_bytes(word)
    };
    let trailer = Trailer { server: (number(0), number(1)), data: (number(2), number(3)) };
    let follows = |(offset, length): (u64, u64), next: u64| offset.checked_add(length) == Some(next);
    if number(4) != FORMAT {
        let detail = format!("the payload has format {}, this version reads {FORMAT}", number(4));
        return Err(EmbeddedError::PayloadDamaged { path: path.to_path_buf(), detail });
    }
    if !follows(trailer.server, trailer.data.0) || !follows(trailer.data, start) {
        let detail = "the trailer does not fit the length of the file".to_owned();
        return Err(EmbeddedError::PayloadDamaged { path: path.to_path_buf(), detail });
    }
    Ok(Some(trailer))
}

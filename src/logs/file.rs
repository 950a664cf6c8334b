//! The log on disk: `logs/kernel.log`, and older files beside it. Bounded by size, so that a busy day fills no disk.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file is put aside when it has grown to this.
const FILE_LIMIT: u64 = 16 * 1024 * 1024;
/// Files kept beside the one written to.
const KEPT: usize = 6;

/// The folder of the log.
pub fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("logs")
}

/// `kernel.log` for 0, else `kernel.1.log` (younger) to `kernel.6.log` (older).
pub fn file(folder: &Path, age: usize) -> PathBuf {
    match age {
        0 => folder.join("kernel.log"),
        age => folder.join(format!("kernel.{age}.log")),
    }
}

/// The files that are there, oldest first.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    (0..=KEPT).rev().map(|age| file(folder, age)).filter(|path| path.is_file()).collect()
}

/// A file that makes room for itself.
#[derive(Debug)]
pub struct RotatedFile {
    folder: PathBuf,
    file: File,
    length: u64,
    limit: u64,
}

impl RotatedFile {
    /// Goes on with the file that is there. The folder is its owner's alone: log lines name people's addresses.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(folder: &Path) -> io::Result<Self> {
        Self::open_bounded(folder, FILE_LIMIT)
    }

    fn open_bounded(folder: &Path, limit: u64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let file = appended(&file(folder, 0))?;
        let length = file.metadata()?.len();
        Ok(Self { folder: folder.to_owned(), file, length, limit })
    }

    fn rotate(&mut self) -> io::Result<()> {
        for age in (0..KEPT).rev() {
            match fs::rename(file(&self.folder, age), file(&self.folder, age + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.file = appended(&file(&self.folder, 0))?;
        self.length = 0;
        Ok(())
    }
}

fn appended(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).mode(0o600).open(path)
}

impl Write for RotatedFile {
    /// Lines come whole, so files begin and end with whole lines.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.length > 0 && self.length + bytes.len() as u64 > self.limit {
            // A rename that fails must not cost the line: the file grows on.
            self.rotate().ok();
        }
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_lines_go_when_the_room_is_used_up() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = RotatedFile::open_bounded(folder.path(), 20).unwrap();
        for number in 0..100 {
            writeln!(log, "line {number:03}").unwrap();
        }
        let files = files(folder.path());
        assert_eq!(files.len(), KEPT + 1);
        let text: String = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.first(), lines.last()), (Some(&"line 086"), Some(&"line 099")));
    }

    #[test]
    fn a_second_start_goes_on_with_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let mut log = RotatedFile::open(folder.path()).unwrap();
            log.write_all(b"once more\n").unwrap();
        }
        let text = fs::read_to_string(file(folder.path(), 0)).unwrap();
        assert_eq!(text, "once more\nonce more\n");
    }
}

//! Unpacked folders are not waited for until they are on the disk: the system writes them out while Postgres
//! starts. Until then a marker stands beside the folder, with the boot of the machine in it. A marker of an earlier
//! boot tells that the power failed in between, so that the folder can't be trusted.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::error::{EmbeddedError, IoContext};

/// What is known about an unpacked folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// It was on the disk before its marker went away.
    Settled,
    /// Unpacked since the machine was started: whole, though perhaps not on the disk yet.
    Settling,
    /// The machine went down before it was on the disk.
    Doubtful,
}

/// Marks `folder`, which is about to appear, as not on the disk yet.
pub(super) fn begin(folder: &Path) -> Result<(), EmbeddedError> {
    let marker = marker(folder);
    fs::write(&marker, boot()).context("write", &marker)
}

pub(super) fn trust(folder: &Path) -> Result<Trust, EmbeddedError> {
    let marker = marker(folder);
    match fs::read_to_string(&marker) {
        Ok(text) if text == boot() => Ok(Trust::Settling),
        // An empty marker did not reach the disk itself.
        Ok(_) => Ok(Trust::Doubtful),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Trust::Settled),
        Err(error) => Err(EmbeddedError::io("read", &marker, error)),
    }
}

/// Waits until everything in `data_dir` is on the disk, then removes the markers of `folders`.
pub(super) fn finish(data_dir: &Path, folders: &[PathBuf]) -> Result<(), EmbeddedError> {
    for folder in folders {
        // The data may be a link to another disk.
        let opened = File::open(folder).context("open", folder)?;
        rustix::fs::syncfs(&opened).context("write out", folder)?;
    }
    for folder in folders {
        forget(folder)?;
        let parent = folder.parent().unwrap_or(data_dir);
        File::open(parent).and_then(|parent| parent.sync_all()).context("write out", parent)?;
    }
    Ok(())
}

/// Removes the marker of a folder that is no more.
pub(super) fn forget(folder: &Path) -> Result<(), EmbeddedError> {
    let marker = marker(folder);
    match fs::remove_file(&marker) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(EmbeddedError::io("remove", &marker, error))
        }
        _ => Ok(()),
    }
}

fn marker(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".settling");
    PathBuf::from(name)
}

/// The identity of this run of the machine; without /proc the same word each time, which trusts the folder.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_else(|_| "unknown\n".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_an_earlier_boot_is_doubtful_until_it_is_made_anew() {
        let home = std::env::temp_dir().join(format!("settle-{}", std::process::id()));
        let folder = home.join("pgdata");
        fs::create_dir_all(&folder).expect("a temporary folder");

        assert_eq!(trust(&folder).expect("readable"), Trust::Settled);
        begin(&folder).expect("writable");
        assert_eq!(trust(&folder).expect("readable"), Trust::Settling);
        fs::write(marker(&folder), "another boot\n").expect("writable");
        assert_eq!(trust(&folder).expect("readable"), Trust::Doubtful);
        begin(&folder).expect("writable");
        finish(&home, std::slice::from_ref(&folder)).expect("on the disk");
        assert_eq!(trust(&folder).expect("readable"), Trust::Settled);

        fs::remove_dir_all(&home).expect("removable");
    }
}

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use crate::FlagSet;

/// The flags of the program itself.
const BUILT_IN: &str = include_str!("../../../feature-flags/flags.yaml");

/// Largest file that is read.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// Within this time two states of a file may have the same date.
const COARSE: Duration = Duration::from_secs(3);

/// The flags of the process: of a file, read anew when it changes, or those built in.
#[derive(Debug)]
pub struct FlagFile {
    path: Option<PathBuf>,
    flags: RwLock<Arc<FlagSet>>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Date and length of the file as it was read last.
    stamp: Option<(SystemTime, u64)>,
    /// Of an older file the same date says: the same file.
    settled: bool,
    problem: Option<String>,
}

/// How the file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileState {
    /// Its path; none: the flags are those built in.
    pub path: Option<PathBuf>,
    /// How many flags hold now.
    pub flags: usize,
    /// Why the file as it is now is not taken; the flags that hold are those of before.
    pub problem: Option<String>,
}

impl FlagFile {
    /// The flags built in.
    ///
    /// # Panics
    /// Never: a test reads them.
    pub fn built_in() -> Arc<Self> {
        Arc::new(Self::new(None))
    }

    /// The flags of a file. Until it can be read, those built in hold.
    pub fn open(path: &Path) -> Arc<Self> {
        let file = Self::new(Some(path.to_owned()));
        file.look();
        Arc::new(file)
    }

    fn new(path: Option<PathBuf>) -> Self {
        let flags = FlagSet::parse(BUILT_IN).expect("because a test reads the flags built in");
        Self { path, flags: RwLock::new(Arc::new(flags)), seen: Mutex::default() }
    }

    /// The flags that hold now.
    pub fn flags(&self) -> Arc<FlagSet> {
        Arc::clone(&self.flags.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How the file is.
    pub fn state(&self) -> FileState {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        FileState { path: self.path.clone(), flags: self.flags().len(), problem: seen.problem.clone() }
    }

    /// Looks whether the file has changed, and reads it then. Blocks. Says whether other flags hold now.
    pub fn look(&self) -> bool {
        let Some(path) = &self.path else { return false };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = stamp(path);
        if let (Ok(stamp), true) = (&stamp, seen.settled)
            && seen.stamp == Some(*stamp)
        {
            return false;
        }
        let stamp = stamp.ok();
        let age = stamp.and_then(|(date, _)| SystemTime::now().duration_since(date).ok());
        seen.settled = age.is_some_and(|age| age > COARSE);
        seen.stamp = stamp;
        let read = read(path).and_then(|text| FlagSet::parse(&text).map_err(|broken| broken.to_string()));
        match read {
            Ok(flags) => {
                seen.problem = None;
                let mut held = self.flags.write().unwrap_or_else(PoisonError::into_inner);
                let changed = !held.is_same(&flags);
                if changed {
                    *held = Arc::new(flags);
                }
                changed
            }
            Err(problem) => {
                seen.problem = Some(problem);
                false
            }
        }
    }
}

fn stamp(path: &Path) -> io::Result<(SystemTime, u64)> {
    let about = fs::metadata(path)?;
    Ok((about.modified()?, about.len()))
}

fn read(path: &Path) -> Result<String, String> {
    let told = |error: io::Error| format!("it can't be read: {error}");
    if fs::metadata(path).map_err(told)?.len() > MOST_BYTES {
        return Err(format!("it is larger than {} MB", MOST_BYTES / 1024 / 1024));
    }
    fs::read_to_string(path).map_err(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "one: { variations: { a: 1 }, defaultRule: { variation: a } }";
    const TWO: &str = "two: { variations: { a: 1 }, defaultRule: { variation: a } }";

    #[test]
    fn the_flags_built_in_are_sound() {
        let file = FlagFile::built_in();
        assert!(file.flags().len() > 3);
        assert_eq!((file.state().problem, file.look()), (None, false));
    }

    #[test]
    fn a_file_is_read_anew_and_a_broken_one_keeps_the_last_good_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flags.yaml");
        let file = FlagFile::open(&path);
        assert!(file.state().problem.unwrap().contains("can't be read"));
        assert!(!file.flags().is_empty(), "until then the ones built in hold");
        fs::write(&path, ONE).unwrap();
        assert!(file.look() && file.flags().get("one").is_some() && file.state().problem.is_none());
        assert!(!file.look(), "nothing has changed");
        // Of the same length and, on many file systems, of the same date.
        fs::write(&path, TWO).unwrap();
        assert!(file.look() && file.flags().get("two").is_some());
        fs::write(&path, "two: { variations: {} }").unwrap();
        assert!(!file.look());
        assert!(file.flags().get("two").is_some(), "the last good one holds");
        assert!(file.state().problem.unwrap().contains("two: /variations"));
        fs::remove_file(&path).unwrap();
        assert!(!file.look() && file.flags().get("two").is_some());
        fs::write(&path, TWO).unwrap();
        assert!(!file.look() && file.state().problem.is_none(), "it is well again, and the same");
    }
}

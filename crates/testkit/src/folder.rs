use std::path::Path;

/// A data folder that goes with the test, in memory where the machine has such a place: first starts make thousands of
/// small files.
pub fn data_folder() -> tempfile::TempDir {
    let place = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
    tempfile::Builder::new().prefix("pk").tempdir_in(place).expect("a folder for data")
}

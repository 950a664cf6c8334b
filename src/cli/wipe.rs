//! `wipe`: away with the data folder.

use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use kernel::config::DatabaseServer;

use super::Call;
use crate::data_folder::{CONTENT, DataFolder, LOCK, is_ours, refused};
use crate::failure::Failure;
use crate::output::{self, Table, size};
use crate::settings;

/// Delete the data folder, after showing what is in it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
All sandboxes, keys and logs go. Files in the folder that are not the kernel's stay, and so does an external database.

Examples:
  platform-kernel wipe
  platform-kernel wipe --yes --data-dir ./data")]
pub struct Args {
    /// Don't ask.
    #[arg(long)]
    yes: bool,
}

/// Shows, asks, deletes.
///
/// # Errors
/// It is in use, not a data folder, or the answer was no.
pub fn run(args: &Args, call: Call) -> Result<(), Failure> {
    let config = settings::resolve(call.settings)?.config;
    let path = &config.data_dir;
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return output::line(format!("there is nothing at {}", path.display()));
        }
        Err(error) => return Err(refused("look into", path, &error)),
        Ok(_) if !is_ours(path) => {
            return Err(Failure::new(format!(
                "{} is not a data folder of a kernel: nothing was touched; name the right one with --data-dir",
                path.display()
            )));
        }
        Ok(_) => {}
    }
    // Held until all is gone, so that none starts in between.
    let folder = DataFolder::take(path)?;
    let found = look(folder.path())?;
    output::print(&found.text(folder.path()))?;
    if matches!(config.database.server, DatabaseServer::External { .. }) {
        eprintln!("DATABASE_URL is set: the sandboxes in that database stay.");
    }
    if !args.yes && !confirmed(folder.path())? {
        return Err(Failure::new("nothing was deleted"));
    }
    for (name, _) in &found.ours {
        remove(&folder.path().join(name))?;
    }
    remove(&folder.path().join(LOCK))?;
    // With something left in it the folder stays.
    match fs::remove_dir(folder.path()) {
        Ok(()) => output::line("gone"),
        Err(_) => output::line(format!("gone, but for what else lies in {}", folder.path().display())),
    }
}

/// What a folder holds: ours with sizes, and names of the rest.
struct Found {
    ours: Vec<(&'static str, u64)>,
    others: Vec<String>,
}

fn look(path: &Path) -> Result<Found, Failure> {
    let mut found = Found { ours: Vec::new(), others: Vec::new() };
    for entry in fs::read_dir(path).map_err(|error| refused("look into", path, &error))? {
        let entry = entry.map_err(|error| refused("look into", path, &error))?;
        let name = entry.file_name();
        match CONTENT.iter().find(|(known, _)| name == *known) {
            Some((known, _)) => found.ours.push((known, size_of(&entry.path()))),
            None => found.others.push(name.to_string_lossy().into_owned()),
        }
    }
    found.ours.sort_by_key(|(name, size)| (std::cmp::Reverse(*size), *name));
    found.others.sort();
    Ok(found)
}

impl Found {
    fn text(&self, path: &Path) -> String {
        let mut table = Table::new(&["size", "in", "what"]);
        for (name, bytes) in &self.ours {
            let what = CONTENT.iter().find(|(known, _)| known == name).map_or("", |(_, what)| *what);
            table.row([size(*bytes), path.join(name).display().to_string(), what.to_owned()]);
        }
        let total: u64 = self.ours.iter().map(|(_, size)| size).sum();
        let mut text = format!("{}{} in all\n", table.text(), size(total));
        if !self.others.is_empty() {
            text.push_str(&format!("Not the kernel's, and left as they are: {}\n", self.others.join(", ")));
        }
        text
    }
}

/// All files below; what can't be read counts nothing. Links are not followed.
fn size_of(path: &Path) -> u64 {
    let mut waiting = vec![PathBuf::from(path)];
    let mut total = 0;
    while let Some(path) = waiting.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            waiting.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        } else {
            total += metadata.len();
        }
    }
    total
}

/// The folder's name has to be typed: `y` comes too easily.
fn confirmed(path: &Path) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "there is no terminal to ask at: say --yes if you mean it. Nothing was deleted",
        ));
    }
    let name = path
        .file_name()
        .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
    eprint!("To delete all that, type the folder's name ({name}): ");
    io::stderr().flush().ok();
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Failure::new(format!("no answer could be read: {error}")))?;
    Ok(answer.trim() == name)
}

fn remove(path: &Path) -> Result<(), Failure> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::new(format!(
            "cannot delete {}: {error}; run this as the user that runs the kernel",
            path.display()
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(path: &Path) -> Call {
        Call { settings: vec![("data-dir".to_owned(), path.display().to_string())], verbose: false }
    }

    #[test]
    fn what_is_not_ours_stays() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("pgdata")).unwrap();
        fs::write(folder.path().join("pgdata/PG_VERSION"), "17").unwrap();
        fs::write(folder.path().join("operator.key"), "ok_x").unwrap();
        fs::write(folder.path().join("thesis.tex"), "years of work").unwrap();

        run(&Args { yes: true }, call(folder.path())).unwrap();

        let left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["thesis.tex"]);
    }

    #[test]
    fn a_folder_in_use_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let _held = DataFolder::take(&data).unwrap();
        let failure = run(&Args { yes: true }, call(&data)).unwrap_err();
        assert!(failure.sentence().contains("in use by process"), "{failure:?}");
        assert!(data.join(LOCK).exists());
    }

    #[test]
    fn another_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "").unwrap();
        let failure = run(&Args { yes: true }, call(folder.path())).unwrap_err();
        assert!(failure.sentence().contains("not a data folder"), "{failure:?}");
    }

    #[test]
    fn an_emptied_folder_goes_too() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        drop(DataFolder::take(&data).unwrap());
        run(&Args { yes: true }, call(&data)).unwrap();
        assert!(!data.exists());
    }
}

//! The rules of the configuration, one by one.

mod combinations;
mod example;
mod forms;
mod kafka;
mod names;
mod precedence;

use std::io;
use std::path::{Path, PathBuf};

use super::*;

/// Sources of a developer's machine, to which a test adds what it is about.
struct Given {
    env: Vec<(String, String)>,
    flags: Vec<(String, String)>,
    file: Option<(PathBuf, String)>,
    secrets: Vec<(PathBuf, String)>,
    home: Option<PathBuf>,
    in_container: bool,
    is_root: bool,
    on_terminal: bool,
}

fn nothing() -> Given {
    Given {
        env: Vec::new(),
        flags: Vec::new(),
        file: None,
        secrets: Vec::new(),
        home: Some("/home/ada".into()),
        in_container: false,
        is_root: false,
        on_terminal: true,
    }
}

fn env(name: &str, value: &str) -> Given {
    nothing().env(name, value)
}

fn flag(name: &str, value: &str) -> Given {
    nothing().flag(name, value)
}

fn file(text: &str) -> Given {
    nothing().file(text)
}

impl Given {
    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.push((name.into(), value.into()));
        self
    }

    fn file(mut self, text: &str) -> Self {
        self.file = Some(("/etc/pk.toml".into(), text.into()));
        self
    }

    fn secret_file(mut self, path: &str, text: &str) -> Self {
        self.secrets.push((path.into(), text.into()));
        self
    }

    fn resolve(self) -> Result<Resolved, Vec<Mistake>> {
        let secrets = self.secrets;
        let read = |path: &Path| -> io::Result<String> {
            let found = secrets.iter().find(|(known, _)| known == path).map(|(_, text)| text.clone());
            found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))
        };
        Config::resolve(Sources {
            env: self.env,
            flags: self.flags,
            file: self.file,
            read_secret_file: &read,
            home: self.home,
            in_container: self.in_container,
            is_root: self.is_root,
            on_terminal: self.on_terminal,
        })
    }

    #[track_caller]
    fn resolved(self) -> Resolved {
        self.resolve().unwrap_or_else(|mistakes| panic!("refused: {mistakes:#?}"))
    }

    #[track_caller]
    fn config(self) -> Config {
        self.resolved().config
    }

    /// All mistakes as sentences.
    #[track_caller]
    fn mistakes(self) -> Vec<String> {
        match self.resolve() {
            Ok(resolved) => panic!("not refused: {resolved:#?}"),
            Err(mistakes) => mistakes.iter().map(ToString::to_string).collect(),
        }
    }

    /// The only mistake.
    #[track_caller]
    fn mistake(self) -> String {
        let mut mistakes = self.mistakes();
        assert_eq!(mistakes.len(), 1, "{mistakes:#?}");
        mistakes.remove(0)
    }
}

/// The value in the printed table.
fn shown<'a>(resolved: &'a Resolved, name: &str) -> &'a str {
    let row = resolved.table().iter().find(|row| row.name == name);
    row.map(|row| row.value.as_str()).unwrap_or_else(|| panic!("{name} is not in the table"))
}

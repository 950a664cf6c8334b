//! Where a value came from, and what is wrong with it.

use std::fmt;
use std::path::PathBuf;

use super::settings::Setting;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// An environment variable.
    Environment,
    /// A flag of the command line.
    Flag,
    /// A line of the configuration file, counted from 1.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line of the key.
        line: usize,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Environment => f.write_str("environment"),
            Self::Flag => f.write_str("flag"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
        }
    }
}

/// Something in the configuration that stops the start. Its `Display` is a whole sentence for the person
/// who wrote it: the name as written, where, what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    name: String,
    origin: Option<Origin>,
    text: String,
}

impl Mistake {
    pub(super) fn new(name: impl Into<String>, origin: Option<Origin>, text: impl Into<String>) -> Self {
        Self { name: printable(&name.into()), origin, text: text.into() }
    }

    /// The name as it was written: `GATEWAY_PORT`, `--gateway-port` or `gateway_port`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it was written; `None` when nothing was written and something should have been.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(origin) => write!(f, "{} ({origin}): {}", self.name, self.text),
            None => write!(f, "{}: {}", self.name, self.text),
        }
    }
}

impl std::error::Error for Mistake {}

/// The name of a setting as one writes it at that origin; `from_file` is its `…_FILE` form.
pub(super) fn name_at(setting: &Setting, origin: &Origin, from_file: bool) -> String {
    match (origin, from_file) {
        (Origin::Flag, false) => format!("--{}", setting.flag()),
        (Origin::Flag, true) => format!("--{}-file", setting.flag()),
        (Origin::File { .. }, false) => setting.key(),
        (Origin::File { .. }, true) => format!("{}_file", setting.key()),
        (Origin::Default | Origin::Environment, _) if setting.flag_only => format!("--{}", setting.flag()),
        (Origin::Default | Origin::Environment, false) => setting.name.to_owned(),
        (Origin::Default | Origin::Environment, true) => format!("{}_FILE", setting.name),
    }
}

/// A name that a stranger may have chosen, without control characters and of bounded length.
pub(super) fn printable(name: &str) -> String {
    name.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A value in quotes, control characters escaped, cut where a line gets too long to read.
pub(super) fn quoted(value: &str) -> String {
    const SHOWN: usize = 60;
    if value.chars().count() <= SHOWN {
        return format!("{value:?}");
    }
    let head: String = value.chars().take(SHOWN).collect();
    format!("{head:?}…")
}

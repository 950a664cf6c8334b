//! Settings that are a choice among words.

use std::path::{Path, PathBuf};

use super::form::{Form, Kind, Unfit};

/// What the `default` sandbox is made from at the first start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Template {
    /// Tenants, users, wallets and a month of history to play with.
    Demo,
    /// A platform without tenants but its own.
    Empty,
    /// A seed file.
    File(PathBuf),
}

impl Form for Template {
    const SHAPE: &'static str = "demo, empty or a seed file (a path with a / or ending in .yaml)";
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, Unfit> {
        match text {
            "demo" => Ok(Self::Demo),
            "empty" => Ok(Self::Empty),
            // A bare word is a mistyped choice, not a file.
            _ if text.contains('/') || text.ends_with(".yaml") || text.ends_with(".yml") => {
                PathBuf::parse(text).map(Self::File)
            }
            _ => Err(Unfit::shape()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Demo => "demo".to_owned(),
            Self::Empty => "empty".to_owned(),
            Self::File(path) => path.show(),
        }
    }

    fn anchored(self, folder: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(path.anchored(folder)),
            word => word,
        }
    }
}

/// How sandboxes lie in PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SandboxMode {
    /// A database for each.
    Many,
    /// The given database is the one sandbox.
    Single,
}

impl Form for SandboxMode {
    const SHAPE: &'static str = "many or single";
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, Unfit> {
        match text {
            "many" => Ok(Self::Many),
            "single" => Ok(Self::Single),
            _ => Err(Unfit::shape()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Many => "many".to_owned(),
            Self::Single => "single".to_owned(),
        }
    }
}

/// What a power cut may cost with the embedded PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Everything: nothing survives the process.
    Memory,
    /// The last 200 ms; the death of the kernel process alone costs nothing.
    Hybrid,
    /// Nothing: each acknowledged write is on disk.
    Persistent,
}

impl Form for Durability {
    const SHAPE: &'static str = "memory, hybrid or persistent";
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, Unfit> {
        match text {
            "memory" => Ok(Self::Memory),
            "hybrid" => Ok(Self::Hybrid),
            "persistent" => Ok(Self::Persistent),
            _ => Err(Unfit::shape()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Memory => "memory".to_owned(),
            Self::Hybrid => "hybrid".to_owned(),
            Self::Persistent => "persistent".to_owned(),
        }
    }
}

/// What is logged: a level for all, and levels for parts, as in `info,iam=debug`. In the spelling of
/// `tracing`'s filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// The directives, separated by commas, lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Form for LogFilter {
    const SHAPE: &'static str = "off, error, warn, info, debug or trace (for parts too: info,iam=debug)";
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, Unfit> {
        let text = text.to_ascii_lowercase();
        let is_level = |word: &str| matches!(word, "off" | "error" | "warn" | "info" | "debug" | "trace");
        let is_part = |word: &str| {
            !word.is_empty()
                && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b':'))
        };
        let mut directives = Vec::new();
        for directive in text.split(',').map(str::trim) {
            match directive.split_once('=') {
                None if is_level(directive) => directives.push(directive.to_owned()),
                // A crate's target has underscores where its name has hyphens.
                Some((part, level)) if is_part(part.trim()) && is_level(level.trim()) => {
                    directives.push(format!("{}={}", part.trim().replace('-', "_"), level.trim()));
                }
                _ => return Err(Unfit::shape()),
            }
        }
        Ok(Self(directives.join(",")))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

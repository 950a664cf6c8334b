//! How a value is written: the forms that text takes in an environment variable, a flag or a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Secret;

/// How a value is written in a TOML file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`; as a flag it needs no value.
    Switch,
    /// A whole number, without quotes.
    Number,
    /// Text in quotes.
    Text,
    /// A list of texts in a file; separated by commas elsewhere.
    List,
}

impl Kind {
    /// Whether it may have several entries.
    pub fn is_list(self) -> bool {
        self == Self::List
    }
}

/// Why a text does not have its form. The name, the value, the shape and an example are added by the
/// caller, so the reason may be empty; it never repeats the value, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unfit(pub(super) Option<String>);

impl Unfit {
    /// The text does not have the shape at all; there is nothing more to say.
    pub(super) fn shape() -> Self {
        Self(None)
    }

    /// The text comes near, but for this reason it will not do.
    pub(super) fn because(reason: impl Into<String>) -> Self {
        Self(Some(reason.into()))
    }
}

/// A type that a setting can have.
pub(super) trait Form: Sized {
    /// The shape in words, completing "is not …".
    const SHAPE: &'static str;
    /// How it is written in a file.
    const KIND: Kind;

    /// Reads the text, which is trimmed and has no control characters (secrets are as they came).
    fn parse(text: &str) -> Result<Self, Unfit>;

    /// The value as `platform-kernel config` prints it; a secret is `***`.
    fn show(&self) -> String;

    /// The figure that a range applies to: the number itself, or milliseconds.
    fn measure(&self) -> Option<u64> {
        None
    }

    /// A bound of the range in words.
    fn show_measure(bound: u64) -> String {
        bound.to_string()
    }

    /// A relative path in a file is meant from the folder of that file.
    fn anchored(self, _folder: &Path) -> Self {
        self
    }
}

/// A TCP port; 0 is any free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Port(pub u16);

impl Form for Port {
    const SHAPE: &'static str = "a port (a number from 0 to 65535; 0 is any free port)";
    const KIND: Kind = Kind::Number;

    fn parse(text: &str) -> Result<Self, Unfit> {
        if !digits(text) {
            return Err(Unfit::shape());
        }
        text.parse().map(Self).map_err(|_| Unfit::shape())
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

impl Form for u32 {
    const SHAPE: &'static str = "a whole number";
    const KIND: Kind = Kind::Number;

    fn parse(text: &str) -> Result<Self, Unfit> {
        if !digits(text) {
            return Err(Unfit::shape());
        }
        text.parse().map_err(|_| Unfit::because("it is too large"))
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn measure(&self) -> Option<u64> {
        Some(u64::from(*self))
    }
}

impl Form for bool {
    const SHAPE: &'static str = "true or false (1, 0, yes and no are understood too)";
    const KIND: Kind = Kind::Switch;

    fn parse(text: &str) -> Result<Self, Unfit> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => Ok(true),
            "false" | "0" | "no" => Ok(false),
            _ => Err(Unfit::shape()),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Form for PathBuf {
    const SHAPE: &'static str = "a path";
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, Unfit> {
        match text {
            "" => Err(Unfit::because("it is empty")),
            _ if text == "~" || text.starts_with("~/") => {
                Err(Unfit::because("only a shell understands ~; write the folder out"))
            }
            _ => Ok(PathBuf::from(text)),
        }
    }

    fn show(&self) -> String {
        self.display().to_string()
    }

    fn anchored(self, folder: &Path) -> Self {
        folder.join(self)
    }
}

impl Form for Duration {
    const SHAPE: &'static str = "a time such as 30s, 15m or 1h (a bare number is seconds)";
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, Unfit> {
        parse_time(text, 1_000)
    }

    fn show(&self) -> String {
        show_time(millis(*self))
    }

    fn measure(&self) -> Option<u64> {
        Some(millis(*self))
    }

    fn show_measure(bound: u64) -> String {
        show_time(bound)
    }
}

/// A time whose setting's name says seconds (`…_SEC`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seconds(pub Duration);

impl Form for Seconds {
    const SHAPE: &'static str = "a number of seconds";
    const KIND: Kind = Kind::Number;

    fn parse(text: &str) -> Result<Self, Unfit> {
        parse_time(text, 1_000).map(Self)
    }

    fn show(&self) -> String {
        show_time(millis(self.0))
    }

    fn measure(&self) -> Option<u64> {
        Some(millis(self.0))
    }

    fn show_measure(bound: u64) -> String {
        show_time(bound)
    }
}

/// A time whose setting's name says hours (`…_HOURS`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hours(pub Duration);

impl Form for Hours {
    const SHAPE: &'static str = "a number of hours";
    const KIND: Kind = Kind::Number;

    fn parse(text: &str) -> Result<Self, Unfit> {
        parse_time(text, 3_600_000).map(Self)
    }

    fn show(&self) -> String {
        show_time(millis(self.0))
    }

    fn measure(&self) -> Option<u64> {
        Some(millis(self.0))
    }

    fn show_measure(bound: u64) -> String {
        show_time(bound)
    }
}

impl Form for Secret {
    const SHAPE: &'static str = "a text";
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, Unfit> {
        if text.is_empty() { Err(Unfit::because("it is empty")) } else { Ok(Secret::new(text)) }
    }

    fn show(&self) -> String {
        "***".to_owned()
    }
}

/// The installation key: enough randomness that nobody guesses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InstallationKey(pub Secret);

impl Form for InstallationKey {
    const SHAPE: &'static str = "a random text of at least 32 characters";
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, Unfit> {
        if text.chars().count() < 32 {
            return Err(Unfit::because("it is too short; `openssl rand -base64 32` makes a good one"));
        }
        Ok(Self(Secret::new(text)))
    }

    fn show(&self) -> String {
        "***".to_owned()
    }
}

/// The address of a PostgreSQL server. A secret, because it carries a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DatabaseUrl(pub Secret);

impl Form for DatabaseUrl {
    const SHAPE: &'static str = "a PostgreSQL address such as postgres://user:password@host:5432/database";
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, Unfit> {
        let text = text.trim();
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
        match rest {
            None => Err(Unfit::because("it does not begin with postgres://")),
            Some("") => Err(Unfit::because("it names no server")),
            Some(rest) if rest.chars().any(|c| c.is_whitespace() || c.is_control()) => Err(Unfit::because(
                "it contains a space or a control character (write them as %20 and so on)",
            )),
            Some(_) => Ok(Self(Secret::new(text))),
        }
    }

    fn show(&self) -> String {
        "***".to_owned()
    }
}

/// The address of a mail server. A secret, because it may carry a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SmtpUrl(pub Secret);

impl Form for SmtpUrl {
    const SHAPE: &'static str = "a mail server's address such as smtps://user:password@mail.example.com";
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, Unfit> {
        let text = text.trim();
        let Some(rest) = text.strip_prefix("smtp://").or_else(|| text.strip_prefix("smtps://")) else {
            return Err(Unfit::because("it begins neither with smtp:// nor with smtps://"));
        };
        if rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(Unfit::because(
                "it contains a space or a control character (write them as %20 and so on)",
            ));
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let server = place.rsplit_once('@').map_or(place, |(_, server)| server);
        if server.trim_end_matches('/').is_empty() {
            return Err(Unfit::because("it names no server"));
        }
        // What is misspelt here would send passwords and mail in the clear.
        if !matches!(query, "" | "tls=required" | "tls=opportunistic") {
            return Err(Unfit::because("behind ? only tls=required or tls=opportunistic is understood"));
        }
        Ok(Self(Secret::new(text)))
    }

    fn show(&self) -> String {
        "***".to_owned()
    }
}

/// A part that the documentation names and this version does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotYet;

impl Form for NotYet {
    const SHAPE: &'static str = "understood by this version";
    const KIND: Kind = Kind::Text;

    fn parse(_: &str) -> Result<Self, Unfit> {
        Err(Unfit::shape())
    }

    fn show(&self) -> String {
        String::new()
    }
}

/// The most entries a list may have.
const LIST_LIMIT: usize = 256;

/// Splits a list at its commas; empty entries (a trailing comma) fall away.
pub(super) fn parse_list<T>(text: &str, entry: impl Fn(&str) -> Result<T, Unfit>) -> Result<Vec<T>, Unfit> {
    let entries: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    if entries.len() > LIST_LIMIT {
        return Err(Unfit::because(format!("it has {} entries, at most {LIST_LIMIT}", entries.len())));
    }
    entries
        .into_iter()
        .map(|part| {
            entry(part).map_err(|Unfit(reason)| match reason {
                Some(reason) => Unfit::because(format!("{}: {reason}", super::quoted(part))),
                None => Unfit::because(format!("the entry {} is not one", super::quoted(part))),
            })
        })
        .collect()
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// `1h30m`, `15m`, `30s`, `250ms`, `7d`; a bare number counts in `bare_unit_ms`.
fn parse_time(text: &str, bare_unit_ms: u64) -> Result<Duration, Unfit> {
    let too_long = || Unfit::because("it is too long a time");
    let figure = |digits: &str| digits.parse::<u64>().map_err(|_| too_long());
    if digits(text) {
        return figure(text)?.checked_mul(bare_unit_ms).map(Duration::from_millis).ok_or_else(too_long);
    }
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let unit_at =
            rest.find(|c: char| !c.is_ascii_digit()).filter(|at| *at > 0).ok_or_else(Unfit::shape)?;
        let (number, tail) = rest.split_at(unit_at);
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(Unfit::shape()),
        };
        let part = figure(number)?.checked_mul(unit_ms).ok_or_else(too_long)?;
        total = total.checked_add(part).ok_or_else(too_long)?;
        rest = tail;
    }
    if text.is_empty() { Err(Unfit::shape()) } else { Ok(Duration::from_millis(total)) }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The largest unit that needs no fraction.
fn show_time(ms: u64) -> String {
    match ms {
        0 => "0s".to_owned(),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        _ => format!("{ms}ms"),
    }
}

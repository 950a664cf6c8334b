//! The clock.

use std::time::Duration;

use clap::Subcommand;
use http::Method;
use kernel::{SandboxName, Timestamp};
use serde_json::{Value, json};

use super::{path, text, told};
use crate::cli::span;
use crate::client::Kernel;
use crate::failure::Failure;

/// What is done to a clock. It goes forward only; back is restoring a snapshot.
#[derive(Debug, Clone, Subcommand)]
pub enum Change {
    /// Put it forward to a moment: 2027-01-31T12:00:00Z.
    Set {
        /// The moment, as RFC 3339.
        #[arg(value_parser = moment)]
        to: Timestamp,
    },
    /// Put it forward by a time: 30m, 2h, 38d.
    Advance {
        /// How far.
        #[arg(value_parser = span::parse)]
        by: Duration,
    },
    /// Stop it.
    Freeze,
    /// Let it run; one that stood jumps forward over the time it stood.
    Follow,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    serde_json::from_value(text.into())
        .map_err(|_| format!("{text:?} is no moment; write it like 2027-01-31T12:00:00Z"))
}

impl Change {
    fn body(&self) -> Value {
        match self {
            Self::Set { to } => json!({ "mode": "set", "to": to }),
            Self::Advance { by } => json!({ "mode": "advance", "seconds": by.as_secs() }),
            Self::Freeze => json!({ "mode": "freeze" }),
            Self::Follow => json!({ "mode": "follow" }),
        }
    }
}

pub(super) async fn clock(
    kernel: &Kernel,
    name: &SandboxName,
    change: Option<Change>,
    json: bool,
) -> Result<(), Failure> {
    let at = path(name, "/clock");
    let clock = match change {
        Some(change) => kernel.ask(Method::POST, &at, Some(&change.body()), None).await?,
        None => kernel.ask(Method::GET, &at, None, None).await?,
    };
    told(&clock, json, words)
}

fn words(clock: &Value) -> String {
    let ahead = u64::try_from(clock["aheadSeconds"].as_i64().unwrap_or(0)).unwrap_or(0);
    let ahead = match ahead {
        0 => "real time".to_owned(),
        seconds => format!("{} ahead of real time", span::show(Duration::from_secs(seconds))),
    };
    let stands = if clock["frozen"] == true { ", and stands" } else { "" };
    format!("{} ({ahead}{stands})", text(clock, "now"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_tells_how_far_it_is_ahead_and_whether_it_stands() {
        let clock = json!({ "now": "2027-01-01T00:00:00.000Z", "aheadSeconds": 90_000, "frozen": true });
        assert_eq!(words(&clock), "2027-01-01T00:00:00.000Z (1 d 1 h ahead of real time, and stands)");
        let clock = json!({ "now": "2026-11-26T00:00:00.000Z", "aheadSeconds": 0, "frozen": false });
        assert_eq!(words(&clock), "2026-11-26T00:00:00.000Z (real time)");
    }

    #[test]
    fn a_moment_is_read_as_rfc_3339_writes_it() {
        assert!(moment("2027-01-31T12:00:00Z").is_ok());
        assert!(moment("tomorrow").unwrap_err().contains("2027-01-31"));
    }
}

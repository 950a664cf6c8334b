//! Spans of time as people write them: `30s`, `15m`, `2h`, `7d`.

use std::time::Duration;

/// Ten years: longer is a typing mistake.
const LONGEST_SECONDS: u64 = 10 * 366 * 86_400;

/// Reads a span; for clap.
///
/// # Errors
/// A sentence with examples.
pub fn parse(text: &str) -> Result<Duration, String> {
    let shape = || format!("{text:?} is not a span of time; write it like 30s, 15m, 2h or 7d");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| shape())?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(shape()),
    };
    match number.checked_mul(factor) {
        Some(0) => Err("it must be longer than nothing".to_owned()),
        Some(seconds) if seconds <= LONGEST_SECONDS => Ok(Duration::from_secs(seconds)),
        _ => Err("it must be at most ten years".to_owned()),
    }
}

/// A span in its two greatest units: `2 h 5 min`.
pub fn show(span: Duration) -> String {
    let seconds = span.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let two = |first: u64, one: &str, second: u64, other: &str| match second {
        0 => format!("{first} {one}"),
        _ => format!("{first} {one} {second} {other}"),
    };
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => two(hours, "h", minutes, "min"),
        _ => two(days, "d", hours, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read() {
        let seconds = |text| parse(text).map(|span| span.as_secs());
        assert_eq!(seconds("30s"), Ok(30));
        assert_eq!(seconds("7d"), Ok(604_800));
        for bad in ["", "s", "5", "5 m", "-5m", "1w", "0s", "99999999999999999999d", "9999999d", "5µ"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn spans_are_shown_in_two_units() {
        let shown = [0, 59, 60, 3_600, 7_500, 90_000].map(|seconds| show(Duration::from_secs(seconds)));
        assert_eq!(shown, ["0 s", "59 s", "1 min", "1 h", "2 h 5 min", "1 d 1 h"]);
    }
}

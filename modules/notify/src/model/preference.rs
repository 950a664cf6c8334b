//! What a person wants to be told, by which way, and when not. Pure.

use std::time::Duration;

use chrono::Timelike as _;
use kernel::{FieldCode, Timestamp, check::Checks, matches_pattern};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Channel, Priority, is_type};

/// Most rules of a person.
const MOST_RULES: usize = 100;

/// One wish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// A type, the beginning of some like `orders.*`, or `*`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The channel; all of them unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// Whether such notifications are wanted.
    pub enabled: bool,
}

/// Hours in which mail waits. Messages in the inbox disturb nobody and come at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuietHours {
    /// When they begin, `22:00`.
    pub from: String,
    /// When they end, `07:00`; the next day where that is earlier.
    pub to: String,
    /// Where the person is: `+02:00`.
    pub utc_offset: String,
}

/// What shall become of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes now.
    Now,
    /// It waits so long, for the quiet hours to end.
    After(Duration),
    /// It is not wanted.
    Never,
}

/// Checks rules as a client sent them.
pub fn check_rules(checks: &mut Checks, rules: &[Rule]) {
    let most = format!("takes at most {MOST_RULES} rules");
    checks.ensure(rules.len() <= MOST_RULES, "/rules", FieldCode::TooLong, most);
    for (index, rule) in rules.iter().enumerate().take(MOST_RULES) {
        let stem = rule.kind.strip_suffix(".*").unwrap_or(&rule.kind);
        checks.ensure(
            rule.kind == "*" || is_type(stem),
            &format!("/rules/{index}/type"),
            FieldCode::InvalidFormat,
            "is neither a type like orders.shipped nor orders.* nor *",
        );
    }
}

/// Checks quiet hours as a client sent them.
pub fn check_quiet(checks: &mut Checks, quiet: &QuietHours) {
    for (field, text) in [("/quietHours/from", &quiet.from), ("/quietHours/to", &quiet.to)] {
        let fits = minute_of_day(text).is_some();
        checks.ensure(fits, field, FieldCode::InvalidFormat, "is no time of day like 22:00");
    }
    checks.ensure(
        offset_minutes(&quiet.utc_offset).is_some(),
        "/quietHours/utcOffset",
        FieldCode::InvalidFormat,
        "is no offset like +02:00, from -14:00 to +14:00",
    );
    checks.ensure(
        quiet.from != quiet.to,
        "/quietHours/to",
        FieldCode::NotAllowed,
        "must differ from the beginning; switch channels off with a rule instead",
    );
}

/// What these wishes say about a notification. Urgent ones pass quiet hours; what was switched off stays off.
pub fn verdict(
    rules: &[Rule],
    quiet: Option<&QuietHours>,
    kind: &str,
    channel: Channel,
    priority: Priority,
    now: Timestamp,
) -> Verdict {
    let fitting = rules.iter().rfind(|rule| {
        matches_pattern(&rule.kind, kind) && rule.channel.is_none_or(|wanted| wanted == channel)
    });
    if fitting.is_some_and(|rule| !rule.enabled) {
        return Verdict::Never;
    }
    if channel != Channel::Email || priority == Priority::Critical {
        return Verdict::Now;
    }
    match quiet.and_then(|quiet| quiet.left(now)) {
        Some(left) => Verdict::After(left),
        None => Verdict::Now,
    }
}

impl QuietHours {
    /// How long they still last; none outside of them.
    fn left(&self, now: Timestamp) -> Option<Duration> {
        const DAY: i64 = 24 * 60;
        let (from, to) = (minute_of_day(&self.from)?, minute_of_day(&self.to)?);
        let utc = now.datetime();
        let minute = i64::from(utc.hour() * 60 + utc.minute());
        let local = (minute + offset_minutes(&self.utc_offset)?).rem_euclid(DAY);
        let (into, length) = ((local - from).rem_euclid(DAY), (to - from).rem_euclid(DAY));
        let left = u64::try_from(length - into).ok().filter(|left| *left > 0)?;
        Some(Duration::from_secs(left * 60).saturating_sub(Duration::from_secs(u64::from(utc.second()))))
    }
}

/// `hh:mm` in minutes.
fn minute_of_day(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str, below: i64| {
        let two = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<i64>().ok().filter(|number| two && *number < below)
    };
    Some(number(hours, 24)? * 60 + number(minutes, 60)?)
}

/// `±hh:mm` in minutes, at most 14 hours.
fn offset_minutes(text: &str) -> Option<i64> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    minute_of_day(rest).filter(|minutes| *minutes <= 14 * 60).map(|minutes| sign * minutes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(kind: &str, channel: Option<Channel>, enabled: bool) -> Rule {
        Rule { kind: kind.to_owned(), channel, enabled }
    }

    fn at(hours: i64, minutes: i64) -> Timestamp {
        Timestamp::from_micros(((1_000 * 24 + hours) * 60 + minutes) * 60 * 1_000_000).unwrap()
    }

    fn quiet(from: &str, to: &str, utc_offset: &str) -> QuietHours {
        QuietHours { from: from.into(), to: to.into(), utc_offset: utc_offset.into() }
    }

    fn ask(
        rules: &[Rule],
        quiet: Option<&QuietHours>,
        channel: Channel,
        priority: Priority,
        now: Timestamp,
    ) -> Verdict {
        verdict(rules, quiet, "orders.shipped", channel, priority, now)
    }

    #[test]
    fn the_last_rule_that_fits_counts() {
        use Channel::{Email, InApp};
        let rules =
            [rule("*", None, false), rule("orders.*", Some(InApp), true), rule("billing.*", None, true)];
        assert_eq!(ask(&rules, None, InApp, Priority::Normal, at(12, 0)), Verdict::Now);
        assert_eq!(ask(&rules, None, Email, Priority::Critical, at(12, 0)), Verdict::Never);
        assert_eq!(ask(&[], None, Email, Priority::Low, at(12, 0)), Verdict::Now);
    }

    #[test]
    fn mail_waits_for_the_end_of_the_night_where_the_person_is() {
        let night = quiet("22:00", "07:00", "+02:00");
        let asked =
            |channel, priority, hours, minutes| ask(&[], Some(&night), channel, priority, at(hours, minutes));
        assert_eq!(
            asked(Channel::Email, Priority::High, 20, 0),
            Verdict::After(Duration::from_secs(9 * 3600))
        );
        assert_eq!(asked(Channel::Email, Priority::High, 4, 59), Verdict::After(Duration::from_secs(60)));
        assert_eq!(asked(Channel::Email, Priority::High, 5, 0), Verdict::Now);
        assert_eq!(asked(Channel::Email, Priority::High, 19, 59), Verdict::Now);
        assert_eq!(asked(Channel::Email, Priority::Critical, 23, 0), Verdict::Now);
        assert_eq!(asked(Channel::InApp, Priority::Low, 23, 0), Verdict::Now);
    }

    #[test]
    fn times_and_offsets_are_read_strictly() {
        for bad in ["", "7:00", "24:00", "12:60", "12", "12:5", "+1:00", "ab:cd", "12:00:00"] {
            assert_eq!(minute_of_day(bad), None, "{bad}");
        }
        for bad in ["", "02:00", "+2:00", "+14:01", "+99:00", "Z", "ä1:00"] {
            assert_eq!(offset_minutes(bad), None, "{bad}");
        }
        assert_eq!(offset_minutes("-03:30"), Some(-210));
        let mut checks = Checks::new();
        check_quiet(&mut checks, &quiet("22:00", "22:00", "CET"));
        assert_eq!(checks.finish().unwrap_err().field_errors().len(), 2);
    }

    proptest! {
        #[test]
        fn quiet_hours_end_within_a_day_and_are_over_then(from in 0i64..1440, to in 0i64..1440, offset in -840i64..=840, now in 0i64..1440) {
            prop_assume!(from != to);
            let time = |minutes: i64| format!("{:02}:{:02}", minutes / 60, minutes % 60);
            let sign = if offset < 0 { '-' } else { '+' };
            let hours = quiet(&time(from), &time(to), &format!("{sign}{}", time(offset.abs())));
            if let Some(left) = hours.left(at(0, now)) {
                prop_assert!(left <= Duration::from_secs(24 * 3600));
                prop_assert_eq!(hours.left(at(0, now).plus(left)), None);
            }
        }
    }
}

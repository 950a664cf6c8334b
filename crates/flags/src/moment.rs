//! Dates of flags: as precise as they are written.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A moment in a flag's definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub(crate) DateTime<Utc>);

impl Moment {
    /// Reads RFC 3339, and beside it what YAML calls a timestamp: a date alone, or date and time in UTC.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let zoned = DateTime::parse_from_rfc3339(text).map(|at| at.to_utc());
        let plain = || NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").map(|at| at.and_utc());
        let day = || {
            let day = NaiveDate::parse_from_str(text, "%Y-%m-%d")?;
            Ok::<_, chrono::ParseError>(day.and_time(chrono::NaiveTime::MIN).and_utc())
        };
        zoned.or_else(|_| plain()).or_else(|_| day()).ok().map(Self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| D::Error::custom(format!("{text:?} is no date like 2026-03-01T08:00:00Z")))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_they_are_written() {
        for (text, read) in [
            ("2026-03-01T08:00:00Z", "2026-03-01T08:00:00Z"),
            ("2026-03-01T08:00:00.1+02:00", "2026-03-01T06:00:00.100Z"),
            ("2026-03-01 08:00:00", "2026-03-01T08:00:00Z"),
            ("2026-03-01", "2026-03-01T00:00:00Z"),
        ] {
            let moment: Moment = serde_json::from_value(text.into()).unwrap();
            assert_eq!(serde_json::to_value(moment).unwrap(), read);
        }
        for bad in ["", "tomorrow", "2026-13-01", "2026-03-01T25:00:00Z"] {
            assert!(Moment::parse(bad).is_none(), "{bad}");
        }
    }
}

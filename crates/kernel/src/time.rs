use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment. Written as RFC 3339 in UTC with milliseconds; kept to the microsecond, as Postgres does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// Wraps a moment, cut to the microsecond.
    pub fn new(at: DateTime<Utc>) -> Self {
        Self(DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at))
    }

    /// The machine's time. Business code asks [`crate::Ctx::now`] instead; this is for what ground rules put on
    /// real time: deadlines, leases, grace windows, the 24 h of idempotency.
    pub fn real() -> Self {
        Self::new(Utc::now())
    }

    /// From microseconds since 1970; `None` outside of what a calendar holds.
    pub fn from_micros(micros: i64) -> Option<Self> {
        DateTime::from_timestamp_micros(micros).map(Self)
    }

    /// Microseconds since 1970.
    pub fn micros(self) -> i64 {
        self.0.timestamp_micros()
    }

    /// Whole seconds since 1970 (JWT's NumericDate, RFC 7519 §2).
    pub fn unix_seconds(self) -> i64 {
        self.0.timestamp()
    }

    /// The underlying calendar type.
    pub fn datetime(self) -> DateTime<Utc> {
        self.0
    }

    /// Later by `span`; stays at the end of the calendar rather than overflow.
    pub fn plus(self, span: Duration) -> Self {
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.micros().saturating_add(micros)).unwrap_or(Self(DateTime::<Utc>::MAX_UTC))
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.micros() - earlier.micros()).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}
impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        DateTime::<Utc>::deserialize(d).map(Self::new)
    }
}
impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(feature = "sqlx")]
mod database {
    use super::{DateTime, Timestamp, Utc};
    use sqlx::{Postgres, encode::IsNull, error::BoxDynError, postgres::PgHasArrayType};

    impl sqlx::Type<Postgres> for Timestamp {
        fn type_info() -> sqlx::postgres::PgTypeInfo {
            <DateTime<Utc> as sqlx::Type<Postgres>>::type_info()
        }
        fn compatible(ty: &sqlx::postgres::PgTypeInfo) -> bool {
            <DateTime<Utc> as sqlx::Type<Postgres>>::compatible(ty)
        }
    }
    impl PgHasArrayType for Timestamp {
        fn array_type_info() -> sqlx::postgres::PgTypeInfo {
            DateTime::<Utc>::array_type_info()
        }
    }
    impl<'q> sqlx::Encode<'q, Postgres> for Timestamp {
        fn encode_by_ref(&self, buf: &mut sqlx::postgres::PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
            sqlx::Encode::<Postgres>::encode_by_ref(&self.0, buf)
        }
    }
    impl<'r> sqlx::Decode<'r, Postgres> for Timestamp {
        fn decode(value: sqlx::postgres::PgValueRef<'r>) -> Result<Self, BoxDynError> {
            DateTime::<Utc>::decode(value).map(Self)
        }
    }
}

/// A sandbox's clock: real time plus an offset that only grows, or standing still.
///
/// Everything a user would call "the date" follows it (trials, expiry of tokens, audit times). Deadlines and leases
/// do not. Cloning shares the clock.
#[derive(Clone)]
pub struct Clock(Arc<Shared>);

struct Shared {
    offset_micros: AtomicI64,
    /// Microseconds since 1970 at which the clock stands, or [`RUNNING`].
    frozen_micros: AtomicI64,
}

const RUNNING: i64 = i64::MIN;

/// What a clock is set to, as it is kept in the sandbox's database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockSetting {
    /// Microseconds ahead of real time.
    pub offset_micros: i64,
    /// The moment at which the clock stands still, if it does.
    pub frozen_at: Option<Timestamp>,
}

impl ClockSetting {
    /// What the clock shows when real time is `real`.
    pub fn shows(self, real: Timestamp) -> Timestamp {
        let running = real.micros().saturating_add(self.offset_micros);
        self.frozen_at.or_else(|| Timestamp::from_micros(running)).unwrap_or(real)
    }

    /// The same clock put forward to `at`; `None` when that lies behind what it shows. One that stands goes on standing.
    pub fn put_to(self, at: Timestamp, real: Timestamp) -> Option<Self> {
        if at < self.shows(real) {
            return None;
        }
        // The offset only grows, also while the clock stands, so that it never runs on from an earlier moment.
        let offset_micros = self.offset_micros.max(at.micros().saturating_sub(real.micros()));
        Some(Self { offset_micros, frozen_at: self.frozen_at.map(|_| at) })
    }

    /// The same clock, standing at what it shows.
    pub fn frozen(self, real: Timestamp) -> Self {
        Self { frozen_at: Some(self.shows(real)), ..self }
    }

    /// The same clock, running again: it jumps forward over the time it stood.
    pub fn running(self) -> Self {
        Self { frozen_at: None, ..self }
    }
}

impl Clock {
    /// A clock that shows real time.
    pub fn real() -> Self {
        Self::set_to(ClockSetting { offset_micros: 0, frozen_at: None })
    }

    /// A clock with the given setting.
    pub fn set_to(setting: ClockSetting) -> Self {
        let clock = Self(Arc::new(Shared {
            offset_micros: AtomicI64::new(0),
            frozen_micros: AtomicI64::new(RUNNING),
        }));
        clock.adjust(setting);
        clock
    }

    /// What the clock shows.
    pub fn now(&self) -> Timestamp {
        let frozen = self.0.frozen_micros.load(Ordering::Relaxed);
        let micros = if frozen == RUNNING {
            Timestamp::real().micros().saturating_add(self.0.offset_micros.load(Ordering::Relaxed))
        } else {
            frozen
        };
        Timestamp::from_micros(micros).unwrap_or_else(Timestamp::real)
    }

    /// Takes over a setting, for all clones of this clock.
    pub fn adjust(&self, setting: ClockSetting) {
        self.0.offset_micros.store(setting.offset_micros, Ordering::Relaxed);
        self.0.frozen_micros.store(setting.frozen_at.map_or(RUNNING, Timestamp::micros), Ordering::Relaxed);
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_written_with_milliseconds_in_utc() {
        let at: Timestamp = serde_json::from_str("\"2026-03-01T12:00:00.123456+02:00\"").unwrap();
        assert_eq!(at.to_string(), "2026-03-01T10:00:00.123Z");
        assert_eq!(at.micros() % 1_000_000, 123_456);
    }

    #[test]
    fn a_clock_goes_forward_only_whatever_is_done_to_it() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000).unwrap();
        let clock = ClockSetting { offset_micros: 0, frozen_at: None };
        let ahead = clock.put_to(at(500), at(100)).unwrap();
        assert_eq!((ahead.shows(at(100)), ahead.shows(at(150))), (at(500), at(550)));
        assert_eq!(ahead.put_to(at(540), at(150)), None);
        let stands = ahead.frozen(at(150));
        assert_eq!((stands.shows(at(150)), stands.shows(at(900))), (at(550), at(550)));
        let moved = stands.put_to(at(2_000), at(160)).unwrap();
        assert_eq!((moved.shows(at(160)), moved.shows(at(170))), (at(2_000), at(2_000)));
        assert!(moved.running().shows(at(170)) >= at(2_000));
        // Put forward by less than it stood for: the offset stays.
        let little = stands.put_to(at(551), at(900)).unwrap();
        assert_eq!(little.running().shows(at(900)), at(1_300));
    }

    #[test]
    fn a_frozen_clock_stands_and_a_moved_one_runs_ahead() {
        let clock = Clock::real();
        let stop = Timestamp::from_micros(1_000_000).unwrap();
        clock.adjust(ClockSetting { offset_micros: 0, frozen_at: Some(stop) });
        assert_eq!(clock.clone().now(), stop);
        clock.adjust(ClockSetting { offset_micros: 3_600_000_000, frozen_at: None });
        assert!(clock.now().since(Timestamp::real()) > Duration::from_secs(3_590));
    }
}

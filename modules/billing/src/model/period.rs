//! Periods of a calendar.

use chrono::Months;
use kernel::Timestamp;

use super::plan::Interval;

/// The end of the period in which `at` lies (a period's own end belongs to the next), for periods that are counted from
/// `anchor`. Each is counted from the anchor and not from the one before: the 31st stays the 31st after a February.
pub(crate) fn end_after(anchor: Timestamp, every: Interval, at: Timestamp) -> Timestamp {
    let step = every.months();
    let start = anchor.datetime();
    // Never too many: a month has at least 28 days.
    let days = at.since(anchor).as_secs() / 86_400;
    let mut count = u32::try_from(days / (31 * u64::from(step))).unwrap_or(u32::MAX / step);
    loop {
        let Some(end) = start.checked_add_months(Months::new(step.saturating_mul(count))) else {
            return Timestamp::new(chrono::DateTime::<chrono::Utc>::MAX_UTC);
        };
        let end = Timestamp::new(end);
        if end > at && count > 0 {
            return end;
        }
        count = count.saturating_add(1);
    }
}

/// A number of whole days, as a span.
pub(crate) const fn days(count: u64) -> std::time::Duration {
    std::time::Duration::from_secs(count * 86_400)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        serde_json::from_value(format!("{text}T12:00:00Z").into()).unwrap()
    }

    #[test]
    fn the_last_of_a_month_stays_the_last() {
        let anchor = at("2026-01-31");
        let mut end = anchor;
        let mut ends = Vec::new();
        for _ in 0..4 {
            end = end_after(anchor, Interval::Monthly, end);
            ends.push(end);
        }
        assert_eq!(ends, ["2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"].map(at));
        assert_eq!(end_after(anchor, Interval::Monthly, at("2036-02-10")), at("2036-02-29"));
        assert_eq!(end_after(at("2028-02-29"), Interval::Yearly, at("2028-02-29")), at("2029-02-28"));
    }

    #[test]
    fn a_period_ends_after_its_moment_and_never_at_it() {
        let anchor = at("2026-03-10");
        assert_eq!(end_after(anchor, Interval::Monthly, anchor), at("2026-04-10"));
        assert_eq!(end_after(anchor, Interval::Monthly, at("2026-04-09")), at("2026-04-10"));
        assert_eq!(end_after(anchor, Interval::Monthly, at("2026-04-10")), at("2026-05-10"));
    }

    proptest::proptest! {
        #[test]
        fn a_moment_lies_in_the_period_that_ends_after_it(start in 0_i64..4_000_000_000, later in 0_i64..3_000_000_000) {
            let moment = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000).unwrap();
            let (anchor, inside) = (moment(start), moment(start + later));
            for (every, longest) in [(Interval::Monthly, 31), (Interval::Yearly, 366)] {
                let end = end_after(anchor, every, inside);
                proptest::prop_assert!(end > inside && end.since(inside) <= days(longest));
            }
        }
    }
}

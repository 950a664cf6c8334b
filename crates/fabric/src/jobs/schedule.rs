//! When a job is tried again, and when it comes again. Pure.

use std::time::Duration;

use kernel::Timestamp;

/// Pauses between attempts begin with this and double.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// The pause, in real time, after attempt number `attempt` (from 1) has failed. `spread` (0 to 1, random) shortens it by up
/// to a quarter, so that what failed together does not come back together.
pub fn backoff(attempt: u32, spread: f64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << attempt.saturating_sub(1).min(20));
    doubled.min(LONGEST_PAUSE).mul_f64(1.0 - 0.25 * spread.clamp(0.0, 1.0))
}

/// The next time of a job that was due at `last` and comes every `every`: in step with `last`, and after `now`.
pub fn next_run(last: Timestamp, every: Duration, now: Timestamp) -> Timestamp {
    let every = every.max(Duration::from_secs(1));
    let missed = now.since(last).as_micros() / every.as_micros();
    let steps = u32::try_from(missed).unwrap_or(u32::MAX).saturating_add(1);
    let next = last.plus(every.saturating_mul(steps));
    if next > now { next } else { now.plus(every) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_ten_minutes() {
        let seconds: Vec<u64> = (0..=12).map(|attempt| backoff(attempt, 0.0).as_secs()).collect();
        assert_eq!(seconds, [1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        assert_eq!(backoff(u32::MAX, 0.0), LONGEST_PAUSE);
        assert_eq!(backoff(3, 1.0), Duration::from_secs(3));
    }

    #[test]
    fn a_recurring_job_stays_in_step_and_makes_up_once_for_what_it_missed() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000).unwrap();
        let minute = Duration::from_secs(60);
        assert_eq!(next_run(at(0), minute, at(0)), at(60));
        assert_eq!(next_run(at(0), minute, at(59)), at(60));
        assert_eq!(next_run(at(0), minute, at(60)), at(120));
        assert_eq!(next_run(at(0), minute, at(3_610)), at(3_660));
        assert_eq!(next_run(at(100), minute, at(0)), at(160), "a clock that was restored");
        assert!(next_run(at(0), Duration::ZERO, at(1_000_000_000_000)) > at(1_000_000_000_000));
    }
}

//! When a failed attempt is made again. Pure.

use std::time::{Duration, Instant};

/// Pauses before the second attempt, the third, and so on.
const PAUSES: [u64; 5] = [1, 2, 4, 8, 8];

/// Most attempts after the first.
pub(crate) const MOST_RETRIES: u32 = PAUSES.len() as u32;

/// What stays of the request's time for noting how it ended.
pub(crate) const RESERVE: Duration = Duration::from_secs(1);

/// An attempt that gets less than this is not made.
const LEAST_ATTEMPT: Duration = Duration::from_millis(500);

/// The pause after `attempts` failed ones (at least one), in seconds 1, 2, 4, 8, 8. `spread` (0 to 1, random) shortens it
/// by up to a quarter, so that what failed together does not come back together.
pub(crate) fn pause(attempts: u32, spread: f64) -> Duration {
    let at = attempts.saturating_sub(1).min(MOST_RETRIES - 1) as usize;
    Duration::from_secs(PAUSES[at]).mul_f64(1.0 - 0.25 * spread.clamp(0.0, 1.0))
}

/// How long to wait for the next attempt, or `None` if there is none: all are used up, or the time does not suffice.
/// A provider that says when to come back (`Retry-After`) is believed if that is later.
pub(crate) fn next(
    attempts: u32,
    retries: u32,
    asked: Option<Duration>,
    spread: f64,
    now: Instant,
    until: Instant,
) -> Option<Duration> {
    if attempts > retries {
        return None;
    }
    let wait = pause(attempts, spread).max(asked.unwrap_or_default());
    let enough = until.saturating_duration_since(now) >= wait.saturating_add(LEAST_ATTEMPT);
    enough.then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_are_one_two_four_eight_and_eight_seconds() {
        let seconds: Vec<u64> = (1..=6).map(|attempts| pause(attempts, 0.0).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 8, 8]);
        assert_eq!(pause(3, 1.0), 3 * SECOND);
    }

    #[test]
    fn all_attempts_fit_into_thirty_seconds_when_the_provider_fails_at_once() {
        let begin = Instant::now();
        let until = begin + 30 * SECOND - RESERVE;
        let (mut now, mut attempts) = (begin, 1);
        while let Some(wait) = next(attempts, MOST_RETRIES, None, 0.0, now, until) {
            now += wait;
            attempts += 1;
        }
        assert_eq!((attempts, now - begin), (6, 23 * SECOND));
    }

    #[test]
    fn a_slow_provider_gets_as_many_as_the_time_allows() {
        let begin = Instant::now();
        let until = begin + 30 * SECOND - RESERVE;
        let (mut now, mut attempts) = (begin, 0);
        loop {
            now = (now + 10 * SECOND).min(until);
            attempts += 1;
            let Some(wait) = next(attempts, MOST_RETRIES, None, 0.0, now, until) else { break };
            now += wait;
        }
        assert_eq!((attempts, now), (3, until));
    }

    #[test]
    fn a_provider_that_says_when_to_come_back_is_believed() {
        let now = Instant::now();
        let asked = |seconds: u64| Some(Duration::from_secs(seconds));
        assert_eq!(next(1, 5, asked(3), 0.0, now, now + 10 * SECOND), asked(3));
        assert_eq!(next(2, 5, asked(1), 0.0, now, now + 10 * SECOND), asked(2));
        assert_eq!(next(1, 5, asked(60), 0.0, now, now + 10 * SECOND), None);
        assert_eq!(next(1, 0, None, 0.0, now, now + 10 * SECOND), None);
    }
}

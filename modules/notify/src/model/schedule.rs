//! When a delivery is tried again. Pure.

use std::time::Duration;

/// Attempts lie this far behind the first one, if each fails at once.
const AT: [u64; 5] = [0, 30, 60, 120, 240];

/// The pause after attempt number `attempt` (from 1) has failed; none after the last. `spread` (0 to 1, random) moves it by
/// up to a tenth to either side, so that what failed together does not come back together.
pub fn pause_after(attempt: i16, spread: f64) -> Option<Duration> {
    let made = usize::try_from(attempt).ok().filter(|made| *made > 0)?;
    let pause = AT.get(made)? - AT[made - 1];
    Some(Duration::from_secs(pause).mul_f64(0.9 + 0.2 * spread.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST_ATTEMPTS: i16 = AT.len() as i16;

    #[test]
    fn attempts_lie_at_0_30_60_120_and_240_seconds() {
        let mut at = Duration::ZERO;
        let mut all = vec![0];
        for attempt in 1..MOST_ATTEMPTS {
            at += pause_after(attempt, 0.5).unwrap();
            all.push(at.as_secs());
        }
        assert_eq!(all, AT);
        assert_eq!(pause_after(MOST_ATTEMPTS, 0.5), None);
        assert_eq!(pause_after(0, 0.5), None);
        assert_eq!(pause_after(-1, 0.5), None);
        assert_eq!(pause_after(i16::MAX, 0.5), None);
    }

    #[test]
    fn a_pause_is_spread_by_a_tenth() {
        assert_eq!(pause_after(4, 0.0), Some(Duration::from_secs(108)));
        assert_eq!(pause_after(4, 1.0), Some(Duration::from_secs(132)));
        assert_eq!(pause_after(4, 9.0), Some(Duration::from_secs(132)));
    }
}

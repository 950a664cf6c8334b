//! How many requests a second one provider gets: a bucket of one second, as the time at which it is full again (GCRA).

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The pace of one provider.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Between two requests that go at a steady pace.
    step: Duration,
    full_at: Mutex<Option<Instant>>,
}

/// What may go at once before the steady pace holds.
const BURST: Duration = Duration::from_secs(1);

impl Pace {
    /// At most `per_second` requests a second.
    pub(crate) fn new(per_second: u32) -> Self {
        Self { step: BURST / per_second.max(1), full_at: Mutex::new(None) }
    }

    /// Takes a place now, or says how long to wait for one.
    pub(crate) fn take(&self, now: Instant) -> Result<(), Duration> {
        // Nothing under this lock can panic halfway.
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let next = full_at.filter(|at| *at > now).unwrap_or(now) + self.step;
        let ahead = next.saturating_duration_since(now);
        if ahead > BURST {
            return Err(ahead - BURST);
        }
        *full_at = Some(next);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_go_at_once_and_then_one_every_hundredth_of_a_second() {
        let (pace, now) = (Pace::new(100), Instant::now());
        assert!((0..100).all(|_| pace.take(now).is_ok()));
        let wait = pace.take(now).unwrap_err();
        assert_eq!(wait, Duration::from_millis(10));
        assert!(pace.take(now + wait).is_ok());
        assert!(pace.take(now + wait).is_err(), "only one");
    }

    proptest::proptest! {
        #[test]
        fn no_second_sees_more_than_twice_the_pace(
            per_second in 1u32..200,
            pauses in proptest::collection::vec(0u64..50, 1..500),
        ) {
            let pace = Pace::new(per_second);
            let mut now = Instant::now();
            let mut gone = Vec::new();
            for pause in pauses {
                now += Duration::from_millis(pause);
                if pace.take(now).is_ok() {
                    gone.push(now);
                }
            }
            for (n, from) in gone.iter().enumerate() {
                let within = gone[n..].iter().take_while(|at| at.duration_since(*from) < BURST).count();
                proptest::prop_assert!(within <= 2 * per_second as usize);
            }
        }
    }
}

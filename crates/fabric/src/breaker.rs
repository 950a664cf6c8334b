//! A breaker: whoever keeps failing gets a pause, and those who call it hear so at once.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Failures within [`WINDOW`] that open the breaker.
const FAILURES: usize = 5;
const WINDOW: Duration = Duration::from_secs(30);
/// How long it stays open before one call may probe.
const PAUSE: Duration = Duration::from_secs(60);

/// Gives an upstream that keeps failing a pause.
#[derive(Debug)]
pub struct Breaker(Mutex<State>);

#[derive(Debug)]
enum State {
    /// Calls pass; when the latest failures were.
    Closed(VecDeque<Instant>),
    /// No call passes until then.
    Open(Instant),
    /// One call is on its way; what it meets decides. The breaker opens until then if it fails to report.
    Probing(Instant),
}

/// What a call met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream answered.
    Answered,
    /// It did not, or said that it can't.
    Failed,
    /// The call did not get far enough to tell.
    Unknown,
}

/// What the end of a call did to the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// Calls are refused from now on.
    Opened,
    /// Calls pass again.
    Closed,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new()
    }
}

impl Breaker {
    /// One that lets calls pass.
    pub fn new() -> Self {
        Self(Mutex::new(State::Closed(VecDeque::new())))
    }

    /// When to come back, if a call would be refused now. Lets nobody in.
    pub fn refuses(&self, now: Instant) -> Option<Duration> {
        match &*self.lock() {
            State::Open(until) | State::Probing(until) if now < *until => Some(wait(now, *until)),
            _ => None,
        }
    }

    /// Lets a call in, or says when to come back.
    ///
    /// # Errors
    /// How long to wait.
    pub fn enter(&self, now: Instant) -> Result<Ticket<'_>, Duration> {
        let mut state = self.lock();
        let probes = match &*state {
            State::Closed(_) => false,
            State::Open(until) | State::Probing(until) if now < *until => {
                return Err(wait(now, *until));
            }
            State::Open(_) | State::Probing(_) => true,
        };
        if probes {
            *state = State::Probing(now + PAUSE);
        }
        Ok(Ticket { breaker: self, probes, ended: false })
    }

    /// For metrics: 0 closed, 1 probing, 2 open.
    pub fn state(&self) -> u8 {
        match &*self.lock() {
            State::Closed(_) => 0,
            State::Probing(_) => 1,
            State::Open(_) => 2,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can panic halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, probes: bool, now: Instant, outcome: Outcome) -> Change {
        let mut state = self.lock();
        match (&mut *state, outcome) {
            (State::Probing(_), Outcome::Answered) if probes => {
                *state = State::Closed(VecDeque::new());
                return Change::Closed;
            }
            (State::Probing(_), Outcome::Failed) if probes => *state = State::Open(now + PAUSE),
            // The next call may try in its place.
            (State::Probing(_), Outcome::Unknown) if probes => *state = State::Open(now),
            (State::Closed(failures), Outcome::Failed) => {
                while failures.front().is_some_and(|first| now.saturating_duration_since(*first) > WINDOW) {
                    failures.pop_front();
                }
                failures.push_back(now);
                if failures.len() >= FAILURES {
                    *state = State::Open(now + PAUSE);
                    return Change::Opened;
                }
            }
            // A late answer of a call from before says nothing about now.
            _ => {}
        }
        Change::None
    }
}

/// At least a second: less is no pause.
fn wait(now: Instant, until: Instant) -> Duration {
    until.saturating_duration_since(now).max(Duration::from_secs(1))
}

/// A call that was let in. One that is dropped without an end did not get far enough to tell.
#[derive(Debug)]
pub struct Ticket<'a> {
    breaker: &'a Breaker,
    probes: bool,
    ended: bool,
}

impl Ticket<'_> {
    /// Reports what the call met.
    pub fn end(mut self, now: Instant, outcome: Outcome) -> Change {
        self.ended = true;
        self.breaker.end(self.probes, now, outcome)
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.breaker.end(self.probes, Instant::now(), Outcome::Unknown);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn fail(breaker: &Breaker, now: Instant) {
        breaker.enter(now).unwrap().end(now, Outcome::Failed);
    }

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::new();
        (0..5).for_each(|_| fail(&breaker, now));
        breaker
    }

    #[test]
    fn five_failures_in_thirty_seconds_open_it() {
        let (breaker, now) = (Breaker::new(), Instant::now());
        (0..4).for_each(|_| fail(&breaker, now));
        assert_eq!(breaker.state(), 0);
        fail(&breaker, now + 29 * SECOND);
        assert_eq!(breaker.state(), 2);
        assert_eq!(breaker.enter(now + 30 * SECOND).unwrap_err(), 59 * SECOND);
        assert_eq!(breaker.refuses(now + 30 * SECOND), Some(59 * SECOND));
        assert_eq!(breaker.refuses(now + 89 * SECOND), None);
    }

    #[test]
    fn failures_that_are_far_apart_do_not() {
        let (breaker, now) = (Breaker::new(), Instant::now());
        (0..20).for_each(|n| fail(&breaker, now + n * 8 * SECOND));
        assert_eq!(breaker.state(), 0);
    }

    #[test]
    fn after_a_minute_one_call_probes() {
        let now = Instant::now();
        let breaker = opened(now);
        assert!(breaker.enter(now + 59 * SECOND).is_err());
        let later = now + 60 * SECOND;
        let probe = breaker.enter(later).unwrap();
        assert_eq!(breaker.state(), 1);
        assert!(breaker.enter(later).is_err(), "only one");
        assert_eq!(probe.end(later, Outcome::Answered), Change::Closed);
        assert_eq!(breaker.state(), 0);
        assert!(breaker.enter(later).is_ok());
    }

    #[test]
    fn a_probe_that_fails_opens_it_for_another_minute() {
        let now = Instant::now();
        let (breaker, later) = (opened(now), now + 61 * SECOND);
        breaker.enter(later).unwrap().end(later, Outcome::Failed);
        assert!(breaker.enter(later + 59 * SECOND).is_err());
        assert!(breaker.enter(later + 60 * SECOND).is_ok());
    }

    #[test]
    fn a_probe_whose_client_went_away_lets_the_next_one_try() {
        let now = Instant::now();
        let (breaker, later) = (opened(now), now + 61 * SECOND);
        breaker.enter(later).unwrap().end(later, Outcome::Unknown);
        assert!(breaker.enter(later).is_ok());
    }

    #[test]
    fn a_call_from_before_decides_nothing() {
        let now = Instant::now();
        let breaker = Breaker::new();
        let slow = breaker.enter(now).unwrap();
        (0..5).for_each(|_| fail(&breaker, now));
        slow.end(now + SECOND, Outcome::Answered);
        assert_eq!(breaker.state(), 2);
    }
}

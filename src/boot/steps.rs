//! What a start took, step by step.

use std::fmt::Write;
use std::time::{Duration, Instant};

/// Measures steps that follow each other.
#[derive(Debug)]
pub struct Steps {
    began: Instant,
    last: Instant,
    taken: Vec<(&'static str, Duration)>,
}

impl Steps {
    /// Begins with the first.
    pub fn begin() -> Self {
        let now = Instant::now();
        Self { began: now, last: now, taken: Vec::new() }
    }

    /// A step is done; the next begins.
    pub fn lap(&mut self, step: &'static str) {
        let now = Instant::now();
        self.taken.push((step, now - self.last));
        self.last = now;
    }

    /// Steps that somebody else has measured meanwhile.
    pub fn add(&mut self, steps: &[(&'static str, Duration)]) {
        self.taken.extend_from_slice(steps);
        self.last = Instant::now();
    }

    /// From the first to the last, in milliseconds.
    pub fn total_ms(&self) -> u64 {
        u64::try_from((self.last - self.began).as_millis()).unwrap_or(u64::MAX)
    }

    /// A line for each.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (step, took) in &self.taken {
            let _ = writeln!(text, "{:>8.1} ms  {step}", took.as_secs_f64() * 1000.0);
        }
        let _ = writeln!(text, "{:>8.1} ms  in all", (self.last - self.began).as_secs_f64() * 1000.0);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_its_line() {
        let mut steps = Steps::begin();
        steps.lap("ports");
        steps.add(&[("postgres", Duration::from_millis(120))]);
        let text = steps.text();
        assert_eq!(text.lines().count(), 3);
        assert!(text.contains("   120.0 ms  postgres"), "{text}");
    }
}

//! Postgres' log: read from its error stream, passed on to the kernel's, and kept for a moment so that a failed
//! start can be explained.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::ChildStderr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::error::EmbeddedError;

const KEPT_LINES: usize = 30;
/// Longer lines are cut.
const LINE_LIMIT: u64 = 4096;

/// The last lines of the log.
#[derive(Debug, Clone)]
pub(super) struct Tail(Arc<Mutex<Last>>);

#[derive(Debug)]
struct Last {
    lines: VecDeque<String>,
    heard: Instant,
    ended: bool,
}

impl Tail {
    /// Reads `stream` to its end on a thread of its own.
    pub(super) fn follow(stream: ChildStderr) -> Result<Self, EmbeddedError> {
        let tail =
            Self(Arc::new(Mutex::new(Last { lines: VecDeque::new(), heard: Instant::now(), ended: false })));
        let written = tail.clone();
        std::thread::Builder::new()
            .name("postgres-log".to_owned())
            .spawn(move || {
                let mut reader = BufReader::new(stream);
                while let Some(line) = next_line(&mut reader) {
                    pass_on(&line);
                    written.keep(line);
                }
                written.last().ended = true;
            })
            .map_err(EmbeddedError::Thread)?;
        Ok(tail)
    }

    /// When the last line came.
    pub(super) fn heard(&self) -> Instant {
        self.last().heard
    }

    /// Whether a kept line has `text` in it.
    pub(super) fn mentions(&self, text: &str) -> bool {
        self.last().lines.iter().any(|line| line.contains(text))
    }

    /// Whether the stream has ended: all processes of this Postgres are gone and nothing is missing in the tail.
    pub(super) fn ended(&self) -> bool {
        self.last().ended
    }

    /// What a person should read of it: the errors, else the last lines.
    pub(super) fn words(&self) -> String {
        self.complaint().unwrap_or_else(|| {
            let last = self.last();
            let lines: Vec<&str> = last.lines.iter().rev().take(3).rev().map(String::as_str).collect();
            if lines.is_empty() { "it said nothing".to_owned() } else { lines.join("; ") }
        })
    }

    /// The errors that end a running server, if there are any.
    pub(super) fn panic(&self) -> Option<String> {
        self.lines_of(&[Level::Panic])
    }

    /// The errors that end a server that is being started, if there are any.
    fn complaint(&self) -> Option<String> {
        self.lines_of(&[Level::Fatal, Level::Panic])
    }

    fn lines_of(&self, levels: &[Level]) -> Option<String> {
        let last = self.last();
        let grave = |line: &&String| levels.contains(&level(line));
        let errors: Vec<&str> = last.lines.iter().filter(grave).map(|line| message(line)).collect();
        (!errors.is_empty()).then(|| errors.join("; "))
    }

    fn keep(&self, line: String) {
        let mut last = self.last();
        if last.lines.len() == KEPT_LINES {
            last.lines.pop_front();
        }
        last.lines.push_back(line);
        last.heard = Instant::now();
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Log,
    Notice,
    Warning,
    Error,
    Fatal,
    Panic,
    Other,
}

fn level(line: &str) -> Level {
    match line.split_once(":  ").map(|(word, _)| word) {
        Some("LOG" | "DEBUG" | "INFO") => Level::Log,
        Some("NOTICE") => Level::Notice,
        Some("WARNING") => Level::Warning,
        Some("ERROR") => Level::Error,
        Some("FATAL") => Level::Fatal,
        Some("PANIC") => Level::Panic,
        _ => Level::Other,
    }
}

fn message(line: &str) -> &str {
    line.split_once(":  ").map_or(line, |(_, message)| message)
}

/// An ERROR is the answer to a statement, whoever sent it has it; a FATAL ends one connection.
fn pass_on(line: &str) {
    match level(line) {
        // We did: a sandbox is copied, reset or closed.
        Level::Fatal if line.ends_with("due to administrator command") => {
            tracing::debug!(target: "postgres", "{line}")
        }
        Level::Log | Level::Notice | Level::Error => tracing::debug!(target: "postgres", "{line}"),
        Level::Warning | Level::Fatal | Level::Other => tracing::warn!(target: "postgres", "{line}"),
        Level::Panic => tracing::error!(target: "postgres", "{line}"),
    }
}

/// The next line without its end, cut at [`LINE_LIMIT`]; none at the end of the stream.
fn next_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    if reader.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line).ok()? == 0 {
        return None;
    }
    if line.last() != Some(&b'\n') {
        reader.skip_until(b'\n').ok()?;
    }
    Some(String::from_utf8_lossy(&line).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_and_the_next_one_is_whole() {
        let text = format!("LOG:  {}\nFATAL:  no\n", "x".repeat(10_000));
        let mut reader = BufReader::new(text.as_bytes());

        assert_eq!(next_line(&mut reader).map(|line| line.len()), Some(LINE_LIMIT as usize));
        let second = next_line(&mut reader).expect("there are two lines");
        assert_eq!((level(&second), message(&second)), (Level::Fatal, "no"));
        assert_eq!(next_line(&mut reader), None);
    }
}

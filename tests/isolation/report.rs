//! What was tried and what went wrong.

use std::collections::{BTreeMap, BTreeSet};

use crate::stage::Stage;

/// Something that must not be.
#[derive(Debug)]
pub struct Fault {
    /// The kind of attempt.
    pub case: &'static str,
    /// The route or table.
    pub at: String,
    /// What happened.
    pub told: String,
    /// Whether another tenant's data were told, rather than an answer being of the wrong kind.
    pub leak: bool,
}

/// The tally of one run.
pub struct Report {
    name: &'static str,
    attempts: BTreeMap<&'static str, usize>,
    faults: Vec<Fault>,
    /// What could not be tried, and why.
    notes: BTreeSet<String>,
}

impl Report {
    pub fn new(name: &'static str) -> Self {
        Self { name, attempts: BTreeMap::new(), faults: Vec::new(), notes: BTreeSet::new() }
    }

    /// One attempt was made.
    pub fn tried(&mut self, case: &'static str, fault: Option<Fault>) {
        *self.attempts.entry(case).or_default() += 1;
        self.faults.extend(fault);
    }

    /// Many attempts were made.
    pub fn tried_all(&mut self, case: &'static str, faults: impl IntoIterator<Item = Option<Fault>>) {
        for fault in faults {
            self.tried(case, fault);
        }
    }

    /// Says what the reader of the summary should know.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.insert(text.into());
    }

    /// The routes that told another tenant's data.
    pub fn leaking_routes(&self) -> BTreeSet<&str> {
        self.faults.iter().filter(|fault| fault.leak).map(|fault| fault.at.as_str()).collect()
    }

    /// Prints the summary; fails if anything went wrong.
    pub fn finish(self, stage: &Stage) {
        let total: usize = self.attempts.values().sum();
        println!("{}: {} routes, {total} attempts", self.name, stage.operations());
        for (case, attempts) in &self.attempts {
            println!("  {attempts:>6}  {case}");
        }
        for unplanted in &stage.alpha.unplanted {
            println!("  note: the example made nothing: {unplanted}");
        }
        for note in &self.notes {
            println!("  note: {note}");
        }
        if self.faults.is_empty() {
            return;
        }
        // One line each for the first few of a place: a hole usually shows with every id.
        let mut by_place: BTreeMap<(&str, &str), Vec<&Fault>> = BTreeMap::new();
        for fault in &self.faults {
            by_place.entry((fault.case, &fault.at)).or_default().push(fault);
        }
        let mut text = String::new();
        for ((case, at), faults) in by_place {
            text += &format!("\n{case}: {at} ({} times)", faults.len());
            for fault in faults.iter().take(2) {
                text += &format!("\n    {}{}", if fault.leak { "LEAK: " } else { "" }, short(&fault.told));
            }
        }
        panic!("with {}: {} faults{text}", self.name, self.faults.len());
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(900) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

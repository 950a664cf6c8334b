//! What a definition must say before it is used.

use std::{collections::BTreeSet, fmt};

use serde_json::{Map, Value};

use crate::{
    definition::{Definition, Progressive, RuleDefinition},
    rule::Rule,
    schedule,
};

/// What is wrong with a flag, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// A JSON pointer into the definition.
    pub pointer: String,
    /// What is wrong there, completing "it …" or as a sentence.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.pointer, self.message)
    }
}

/// Rules, variations, steps and shares of one flag, at most.
const MOST: usize = 200;

/// Everything that is wrong with a flag.
pub(crate) fn faults(flag: &Definition) -> Vec<Fault> {
    let mut found = Found(Vec::new());
    let counts = [
        ("/variations", flag.variations.len()),
        ("/targeting", flag.targeting.len()),
        ("/scheduledRollout", flag.scheduled_rollout.len()),
    ];
    for (at, count) in counts {
        found.ensure(count <= MOST, at, || format!("has at most {MOST} entries"));
    }
    if !found.0.is_empty() {
        return found.0;
    }
    found.whole(flag, "");
    for (number, step) in flag.scheduled_rollout.iter().enumerate() {
        let at = format!("/scheduledRollout/{number}");
        found.ensure(step.date.is_some(), &format!("{at}/date"), || {
            "is needed: when the step is made".to_owned()
        });
        let shares =
            step.targeting.iter().chain(&step.default_rule).filter_map(|rule| rule.percentage.as_ref());
        let finite = shares.flat_map(|shares| shares.values()).all(|share| share.is_finite());
        found.ensure(finite, &at, || "its percentages must be numbers".to_owned());
    }
    if found.0.is_empty() {
        // Where the flag is sound today, each step must leave it so.
        for (date, stage) in schedule::stages(flag).iter().skip(1) {
            let step = flag.scheduled_rollout.iter().position(|step| step.date == *date).unwrap_or_default();
            found.whole(stage, &format!("/scheduledRollout/{step}"));
        }
    }
    found.0
}

struct Found(Vec<Fault>);

impl Found {
    fn add(&mut self, pointer: String, message: impl Into<String>) {
        self.0.push(Fault { pointer, message: message.into() });
    }

    fn ensure(&mut self, fine: bool, pointer: &str, message: impl FnOnce() -> String) {
        if !fine {
            self.add(pointer.to_owned(), message());
        }
    }

    fn whole(&mut self, flag: &Definition, at: &str) {
        self.variations(&flag.variations, at);
        match &flag.default_rule {
            None => self.add(format!("{at}/defaultRule"), "is needed: what decides when no rule applies"),
            Some(rule) => self.rule(rule, &format!("{at}/defaultRule"), &flag.variations),
        }
        let mut names = BTreeSet::new();
        for (number, rule) in flag.targeting.iter().enumerate() {
            let at = format!("{at}/targeting/{number}");
            self.ensure(rule.query.is_some(), &format!("{at}/query"), || {
                "is needed: whom the rule is for".to_owned()
            });
            self.rule(rule, &at, &flag.variations);
            let name = rule.name.as_deref().unwrap_or_default();
            if !name.is_empty() && !names.insert(name) {
                self.add(format!("{at}/name"), "is the name of another rule of this flag");
            }
        }
        if let Some(window) = &flag.experimentation
            && let (Some(start), Some(end)) = (window.start, window.end)
        {
            self.ensure(start < end, &format!("{at}/experimentation/end"), || {
                "is not behind the start".to_owned()
            });
        }
    }

    fn variations(&mut self, variations: &Map<String, Value>, at: &str) {
        let at = format!("{at}/variations");
        self.ensure(!variations.is_empty(), &at, || "needs at least one entry".to_owned());
        let mut kinds = variations.iter().map(|(name, value)| (name, kind(value)));
        let Some((first, expected)) = kinds.next() else { return };
        let others: Vec<_> = kinds.filter(|(_, kind)| *kind != expected).collect();
        self.ensure(expected != "null", &member(&at, first), || {
            "is null; a variation has a value".to_owned()
        });
        for (name, kind) in others {
            self.add(member(&at, name), format!("is {kind}, and {first} is {expected}: all are of one kind"));
        }
    }

    fn rule(&mut self, rule: &RuleDefinition, at: &str, variations: &Map<String, Value>) {
        if let Err(message) = Rule::of(rule) {
            self.add(format!("{at}/query"), message);
        }
        if let Some(progressive) = &rule.progressive_rollout {
            return self.progressive(progressive, &format!("{at}/progressiveRollout"), variations);
        }
        match (&rule.percentage, &rule.variation) {
            (Some(shares), _) => {
                let at = format!("{at}/percentage");
                for (name, share) in shares {
                    self.exists(variations, name, &member(&at, name));
                    let fits = (0.0..=1_000_000.0).contains(share);
                    self.ensure(fits, &member(&at, name), || format!("{share} is no percentage"));
                }
                let positive = shares.values().any(|share| *share > 0.0);
                self.ensure(positive, &at, || "adds up to nothing".to_owned());
            }
            (None, Some(name)) => self.exists(variations, name, &format!("{at}/variation")),
            (None, None) => {
                self.add(
                    at.to_owned(),
                    "says nothing: give it a variation, a percentage or a progressiveRollout",
                );
            }
        }
    }

    fn exists(&mut self, variations: &Map<String, Value>, name: &str, at: &str) {
        self.ensure(variations.contains_key(name), at, || format!("there is no variation {name:?}"));
    }

    fn progressive(&mut self, progressive: &Progressive, at: &str, variations: &Map<String, Value>) {
        let Progressive { initial, end } = progressive;
        for (name, end) in [("initial", initial), ("end", end)] {
            let at = format!("{at}/{name}");
            match &end.variation {
                Some(variation) => self.exists(variations, variation, &format!("{at}/variation")),
                None => self.add(format!("{at}/variation"), "is needed"),
            }
            self.ensure(end.date.is_some(), &format!("{at}/date"), || "is needed".to_owned());
            let fits = end.percentage.is_none_or(|share| (0.0..=100.0).contains(&share));
            self.ensure(fits, &format!("{at}/percentage"), || "lies between 0 and 100".to_owned());
        }
        if let (Some(from), Some(to)) = (initial.date, end.date) {
            self.ensure(from < to, &format!("{at}/end/date"), || "is not behind the initial date".to_owned());
        }
        if let (Some(from), Some(to)) = (initial.percentage, end.percentage) {
            self.ensure(from <= to, &format!("{at}/end/percentage"), || {
                "is below the initial one; exchange the variations to let a share shrink".to_owned()
            });
        }
    }
}

fn member(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

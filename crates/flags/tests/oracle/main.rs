//! The same values, variations, reasons and error codes as GO Feature Flag: its own evaluation engine is asked.
//!
//! Its answers are kept in the cache under a hash of the questions and of what asks them, so only a change asks again.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test: what fails here fails the test")]

mod ask;
mod dice;
mod logics;
mod people;
mod queries;
mod shapes;

use std::{fs, path::Path};

use flags::FlagSet;
use serde_json::Value;

use ask::{Questions, compared};

/// Keys that each flag of each file is evaluated for.
const KEYS: usize = 10_000;

#[test]
fn ten_files_and_ten_thousand_keys() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/files");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 10);
    let contexts: std::sync::Arc<[_]> = (0..KEYS).map(people::person).collect();
    let questions = files.iter().map(|file| {
        let text = fs::read_to_string(file).unwrap();
        // The original gets what the file says; our side reads the file as it does in life.
        let raw: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text).unwrap();
        let Ok(Value::Object(written)) = serde_json::to_value(raw) else { panic!("{}", file.display()) };
        let set = FlagSet::parse(&text).unwrap_or_else(|broken| panic!("{}: {broken}", file.display()));
        let flags = written.keys().map(|key| (key.clone(), set.get(key).unwrap().clone())).collect();
        Questions { written, flags, contexts: contexts.clone() }
    });
    let questions: Vec<_> = questions.collect();
    compared("files", &questions);
}

#[test]
fn random_queries() {
    compared("queries", &queries::questions(10_000));
}

#[test]
fn random_logic() {
    compared("logic", &logics::questions(10_000));
}

#[test]
fn random_flags() {
    compared("flags", &shapes::questions(10_000));
}

/// What clients that evaluate by themselves are told is the same flag.
#[test]
fn a_definition_is_told_as_it_was_written() {
    for question in shapes::questions(500) {
        let (_, flag) = &question.flags[0];
        let told = serde_json::to_value(flag.definition()).unwrap();
        let again: flags::Definition = serde_json::from_value(told).unwrap();
        assert_eq!(&again, flag.definition());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/files");
    for entry in fs::read_dir(folder).unwrap() {
        let set = FlagSet::parse(&fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap();
        for (key, flag) in set.iter() {
            let told = serde_json::to_string(flag.definition()).unwrap();
            let again = FlagSet::parse(&format!("{{{}: {told}}}", Value::from(key))).unwrap();
            assert_eq!(again.get(key).unwrap().definition(), flag.definition(), "{key}");
        }
    }
}

//! The scenarios, on the real binary, over all that it can stand on: itself; a PostgreSQL; PostgreSQL, Valkey, Kafka and a
//! bucket; the same with two replicas. Whatever it stands on, the answers are the same.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test: what fails here fails the test"
)]

mod main_job;
mod money;
mod outward;
mod people;
mod pictures;
mod plans;
mod records;
mod rolling;
mod sandboxes;
mod stage;

use serde_json::Value;
use stage::{Ground, Stage};

/// All scenarios, one after the other; what was answered.
async fn played(ground: Ground) -> Vec<Value> {
    let stage = Stage::on(ground).await;
    main_job::play(&stage).await;
    people::play(&stage).await;
    records::play(&stage).await;
    money::play(&stage).await;
    pictures::play(&stage).await;
    plans::play(&stage).await;
    outward::play(&stage).await;
    sandboxes::play(&stage).await;
    println!("{ground:?}: {} answers", stage.answers().len());
    stage.answers()
}

/// Where two answers differ, with both values.
fn differences(at: &str, mine: &Value, theirs: &Value, found: &mut Vec<String>) {
    match (mine, theirs) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().for_each(|(name, value)| differences(&format!("{at}/{name}"), value, &b[name], found));
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter()
                .zip(b)
                .enumerate()
                .for_each(|(n, (a, b))| differences(&format!("{at}/{n}"), a, b, found));
        }
        _ if mine == theirs => {}
        _ => found.push(format!("{at}: {mine}, and embedded {theirs}")),
    }
}

fn assert_same(ground: Ground, answers: &[Value], embedded: &[Value]) {
    let mut found = Vec::new();
    for (number, (mine, theirs)) in answers.iter().zip(embedded).enumerate() {
        differences(&format!("{number} {}", theirs["asked"]), mine, theirs, &mut found);
    }
    assert!(found.is_empty(), "{ground:?} answers otherwise:\n{}", found.join("\n"));
    assert_eq!(answers.len(), embedded.len(), "{ground:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_it_stands_on_a_kernel_answers_the_same() {
    let embedded = played(Ground::Embedded).await;
    assert!(embedded.len() > 150, "{}", embedded.len());
    for ground in [Ground::Postgres, Ground::Whole, Ground::Replicas] {
        assert_same(ground, &played(ground).await, &embedded);
    }
}

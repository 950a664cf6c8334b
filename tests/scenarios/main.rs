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

/// Fails with the first answer that is another one.
fn assert_same(ground: Ground, answers: &[Value], embedded: &[Value]) {
    for (number, (mine, theirs)) in answers.iter().zip(embedded).enumerate() {
        assert!(mine == theirs, "answer {number} on {ground:?}:\n{mine:#}\nand embedded:\n{theirs:#}");
    }
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

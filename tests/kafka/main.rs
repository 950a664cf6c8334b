//! Kafka beside the log, on a real broker: what is told is carried out, in order per key, whatever is killed; what
//! outsiders tell comes in.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test: what fails here fails the test"
)]

mod carrying;
mod clients;
mod killing;
mod members;
mod outsiders;
mod stage;
mod trouble;

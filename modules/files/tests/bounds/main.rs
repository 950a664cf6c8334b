//! What files may cost: measured on the whole process, so one test at a time.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests: a panic is a failed test")]

mod hostile;
mod memory;
#[path = "../files/support.rs"]
#[allow(dead_code, reason = "the other tests use the rest of it")]
mod support;

/// Held by the test that measures.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

//! Money on a real kernel: each story says what is answered, told, kept and moved.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests: a panic is a failed test")]

mod database;
mod holds;
mod oracle;
mod property;
mod stories;
mod support;
mod verifying;

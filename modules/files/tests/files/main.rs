//! The service on a real kernel: over HTTP, with its events, its audit trail, its blobs on disk.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests: a panic is a failed test")]

mod copies;
mod life;
mod pictures;
mod presigned;
mod support;
mod uploads;

//! iam on a real Postgres: what its operations do, and that it holds at once.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod sign_in;
mod support;
mod tenancy;

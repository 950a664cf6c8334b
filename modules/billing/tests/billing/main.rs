//! Billing as its tenants see it: a real kernel, a real Postgres, and a clock that is put forward.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests: a panic is a failed test")]

mod dunning;
mod limits;
mod plans;
mod support;

//! notify on a real kernel: mail, inbox, outbox, websocket.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test: what fails here fails the test"
)]

mod accounts;
mod delivery;
mod smtp;
mod support;
mod templates;
mod websocket;

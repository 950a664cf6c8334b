//! Pipes: narrow contracts over real parts. What a service knows of Postgres, a cache, a log or a disk is here.

pub mod blobs;
pub mod breaker;
pub mod cache;
pub mod crypto;
pub mod dialler;
pub mod dns;
pub mod jobs;
pub mod log;
pub mod postgres;
mod program;

pub use program::{no_input, no_output, this_program};

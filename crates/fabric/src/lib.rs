//! Pipes: narrow contracts over real parts. What a service knows of Postgres, a cache, a log or a disk is here.

pub mod blobs;
pub mod cache;
pub mod crypto;
pub mod dialler;
mod enum_words;
pub mod jobs;
pub mod log;
pub mod postgres;

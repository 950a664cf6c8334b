//! The estate: sandboxes and the cells that run them.
//!
//! A sandbox is a database, a place for files and a row in the control database. A [`Cell`] is its running form: the
//! services, wired to each other, with their tasks. The [`Estate`] holds all of them and knows the verbs: create, reset,
//! fork, seed, snapshot, restore, expire, delete, and how to set the clock.

#![forbid(unsafe_code)]

mod blobs;
mod cell;
mod clocks;
mod control;
mod endings;
mod error;
mod estate;
mod fellows;
mod front;
mod halves;
mod hostnames;
mod http;
mod installation;
mod kafka;
mod keeper;
mod opening;
mod operator;
mod outward;
mod parts;
mod people;
mod planting;
mod seed;
mod single;
mod snapshots;
mod templates;
mod turn;
mod verbs;
mod waking;

pub use cell::{Cell, Services};
pub use clocks::{ClockIn, ClockOut};
pub use control::{SandboxRow, SandboxState};
pub use error::OpenError;
pub use estate::{Estate, EstateOptions, Timings};
pub use front::EstateCells;
pub use operator::Operator;
pub use outward::Outward;
pub use parts::{Parts, bucket_options, external};
pub use planting::SeedIn;
pub use seed::{Seed, SeedError, SeedReport};
pub use snapshots::SnapshotOut;
pub use templates::build_packed_data;
pub use verbs::{Create, SandboxOut};

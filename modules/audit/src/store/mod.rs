//! All SQL of the audit service. The tables are the kernel's own, because every transaction writes to them.

mod chain;
mod personal;
mod records;

use uuid::Uuid;

pub use chain::*;
pub use personal::*;
pub use records::*;

/// A place in a list: the time in microseconds and the id of the last record before it.
pub type Place = (i64, Uuid);

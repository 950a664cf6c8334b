//! Feature flags in the format of GO Feature Flag, evaluated in process: the same bucket, value, variation and reason
//! for the same key as the original gives (its own engine is the oracle of `tests/oracle.rs`).
//!
//! | Part | What it does |
//! |---|---|
//! | [`Definition`] | a flag as it is written |
//! | [`Flag`] | the same, checked and made ready; [`Flag::evaluate`] |
//! | [`FlagSet`] | many flags by key, from YAML or JSON |
//! | [`FlagFile`] | the set of the process, read anew when its file changes; the only I/O here |
//! | [`Flags`] | what services hold: the flags of the file under those of the caller's tenant |

#![forbid(unsafe_code)]

mod bucket;
mod check;
mod context;
mod definition;
mod evaluate;
mod file;
mod flag;
mod flags;
mod jsonlogic;
mod moment;
mod outcome;
mod query;
mod rule;
mod schedule;
mod set;

pub use check::Fault;
pub use context::Context;
pub use definition::Definition;
pub use evaluate::{ErrorCode, Evaluation, Reason, SDK_DEFAULT};
pub use file::{FileState, FlagFile};
pub use flag::Flag;
pub use flags::{Effective, Flags, TenantFlags};
pub use set::{Broken, FlagSet};

//! All SQL of module-registry but that of a module's own transaction.

pub mod attempts;
pub mod installations;
pub mod keys;
pub mod modules;
pub mod records;

//! module-registry
pub mod sql;

//! data-layer

pub mod catalogue;
pub mod query;
pub mod schema;

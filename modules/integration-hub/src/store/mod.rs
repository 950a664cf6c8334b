//! All SQL of the service.

pub(crate) mod calls;
pub(crate) mod dead_letters;
pub(crate) mod providers;
pub(crate) mod upkeep;

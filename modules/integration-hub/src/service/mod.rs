//! The operations.

mod calls;
mod dead_letters;
mod making;
mod providers;

pub use providers::SeedProvider;

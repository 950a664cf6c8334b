//! The operations.

mod catalogue;
mod installations;
mod keys;
mod registration;
mod unregistration;

pub use registration::Bundle;

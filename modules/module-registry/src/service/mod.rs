//! The operations.

mod catalogue;
mod installations;
mod keys;
mod preparation;
mod registration;
mod unregistration;

pub use registration::Bundle;

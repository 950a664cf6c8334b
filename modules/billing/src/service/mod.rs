//! The operations, in the order in which one would tell them.

pub(crate) mod change;
mod invoices;
pub(crate) mod life;
pub(crate) mod plans;
pub(crate) mod seed;
mod standing;
mod subscriptions;
pub(crate) mod usage;

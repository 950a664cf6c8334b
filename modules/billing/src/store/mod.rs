//! All SQL of this service.

pub(crate) mod invoices;
pub(crate) mod plans;
pub(crate) mod subscriptions;
pub(crate) mod usage;

//! All SQL of the service.

pub(crate) mod batch;
pub(crate) mod history;
pub(crate) mod holds;
pub(crate) mod ledger;
pub(crate) mod wallets;

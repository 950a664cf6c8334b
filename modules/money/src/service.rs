//! The operations.

mod ledger;
mod moving;
mod opening;
mod reading;
mod seed;
mod verified;
mod wallets;

pub(crate) use reading::Statement;
pub use seed::SeedWallet;
pub(crate) use verified::Verified;

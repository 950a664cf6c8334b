//! The one way in: from an open port to the service that answers.
//!
//! | Part | What it does |
//! |---|---|
//! | [`door`] | listeners, TLS, HTTP limits |
//! | [`Front`] | one per process: finds the sandbox of a request, answers health checks |
//! | [`Gateway`] | one per sandbox: the operation table, the layers in their order, a link to each service |
//!
//! The order of the layers stands in `layers/mod.rs`, and nowhere else.

#![forbid(unsafe_code)]

mod backends;
mod boot;
mod console;
mod core;
mod credentials;
pub mod door;
mod flags;
pub mod front;
mod gateway;
mod layers;
mod metrics;
mod operator;
mod origin;
mod pages;
mod problem;
mod rate;
mod rpc;
mod standings;
mod table;
#[cfg(test)]
mod tests;
mod traffic;
mod visit;
mod windows;

pub use self::core::GatewaySettings;
pub use boot::BootError;
pub use console::{DemoPerson, DemoSignIn};
pub use flags::{FeatureFlags, FeatureFlagsDeps, FlagUses, TenantStore};
pub use front::{Cells, Front, FrontService, FrontSettings, HostRules, HostVerdict};
pub use gateway::{Gateway, GatewayDeps};
pub use metrics::{Exposition, Metrics, link_series};
pub use operator::OperatorGate;
pub use rate::RateLimit;

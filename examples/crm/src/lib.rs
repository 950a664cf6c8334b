//! `@example/crm`: a complete module, to read, run and copy.
//!
//! A module is three things, and this crate is one of each:
//!
//! * [`MANIFEST`]: what it is called, may do, publishes and shows;
//! * [`MIGRATIONS`]: its tables, which the kernel turns into an API of their own;
//! * [`serve`]: a back-end for what tables alone can't do, here two routes.
//!
//! The back-end never sees a user's password or token. The gateway signs a token of one minute
//! for this module alone (header `X-Kernel-Module-Token`); `src/token.rs` checks it and
//! `src/kernel_api.rs` uses it to call the kernel back on behalf of that user.

#![forbid(unsafe_code)]

mod caller;
mod error;
mod http;
mod issuer;
mod kernel_api;
mod keys;
mod lifecycle;
mod module_keys;
mod options;
mod pipeline;
mod problem;
mod refusal;
mod token;

pub use error::CrmError;
pub use lifecycle::serve;
pub use module_keys::ModuleKeys;
pub use options::{Listen, Options};

/// The module's name, which is also the audience of its tokens.
pub const NAME: &str = "@example/crm";

/// The name without its scope: the module's word in addresses, permissions and event types.
pub const SLUG: &str = "crm";

/// `module.manifest.json`, as registered.
pub const MANIFEST: &str = include_str!("../module.manifest.json");

/// The half page that explains the module, for whoever exports it.
pub const README: &str = include_str!("../README.md");

/// The migrations in the order in which they run: file name and text, in goose's format.
pub const MIGRATIONS: &[(&str, &str)] = &[
    ("00001_companies.sql", include_str!("../migrations/00001_companies.sql")),
    ("00002_contacts.sql", include_str!("../migrations/00002_contacts.sql")),
    ("00003_deals.sql", include_str!("../migrations/00003_deals.sql")),
];

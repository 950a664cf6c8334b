//! All SQL of this service, by what it is about.

pub mod accounts;
pub mod api_keys;
pub mod mail_tokens;
pub mod members;
pub mod purge;
pub mod roles;
pub mod sessions;
pub mod signing_keys;
pub mod standing;
pub mod tenants;

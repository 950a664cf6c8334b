//! All SQL of this service.

pub mod inbox;
pub mod notifications;
pub mod outbox;
pub mod preferences;
pub mod purge;
pub mod templates;

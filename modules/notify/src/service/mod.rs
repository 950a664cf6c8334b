//! The operations, by what they are about.

pub mod inbox;
pub mod notifications;
pub mod outbox;
pub mod preferences;
pub mod seed;
pub mod sending;
pub mod templates;

use kernel::{Actor, Ctx, Error, Result, Slug, UserId};

/// The signed-in person: what belongs to a person alone.
///
/// # Errors
/// `forbidden` for keys and modules.
pub(crate) fn person(cx: &Ctx) -> Result<UserId> {
    match cx.actor() {
        Actor::User { id, .. } => Ok(*id),
        _ => Err(Error::new(
            Slug::Forbidden,
            "Only a person who is signed in has an inbox and preferences, not a key or module.",
        )),
    }
}

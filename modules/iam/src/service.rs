//! The operations, by what they are about.

pub mod api_keys;
pub mod asking;
pub mod founding;
pub mod mails;
pub mod password;
pub mod refresh;
pub mod registration;
pub mod roles;
pub mod seed;
pub mod sessions;
pub mod sign_in;
pub mod tenants;
mod tokens;
pub mod users;

use kernel::{Actor, Ctx, Error, Result, SessionId, Slug, UserId};

/// The signed-in person and their session: what only a person may do for themselves.
///
/// # Errors
/// `forbidden` for keys and modules.
fn person(cx: &Ctx) -> Result<(UserId, SessionId)> {
    match cx.actor() {
        Actor::User { id, session, .. } => Ok((*id, *session)),
        _ => Err(Error::new(
            Slug::Forbidden,
            "Only a person who is signed in can do this, not a key or module.",
        )),
    }
}

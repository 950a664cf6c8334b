//! The operations.

mod dead_letters;
mod intake;
mod publishing;
mod reading;
mod schemas;
mod subscriptions;

use kernel::{Actor, Ctx};

/// A module reaches its own subscriptions only; people and keys those of their whole tenant.
fn only_of(cx: &Ctx) -> Option<&str> {
    match cx.actor() {
        Actor::Module { slug, .. } => Some(slug.as_str()),
        _ => None,
    }
}

//! The operations, in the order in which one would tell them.

mod held;
mod lifecycle;
mod pictures;
mod presigned;
mod reading;
mod scanning;
mod seeding;
mod upload;

use fabric::postgres::{Audit, Event, Tx};
use kernel::Result;

use crate::{NAME, http::files::FileOut};

pub(crate) use reading::Content;
pub use seeding::SeedFile;

/// Tells what happened to a file.
fn tell(tx: &mut Tx, what: &'static str, file: &FileOut) -> Result<()> {
    tx.event(Event::new(NAME, what, file.id, file)?)
}

/// Tells it, and keeps who did it.
fn tell_and_keep(tx: &mut Tx, what: &'static str, file: &FileOut) -> Result<()> {
    tell(tx, what, file)?;
    tx.audit(Audit::new(what, "file", file.id).after(file))
}

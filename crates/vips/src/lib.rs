//! Images through libvips: a safe face over the few functions of it that are used.
//!
//! What comes in is somebody's upload. So: only decoders that libvips itself calls trusted are let in, the decoder must be
//! the one of the format that was announced, the pixels are counted before the first is decoded, and decoding ends at a
//! deadline. What goes out is upright, in sRGB, with 8 bits a channel and without metadata.
//!
//! A call works on the caller's thread and may take seconds: it belongs on a thread for such work, which calls
//! [`leave_thread`] before it ends.

mod edit;
mod fault;
mod ffi;
mod format;
mod library;
mod picture;
mod source;
#[cfg(test)]
mod tests;

use std::time::Instant;

pub use edit::{Area, Edit, Resize, Turn};
pub use fault::Fault;
pub use format::{Format, Output};
pub use library::{leave_thread, memory_in_use, version};
pub use picture::Picture;
pub use source::{Header, inspect};

/// What one image may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most pixels of the decoded image.
    pub pixels: u64,
    /// When decoding must have ended.
    pub deadline: Instant,
}

/// The box a picture is brought into. It is never enlarged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Fill the box and cut off what stands over, from the middle outwards; else the whole picture lies within it.
    pub cover: bool,
}

/// A small version of an image. Decoders that can (JPEG, WebP, HEIF) decode at reduced size.
///
/// # Errors
/// What is wrong with the image, or [`Fault::Late`].
pub fn thumbnail(bytes: &[u8], format: Format, fit: Fit, limits: &Limits) -> Result<Picture, Fault> {
    let header = inspect(bytes, format, limits)?;
    source::thumbnail(bytes, &header, fit, limits)
}

/// An image with changes: cut out, turned, brought to another size; in this order, on the upright image.
///
/// # Errors
/// What is wrong with the image, [`Fault::Outside`] for an area that is not in it, or [`Fault::Late`].
pub fn edit(bytes: &[u8], format: Format, edit: &Edit, limits: &Limits) -> Result<Picture, Fault> {
    let header = inspect(bytes, format, limits)?;
    edit::apply(bytes, &header, edit, limits)
}

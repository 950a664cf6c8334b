//! The sizes that every picture is to be had in.

use vips::{Fault, Fit, Output, Picture};

/// A size with its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Preset {
    pub name: &'static str,
    pub fit: Fit,
}

const fn square(name: &'static str, side: u32) -> Preset {
    Preset { name, fit: Fit { width: side, height: side, cover: true } }
}

const fn within(name: &'static str, side: u32) -> Preset {
    Preset { name, fit: Fit { width: side, height: side, cover: false } }
}

/// Made at once.
pub(crate) const ICON: Preset = square("icon_32", 32);
/// Made at once.
pub(crate) const CARD: Preset = within("card_300", 300);

/// All of them; those not made at once are made on first use.
pub(crate) const PRESETS: [Preset; 5] =
    [ICON, square("avatar_64", 64), CARD, within("preview_600", 600), within("full_1200", 1200)];

const QUALITY: u8 = 80;

/// A size by its name.
pub(crate) fn named(name: &str) -> Option<Preset> {
    PRESETS.into_iter().find(|preset| preset.name == name)
}

/// The form of small versions: WebP, and PNG where something shows through.
pub(crate) fn form(is_transparent: bool) -> (Output, &'static str, &'static str) {
    if is_transparent { (Output::Png, "image/png", "png") } else { (Output::WebP, "image/webp", "webp") }
}

/// A small version as a file.
pub(crate) fn made(picture: &Picture, is_transparent: bool) -> Result<Vec<u8>, Fault> {
    picture.encode(form(is_transparent).0, QUALITY)
}

//! Pictures: decoded for their small versions, which also shows whether they are whole.

use std::time::{Duration, Instant};

use kernel::{Error, Result};
use memchr::memmem;
use vips::{Fault, Format, Limits, Picture};

use super::{Refusal, archive};
use crate::thumbnail::{CARD, ICON, made};

/// Most pixels that are decoded.
pub(crate) const PIXELS: u64 = 50_000_000;
/// The longest time for one image.
const TIME: Duration = Duration::from_secs(30);

/// What is made of an image when it comes.
#[derive(Debug)]
pub(crate) struct Pictures {
    /// Of the upright image.
    pub width: u32,
    pub height: u32,
    pub is_transparent: bool,
    pub icon: Vec<u8>,
    pub card: Vec<u8>,
}

/// What one image may cost, from now on.
pub(crate) fn limits() -> Limits {
    Limits { pixels: PIXELS, deadline: Instant::now() + TIME }
}

/// Decodes an image into the versions that are made at once.
///
/// # Errors
/// The outer error is a fault of ours, the inner one the refusal.
pub(crate) fn look_at(bytes: &[u8], format: Format) -> Result<Result<Pictures, Refusal>> {
    if let Err(refusal) = is_only_an_image(bytes, format) {
        return Ok(Err(refusal));
    }
    match pictures(bytes, format) {
        Ok(pictures) => Ok(Ok(pictures)),
        Err(fault) => refused(fault).map(Err),
    }
}

fn pictures(bytes: &[u8], format: Format) -> Result<Pictures, Fault> {
    let limits = limits();
    let header = vips::inspect(bytes, format, &limits)?;
    let card = vips::thumbnail(bytes, format, CARD.fit, &limits)?;
    small_versions(header.width, header.height, &card)
}

/// The versions that are made at once of a picture that was just made.
pub(crate) fn pictures_of(picture: &Picture) -> Result<Pictures, Fault> {
    small_versions(picture.width(), picture.height(), &picture.shrunk(CARD.fit)?)
}

fn small_versions(width: u32, height: u32, card: &Picture) -> Result<Pictures, Fault> {
    let is_transparent = card.is_transparent();
    let icon = made(&card.shrunk(ICON.fit)?, is_transparent)?;
    Ok(Pictures { width, height, is_transparent, icon, card: made(card, is_transparent)? })
}

/// What a fault means to the uploader; what the decoder said goes to the log.
///
/// # Errors
/// `internal` for a fault that is not the image's.
pub(crate) fn refused(fault: Fault) -> Result<Refusal> {
    match fault {
        Fault::Unreadable(why) => {
            tracing::debug!(why, "an image was refused");
            Ok("The image is broken, or of another type than declared.".into())
        }
        Fault::TooLarge { width, height } => Ok(format!(
            "The image has {width} × {height} pixels; at most {} megapixels are decoded.",
            PIXELS / 1_000_000
        )
        .into()),
        Fault::Late => Ok(format!("Decoding the image took longer than {} seconds.", TIME.as_secs()).into()),
        fault @ (Fault::Library(_) | Fault::Outside { .. }) => Err(Error::internal(fault)),
    }
}

/// What other programs would take the same bytes for.
const OTHERS: [(&[u8], &str); 7] = [
    (b"<script", "a page with a script"),
    (b"<html", "a page"),
    (b"<?php", "a PHP program"),
    (b"<iframe", "a page"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"%PDF-1.", "a PDF document"),
];

/// Refuses an image that is something else besides.
fn is_only_an_image(bytes: &[u8], format: Format) -> Result<(), Refusal> {
    let also = |what: &str| Err(Refusal(format!("The image is {what} besides.")));
    for (word, what) in OTHERS {
        if holds(bytes, word) {
            return also(what);
        }
    }
    let tail = &bytes[bytes.len().saturating_sub(archive::ZIP_TAIL as usize)..];
    if let Some((entries, length, _)) = archive::zip_end(tail)
        && (entries > 0 && length >= 46)
        && memmem::find(bytes, b"PK\x01\x02").is_some()
    {
        return also("a ZIP archive");
    }
    // `GIF89a/*…*/=1` is a script, too: the width reads as the beginning of a comment or an assignment.
    if format == Format::Gif
        && bytes.get(6..8).is_some_and(|width| matches!(width, b"/*" | b"//") || width[0] == b'=')
    {
        return also("a script");
    }
    Ok(())
}

/// Whether bytes hold a word, in whatever case.
fn holds(bytes: &[u8], word: &[u8]) -> bool {
    let first = word[0];
    memchr::memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), bytes)
        .any(|at| bytes.get(at..at + word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use vips::Output;

    use super::*;

    fn image(output: Output) -> Vec<u8> {
        Picture::from_pixels(64, 48, &[90; 64 * 48 * 3]).unwrap().encode(output, 80).unwrap()
    }

    #[test]
    fn an_image_gives_its_small_versions() {
        let pictures = look_at(&image(Output::Jpeg), Format::Jpeg).unwrap().unwrap();
        assert_eq!((pictures.width, pictures.height, pictures.is_transparent), (64, 48, false));
        for made in [&pictures.icon, &pictures.card] {
            assert_eq!(&made[8..12], b"WEBP");
        }
    }

    #[test]
    fn what_is_something_else_besides_is_refused() {
        let zip = b"PK\x01\x02..............................................PK\x05\x06\0\0\0\0\x01\0\x01\0\x2e\0\0\0\0\0\0\0\0\0";
        let page = b"<ScRiPt>alert(1)</script>";
        for tail in [&zip[..], page, b"<?php system('id');", b"Rar!\x1a\x07\0", b"%PDF-1.7"] {
            let both = [&image(Output::Png)[..], tail].concat();
            assert!(look_at(&both, Format::Png).unwrap().unwrap_err().0.contains("besides"), "{tail:?}");
        }
        let script = b"GIF89a/*\x01\0\0\0\0*/=1;alert(1)//";
        assert!(look_at(script, Format::Gif).unwrap().unwrap_err().0.contains("besides"));
    }

    #[test]
    fn a_broken_image_is_refused_in_a_sentence() {
        let png = image(Output::Png);
        let refusal = look_at(&png[..png.len() - 20], Format::Png).unwrap().unwrap_err();
        assert!(refusal.0.contains("broken"), "{refusal:?}");
        let mut huge = png;
        huge[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
        // The head's checksum does not fit any more; either way it is not decoded.
        assert!(look_at(&huge, Format::Png).unwrap().is_err());
    }
}

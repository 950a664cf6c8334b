//! What a file is: the type its uploader declares, and what its first bytes say.

use vips::Format;

/// First bytes that are looked at.
pub(crate) const HEAD: usize = 4096;

/// What is not known to be anything else.
pub(crate) const UNKNOWN: &str = "application/octet-stream";

/// What the scan does with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Decoded.
    Image(Format),
    /// Read through for what a browser would run.
    Svg,
    /// Its entries are unpacked and counted.
    Zip,
    /// Unpacked and counted.
    Gzip,
    /// Nothing beyond what every file gets.
    Other,
}

/// A type that is told by its first bytes.
struct Signature {
    media_type: &'static str,
    /// Further types under which it may be declared; `x*` stands for all that begin so.
    also: &'static [&'static str],
    fits: fn(&[u8]) -> bool,
}

const fn signature(
    media_type: &'static str,
    also: &'static [&'static str],
    fits: fn(&[u8]) -> bool,
) -> Signature {
    Signature { media_type, also, fits }
}

fn at(head: &[u8], offset: usize, bytes: &[u8]) -> bool {
    head.get(offset..).is_some_and(|rest| rest.starts_with(bytes))
}

/// The brand of an ISO base media file, and those it says it is compatible with.
fn has_brand(head: &[u8], brands: &[&[u8; 4]]) -> bool {
    at(head, 4, b"ftyp")
        && head[8..head.len().min(64)]
            .chunks_exact(4)
            .any(|brand| brands.iter().any(|wanted| brand == *wanted))
}

const AVIF: [&[u8; 4]; 2] = [b"avif", b"avis"];
const HEIC: [&[u8; 4]; 5] = [b"heic", b"heix", b"hevc", b"heim", b"mif1"];

const SIGNATURES: &[Signature] = &[
    signature("image/jpeg", &["image/jpg", "image/pjpeg"], |h| h.starts_with(b"\xff\xd8\xff")),
    signature("image/png", &["image/apng"], |h| h.starts_with(b"\x89PNG\r\n\x1a\n")),
    signature("image/gif", &[], |h| h.starts_with(b"GIF87a") || h.starts_with(b"GIF89a")),
    signature("image/webp", &[], |h| h.starts_with(b"RIFF") && at(h, 8, b"WEBP")),
    signature("image/tiff", &["image/tif"], |h| h.starts_with(b"II*\0") || h.starts_with(b"MM\0*")),
    signature("image/avif", &["image/heif"], |h| has_brand(h, &AVIF)),
    signature("image/heic", &["image/heif"], |h| has_brand(h, &HEIC)),
    signature("image/bmp", &["image/x-ms-bmp"], |h| h.starts_with(b"BM") && at(h, 6, b"\0\0\0\0")),
    signature("image/x-icon", &["image/vnd.microsoft.icon"], |h| h.starts_with(b"\0\0\x01\0")),
    signature("application/pdf", &["application/x-pdf"], |h| h.starts_with(b"%PDF-")),
    signature(
        "application/zip",
        &[
            "application/x-zip-compressed",
            "application/java-archive",
            "application/vnd.openxmlformats-officedocument.*",
            "application/vnd.ms-*",
            "application/vnd.oasis.opendocument.*",
            "application/epub+zip",
            "application/vnd.apple.*",
        ],
        |h| h.starts_with(b"PK\x03\x04") || h.starts_with(b"PK\x05\x06"),
    ),
    signature("application/gzip", &["application/x-gzip", "application/x-tgz"], |h| {
        h.starts_with(b"\x1f\x8b")
    }),
    signature("application/x-bzip2", &[], |h| h.starts_with(b"BZh") && at(h, 4, b"1AY&SY")),
    signature("application/x-xz", &[], |h| h.starts_with(b"\xfd7zXZ\0")),
    signature("application/zstd", &[], |h| h.starts_with(b"\x28\xb5\x2f\xfd")),
    signature("application/x-7z-compressed", &[], |h| h.starts_with(b"7z\xbc\xaf\x27\x1c")),
    signature("application/vnd.rar", &["application/x-rar-compressed"], |h| h.starts_with(b"Rar!\x1a\x07")),
    signature("application/x-tar", &[], |h| at(h, 257, b"ustar")),
    signature(
        "application/x-ole-storage",
        &["application/msword", "application/vnd.ms-*", "application/vnd.visio"],
        |h| h.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    ),
    signature("video/quicktime", &["video/mp4"], |h| at(h, 4, b"ftypqt")),
    signature("audio/mp4", &["audio/x-m4a", "audio/aac", "video/mp4"], |h| at(h, 4, b"ftypM4A")),
    signature("video/mp4", &["audio/mp4", "video/x-m4v", "video/3gpp*"], |h| at(h, 4, b"ftyp")),
    signature("video/webm", &["audio/webm", "video/x-matroska", "audio/x-matroska"], |h| {
        h.starts_with(b"\x1aE\xdf\xa3")
    }),
    signature("video/x-msvideo", &["video/avi"], |h| h.starts_with(b"RIFF") && at(h, 8, b"AVI ")),
    signature("audio/ogg", &["video/ogg", "application/ogg", "audio/opus"], |h| h.starts_with(b"OggS")),
    signature("audio/wav", &["audio/x-wav", "audio/wave", "audio/vnd.wave"], |h| {
        h.starts_with(b"RIFF") && at(h, 8, b"WAVE")
    }),
    signature("audio/flac", &["audio/x-flac"], |h| h.starts_with(b"fLaC")),
    signature("audio/mpeg", &["audio/mp3"], |h| {
        h.starts_with(b"ID3")
            || h.starts_with(b"\xff\xfb")
            || h.starts_with(b"\xff\xf3")
            || h.starts_with(b"\xff\xf2")
    }),
    signature("audio/aac", &["audio/aacp"], |h| h.starts_with(b"\xff\xf1") || h.starts_with(b"\xff\xf9")),
    signature("audio/midi", &["audio/x-midi"], |h| h.starts_with(b"MThd")),
    signature("font/woff", &["application/font-woff"], |h| h.starts_with(b"wOFF")),
    signature("font/woff2", &[], |h| h.starts_with(b"wOF2")),
    signature("font/otf", &["font/sfnt", "application/vnd.ms-opentype"], |h| h.starts_with(b"OTTO")),
    signature("font/ttf", &["font/sfnt", "application/x-font-ttf"], |h| h.starts_with(b"\0\x01\0\0\0")),
    signature("application/wasm", &[], |h| h.starts_with(b"\0asm")),
];

/// Whether bytes begin as such a program's do.
type BeginsSo = fn(&[u8]) -> bool;

/// Programs, which are not kept whatever they are declared as.
const PROGRAMS: &[(&str, BeginsSo)] = &[
    ("a program for Linux", |h| h.starts_with(b"\x7fELF")),
    ("a program for Windows", |h| h.starts_with(b"MZ") && h.iter().take(256).any(|b| *b == 0)),
    ("a program for macOS", |h| {
        [[0xcf, 0xfa, 0xed, 0xfe], [0xce, 0xfa, 0xed, 0xfe], [0xca, 0xfe, 0xba, 0xbe]]
            .iter()
            .any(|m| h.starts_with(m))
    }),
    ("a script", |h| h.starts_with(b"#!")),
];

/// The beginnings of names of types that are believed only when the bytes say so too.
const MUST_SHOW: [&str; 4] = ["image/", "audio/", "video/", "font/"];

/// A declared type in its plain form, `type/subtype` in lower case; none when it has another form.
pub(crate) fn essence(declared: &str) -> Option<String> {
    let text = declared.split(';').next()?.trim().to_ascii_lowercase();
    let (kind, subtype) = text.split_once('/')?;
    let word = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    (text.len() <= 127 && word(kind) && word(subtype)).then_some(text)
}

/// The type under which a file is kept: what it is declared as where its bytes allow that, what they say where nothing was
/// declared.
///
/// # Errors
/// Why it is refused, as a sentence.
pub(crate) fn true_type(declared: &str, head: &[u8]) -> Result<String, String> {
    if let Some((what, _)) = PROGRAMS.iter().find(|(_, fits)| fits(head)) {
        return Err(format!("It is {what}; programs are not kept."));
    }
    let undeclared = declared == UNKNOWN;
    let mismatch = |found: &str| format!("It is declared as {declared}, but its content is {found}.");
    if let Some(found) = SIGNATURES.iter().find(|signature| (signature.fits)(head)) {
        if undeclared {
            return Ok(found.media_type.to_owned());
        }
        return match found.media_type == declared || found.also.iter().any(|also| covers(also, declared)) {
            // Pictures are kept under the one name that their decoder goes by.
            true if declared.starts_with("image/") => Ok(found.media_type.to_owned()),
            true => Ok(declared.to_owned()),
            false => Err(mismatch(found.media_type)),
        };
    }
    if known_by_its_bytes(declared) {
        return Err(mismatch(if text_in(head).is_some() { "text" } else { "something else" }));
    }
    match text_in(head) {
        Some(text) if is_svg(text) => match declared {
            "image/svg+xml" | "text/xml" | "application/xml" | UNKNOWN | "text/plain" => {
                Ok("image/svg+xml".to_owned())
            }
            _ => Err(mismatch("image/svg+xml")),
        },
        Some(text) => {
            if declared == "image/svg+xml" || MUST_SHOW.iter().any(|begin| declared.starts_with(begin)) {
                return Err(mismatch("text"));
            }
            let html = is_html(text);
            match undeclared {
                true if html => Ok("text/html".to_owned()),
                true => Ok("text/plain".to_owned()),
                false => Ok(declared.to_owned()),
            }
        }
        None => {
            let must_show =
                MUST_SHOW.iter().any(|begin| declared.starts_with(begin)) || declared.starts_with("text/");
            if must_show { Err(mismatch("something else")) } else { Ok(declared.to_owned()) }
        }
    }
}

fn covers(pattern: &str, declared: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == declared, |begin| declared.starts_with(begin))
}

/// Whether a file of this type would have been known by its first bytes.
fn known_by_its_bytes(declared: &str) -> bool {
    SIGNATURES.iter().any(|signature| {
        signature.media_type == declared || signature.also.iter().any(|also| covers(also, declared))
    })
}

/// The beginning as text, if it is text: UTF-8, cut at most within its last character, without control characters.
fn text_in(head: &[u8]) -> Option<&str> {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() && head.len() + 3 >= HEAD => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let plain = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t' | '\x0c' | '\x1b');
    text.chars().all(plain).then_some(text)
}

fn is_svg(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with('<') && text.to_ascii_lowercase().contains("<svg") && !is_html(text)
}

fn is_html(text: &str) -> bool {
    let begin: String = text.trim_start().chars().take(64).collect::<String>().to_ascii_lowercase();
    ["<!doctype html", "<html", "<head", "<body", "<script", "<iframe"]
        .iter()
        .any(|tag| begin.starts_with(tag))
}

/// What the scan does with a file of this type.
pub(crate) fn kind_of(media_type: &str) -> Kind {
    match media_type {
        "image/jpeg" => Kind::Image(Format::Jpeg),
        "image/png" => Kind::Image(Format::Png),
        "image/webp" => Kind::Image(Format::WebP),
        "image/gif" => Kind::Image(Format::Gif),
        "image/tiff" => Kind::Image(Format::Tiff),
        "image/avif" | "image/heic" => Kind::Image(Format::Heif),
        "image/svg+xml" => Kind::Svg,
        "application/gzip" | "application/x-gzip" | "application/x-tgz" => Kind::Gzip,
        declared => {
            let zip = SIGNATURES.iter().find(|signature| signature.media_type == "application/zip");
            let is_zip = declared == "application/zip"
                || zip.is_some_and(|zip| zip.also.iter().any(|also| covers(also, declared)));
            if is_zip { Kind::Zip } else { Kind::Other }
        }
    }
}

/// Whether a browser may show it in place: what it would run there is only downloaded.
pub(crate) fn may_be_inline(media_type: &str) -> bool {
    matches!(media_type, "application/pdf" | "text/plain" | "application/json" | "text/csv")
        || MUST_SHOW.iter().any(|begin| media_type.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    const SVG: &[u8] = b"<?xml version=\"1.0\"?>\n<!-- a --><svg xmlns=\"http://www.w3.org/2000/svg\"/>";

    #[test]
    fn the_bytes_must_allow_the_declared_type() {
        for (declared, head, kept) in [
            ("image/png", PNG, Some("image/png")),
            (UNKNOWN, PNG, Some("image/png")),
            ("image/jpeg", PNG, None),
            ("text/plain", PNG, None),
            ("image/png", b"hello", None),
            ("application/pdf", b"hello", None),
            ("image/x-new", b"\x01\x02\x03", None),
            ("text/plain", b"h\xffllo", None),
            ("text/plain", b"hello", Some("text/plain")),
            ("application/x-own", b"\x01\x02\x03", Some("application/x-own")),
            (UNKNOWN, b"\x01\x02\x03", Some(UNKNOWN)),
            (UNKNOWN, b"hello", Some("text/plain")),
            (UNKNOWN, b"", Some("text/plain")),
            (
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
                b"PK\x03\x04..",
                Some("application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
            ),
            ("image/svg+xml", SVG, Some("image/svg+xml")),
            ("text/plain", SVG, Some("image/svg+xml")),
            ("text/csv", SVG, None),
            ("image/svg+xml", b"hello", None),
            ("text/html", b" <!DOCTYPE html><svg>", Some("text/html")),
            ("image/svg+xml", b"<html><svg>", None),
        ] {
            assert_eq!(true_type(declared, head).ok().as_deref(), kept, "{declared} {head:?}");
        }
    }

    #[test]
    fn programs_are_not_kept() {
        for head in [&b"\x7fELF\x02"[..], b"MZ\x90\0\x03", b"#!/bin/sh\n", b"\xcf\xfa\xed\xfe"] {
            for declared in [UNKNOWN, "text/plain", "image/png"] {
                assert!(true_type(declared, head).unwrap_err().contains("programs"), "{head:?}");
            }
        }
        assert!(true_type("text/plain", b"MZ is a currency nowhere").is_ok());
    }

    #[test]
    fn a_declared_type_has_one_form() {
        assert_eq!(essence(" Text/Plain; charset=utf-8 ").as_deref(), Some("text/plain"));
        for bad in ["", "text", "text/", "/plain", "te xt/plain", "text/pl\"ain", "a/b/c"] {
            assert_eq!(essence(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_cut_within_a_character_is_still_text() {
        let mut head = vec![b'a'; HEAD - 1];
        head.push("ä".as_bytes()[0]);
        assert!(text_in(&head).is_some());
        assert!(text_in(b"a\xc3").is_none());
    }

    #[test]
    fn what_a_browser_would_run_is_only_downloaded() {
        for shown in ["image/png", "image/svg+xml", "application/pdf", "video/mp4"] {
            assert!(may_be_inline(shown), "{shown}");
        }
        for hidden in ["text/html", "application/xhtml+xml", "text/xml", "application/javascript", UNKNOWN] {
            assert!(!may_be_inline(hidden), "{hidden}");
        }
    }

    #[test]
    fn office_documents_are_archives() {
        assert_eq!(kind_of("application/vnd.oasis.opendocument.text"), Kind::Zip);
        assert_eq!(kind_of("application/zip"), Kind::Zip);
        assert_eq!(kind_of("text/plain"), Kind::Other);
    }
}

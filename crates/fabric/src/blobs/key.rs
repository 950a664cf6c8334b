use std::{fmt, str::FromStr};

use kernel::BadName;
use object_store::path::Path;

/// Longest key in bytes.
const LONGEST: usize = 500;

/// Names a blob: segments of letters, digits, `.`, `_` and `-`, joined by slashes, none of which begins with a dot. A key
/// can't lead out of its prefix.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobKey(String);

/// Names all blobs of a sandbox: one segment.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobPrefix(String);

fn is_segment(text: &str) -> bool {
    (1..=200).contains(&text.len())
        && !text.starts_with('.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn refused(text: &str, what: &str) -> BadName {
    let shown: String = text.chars().take(60).collect();
    BadName(format!(
        "\u{201c}{shown}\u{201d} is not {what}: use letters, digits, dots, underscores and hyphens"
    ))
}

impl FromStr for BlobKey {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        if text.len() > LONGEST || !text.split('/').all(is_segment) {
            return Err(refused(text, "the key of a file"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for BlobPrefix {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        if !is_segment(text) {
            return Err(refused(text, "the prefix of a sandbox's files"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl BlobKey {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl BlobPrefix {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn path(&self, key: &BlobKey) -> Path {
        Path::from(format!("{}/{}", self.0, key.0))
    }

    pub(super) fn folder(&self, folder: Option<&BlobKey>) -> Path {
        folder.map_or_else(|| Path::from(self.0.as_str()), |folder| self.path(folder))
    }

    /// The key that lies at a path under this prefix.
    pub(super) fn key(&self, path: &Path) -> Option<BlobKey> {
        path.as_ref().strip_prefix(self.0.as_str())?.strip_prefix('/')?.parse().ok()
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Display for BlobPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for BlobPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_cannot_lead_out_of_its_prefix() {
        for good in ["a", "a/b.png", "0198-aa/original_1.WEBP", "x/".repeat(200).trim_end_matches('/')] {
            assert!(good.parse::<BlobKey>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            ".",
            "..",
            "../a",
            "a/../b",
            "a/./b",
            ".staging/x",
            "a/.hidden",
            "a b",
            "a\\b",
            "a\0",
            "a%2Fb",
            "ä",
            "a#1",
            "a?b",
            "C:",
            "a\n",
            &"x".repeat(201),
            &"x/".repeat(300),
        ] {
            assert!(bad.parse::<BlobKey>().is_err(), "{bad}");
        }
        assert!("a/b".parse::<BlobPrefix>().is_err() && ".staging".parse::<BlobPrefix>().is_err());
        assert!("acme-2".parse::<BlobPrefix>().is_ok());
    }

    #[test]
    fn a_key_is_found_again_in_its_path() {
        let prefix: BlobPrefix = "acme".parse().unwrap();
        let key: BlobKey = "a/b.c".parse().unwrap();
        assert_eq!(prefix.key(&prefix.path(&key)), Some(key));
        assert_eq!(prefix.key(&Path::from("acme2/a")), None);
        assert_eq!(prefix.key(&Path::from("acme")), None);
    }
}

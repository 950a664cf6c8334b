//! How a bucket of an S3 store is named.

use super::form::{Form, Kind, Unfit};

/// The name of an S3 bucket (S3 user guide, general purpose bucket naming rules).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BucketName(pub String);

impl Form for BucketName {
    const SHAPE: &'static str = "the name of a bucket";
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, Unfit> {
        if text.contains('/') {
            return Err(Unfit::because("a bucket's name has no slash; the address is S3_ENDPOINT"));
        }
        let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
        let ends = [text.bytes().next(), text.bytes().last()];
        let is_end = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !(3..=63).contains(&text.len()) || !text.bytes().all(is_inner) || !ends.into_iter().all(is_end) {
            return Err(Unfit::because("it has 3 to 63 small letters, digits, hyphens and dots"));
        }
        Ok(Self(text.to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// A region of an S3 store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Region(pub String);

impl Form for Region {
    const SHAPE: &'static str = "a region such as eu-central-1";
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, Unfit> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if text.is_empty() || text.len() > 63 || !text.bytes().all(fits) {
            return Err(Unfit::because("it has letters, digits and hyphens"));
        }
        Ok(Self(text.to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

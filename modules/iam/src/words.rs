//! Enums that are one word each.

pub(crate) use fabric::words;

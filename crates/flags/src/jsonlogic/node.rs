use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

/// A value that a rule works with. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Number(f64),
    Text(Arc<str>),
    List(Arc<[Node]>),
    Map(Arc<BTreeMap<Arc<str>, Node>>),
}

/// Where the original's library panics, or a limit is reached.
#[derive(Debug)]
pub(super) struct Stop;

impl From<&Value> for Node {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(number.as_f64().unwrap_or(f64::NAN)),
            Value::String(text) => Self::text(text),
            Value::Array(entries) => Self::List(entries.iter().map(Self::from).collect()),
            Value::Object(members) => Self::Map(Arc::new(
                members.iter().map(|(name, value)| (Arc::from(name.as_str()), Self::from(value))).collect(),
            )),
        }
    }
}

impl Node {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(Arc::from(text))
    }

    pub(super) fn empty() -> Self {
        Self::List(Arc::from([]))
    }

    pub(super) fn is_primitive(&self) -> bool {
        matches!(self, Self::Bool(_) | Self::Number(_) | Self::Text(_))
    }

    /// Truth within rules.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Number(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(entries) => !entries.is_empty(),
            Self::Map(members) => !members.is_empty(),
        }
    }

    /// Truth of a rule's answer. The original looks at its JSON: an empty object counts, and what JSON can't say (a
    /// division by zero) does not.
    pub(super) fn counts_as_applied(&self) -> bool {
        match self {
            Self::Map(_) => self.is_sayable(),
            Self::Number(value) => value.is_finite() && (*value != 0.0 || value.is_sign_negative()),
            other => other.is_true() && other.is_sayable(),
        }
    }

    fn is_sayable(&self) -> bool {
        match self {
            Self::Number(value) => value.is_finite(),
            Self::List(entries) => entries.iter().all(Self::is_sayable),
            Self::Map(members) => members.values().all(Self::is_sayable),
            _ => true,
        }
    }

    pub(super) fn list(&self) -> Result<&[Self], Stop> {
        match self {
            Self::List(entries) => Ok(entries),
            _ => Err(Stop),
        }
    }

    /// As a number in arithmetic; a text that is none is 0.
    pub(super) fn number(&self) -> Result<f64, Stop> {
        match self {
            Self::Number(value) => Ok(*value),
            Self::Text(text) => Ok(parse_float(text).unwrap_or(0.0)),
            _ => Err(Stop),
        }
    }

    /// As a text.
    pub(super) fn to_text(&self) -> Result<String, Stop> {
        match self {
            Self::Null => Ok(String::new()),
            Self::Text(text) => Ok(text.to_string()),
            Self::Number(value) if value.is_infinite() => {
                Ok(if *value > 0.0 { "+Inf" } else { "-Inf" }.to_owned())
            }
            Self::Number(value) => Ok(value.to_string()),
            _ => Err(Stop),
        }
    }
}

/// A number as Go reads it, but for hexadecimal ones: an underscore may part digits, and there are infinities.
pub(super) fn parse_float(text: &str) -> Option<f64> {
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = |at: usize| bare.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let parted = bare.match_indices('_').all(|(at, _)| at > 0 && digits(at - 1) && digits(at + 1));
    if !parted || bare.starts_with(['+', '-']) {
        return None;
    }
    match text.contains('_') {
        true => text.replace('_', "").parse().ok(),
        false => text.parse().ok(),
    }
}

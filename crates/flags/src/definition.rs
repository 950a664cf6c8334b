//! A flag as it is written: <https://gofeatureflag.org/docs/configure_flag/flag_format>.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Map, Value};

use crate::moment::Moment;

/// A flag. Unknown members are refused: a member that a newer original understands would be passed over in silence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Definition {
    /// What it can be, by name.
    #[serde(default)]
    pub variations: Map<String, Value>,
    /// Rules in order; the first one that applies decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) targeting: Vec<RuleDefinition>,
    /// The attribute that is bucketed instead of the targeting key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bucketing_key: Option<String>,
    /// What decides when no rule applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) default_rule: Option<RuleDefinition>,
    /// When it runs; outside of that time it is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) experimentation: Option<Window>,
    /// Changes to come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) scheduled_rollout: Vec<Step>,
    /// Whether its use is counted; it is unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track_events: Option<bool>,
    /// Whether it is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable: Option<bool>,
    /// Its author's name for this state of it.
    #[serde(default, deserialize_with = "text_or_number", skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whatever belongs to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// Of old files; it has no effect.
    #[serde(default, skip_serializing)]
    #[allow(dead_code, reason = "read so that it is not an unknown member")]
    converter: Option<String>,
}

/// A rule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RuleDefinition {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentage: Option<BTreeMap<String, f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progressive_rollout: Option<Progressive>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable: Option<bool>,
}

/// A share that grows with time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Progressive {
    #[serde(default)]
    pub initial: ProgressiveEnd,
    #[serde(default)]
    pub end: ProgressiveEnd,
}

/// One end of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ProgressiveEnd {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentage: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<Moment>,
}

/// A time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Window {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Moment>,
}

/// A change to come. The original reads any member of a flag here; those it then passes over are read, too, so that a
/// file that has them is not refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Step {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variations: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targeting: Vec<RuleDefinition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_rule: Option<RuleDefinition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experimentation: Option<Window>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track_events: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable: Option<bool>,
    #[serde(default, deserialize_with = "text_or_number", skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucketing_key: Option<String>,
}

/// `version: 1.2` is a text for its author.
fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Option::<Value>::deserialize(deserializer)? {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(other) => Err(D::Error::custom(format!("{other} is no version; write it as a text"))),
    }
}

impl RuleDefinition {
    /// Whether it asks in which bucket the key is.
    pub(crate) fn needs_key(&self) -> bool {
        self.progressive_rollout.is_some()
            || self.percentage.as_ref().is_some_and(|shares| !shares.is_empty())
    }
}

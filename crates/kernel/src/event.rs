use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{EventId, TenantId, Timestamp};

/// Something that happened, as everyone who hears of it gets it: the envelope of the event bus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DomainEvent {
    /// Unique; the same on every delivery.
    pub id: EventId,
    /// `{domain}.{entity}.{verb}`, lower case, past tense.
    #[serde(rename = "type")]
    pub kind: String,
    /// The service or module that tells it.
    pub source: String,
    /// Whose event it is; set by the system.
    pub tenant_id: Option<TenantId>,
    /// The entity; events of one key come in order.
    pub key: String,
    /// What happened.
    pub data: serde_json::Value,
    /// The version of the shape of `data`, semver.
    pub schema_version: String,
    /// When, on the sandbox's clock.
    pub timestamp: Timestamp,
    /// The trace in which it happened.
    pub trace_id: Option<String>,
}

impl DomainEvent {
    /// Whether its type is named by `pattern`: the type itself, `*`, or a beginning with `.*`.
    pub fn is(&self, pattern: &str) -> bool {
        matches_pattern(pattern, &self.kind)
    }
}

/// Whether `kind` is named by `pattern`: equal, `*`, or a beginning with `.*`.
pub fn matches_pattern(pattern: &str, kind: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => true,
        Some(prefix) if prefix.ends_with('.') => kind.starts_with(prefix),
        _ => pattern == kind,
    }
}

#[cfg(test)]
mod tests {
    use super::matches_pattern;

    #[test]
    fn a_pattern_names_whole_words() {
        assert!(matches_pattern("crm.*", "crm.contact.imported"));
        assert!(matches_pattern("*", "crm.contact.imported"));
        assert!(matches_pattern("crm.contact.imported", "crm.contact.imported"));
        assert!(!matches_pattern("crm.*", "crmx.contact.imported"));
        assert!(!matches_pattern("crm*", "crm.contact.imported"));
    }
}

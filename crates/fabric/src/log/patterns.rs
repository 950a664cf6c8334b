use std::sync::Arc;

use kernel::{Error, FieldCode, Result, matches_pattern};

/// The words that begin the types of the kernel's own events; each has a topic.
pub const KERNEL_TOPICS: [&str; 11] = [
    "auth",
    "money",
    "module",
    "data",
    "files",
    "flags",
    "notify",
    "audit",
    "billing",
    "integration",
    "domain",
];

/// Which events somebody wants: types, beginnings that end in `.*`, or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patterns(Arc<[String]>);

/// Most patterns in one set.
const MOST_PATTERNS: usize = 100;
/// Most characters of a type.
const MOST_TYPE: usize = 200;

impl Patterns {
    /// A set of 1 to 100 patterns.
    ///
    /// # Errors
    /// `validation-error` at `/types` for what is no pattern.
    pub fn new<T: Into<String>>(patterns: impl IntoIterator<Item = T>) -> Result<Self> {
        let patterns: Vec<String> = patterns.into_iter().map(Into::into).collect();
        if patterns.is_empty() {
            return Err(Error::field("/types", FieldCode::Required, "names at least one type or pattern"));
        }
        if patterns.len() > MOST_PATTERNS {
            return Err(Error::field(
                "/types",
                FieldCode::TooLong,
                format!("takes at most {MOST_PATTERNS} entries"),
            ));
        }
        if let Some(at) = patterns.iter().position(|pattern| !is_pattern(pattern)) {
            return Err(Error::field(
                format!("/types/{at}"),
                FieldCode::InvalidFormat,
                "is neither a type like crm.contact.created nor a pattern like crm.* or *",
            ));
        }
        Ok(Self(patterns.into()))
    }

    /// Every event.
    pub fn of_everything() -> Self {
        Self(["*".to_owned()].into())
    }

    /// Every event of a topic; none when the name is not that of a topic.
    pub fn of_topic(topic: &str) -> Option<Self> {
        let word = topic.strip_prefix("platform.")?.strip_suffix(".events")?;
        is_word(word).then(|| Self([format!("{word}.*")].into()))
    }

    /// Whether a type is wanted.
    pub fn name(&self, kind: &str) -> bool {
        self.0.iter().any(|pattern| matches_pattern(pattern, kind))
    }

    /// Whether a topic can hold wanted types.
    pub fn reach(&self, topic: &str) -> bool {
        self.0.iter().any(|pattern| pattern == "*" || topic_of(pattern) == topic)
    }

    /// The patterns as text.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

fn is_word(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Whether `text` is a type: `{domain}.{entity}.{verb}`, three or more words of lower-case letters, digits and
/// underscores, at most 200 characters.
pub fn is_type(text: &str) -> bool {
    text.len() <= MOST_TYPE
        && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && text.split('.').all(is_word)
        && text.split('.').count() >= 3
}

/// Whether `text` is a type, `*`, or one or more words followed by `.*`.
pub fn is_pattern(text: &str) -> bool {
    match text.strip_suffix(".*") {
        Some(words) => words.len() <= MOST_TYPE && words.split('.').all(is_word),
        None => text == "*" || is_type(text),
    }
}

/// The topic of a type (or of a pattern that names its first word).
pub fn topic_of(kind: &str) -> String {
    format!("platform.{}.events", kind.split('.').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_has_three_lower_case_words_or_more() {
        for good in ["crm.contact.created", "data.crm.contact.created", "c_m.a1.b_2"] {
            assert!(is_type(good), "{good}");
        }
        for bad in [
            "",
            "crm",
            "crm.contact",
            "Crm.contact.created",
            "crm..created",
            "crm.contact.",
            "crm.a.b c",
            "1.a.b",
        ] {
            assert!(!is_type(bad), "{bad}");
        }
        assert!(!is_type(&format!("crm.contact.{}", "x".repeat(200))));
    }

    #[test]
    fn patterns_name_types_and_topics() {
        let wanted = Patterns::new(["crm.*", "auth.user.created"]).unwrap();
        assert!(
            wanted.name("crm.deal.won")
                && wanted.name("auth.user.created")
                && !wanted.name("auth.user.deleted")
        );
        assert!(wanted.reach("platform.auth.events") && !wanted.reach("platform.money.events"));
        assert!(Patterns::new(["*"]).unwrap().reach("platform.money.events"));
        assert!(Patterns::of_topic("platform.crm.events").unwrap().name("crm.deal.won"));
        for bad in ["crm", "platform..events", "platform.*.events", "platform.a.b.events"] {
            assert!(Patterns::of_topic(bad).is_none(), "{bad}");
        }
        for bad in ["crm*", "*.created", "crm.*.created", "", ".*", "crm.contact"] {
            assert!(Patterns::new([bad]).is_err(), "{bad}");
        }
    }
}

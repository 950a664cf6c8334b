use std::{collections::BTreeMap, fmt, sync::Arc};

use serde_json::Value;

use crate::{Definition, Flag};

/// Flags by key.
#[derive(Debug, Clone, Default)]
pub struct FlagSet(BTreeMap<String, Arc<Flag>>);

/// Why a file is not taken: everything that is wrong, a sentence each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken(pub Vec<String>);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for Broken {}

/// Longest key of a flag in a file.
const MOST_KEY: usize = 200;

impl FlagSet {
    /// Reads a file: YAML, of which JSON is a part.
    ///
    /// # Errors
    /// Everything that is wrong; a file with one bad flag is not taken at all.
    pub fn parse(text: &str) -> Result<Self, Broken> {
        let broken = |message: String| Broken(vec![message]);
        let yaml: serde_yaml_ng::Value =
            serde_yaml_ng::from_str(text).map_err(|error| broken(format!("no YAML: {error}")))?;
        let yaml = merged(yaml).map_err(|error| broken(format!("no YAML: {error}")))?;
        let json = serde_json::to_value(yaml).map_err(|error| broken(format!("no flags: {error}")))?;
        let flags = match json {
            Value::Null => return Ok(Self::default()),
            Value::Object(flags) => flags,
            _ => return Err(broken("no flags: write `name: { variations: …, defaultRule: … }`".to_owned())),
        };
        let (mut set, mut faults) = (BTreeMap::new(), Vec::new());
        for (key, value) in flags {
            if key.is_empty() || key.chars().count() > MOST_KEY {
                faults.push(format!("{key:?}: a key has 1 to {MOST_KEY} characters"));
                continue;
            }
            match flag(value) {
                Ok(flag) => drop(set.insert(key, Arc::new(flag))),
                Err(own) => faults.extend(own.into_iter().map(|fault| format!("{key}: {fault}"))),
            }
        }
        if faults.is_empty() { Ok(Self(set)) } else { Err(Broken(faults)) }
    }

    /// The flag of a key.
    pub fn get(&self, key: &str) -> Option<&Arc<Flag>> {
        self.0.get(key)
    }

    /// All of them, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<Flag>)> {
        self.0.iter().map(|(key, flag)| (key.as_str(), flag))
    }

    /// Whether the same flags are in both.
    pub fn is_same(&self, other: &Self) -> bool {
        let definitions = |set: &Self| {
            set.0.iter().map(|(key, flag)| (key.clone(), flag.definition().clone())).collect::<Vec<_>>()
        };
        self.len() == other.len() && definitions(self) == definitions(other)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, Arc<Flag>)> for FlagSet {
    fn from_iter<I: IntoIterator<Item = (String, Arc<Flag>)>>(flags: I) -> Self {
        Self(flags.into_iter().collect())
    }
}

/// With `<<: *anchor` done.
fn merged(mut yaml: serde_yaml_ng::Value) -> Result<serde_yaml_ng::Value, serde_yaml_ng::Error> {
    yaml.apply_merge()?;
    Ok(yaml)
}

fn flag(value: Value) -> Result<Flag, Vec<String>> {
    let definition: Definition = serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        vec![if path == "." { error.inner().to_string() } else { format!("{path}: {}", error.inner()) }]
    })?;
    Flag::new(definition).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_one_bad_flag_is_not_taken_and_everything_is_told() {
        let text = r#"
good: { variations: { on: true, off: false }, defaultRule: { variation: on } }
empty: { defaultRule: { variation: on } }
mixed: { variations: { a: 1, b: two }, defaultRule: { percentage: { a: 50, c: 50 } } }
unknown: { variations: { a: 1 }, defaultRule: { variation: a }, needs: [] }
query: { variations: { a: 1 }, targeting: [ { query: "a == ", variation: a } ], defaultRule: { variation: a } }
twice: { variations: { a: 1 }, targeting: [ { name: x, query: a pr, variation: a }, { name: x, query: b pr, variation: a } ], defaultRule: { variation: a } }
dates: { variations: { a: 1 }, defaultRule: { variation: a }, experimentation: { start: soon } }
ramp: { variations: { a: 1 }, defaultRule: { progressiveRollout: { initial: { variation: a } } } }
step: { variations: { a: 1 }, defaultRule: { variation: a }, scheduledRollout: [ { date: 2026-01-01, defaultRule: { variation: z } } ] }
"#;
        let told = FlagSet::parse(text).unwrap_err().0;
        for words in [
            "empty: /variations: needs at least one",
            "empty: /defaultRule/variation: there is no variation \"on\"",
            "mixed: /variations/b: is a text, and a is a number",
            "mixed: /defaultRule/percentage/c: there is no variation",
            "unknown: needs: unknown field `needs`",
            "query: /targeting/0/query: ",
            "twice: /targeting/1/name",
            "dates: experimentation.start: \"soon\" is no date",
            "ramp: /defaultRule/progressiveRollout/initial/date: is needed",
            "ramp: /defaultRule/progressiveRollout/end/variation: is needed",
            "step: /scheduledRollout/0/defaultRule/variation: there is no variation \"z\"",
        ] {
            assert!(told.iter().any(|line| line.starts_with(words)), "{words}: {told:#?}");
        }
        assert!(!told.iter().any(|line| line.starts_with("good")));
    }

    #[test]
    fn yaml_may_be_written_once_and_used_often() {
        let text = "
base: &base { variations: { on: true, off: false }, defaultRule: { variation: off }, version: 1.2 }
copy: { <<: *base, defaultRule: { variation: on } }
";
        let set = FlagSet::parse(text).unwrap();
        assert_eq!(set.len(), 2);
        assert_eq!(set.get("copy").unwrap().definition().version.as_deref(), Some("1.2"));
        assert!(FlagSet::parse("").unwrap().is_empty());
        assert!(FlagSet::parse("- a").is_err() && FlagSet::parse("a: [").is_err());
    }
}

//! What is known of a tenant, and whether an answer tells some of it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value;
use testkit::Answer;
use uuid::Uuid;

/// The ids of a tenant, by the place where they were found, and the word that stands in all its texts.
#[derive(Clone, Default)]
pub struct Knowledge {
    /// Place (`iam.role.id`, `GET /api/v1/roles id`) → ids.
    places: BTreeMap<String, BTreeSet<Uuid>>,
    all: HashSet<Uuid>,
    mark: String,
}

impl Knowledge {
    pub fn new(mark: &str) -> Self {
        Self { mark: mark.to_owned(), ..Self::default() }
    }

    /// Notes every id in a JSON value.
    pub fn note(&mut self, place: &str, value: &Value) {
        match value {
            Value::String(text) => {
                for id in uuids(text) {
                    self.places.entry(place.to_owned()).or_default().insert(id);
                    self.all.insert(id);
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.note(place, value)),
            Value::Object(members) => {
                for (name, value) in members {
                    // Lists are told in a wrapper that says nothing of its own.
                    let inner = if name == "data" && value.is_array() {
                        place.to_owned()
                    } else {
                        format!("{place} {name}")
                    };
                    self.note(&inner, value);
                }
            }
            _ => {}
        }
    }

    /// Takes out what others knew before.
    pub fn without(mut self, known: &Self) -> Self {
        self.all.retain(|id| !known.all.contains(id) && !id.is_nil());
        for ids in self.places.values_mut() {
            ids.retain(|id| self.all.contains(id));
        }
        self.places.retain(|_, ids| !ids.is_empty());
        self
    }

    pub fn knows(&self, id: &Uuid) -> bool {
        self.all.contains(id)
    }

    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// Up to `each` ids of every place, each id once.
    pub fn sample(&self, each: usize) -> Vec<Uuid> {
        let mut chosen = Vec::new();
        for ids in self.places.values() {
            let new: Vec<Uuid> = ids.iter().filter(|id| !chosen.contains(*id)).take(each).copied().collect();
            chosen.extend(new);
        }
        chosen
    }

    /// One id of every column that holds ids: what references can point to.
    pub fn entities(&self) -> Vec<Uuid> {
        let columns = self.places.iter().filter(|(place, _)| place.ends_with("id") && !place.contains(' '));
        let mut ids: Vec<Uuid> = columns.filter_map(|(_, ids)| ids.first().copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// An id of this tenant that an answer tells beyond what was sent, where its word was in the request.
    pub fn ids_told_by(&self, answer: &Answer, sent: &HashSet<Uuid>) -> Option<String> {
        let id = uuids(&answer.text).find(|id| self.all.contains(id) && !sent.contains(id))?;
        Some(format!("{} told {id}: {}", answer.asked, answer.text))
    }

    /// What an answer tells of this tenant beyond what was sent.
    pub fn told_by(&self, answer: &Answer, sent: &HashSet<Uuid>) -> Option<String> {
        let headers = answer.headers.values().filter_map(|value| value.to_str().ok());
        for text in headers.chain([answer.text.as_str()]) {
            if let Some(id) = uuids(text).find(|id| self.all.contains(id) && !sent.contains(id)) {
                let place =
                    self.places.iter().find(|(_, ids)| ids.contains(&id)).map_or("", |(place, _)| place);
                return Some(format!("{} told {id} ({place}): {}", answer.asked, answer.text));
            }
            if text.to_ascii_lowercase().contains(&self.mark) && !answer.asked.contains(&self.mark) {
                return Some(format!("{} told the word {}: {text}", answer.asked, self.mark));
            }
        }
        None
    }
}

/// The UUIDs in a text.
pub fn uuids(text: &str) -> impl Iterator<Item = Uuid> + '_ {
    const LENGTH: usize = 36;
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at + LENGTH <= bytes.len() {
            let piece = &bytes[at..at + LENGTH];
            // Looking for the hyphens first makes long bodies cheap.
            let hyphens = piece[8] == b'-' && piece[13] == b'-' && piece[18] == b'-' && piece[23] == b'-';
            if hyphens && let Ok(id) = Uuid::try_parse_ascii(piece) {
                at += LENGTH;
                return Some(id);
            }
            at += 1;
        }
        None
    })
}

/// A set of ids that were sent.
pub fn sent(ids: impl IntoIterator<Item = Uuid>) -> HashSet<Uuid> {
    ids.into_iter().collect()
}

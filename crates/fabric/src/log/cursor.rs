use std::{collections::BTreeMap, fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use kernel::{Error, Slug};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A place in the log: how far a reader has come in each partition of each topic. What it does not name, it has not
/// begun.
///
/// Opaque to everyone but a log. Its text form is for keeping and handing on; what leaves the kernel is sealed, for the
/// numbers in it count the events of all tenants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor(BTreeMap<String, Vec<i64>>);

/// Most characters of a cursor's text, so that a stranger's can be read without harm.
const MOST_TEXT: usize = 64 * 1024;
const MOST_PARTITIONS: usize = 256;

impl Cursor {
    /// Before everything that the log still holds.
    pub fn beginning() -> Self {
        Self::default()
    }

    pub(super) fn place(&self, topic: &str, partition: i16) -> i64 {
        let index = usize::try_from(partition).unwrap_or(usize::MAX);
        self.0.get(topic).and_then(|places| places.get(index)).copied().unwrap_or(0)
    }

    pub(super) fn set(&mut self, topic: &str, partition: i16, position: i64) {
        let Some(index) = usize::try_from(partition).ok().filter(|index| *index < MOST_PARTITIONS) else {
            return;
        };
        let places = self.0.entry(topic.to_owned()).or_default();
        if places.len() <= index {
            places.resize(index + 1, 0);
        }
        places[index] = position;
    }

    /// The places as three columns: topics, partitions, positions.
    pub(super) fn columns(&self) -> (Vec<String>, Vec<i16>, Vec<i64>) {
        let mut columns = (Vec::new(), Vec::new(), Vec::new());
        for (topic, places) in &self.0 {
            for (partition, position) in (0i16..).zip(places).filter(|(_, position)| **position > 0) {
                columns.0.push(topic.clone());
                columns.1.push(partition);
                columns.2.push(*position);
            }
        }
        columns
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_vec(&self.0).map_err(|_| fmt::Error)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(json))
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::new(Slug::InvalidCursor, "This is not a place in the event log.");
        if text.len() > MOST_TEXT {
            return Err(wrong());
        }
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
        let places: BTreeMap<String, Vec<i64>> = serde_json::from_slice(&json).map_err(|_| wrong())?;
        let fits =
            |list: &Vec<i64>| list.len() <= MOST_PARTITIONS && list.iter().all(|position| *position >= 0);
        if places.values().all(fits) { Ok(Self(places)) } else { Err(wrong()) }
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(|error: Error| serde::de::Error::custom(error.detail()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text_form() {
        let mut cursor = Cursor::beginning();
        cursor.set("platform.crm.events", 11, 7);
        cursor.set("platform.auth.events", 0, 9_000_000_000);
        let read: Cursor = cursor.to_string().parse().unwrap();
        assert_eq!(read, cursor);
        assert_eq!((read.place("platform.crm.events", 11), read.place("platform.crm.events", 3)), (7, 0));
        assert_eq!(read.columns().2.len(), 2);
    }

    #[test]
    fn a_strangers_text_is_refused_and_does_no_harm() {
        let long = "a".repeat(MOST_TEXT + 1);
        let negative = URL_SAFE_NO_PAD.encode(br#"{"t":[-1]}"#);
        let wide = URL_SAFE_NO_PAD.encode(format!("{{\"t\":{:?}}}", vec![1; 300]));
        for text in ["", "ä", "AAAA", &long, &negative, &wide] {
            assert_eq!(text.parse::<Cursor>().unwrap_err().slug(), Slug::InvalidCursor);
        }
    }
}

//! Walking a chain: does each record still say what it said when it got its place?

use std::collections::HashSet;

use fabric::crypto::sha256;
use kernel::{AuditId, TenantId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::canonical::{Hash, Hashed, VERSION, hex};
use crate::model::{EMPTIED_IP, EMPTIED_TEXT};

/// How far from its place a record is looked for before it counts as changed rather than moved.
const NEIGHBOURS: usize = 32;

/// Bytes that are hashed again in such a search.
const MOST_REHASHED: usize = 128 << 20;

/// Salts have this many characters, always.
const SALT_LENGTH: usize = 32;

/// A record with its place, as it lies in the table.
#[derive(Debug, Clone)]
pub struct Chained {
    /// Its place.
    pub seq: i64,
    /// The hash it was given.
    pub hash: Vec<u8>,
    /// The version of the hashed form.
    pub version: i16,
    /// What was hashed.
    pub hashed: Hashed,
    /// Personal members, outside of the hash.
    pub personal: Value,
}

/// What is wrong with a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A record says something else than when it was chained.
    Changed,
    /// A record is gone from between others.
    Removed,
    /// A record stands in another's place.
    Reordered,
    /// The end of the chain is gone.
    CutOff,
}

/// The first place at which a chain is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The place.
    pub seq: i64,
    /// The record that stands there, if one does.
    pub record: Option<AuditId>,
    /// What is wrong.
    pub fault: Fault,
}

/// A walk along one tenant's chain, fed with its records in order of their places.
#[derive(Debug, Clone)]
pub struct Walk {
    tenant: TenantId,
    previous: Hash,
    next: i64,
    checked: u64,
}

impl Walk {
    /// A walk whose first record is number `first`; the one before it has the hash `previous`.
    pub fn new(tenant: TenantId, first: i64, previous: Hash) -> Self {
        Self { tenant, previous, next: first, checked: 0 }
    }

    /// The place that comes next.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// How many records were found good.
    pub fn checked(&self) -> u64 {
        self.checked
    }

    /// Checks the next records. They may be read in pieces of any size, but a record that was moved is told from one
    /// that was changed only within a piece.
    ///
    /// # Errors
    /// The first record that is not good; the walk ends there.
    pub fn along(&mut self, records: &[Chained]) -> Result<(), Broken> {
        for (index, record) in records.iter().enumerate() {
            let at = self.next;
            let id = record.hashed.id;
            if record.seq > at {
                return Err(Broken { seq: at, record: None, fault: Fault::Removed });
            }
            if record.seq < at {
                return Err(Broken { seq: record.seq, record: Some(id), fault: Fault::Reordered });
            }
            let hash = record.hashed.hash(&self.previous, self.tenant, at);
            if record.version != VERSION || hash[..] != record.hash[..] {
                return Err(Broken { seq: at, record: Some(id), fault: self.reason(records, index) });
            }
            if !keeps_commitments(&record.hashed.commitments, &record.personal) {
                return Err(Broken { seq: at, record: Some(id), fault: Fault::Changed });
            }
            self.previous = hash;
            self.next = at + 1;
            self.checked += 1;
        }
        Ok(())
    }

    /// Ends the walk at the head.
    ///
    /// # Errors
    /// When the chain ends before it, or with another hash.
    pub fn end(&self, head_seq: i64, head_hash: &[u8]) -> Result<(), Broken> {
        if self.next <= head_seq {
            return Err(Broken { seq: self.next, record: None, fault: Fault::CutOff });
        }
        if self.next == head_seq + 1 && self.previous[..] != *head_hash {
            return Err(Broken { seq: head_seq, record: None, fault: Fault::Changed });
        }
        Ok(())
    }

    /// Why the record at `index` does not fit in its place.
    fn reason(&self, records: &[Chained], index: usize) -> Fault {
        if self.was_closed_up(records, index) {
            Fault::Removed
        } else if self.was_moved(records, index) {
            Fault::Reordered
        } else {
            Fault::Changed
        }
    }

    /// Whether the record after the one at `index` is whole but for its number: it had a higher one before the gap of a
    /// removed record was closed.
    fn was_closed_up(&self, records: &[Chained], index: usize) -> bool {
        let Some([this, next]) = records.get(index..index + 2) else { return false };
        let Ok(previous) = Hash::try_from(this.hash.as_slice()) else { return false };
        (1..=NEIGHBOURS as i64).any(|gone| {
            next.hashed.hash(&previous, self.tenant, next.seq.saturating_add(gone))[..] == next.hash[..]
        })
    }

    /// Whether the record at `index` is whole, only in another place: with a neighbour's number and after a
    /// neighbour's hash it gives a hash that stands in the chain.
    fn was_moved(&self, records: &[Chained], index: usize) -> bool {
        let around = &records[index.saturating_sub(NEIGHBOURS)..records.len().min(index + NEIGHBOURS + 1)];
        let known: HashSet<&[u8]> = around.iter().map(|record| record.hash.as_slice()).collect();
        let moved = &records[index].hashed;
        let tries = MOST_REHASHED / moved.canonical(self.tenant, 0).len();
        let before = around.iter().filter_map(|record| Hash::try_from(record.hash.as_slice()).ok());
        let before: Vec<Hash> = before.chain([self.previous]).collect();
        let places = around.iter().map(|record| record.seq);
        places
            .flat_map(|seq| before.iter().map(move |previous| (seq, previous)))
            .filter(|place| *place != (self.next, &self.previous))
            .take(tries)
            .any(|(seq, previous)| known.contains(&moved.hash(previous, self.tenant, seq)[..]))
    }
}

/// Whether the personal members are those that were committed to, or were emptied.
fn keeps_commitments(commitments: &str, personal: &Value) -> bool {
    let Ok(commitments) = serde_json::from_str::<Map<String, Value>>(commitments) else { return false };
    let Value::Object(personal) = personal else { return false };
    personal.len() == commitments.len()
        && personal.iter().all(|(name, kept)| {
            let value = kept.get("value").and_then(Value::as_str);
            let salt = kept.get("salt").and_then(Value::as_str);
            match (value, salt, commitments.get(name)) {
                (Some(value), Some(salt), Some(Value::String(commitment))) => {
                    salt.len() == SALT_LENGTH
                        && hex(&sha256(&[salt.as_bytes(), value.as_bytes()])) == *commitment
                }
                (Some(value), None, Some(_)) => matches!(value, EMPTIED_TEXT | EMPTIED_IP),
                _ => false,
            }
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::canonical::{
        GENESIS,
        tests::{full, tenant},
    };

    /// A chain of `count` records, each with an address that was committed to.
    fn chain(count: i64) -> (Vec<Chained>, Hash) {
        let salt = "0123456789abcdef0123456789abcdef";
        let mut previous = GENESIS;
        let records = (1..=count)
            .map(|seq| {
                let ip = format!("10.0.0.{seq}");
                let commitment = hex(&sha256(&[salt.as_bytes(), ip.as_bytes()]));
                let hashed = Hashed {
                    entity_id: seq.to_string(),
                    commitments: json!({ "ip": commitment }).to_string(),
                    ..full()
                };
                previous = hashed.hash(&previous, tenant(), seq);
                let personal = json!({ "ip": { "value": ip, "salt": salt } });
                Chained { seq, hash: previous.to_vec(), version: VERSION, hashed, personal }
            })
            .collect();
        (records, previous)
    }

    /// Walks in pieces, as the service does.
    fn walk(records: &[Chained], head_seq: i64, head: &Hash) -> Result<u64, (i64, Fault)> {
        let mut walk = Walk::new(tenant(), 1, GENESIS);
        for piece in records.chunks(7) {
            walk.along(piece).map_err(|broken| (broken.seq, broken.fault))?;
        }
        walk.end(head_seq, head).map_err(|broken| (broken.seq, broken.fault))?;
        Ok(walk.checked())
    }

    #[test]
    fn an_untouched_chain_is_good_from_its_beginning_and_from_its_middle() {
        let (records, head) = chain(20);
        assert_eq!(walk(&records, 20, &head), Ok(20));
        assert_eq!(walk(&[], 0, &GENESIS), Ok(0));
        let mut middle = Walk::new(tenant(), 11, records[9].hash.clone().try_into().unwrap());
        middle.along(&records[10..]).unwrap();
        middle.end(20, &head).unwrap();
        assert_eq!(middle.checked(), 10);
    }

    #[test]
    fn a_changed_record_is_named() {
        for change in [
            (|r| r.hashed.action = "user.login".into()) as fn(&mut Chained),
            |r| r.hashed.before = None,
            |r| r.hash[0] ^= 1,
            |r| r.hash.truncate(31),
            |r| r.version = 2,
            |r| r.personal["ip"]["value"] = json!("10.0.0.9"),
            |r| r.personal = json!({}),
            |r| r.personal["agent"] = json!({ "value": "x", "salt": "0123456789abcdef0123456789abcdef" }),
            // A piece of the value passed off as a piece of the salt.
            |r| {
                r.personal =
                    json!({ "ip": { "value": "0.0.0.5", "salt": "0123456789abcdef0123456789abcdef1" } })
            },
            |r| r.personal["ip"] = json!({ "value": "10.0.0.9" }),
        ] {
            let (mut records, head) = chain(20);
            change(&mut records[4]);
            assert_eq!(walk(&records, 20, &head), Err((5, Fault::Changed)));
        }
    }

    #[test]
    fn a_removed_record_is_named_wherever_it_stood() {
        for (gone, seq) in [(0, 1), (4, 5), (6, 7), (7, 8)] {
            let (mut records, head) = chain(20);
            records.remove(gone);
            assert_eq!(walk(&records, 20, &head), Err((seq, Fault::Removed)));
        }
    }

    #[test]
    fn a_removed_record_whose_place_was_closed_up_is_found_out() {
        let (mut records, head) = chain(20);
        records.remove(4);
        records[4..].iter_mut().for_each(|record| record.seq -= 1);
        assert_eq!(walk(&records, 20, &head), Err((5, Fault::Removed)));
    }

    #[test]
    fn exchanged_records_are_told_from_changed_ones() {
        let (mut records, head) = chain(20);
        records.swap(3, 5);
        (records[3].seq, records[5].seq) = (4, 6);
        assert_eq!(walk(&records, 20, &head), Err((4, Fault::Reordered)));

        let (mut records, head) = chain(20);
        let third = records[3].hash.clone();
        let fifth = std::mem::replace(&mut records[5].hash, third);
        records[3].hash = fifth;
        records.swap(3, 5);
        (records[3].seq, records[5].seq) = (4, 6);
        assert_eq!(
            walk(&records, 20, &head),
            Err((4, Fault::Reordered)),
            "with the hashes left in their places"
        );
    }

    #[test]
    fn a_cut_off_end_is_named() {
        let (records, head) = chain(20);
        assert_eq!(walk(&records[..15], 20, &head), Err((16, Fault::CutOff)));
        assert_eq!(walk(&[], 20, &head), Err((1, Fault::CutOff)));
        assert_eq!(
            walk(&records[..15], 15, &head),
            Err((15, Fault::Changed)),
            "with the head's number set back"
        );
    }

    #[test]
    fn a_record_written_anew_with_a_fitting_hash_breaks_the_next_one() {
        let (mut records, head) = chain(20);
        records[4].hashed.action = "user.login".into();
        let previous: Hash = records[3].hash.clone().try_into().unwrap();
        records[4].hash = records[4].hashed.hash(&previous, tenant(), 5).to_vec();
        assert_eq!(walk(&records, 20, &head), Err((6, Fault::Changed)));
        assert_eq!(walk(&records[..5], 5, &head), Err((5, Fault::Changed)), "and as the last one, the head");
    }

    #[test]
    fn anonymising_does_not_break_the_chain() {
        let (mut records, head) = chain(20);
        records[4].personal = json!({ "ip": { "value": "0.0.0.0" } });
        assert_eq!(walk(&records, 20, &head), Ok(20));
    }
}

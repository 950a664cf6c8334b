//! The hashed form of a record, version 1. It is final: a chain that was begun with it is verified with it for ever.
//!
//! ```text
//! hash(n)   = SHA-256( hash(n-1) ‖ canonical(n) )          hash(0) = 32 zero bytes
//! canonical = "platform-kernel audit" ‖ 00 ‖ version (1 byte) ‖ field ‖ field ‖ …
//! field     = length (4 bytes, big-endian) ‖ bytes          null = FF FF FF FF, without bytes
//! ```
//!
//! The fields, in this order: tenant id (16 bytes), sequence number (8 bytes, big-endian), record id (16), time
//! (microseconds since 1970, 8 bytes, two's complement, big-endian), action, entity type, entity id, actor kind, actor
//! (each UTF-8), user id (16, or null), trace id, description (UTF-8, or null), before, after, metadata (or null),
//! commitments. The last four are JSON in the one spelling that Postgres gives a `jsonb` value as text.
//!
//! The lengths make it impossible to move bytes from one field to the next. Personal members are not part of it; their
//! commitments are.

use fabric::crypto::sha256;
use kernel::{AuditId, TenantId, Timestamp, UserId};

/// SHA-256 of everything up to a record.
pub type Hash = [u8; 32];

/// What the first record of a chain follows.
pub const GENESIS: Hash = [0; 32];

/// The version that new records get.
pub const VERSION: i16 = 1;

const DOMAIN: &[u8] = b"platform-kernel audit\0\x01";

/// What of a record is hashed, beside its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashed {
    /// The record.
    pub id: AuditId,
    /// When, on the sandbox's clock.
    pub at: Timestamp,
    /// What was done.
    pub action: String,
    /// To what kind of thing.
    pub entity_type: String,
    /// To which one.
    pub entity_id: String,
    /// What kind of actor did it.
    pub actor_kind: String,
    /// Which one.
    pub actor: String,
    /// The person behind it.
    pub user_id: Option<UserId>,
    /// The trace in which it happened.
    pub trace_id: Option<String>,
    /// A sentence.
    pub description: Option<String>,
    /// The entity as it was: `jsonb` as text.
    pub before: Option<String>,
    /// The entity as it became: `jsonb` as text.
    pub after: Option<String>,
    /// Anything else: `jsonb` as text.
    pub metadata: Option<String>,
    /// Commitments to the personal members: `jsonb` as text.
    pub commitments: String,
}

impl Hashed {
    /// The hash of this record as number `seq` of the tenant's chain, after one with the hash `previous`.
    pub fn hash(&self, previous: &Hash, tenant: TenantId, seq: i64) -> Hash {
        sha256(&[previous, &self.canonical(tenant, seq)])
    }

    /// The canonical bytes; see the module's head.
    pub fn canonical(&self, tenant: TenantId, seq: i64) -> Vec<u8> {
        let json = [&self.before, &self.after, &self.metadata].map(|part| part.as_deref().map(str::as_bytes));
        let long = json.iter().flatten().map(|part| part.len()).sum::<usize>();
        let mut out = Vec::with_capacity(512 + long);
        out.extend_from_slice(DOMAIN);
        field(&mut out, Some(tenant.uuid().as_bytes()));
        field(&mut out, Some(&seq.to_be_bytes()));
        field(&mut out, Some(self.id.uuid().as_bytes()));
        field(&mut out, Some(&self.at.micros().to_be_bytes()));
        for text in [&self.action, &self.entity_type, &self.entity_id, &self.actor_kind, &self.actor] {
            field(&mut out, Some(text.as_bytes()));
        }
        let user = self.user_id.map(UserId::uuid);
        field(&mut out, user.as_ref().map(|id| &id.as_bytes()[..]));
        for text in [&self.trace_id, &self.description] {
            field(&mut out, text.as_deref().map(str::as_bytes));
        }
        for part in json {
            field(&mut out, part);
        }
        field(&mut out, Some(self.commitments.as_bytes()));
        out
    }
}

/// Postgres keeps no value of 4 GB, so the length of null can't be that of a value.
fn field(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(bytes) => {
            out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1).to_be_bytes());
            out.extend_from_slice(bytes);
        }
        None => out.extend_from_slice(&u32::MAX.to_be_bytes()),
    }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn uuid<T: From<uuid::Uuid>>(n: u128) -> T {
        uuid::Uuid::from_u128(n).into()
    }

    pub(crate) fn tenant() -> TenantId {
        uuid(0x0000_0000_0000_7000_0000_0000_0000_0001)
    }

    /// A record with every field.
    pub(crate) fn full() -> Hashed {
        Hashed {
            id: uuid(0x0198_0000_0000_7000_8000_0000_0000_00aa),
            at: Timestamp::from_micros(1_767_225_600_123_456).unwrap(),
            action: "user.updated".into(),
            entity_type: "user".into(),
            entity_id: "7".into(),
            actor_kind: "user".into(),
            actor: "user:0198".into(),
            user_id: Some(uuid(0x0198_0000_0000_7000_8000_0000_0000_00bb)),
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
            description: Some("Zoë renamed".into()),
            before: Some(r#"{"n": 1}"#.into()),
            after: Some(r#"{"n": 2, "email": null}"#.into()),
            metadata: Some("{}".into()),
            commitments: r#"{"ip": "00ff"}"#.into(),
        }
    }

    /// A record with as little as possible.
    pub(crate) fn bare() -> Hashed {
        Hashed {
            id: uuid(0x0198_0000_0000_7000_8000_0000_0000_00aa),
            at: Timestamp::from_micros(-1).unwrap(),
            action: "a.b".into(),
            entity_type: "t".into(),
            entity_id: String::new(),
            actor_kind: "system".into(),
            actor: "system:x".into(),
            user_id: None,
            trace_id: None,
            description: None,
            before: None,
            after: None,
            metadata: None,
            commitments: "{}".into(),
        }
    }

    /// Worked out with another program from the text at the head of this file. They never change.
    #[test]
    fn the_hashes_of_the_fixed_records_are_these_for_ever() {
        assert_eq!(hex(&full().hash(&GENESIS, tenant(), 1)), FULL);
        assert_eq!(hex(&bare().hash(&[7; 32], tenant(), i64::MAX)), BARE);
    }

    const FULL: &str = "ae97ba40f31b20c014cb1176e842469ede1a3be216aba47166e39c2cf7a0fcff";
    const BARE: &str = "86b451f726b468992617f76b8fd290914ff5e2ba8df33a75e56ffb93524e8434";

    #[test]
    fn every_field_is_in_the_hash_and_null_is_not_empty() {
        let one = full();
        let hash = |record: &Hashed| record.hash(&GENESIS, tenant(), 1);
        let changes: Vec<fn(&mut Hashed)> = vec![
            |r| r.id = uuid(1),
            |r| r.at = Timestamp::from_micros(1_767_225_600_123_457).unwrap(),
            |r| r.action.push('x'),
            |r| r.entity_type.push('x'),
            |r| r.entity_id.push('x'),
            |r| r.actor_kind.push('x'),
            |r| r.actor.push('x'),
            |r| r.user_id = None,
            |r| r.trace_id = None,
            |r| r.description = Some(String::new()),
            |r| r.description = None,
            |r| r.before = None,
            |r| r.after = None,
            |r| r.metadata = None,
            |r| r.commitments.push(' '),
            // The border between two fields is part of the hash.
            |r| (r.entity_type, r.entity_id) = ("use".into(), "r7".into()),
            |r| (r.trace_id, r.description) = (r.description.take(), r.trace_id.take()),
        ];
        let mut seen = vec![hash(&one), one.hash(&GENESIS, tenant(), 2), one.hash(&[1; 32], tenant(), 1)];
        seen.push(one.hash(&GENESIS, uuid(2), 1));
        for change in changes {
            let mut other = one.clone();
            change(&mut other);
            seen.push(hash(&other));
        }
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }
}

use std::borrow::Cow;

use kernel::{Actor, AuditId, Ctx, Result, TenantId};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::crypto::sha256;

/// Who did what, to be kept with the transaction that did it.
///
/// Members of `before`, `after` and `metadata` whose names say that they are secret are masked. Members whose names say
/// that they are personal, and what [`Audit::personal`] names, are kept beside the hashed part, which holds a salted
/// commitment in their place: emptying them later does not break the chain.
#[derive(Debug, Clone)]
pub struct Audit {
    id: AuditId,
    action: Cow<'static, str>,
    entity_type: Cow<'static, str>,
    entity_id: String,
    tenant: Option<TenantId>,
    description: Option<String>,
    before: Option<Value>,
    after: Option<Value>,
    metadata: Option<Value>,
    personal: Map<String, Value>,
}

/// Parts of names that mark a secret. `kernel.capture_change` has the same ones.
const SECRET_WORDS: [&str; 9] = [
    "password",
    "passphrase",
    "secret",
    "token",
    "credential",
    "apikey",
    "privatekey",
    "recoverycode",
    "totp",
];

/// Names of personal members wherever they occur, in lower case without punctuation; also with an `s` at the end.
const PERSONAL: [&str; 11] = [
    "email",
    "phone",
    "phonenumber",
    "mobile",
    "address",
    "ip",
    "ipaddress",
    "useragent",
    "firstname",
    "lastname",
    "fullname",
];

/// Entities whose `name` is that of a person; a role's or a plan's name is nobody's secret.
const PEOPLE: [&str; 6] = ["user", "member", "membership", "invitation", "contact", "profile"];

/// Further personal members of people.
const NAMES_OF_PEOPLE: [&str; 2] = ["name", "displayname"];

impl Audit {
    /// `action` (`user.created`) on the entity `id` of type `entity`.
    pub fn new(
        action: impl Into<Cow<'static, str>>,
        entity: impl Into<Cow<'static, str>>,
        id: impl ToString,
    ) -> Self {
        Self {
            id: AuditId::new(),
            action: action.into(),
            entity_type: entity.into(),
            entity_id: id.to_string(),
            tenant: None,
            description: None,
            before: None,
            after: None,
            metadata: None,
            personal: Map::new(),
        }
    }

    /// The record's id.
    pub fn id(&self) -> AuditId {
        self.id
    }

    /// In a transaction across tenants: in whose trail it stands. Without it, that of the context's tenant.
    pub fn of(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// The entity as it was.
    pub fn before(mut self, entity: &impl Serialize) -> Self {
        self.before = serde_json::to_value(entity).ok();
        self
    }

    /// The entity as it is now.
    pub fn after(mut self, entity: &impl Serialize) -> Self {
        self.after = serde_json::to_value(entity).ok();
        self
    }

    /// A sentence. It can't be anonymised: personal data does not belong in it.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// Anything else worth keeping.
    pub fn metadata(mut self, data: &impl Serialize) -> Self {
        self.metadata = serde_json::to_value(data).ok();
        self
    }

    /// A personal value, kept outside of the hashed part. `name` has no `/` in it.
    pub fn personal(mut self, name: &str, value: impl Into<String>) -> Self {
        self.personal.insert(name.replace('/', "_"), Value::String(value.into()));
        self
    }

    /// The row to be written, or `None` when no tenant's trail is meant (the operator's own doings are in the log).
    pub(super) fn row(mut self, cx: &Ctx) -> Result<Option<Value>> {
        let Some(tenant) = self.tenant.or(cx.tenant().ok()) else { return Ok(None) };
        let of_person = PEOPLE.contains(&&*self.entity_type);
        let parts =
            [("before", &mut self.before), ("after", &mut self.after), ("metadata", &mut self.metadata)];
        for (part, entity) in parts {
            if let Some(entity) = entity {
                let mut place = part.to_owned();
                part_with(entity, &mut place, of_person, false, &mut self.personal);
            }
        }
        if let Some(address) = cx.client().address {
            self.personal.insert("ip".into(), Value::String(address.to_string()));
        }
        if let Some(agent) = &cx.client().agent {
            self.personal.insert("userAgent".into(), Value::String(storable(agent)));
        }
        if let Actor::User { email, .. } = cx.actor() {
            self.personal.insert("actorEmail".into(), Value::String(email.to_string()));
        }
        let (personal, commitments) = commit(cx, self.personal);
        Ok(Some(json!({
            "id": self.id,
            "tenant_id": tenant,
            "at": cx.now().datetime(),
            "action": self.action,
            "entity_type": self.entity_type,
            "entity_id": storable(&self.entity_id),
            "actor_kind": cx.actor().kind(),
            "actor": cx.actor().name(),
            "user_id": cx.actor().user(),
            "trace_id": cx.trace().trace_id_text(),
            "description": self.description.as_deref().map(storable),
            "before": self.before,
            "after": self.after,
            "metadata": self.metadata,
            "personal": personal,
            "commitments": commitments,
        })))
    }
}

/// The text without the one character that Postgres does not keep: a record is never lost for it.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Masks what is secret and takes out what is personal, leaving null in its place. `place` is where `value` stands: the
/// part's name and a JSON pointer (RFC 6901).
fn part_with(
    value: &mut Value,
    place: &mut String,
    of_person: bool,
    taking: bool,
    personal: &mut Map<String, Value>,
) {
    let end = place.len();
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                let plain: String =
                    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
                if SECRET_WORDS.iter().any(|word| plain.contains(word)) {
                    if !member.is_null() {
                        *member = Value::String("***".into());
                    }
                    continue;
                }
                place.push('/');
                place.push_str(&name.replace('~', "~0").replace('/', "~1"));
                part_with(member, place, of_person, taking || is_personal(&plain, of_person), personal);
                place.truncate(end);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                place.push('/');
                place.push_str(&index.to_string());
                part_with(item, place, of_person, taking, personal);
                place.truncate(end);
            }
        }
        Value::Null => {}
        leaf if taking => {
            let text = match leaf.take() {
                Value::String(text) => storable(&text),
                other => other.to_string(),
            };
            personal.insert(place.clone(), Value::String(text));
        }
        Value::String(text) if text.contains('\0') => *text = storable(text),
        _ => {}
    }
}

fn is_personal(plain: &str, of_person: bool) -> bool {
    let named = |name: &str| {
        PERSONAL.contains(&name) || name.ends_with("email") || (of_person && NAMES_OF_PEOPLE.contains(&name))
    };
    named(plain) || plain.strip_suffix("es").is_some_and(named) || plain.strip_suffix('s').is_some_and(named)
}

/// Value and salt for the part that can be emptied, and what the chain keeps of them: the hex SHA-256 of salt and value.
/// The salt always has 32 characters; see the table.
fn commit(cx: &Ctx, personal: Map<String, Value>) -> (Map<String, Value>, Map<String, Value>) {
    let mut kept = Map::new();
    let mut commitments = Map::new();
    for (name, value) in personal {
        let Value::String(text) = value else { continue };
        let salt = hex(&cx.random::<16>());
        commitments.insert(name.clone(), Value::String(hex(&sha256(&[salt.as_bytes(), text.as_bytes()]))));
        kept.insert(name, json!({ "value": text, "salt": salt }));
    }
    (kept, commitments)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use kernel::{Clock, SandboxName};

    use super::*;

    fn row(record: Audit) -> Value {
        let cx = Ctx::system(SandboxName::default_sandbox(), Clock::real(), "test").within(TenantId::new());
        record.row(&cx).unwrap().unwrap()
    }

    #[test]
    fn secrets_are_masked_and_personal_members_leave_a_commitment() {
        let row = row(Audit::new("user.created", "user", "1").after(&json!({
            "email": "ada@example.com", "passwordHash": "x", "deep": [{ "api_key": "y", "no_password": null }], "n": 1,
        })));
        let deep = json!([{ "api_key": "***", "no_password": null }]);
        assert_eq!(row["after"], json!({ "email": null, "passwordHash": "***", "deep": deep, "n": 1 }));
        let kept = &row["personal"]["after/email"];
        assert_eq!(kept["value"], "ada@example.com");
        let salt = kept["salt"].as_str().unwrap();
        assert_eq!(salt.len(), 32);
        assert_eq!(row["commitments"]["after/email"], hex(&sha256(&[salt.as_bytes(), b"ada@example.com"])));
    }

    #[test]
    fn personal_members_are_found_at_every_depth_and_keep_their_place() {
        let row = row(Audit::new("order.created", "order", "1").after(&json!({
            "name": "Order 1", "buyer": { "billing_email": "a@b.c", "address": { "city": "Oslo", "floor": 3 } },
            "phones": ["1", "2"], "a/b": { "ip": "10.0.0.1" },
        })));
        let left = json!({
            "name": "Order 1", "buyer": { "billing_email": null, "address": { "city": null, "floor": null } },
            "phones": [null, null], "a/b": { "ip": null },
        });
        assert_eq!(row["after"], left);
        let personal = row["personal"].as_object().unwrap();
        let mut names: Vec<_> = personal.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "after/a~1b/ip",
                "after/buyer/address/city",
                "after/buyer/address/floor",
                "after/buyer/billing_email",
                "after/phones/0",
                "after/phones/1",
            ]
        );
        assert_eq!(personal["after/buyer/address/floor"]["value"], "3");
    }

    #[test]
    fn the_name_of_a_person_is_personal_and_that_of_a_role_is_not() {
        let named = json!({ "name": "x" });
        assert_eq!(
            row(Audit::new("user.updated", "user", "1").before(&named))["before"]["name"],
            Value::Null
        );
        assert_eq!(row(Audit::new("role.updated", "role", "1").before(&named))["before"]["name"], "x");
    }

    #[test]
    fn a_nul_character_does_not_cost_the_record() {
        let row = row(Audit::new("x.y", "x", "1").after(&json!({ "text": "a\0b" })).description("\0"));
        assert_eq!(row["after"]["text"], "a\u{fffd}b");
        assert_eq!(row["description"], "\u{fffd}");
    }
}

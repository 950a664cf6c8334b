use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use kernel::{Actor, AuditId, Ctx, Error, Result, TenantId};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::crypto::sha256;

/// Who did what, to be kept with the transaction that did it.
///
/// Members of `before` and `after` whose names say that they are secret are masked. What is personal is named by
/// [`Audit::personal`] and kept beside the hashed part, which holds a salted commitment in its place.
#[derive(Debug, Clone)]
pub struct Audit {
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

/// Parts of names that mark a secret.
const SECRET_WORDS: [&str; 7] = ["password", "secret", "token", "credential", "apikey", "privatekey", "recoverycode"];

/// Names of personal members wherever they occur in `before`, `after` and `metadata`.
const PERSONAL: [&str; 6] = ["email", "name", "phone", "address", "ip", "userAgent"];

impl Audit {
    /// `action` (`user.created`) on the entity `id` of type `entity`.
    pub fn new(
        action: impl Into<Cow<'static, str>>,
        entity: impl Into<Cow<'static, str>>,
        id: impl ToString,
    ) -> Self {
        Self {
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

    /// A sentence.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// Anything else worth keeping.
    pub fn metadata(mut self, data: &impl Serialize) -> Self {
        self.metadata = serde_json::to_value(data).ok();
        self
    }

    /// A personal value, kept outside of the hashed part.
    pub fn personal(mut self, name: &str, value: impl Into<String>) -> Self {
        self.personal.insert(name.to_owned(), Value::String(value.into()));
        self
    }

    /// The row to be written, or `None` when no tenant's trail is meant (the operator's own doings are in the log).
    pub(super) fn row(mut self, cx: &Ctx) -> Result<Option<Value>> {
        let Some(tenant) = self.tenant.or(cx.tenant().ok()) else { return Ok(None) };
        for (part, entity) in [("before", &mut self.before), ("after", &mut self.after), ("meta", &mut self.metadata)] {
            if let Some(entity) = entity {
                mask(entity);
                take_personal(part, entity, &mut self.personal);
            }
        }
        if let Some(address) = cx.client().address {
            self.personal.insert("ip".into(), Value::String(address.to_string()));
        }
        if let Some(agent) = &cx.client().agent {
            self.personal.insert("userAgent".into(), Value::String(agent.to_string()));
        }
        if let Actor::User { email, .. } = cx.actor() {
            self.personal.insert("actorEmail".into(), Value::String(email.to_string()));
        }
        let (personal, commitments) = commit(cx, self.personal)?;
        Ok(Some(json!({
            "id": AuditId::new(),
            "tenant_id": tenant,
            "at": cx.now().datetime(),
            "action": self.action,
            "entity_type": self.entity_type,
            "entity_id": self.entity_id,
            "actor_kind": cx.actor().kind(),
            "actor": cx.actor().name(),
            "user_id": cx.actor().user(),
            "trace_id": cx.trace().trace_id_text(),
            "description": self.description,
            "before": self.before,
            "after": self.after,
            "metadata": self.metadata,
            "personal": personal,
            "commitments": commitments,
        })))
    }
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
                let plain = plain.to_ascii_lowercase();
                if SECRET_WORDS.iter().any(|word| plain.contains(word)) && !member.is_null() {
                    *member = Value::String("***".into());
                } else {
                    mask(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        _ => {}
    }
}

fn take_personal(part: &str, entity: &mut Value, personal: &mut Map<String, Value>) {
    let Value::Object(members) = entity else { return };
    for name in PERSONAL {
        if let Some(Value::String(text)) = members.get_mut(name) {
            let text = std::mem::take(text);
            personal.insert(format!("{part}.{name}"), Value::String(text));
            members.remove(name);
        }
    }
}

fn commit(cx: &Ctx, personal: Map<String, Value>) -> Result<(Map<String, Value>, Map<String, Value>)> {
    let mut kept = Map::new();
    let mut commitments = Map::new();
    for (name, value) in personal {
        let Value::String(text) = value else { return Err(Error::internal("a personal member is not text")) };
        let salt = URL_SAFE_NO_PAD.encode(cx.random::<16>());
        let commitment = sha256(&[salt.as_bytes(), text.as_bytes()]);
        let hex = commitment.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        commitments.insert(name.clone(), Value::String(hex));
        kept.insert(name, json!({ "value": text, "salt": salt }));
    }
    Ok((kept, commitments))
}

#[cfg(test)]
mod tests {
    use kernel::{Clock, SandboxName};

    use super::*;

    #[test]
    fn secrets_are_masked_and_personal_members_leave_a_commitment() {
        let cx = Ctx::system(SandboxName::default_sandbox(), Clock::real(), "test").within(TenantId::new());
        let row = Audit::new("user.created", "user", "1")
            .after(&json!({ "email": "ada@example.com", "passwordHash": "x", "deep": [{ "api_key": "y" }], "n": 1 }))
            .row(&cx)
            .unwrap()
            .unwrap();
        assert_eq!(row["after"], json!({ "passwordHash": "***", "deep": [{ "api_key": "***" }], "n": 1 }));
        let kept = &row["personal"]["after.email"];
        assert_eq!(kept["value"], "ada@example.com");
        let hash = sha256(&[kept["salt"].as_str().unwrap().as_bytes(), b"ada@example.com"]);
        assert!(row["commitments"]["after.email"].as_str().unwrap().starts_with(&format!("{:02x}", hash[0])));
    }
}

//! What a record is, which ones are asked for, and what anonymising leaves of it. No I/O.

use kernel::{Actor, AuditId, FieldCode, Result, TenantId, Timestamp, UserId, check::Checks};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What stands in place of a name, an address, an e-mail or an agent that was emptied.
pub const EMPTIED_TEXT: &str = "[REDACTED]";

/// What stands in place of an IP address that was emptied.
pub const EMPTIED_IP: &str = "0.0.0.0";

/// Most records that one request brings.
pub const MOST_IN_BATCH: usize = 500;

/// What happened, as a caller tells it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecordIn {
    /// `{domain}.{what}.{verb}` in lower case; from a module it begins with the module's name.
    #[schemars(length(min = 3, max = 128))]
    pub action: String,
    /// The kind of thing it was done to.
    #[schemars(length(min = 1, max = 100))]
    pub entity_type: String,
    /// Which one.
    #[schemars(length(min = 1, max = 200))]
    pub entity_id: String,
    /// The thing as it was.
    #[serde(default)]
    pub before: Option<Map<String, Value>>,
    /// The thing as it became.
    #[serde(default)]
    pub after: Option<Map<String, Value>>,
    /// A sentence, without personal data.
    #[serde(default)]
    #[schemars(length(max = 2000))]
    pub description: Option<String>,
    /// Anything else worth keeping.
    #[serde(default)]
    pub metadata: Option<Map<String, Value>>,
}

impl RecordIn {
    /// Notes what is wrong with it; `at` is the JSON pointer to it.
    pub fn check(&self, at: &str, actor: &Actor, checks: &mut Checks) {
        let action = format!("{at}/action");
        checks.ensure(
            is_action(&self.action),
            &action,
            FieldCode::InvalidFormat,
            "is not an action: use lower-case words joined by dots, like crm.contact.imported, at most 128 characters",
        );
        if let Actor::Module { slug, .. } = actor {
            let own = self.action.strip_prefix(slug.as_str()).is_some_and(|rest| rest.starts_with('.'));
            let message = format!("the actions of this module begin with {slug}.");
            checks.ensure(own, &action, FieldCode::NotAllowed, message);
        }
        checks.length(&format!("{at}/entityType"), &self.entity_type, 1, 100);
        checks.length(&format!("{at}/entityId"), &self.entity_id, 1, 200);
        if let Some(description) = &self.description {
            checks.length(&format!("{at}/description"), description, 0, 2000);
        }
    }
}

fn is_action(text: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
    };
    text.len() <= 128 && text.contains('.') && text.split('.').all(word)
}

/// A record of the trail.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordOut {
    /// Its id.
    pub audit_id: AuditId,
    /// What was done.
    pub action: String,
    /// To what kind of thing.
    pub entity_type: String,
    /// To which one.
    pub entity_id: String,
    /// The person behind it.
    pub user_id: Option<UserId>,
    /// `user`, `key`, `module`, `system`, `operator` or `anonymous`.
    pub actor_kind: String,
    /// Who exactly, like `key:{id}` or `module:crm`.
    pub actor: String,
    /// The address with which the person signed in.
    pub actor_email: Option<String>,
    /// In whose trail it stands.
    pub tenant_id: TenantId,
    /// Where the request came from.
    pub ip: Option<String>,
    /// What the client calls itself.
    pub user_agent: Option<String>,
    /// The thing as it was; of module tables the columns that changed.
    pub before: Option<Value>,
    /// The thing as it became; of module tables the columns that changed.
    pub after: Option<Value>,
    /// A sentence.
    pub description: Option<String>,
    /// Anything else that was kept.
    pub metadata: Option<Value>,
    /// The trace in which it happened.
    pub trace_id: Option<String>,
    /// When, on the sandbox's clock.
    pub timestamp: Timestamp,
    /// Its number in the tenant's chain; null for the moment until it is chained.
    pub seq: Option<i64>,
    /// SHA-256 of the chain up to it, in hex.
    pub hash: Option<String>,
}

/// Which records are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// By what was done.
    pub action: Option<ActionFilter>,
    /// By the kind of thing.
    pub entity_type: Option<String>,
    /// By the thing.
    pub entity_id: Option<String>,
    /// By the person behind it.
    pub user_id: Option<UserId>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub to: Option<Timestamp>,
    /// A piece of the description, the action or the entity, in any case.
    pub text: Option<String>,
}

/// An action, or all that begin alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionFilter {
    /// This one.
    Exactly(String),
    /// All that begin with this, which ends with a dot.
    Under(String),
}

impl ActionFilter {
    /// `money.` is all of money, `money.wallet.credited` one action.
    pub fn read(text: &str) -> Self {
        if text.ends_with('.') { Self::Under(text.to_owned()) } else { Self::Exactly(text.to_owned()) }
    }

    /// The actions that begin alike lie from the first to before the second, byte by byte.
    pub fn range(prefix: &str) -> (String, String) {
        // The byte after a dot is a slash.
        let end = prefix
            .strip_suffix('.')
            .map_or_else(|| format!("{prefix}\u{10ffff}"), |words| format!("{words}/"));
        (prefix.to_owned(), end)
    }
}

impl Filter {
    /// Refuses what can't be looked for.
    ///
    /// # Errors
    /// `validation-error` naming the parameters.
    pub fn check(&self) -> Result<()> {
        let mut checks = Checks::new();
        let action = self.action.as_ref().map(|action| match action {
            ActionFilter::Exactly(text) | ActionFilter::Under(text) => text,
        });
        for (name, text, most) in [
            ("action", action, 128),
            ("entityType", self.entity_type.as_ref(), 100),
            ("entityId", self.entity_id.as_ref(), 200),
            ("q", self.text.as_ref(), 100),
        ] {
            if let Some(text) = text {
                checks.length(name, text, 1, most);
            }
        }
        if let (Some(from), Some(to)) = (self.from, self.to) {
            checks.ensure(from < to, "to", FieldCode::OutOfRange, "must be after from");
        }
        checks.finish()
    }

    /// Names the filter in cursors.
    pub fn name(&self) -> String {
        format!("audit/records {self:?}")
    }

    /// The pattern for the text, with what `like` takes for a wildcard escaped.
    pub fn pattern(text: &str) -> String {
        let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        format!("%{escaped}%")
    }
}

/// Puts personal values back into the places of `before`, `after` and `metadata` from which they were taken.
pub fn restore(part: &str, value: &mut Option<Value>, personal: &Map<String, Value>) {
    let Some(value) = value else { return };
    for (place, kept) in personal {
        let Some(pointer) = place.strip_prefix(part).filter(|rest| rest.starts_with('/')) else { continue };
        if let (Some(target), Some(text)) = (value.pointer_mut(pointer), personal_text(kept)) {
            *target = Value::String(text.to_owned());
        }
    }
}

/// The value of a personal member.
pub fn personal_text(kept: &Value) -> Option<&str> {
    kept.get("value")?.as_str()
}

/// How a record concerns the person who is to be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concern {
    /// They did it: address, agent and e-mail of the caller are theirs.
    pub did_it: bool,
    /// It was done to their account: what was kept of the entity is theirs.
    pub is_about_them: bool,
}

/// Members that tell of the caller rather than of the entity.
const OF_CALLER: [&str; 3] = ["ip", "userAgent", "actorEmail"];

/// The personal part without what tells of the person, or `None` when there is nothing of them in it. The salts go, too:
/// with one, a commitment could be tried against guesses.
pub fn emptied(personal: &Map<String, Value>, concern: Concern) -> Option<Map<String, Value>> {
    let mut changed = false;
    let mut rest = Map::with_capacity(personal.len());
    for (name, kept) in personal {
        let theirs = if OF_CALLER.contains(&name.as_str()) { concern.did_it } else { concern.is_about_them }
            // What a service named itself (`email` of a failed sign-in) stands beside the entity.
            || (concern.did_it && !name.contains('/'));
        if theirs && kept.get("salt").is_some() {
            let last = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
            let text = if matches!(&*last, "ip" | "ipaddress") { EMPTIED_IP } else { EMPTIED_TEXT };
            rest.insert(name.clone(), serde_json::json!({ "value": text }));
            changed = true;
        } else {
            rest.insert(name.clone(), kept.clone());
        }
    }
    changed.then_some(rest)
}

#[cfg(test)]
mod tests {
    use kernel::ModuleSlug;
    use serde_json::json;

    use super::*;

    fn record(action: &str) -> RecordIn {
        serde_json::from_value(json!({ "action": action, "entityType": "contact", "entityId": "1" })).unwrap()
    }

    fn mistakes(record: &RecordIn, actor: &Actor) -> Vec<String> {
        let mut checks = Checks::new();
        record.check("/records/0", actor, &mut checks);
        checks
            .finish()
            .map_or_else(|e| e.field_errors().iter().map(|f| f.field.clone()).collect(), |()| vec![])
    }

    #[test]
    fn an_action_is_words_joined_by_dots() {
        for good in ["a.b", "crm.contact.imported", "x-y.z_1.2"] {
            assert_eq!(mistakes(&record(good), &Actor::Operator), [""; 0], "{good}");
        }
        for bad in ["", "a", "a.", ".a", "a..b", "A.b", "a b.c", &"a.".repeat(80)] {
            assert_eq!(mistakes(&record(bad), &Actor::Operator), ["/records/0/action"], "{bad}");
        }
    }

    #[test]
    fn a_module_tells_of_itself_only() {
        let slug: ModuleSlug = "crm".parse().unwrap();
        let module = Actor::Module { slug, on_behalf_of: None };
        assert_eq!(mistakes(&record("crm.contact.imported"), &module), [""; 0]);
        for other in ["money.wallet.credited", "crmx.contact.imported", "user.login"] {
            assert_eq!(mistakes(&record(other), &module), ["/records/0/action"], "{other}");
        }
    }

    #[test]
    fn a_prefix_is_a_range_that_holds_whole_words_only() {
        assert_eq!(ActionFilter::read("money."), ActionFilter::Under("money.".into()));
        assert_eq!(ActionFilter::read("money.x"), ActionFilter::Exactly("money.x".into()));
        let (from, to) = ActionFilter::range("money.");
        for inside in ["money.a", "money.wallet.credited", "money.zzz", "money.-"] {
            assert!(*inside >= *from && *inside < *to, "{inside}");
        }
        for outside in ["money", "money-x.a", "moneyx.a", "mone.z"] {
            assert!(!(*outside >= *from && *outside < *to), "{outside}");
        }
    }

    #[test]
    fn wildcards_in_a_search_are_plain_letters() {
        assert_eq!(Filter::pattern("50%_a\\"), "%50\\%\\_a\\\\%");
    }

    #[test]
    fn personal_values_come_back_to_their_places() {
        let personal = json!({
            "after/email": { "value": "a@b.c", "salt": "s" }, "after/a~1b/0": { "value": "[REDACTED]" },
            "before/email": { "value": "old" }, "afterwards": { "value": "x" }, "after/gone": { "value": "x" },
        });
        let mut after = Some(json!({ "email": null, "a/b": [null], "n": 1 }));
        restore("after", &mut after, personal.as_object().unwrap());
        assert_eq!(after, Some(json!({ "email": "a@b.c", "a/b": ["[REDACTED]"], "n": 1 })));
    }

    #[test]
    fn a_person_is_forgotten_as_actor_and_as_subject_and_others_stay() {
        let kept = |text: &str| json!({ "value": text, "salt": "s" });
        let personal = json!({
            "ip": kept("10.0.0.1"), "userAgent": kept("curl"), "actorEmail": kept("a@b.c"), "email": kept("x@y.z"),
            "after/name": kept("Ada"), "after/lastIp": kept("1.2.3.4"), "before/login/ip": kept("1.1.1.1"),
        });
        let personal = personal.as_object().unwrap();
        let names = |concern| {
            let rest = emptied(personal, concern).unwrap();
            let mut names: Vec<_> = rest
                .iter()
                .filter(|(_, kept)| kept.get("salt").is_none())
                .map(|(name, _)| name.clone())
                .collect();
            names.sort_unstable();
            (names, rest)
        };
        let (as_actor, rest) = names(Concern { did_it: true, is_about_them: false });
        assert_eq!(as_actor, ["actorEmail", "email", "ip", "userAgent"]);
        assert_eq!(rest["ip"], json!({ "value": "0.0.0.0" }));
        assert_eq!(rest["actorEmail"], json!({ "value": "[REDACTED]" }));
        let (as_subject, rest) = names(Concern { did_it: false, is_about_them: true });
        assert_eq!(as_subject, ["after/lastIp", "after/name", "before/login/ip", "email"]);
        assert_eq!(rest["before/login/ip"], json!({ "value": "0.0.0.0" }));
        let again = emptied(&rest, Concern { did_it: false, is_about_them: true });
        assert_eq!(again, None, "what is empty stays as it is");
    }
}

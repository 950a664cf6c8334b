//! Who may publish and hear what. Pure.

use fabric::log::{KERNEL_TOPICS, Patterns, is_type, topic_of};
use kernel::{Actor, Error, FieldCode, Result, Slug, TenantId, matches_pattern};
use ports::ModuleSnapshot;
use serde_json::Value;

/// Most events of one batch.
pub const MOST_BATCH: usize = 500;
/// Most bytes of an event's data.
pub const MOST_BYTES: usize = 1_000_000;
/// Most characters of a key.
const MOST_KEY: usize = 200;

fn not_declared(detail: String) -> Error {
    Error::new(Slug::EventNotDeclared, detail)
}

/// Whether the caller may publish events of a type.
///
/// # Errors
/// `event-not-declared`, saying by whom it would have to be declared; `forbidden` for callers of other kinds.
pub fn may_publish(actor: &Actor, tenant: TenantId, modules: &ModuleSnapshot, kind: &str) -> Result<()> {
    let domain = kind.split('.').next().unwrap_or_default();
    if KERNEL_TOPICS.contains(&domain) {
        return Err(not_declared(format!(
            "Events of \u{201c}{domain}\u{201d} are published by the kernel alone."
        )));
    }
    match actor {
        Actor::Module { slug, .. } if slug.as_str() != domain => {
            return Err(not_declared(format!(
                "The module {slug} publishes types that begin with \u{201c}{slug}.\u{201d}, not \u{201c}{kind}\u{201d}."
            )));
        }
        Actor::Module { .. } | Actor::User { .. } | Actor::Key(_) => {}
        Actor::Anonymous | Actor::System(_) | Actor::Operator => {
            return Err(Error::forbidden("events.publish"));
        }
    }
    let declared =
        modules.for_tenant(tenant, domain).is_some_and(|module| module.publishes.iter().any(|t| t == kind));
    if declared {
        return Ok(());
    }
    Err(not_declared(format!(
        "\u{201c}{kind}\u{201d} is not among the events.publishes of a module \u{201c}{domain}\u{201d} that is installed here."
    )))
}

/// Whether the caller may hear all that some patterns name: a module what it declares, others everything of their
/// tenant.
///
/// # Errors
/// `event-not-declared`, naming the pattern.
pub fn may_hear(
    actor: &Actor,
    tenant: TenantId,
    modules: &ModuleSnapshot,
    patterns: &Patterns,
) -> Result<()> {
    let Actor::Module { slug, .. } = actor else { return Ok(()) };
    let declared = modules.for_tenant(tenant, slug.as_str()).map(|module| module.subscribes.as_slice());
    let declared = declared.unwrap_or_default();
    let foreign =
        patterns.as_slice().iter().find(|wanted| !declared.iter().any(|d| matches_pattern(d, wanted)));
    match foreign {
        None => Ok(()),
        Some(wanted) => Err(not_declared(format!(
            "\u{201c}{wanted}\u{201d} is not among the events.subscribes of the module {slug}."
        ))),
    }
}

/// What the caller may read of a topic that exists for the tenant.
///
/// # Errors
/// `not-found` for another topic; `event-not-declared` for a module that declares nothing of it.
pub fn readable(actor: &Actor, tenant: TenantId, modules: &ModuleSnapshot, topic: &str) -> Result<Patterns> {
    let whole = Patterns::of_topic(topic).filter(|_| owner(tenant, modules, topic).is_some());
    let whole = whole.ok_or_else(|| Error::not_found("topic"))?;
    let Actor::Module { slug, .. } = actor else { return Ok(whole) };
    let module = modules.for_tenant(tenant, slug.as_str());
    let declared = module.iter().flat_map(|module| module.subscribes.iter().chain(&module.publishes));
    let mut parts: Vec<&str> = Vec::new();
    for pattern in declared {
        if pattern == "*" {
            return Ok(whole);
        }
        if topic_of(pattern) == topic {
            parts.push(pattern);
        }
    }
    if parts.is_empty() {
        return Err(not_declared(format!("The module {slug} declares no events of {topic}.")));
    }
    Patterns::new(parts)
}

/// Whose topic it is, if it exists for the tenant: `kernel`, or the slug of an installed module.
pub fn owner<'a>(tenant: TenantId, modules: &ModuleSnapshot, topic: &'a str) -> Option<&'a str> {
    let word = topic.strip_prefix("platform.")?.strip_suffix(".events")?;
    if KERNEL_TOPICS.contains(&word) {
        return Some("kernel");
    }
    modules.for_tenant(tenant, word).map(|_| word)
}

/// For how long a topic keeps its events, in hours of real time.
pub fn retention_hours(topic: &str) -> u32 {
    if topic == "platform.audit.events" { 720 } else { 168 }
}

/// The key of an event: the one given, else the entity's `id` in the data, else none (then it is kept in no order).
///
/// # Errors
/// `validation-error` at `{at}/key`.
pub fn key_of(at: &str, given: Option<String>, data: &Value) -> Result<Option<String>> {
    let Some(key) = given else {
        let id = data.get("id").and_then(Value::as_str).filter(|id| fits_key(id));
        return Ok(id.map(str::to_owned));
    };
    if fits_key(&key) {
        return Ok(Some(key));
    }
    let message = format!("takes 1 to {MOST_KEY} characters and no NUL");
    Err(Error::field(format!("{at}/key"), FieldCode::InvalidFormat, message))
}

fn fits_key(key: &str) -> bool {
    !key.is_empty() && key.chars().count() <= MOST_KEY && !key.contains('\0')
}

/// Checks the form of a type.
///
/// # Errors
/// `validation-error` at `{at}/type`.
pub fn check_type(at: &str, kind: &str) -> Result<()> {
    if is_type(kind) {
        return Ok(());
    }
    let message = "is not a type: three or more words of lower-case letters, digits and underscores, like \
                   crm.contact.created";
    Err(Error::field(format!("{at}/type"), FieldCode::InvalidFormat, message))
}

/// Reads a version: three numbers, nothing behind them.
///
/// # Errors
/// `validation-error` at `{at}`.
pub fn version(at: &str, text: &str) -> Result<semver::Version> {
    let fits = |v: &semver::Version| {
        v.pre.is_empty() && v.build.is_empty() && [v.major, v.minor, v.patch].iter().all(|n| *n <= 1_000_000)
    };
    let read = semver::Version::parse(text).ok().filter(fits);
    read.ok_or_else(|| Error::field(at, FieldCode::InvalidFormat, "is not a version like 1.0.0"))
}

/// Whether a name will do for a consumer group.
pub fn is_group(name: &str) -> bool {
    (1..=80).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use kernel::{ApiKeyId, ModuleSlug};
    use ports::ModuleInfo;
    use serde_json::json;

    use super::*;

    fn crm() -> (TenantId, ModuleSnapshot) {
        let tenant = TenantId::new();
        let slug: ModuleSlug = "crm".parse().unwrap();
        let info = ModuleInfo {
            slug: slug.clone(),
            name: "@example/crm".into(),
            version: "1.0.0".into(),
            backend: None,
            models: BTreeMap::new(),
            permissions: Vec::new(),
            publishes: vec!["crm.deal.won".into()],
            subscribes: vec!["data.crm.*".into(), "auth.user.created".into()],
            revision: 1,
        };
        let snapshot = ModuleSnapshot {
            version: 1,
            modules: [(slug.clone(), Arc::new(info))].into(),
            installed: [(tenant, vec![slug])].into(),
        };
        (tenant, snapshot)
    }

    fn module(slug: &str) -> Actor {
        Actor::Module { slug: slug.parse().unwrap(), on_behalf_of: None }
    }

    #[test]
    fn a_module_publishes_what_it_declares_and_nobody_the_kernels() {
        let (tenant, modules) = crm();
        let key = Actor::Key(ApiKeyId::new());
        let may =
            |actor: &Actor, tenant, kind| may_publish(actor, tenant, &modules, kind).map_err(|e| e.slug());
        assert_eq!(may(&module("crm"), tenant, "crm.deal.won"), Ok(()));
        assert_eq!(may(&key, tenant, "crm.deal.won"), Ok(()));
        let refused = Err(Slug::EventNotDeclared);
        assert_eq!(may(&module("crm"), tenant, "crm.deal.lost"), refused);
        assert_eq!(may(&module("shop"), tenant, "crm.deal.won"), refused);
        assert_eq!(may(&module("crm"), TenantId::new(), "crm.deal.won"), refused);
        assert_eq!(may(&key, TenantId::new(), "crm.deal.won"), refused);
        for kind in ["auth.user.created", "money.hold.placed", "data.crm.deal.updated", "domain.name.added"] {
            assert_eq!(may(&key, tenant, kind), refused, "{kind}");
        }
        assert_eq!(may(&Actor::Operator, tenant, "crm.deal.won"), Err(Slug::Forbidden));
    }

    #[test]
    fn a_module_hears_what_it_declares_and_people_everything() {
        let (tenant, modules) = crm();
        let hears = |actor: &Actor, pattern: &str| {
            may_hear(actor, tenant, &modules, &Patterns::new([pattern]).unwrap()).is_ok()
        };
        for fine in ["data.crm.*", "data.crm.deals.*", "data.crm.deals.created", "auth.user.created"] {
            assert!(hears(&module("crm"), fine), "{fine}");
        }
        for foreign in ["*", "data.*", "auth.*", "auth.user.deleted"] {
            assert!(!hears(&module("crm"), foreign), "{foreign}");
            assert!(hears(&Actor::Key(ApiKeyId::new()), foreign), "{foreign}");
        }
    }

    #[test]
    fn a_module_reads_of_a_topic_what_it_declares() {
        let (tenant, modules) = crm();
        let read =
            |actor: &Actor, topic| readable(actor, tenant, &modules, topic).map_err(|error| error.slug());
        let own = read(&module("crm"), "platform.data.events").unwrap();
        assert_eq!(own.as_slice(), ["data.crm.*"]);
        assert_eq!(read(&module("crm"), "platform.crm.events").unwrap().as_slice(), ["crm.deal.won"]);
        assert_eq!(read(&module("crm"), "platform.money.events"), Err(Slug::EventNotDeclared));
        assert_eq!(read(&module("crm"), "platform.shop.events"), Err(Slug::NotFound));
        assert_eq!(
            read(&Actor::Key(ApiKeyId::new()), "platform.money.events").unwrap().as_slice(),
            ["money.*"]
        );
    }

    #[test]
    fn the_key_is_the_entity() {
        assert_eq!(key_of("", Some("k".into()), &json!({})).unwrap().as_deref(), Some("k"));
        assert_eq!(key_of("", None, &json!({ "id": "e" })).unwrap().as_deref(), Some("e"));
        assert_eq!(key_of("", None, &json!({ "id": 7 })).unwrap(), None);
        assert_eq!(
            key_of("/events/1", Some(String::new()), &json!({})).unwrap_err().field_errors()[0].field,
            "/events/1/key"
        );
    }

    #[test]
    fn versions_are_three_numbers() {
        assert!(version("/version", "1.2.3").is_ok());
        for bad in ["1", "1.2", "1.2.3-rc.1", "v1.2.3", "1.2.3+x", "1.2.99999999"] {
            assert!(version("/version", bad).is_err(), "{bad}");
        }
    }
}

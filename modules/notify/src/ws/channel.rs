//! What can be subscribed to. Pure.

use std::{fmt, str::FromStr};

use kernel::{DomainEvent, UserId};
use serde_json::Value;

use crate::events::{DELIVERED, READ};

/// Something to hear of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Channel {
    /// Records of a model: `data.{module}.{model}`.
    Data { module: String, model: String },
    /// The person's own inbox.
    Notifications,
    /// Every event of the tenant.
    Events,
}

/// The text names no channel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoChannel;

impl FromStr for Channel {
    type Err = NoChannel;

    fn from_str(text: &str) -> Result<Self, NoChannel> {
        match text {
            "notifications" => return Ok(Self::Notifications),
            "events" => return Ok(Self::Events),
            _ => {}
        }
        let (module, model) =
            text.strip_prefix("data.").and_then(|rest| rest.split_once('.')).ok_or(NoChannel)?;
        let is_name = |name: &str| {
            (1..=63).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        if !is_name(module) || !is_name(model) {
            return Err(NoChannel);
        }
        Ok(Self::Data { module: module.to_owned(), model: model.to_owned() })
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data { module, model } => write!(f, "data.{module}.{model}"),
            Self::Notifications => f.write_str("notifications"),
            Self::Events => f.write_str("events"),
        }
    }
}

impl Channel {
    /// Whether an event of the tenant belongs to it; `user` is the one who listens.
    pub(crate) fn takes(&self, event: &DomainEvent, user: Option<UserId>) -> bool {
        match self {
            Self::Data { module, model } => {
                let rest =
                    event.kind.strip_prefix("data.").and_then(|rest| rest.strip_prefix(module.as_str()));
                let rest = rest.and_then(|rest| rest.strip_prefix('.'));
                let verb =
                    rest.and_then(|rest| rest.strip_prefix(model.as_str())).and_then(|r| r.strip_prefix('.'));
                verb.is_some_and(|verb| !verb.contains('.'))
            }
            Self::Notifications => {
                let of_inbox = match event.kind.as_str() {
                    DELIVERED => event.data["channel"] == "in_app",
                    READ => true,
                    _ => false,
                };
                let own = |user: UserId| event.data["userId"].as_str() == Some(user.to_string().as_str());
                of_inbox && user.is_some_and(own)
            }
            Self::Events => true,
        }
    }
}

/// What a data event says about a record: what happened, and the record (as it was, where it is gone).
pub(crate) fn record(event: &DomainEvent) -> (&str, &Value) {
    let action = event.kind.rsplit('.').next().unwrap_or_default();
    let after = &event.data["after"];
    (action, if after.is_null() { &event.data["before"] } else { after })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{EventId, Timestamp};
    use serde_json::json;

    fn event(kind: &str, data: Value) -> DomainEvent {
        DomainEvent {
            id: EventId::new(),
            kind: kind.into(),
            source: "data-layer".into(),
            tenant_id: None,
            key: "k".into(),
            data,
            schema_version: "1.0.0".into(),
            timestamp: Timestamp::real(),
            trace_id: None,
        }
    }

    #[test]
    fn a_channel_is_read_back_as_it_is_written() {
        for text in ["data.crm.contacts", "data.a_b.c_1", "notifications", "events"] {
            assert_eq!(text.parse::<Channel>().unwrap().to_string(), text);
        }
        for bad in
            ["", "data", "data.crm", "data.crm.", "data..x", "data.crm.a.b", "data.CRM.x", "events.x", "*"]
        {
            assert_eq!(bad.parse::<Channel>(), Err(NoChannel), "{bad}");
        }
    }

    #[test]
    fn a_model_is_told_apart_from_others_that_begin_alike() {
        let contacts: Channel = "data.crm.contacts".parse().unwrap();
        let takes = |kind: &str| contacts.takes(&event(kind, json!({})), None);
        assert!(takes("data.crm.contacts.created") && takes("data.crm.contacts.deleted"));
        for other in [
            "data.crm.contacts_old.created",
            "data.crm2.contacts.created",
            "data.crm.contacts",
            "crm.contacts.x.created",
            "data.crm.contacts.a.b",
        ] {
            assert!(!takes(other), "{other}");
        }
    }

    #[test]
    fn an_inbox_is_its_persons_alone() {
        let (me, other) = (UserId::new(), UserId::new());
        let inbox = Channel::Notifications;
        let delivered = event(DELIVERED, json!({ "channel": "in_app", "userId": me }));
        assert!(inbox.takes(&delivered, Some(me)));
        assert!(!inbox.takes(&delivered, Some(other)) && !inbox.takes(&delivered, None));
        assert!(!inbox.takes(&event(DELIVERED, json!({ "channel": "email", "userId": me })), Some(me)));
        assert!(!inbox.takes(&event("crm.deal.won", json!({ "channel": "in_app", "userId": me })), Some(me)));
        assert!(inbox.takes(&event(READ, json!({ "userId": me })), Some(me)));
    }

    #[test]
    fn a_record_that_is_gone_is_told_as_it_was() {
        let gone = event("data.crm.contacts.deleted", json!({ "after": null, "before": { "id": 1 } }));
        assert_eq!(record(&gone), ("deleted", &json!({ "id": 1 })));
        let made = event("data.crm.contacts.created", json!({ "after": { "id": 2 }, "before": {} }));
        assert_eq!(record(&made), ("created", &json!({ "id": 2 })));
    }
}

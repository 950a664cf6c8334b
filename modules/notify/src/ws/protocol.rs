//! What clients and the kernel say to each other. All of it is JSON text.

use kernel::{DomainEvent, Secret, TenantId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::http::inbox::EntryOut;

/// Most bytes of a client's message.
pub(crate) const MOST_BYTES: usize = 4_096;
/// Most channels of a socket.
pub(crate) const MOST_CHANNELS: usize = 50;

/// What a client says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub(crate) enum Said {
    /// Who it is.
    Auth { token: Secret },
    /// What it wants to hear of, and behind which message.
    Subscribe {
        channels: Vec<String>,
        #[serde(default)]
        last_event_id: Option<String>,
    },
    /// What it does not want to hear of any more.
    Unsubscribe { channels: Vec<String> },
    /// That it is there.
    // With braces: else unknown members would pass.
    Ping {},
}

/// What the kernel says.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub(crate) enum Says<'a> {
    /// Say who you are.
    AuthRequired { reason: &'a str },
    /// It is known who you are.
    AuthOk { conn_id: Uuid, user_id: Option<UserId>, tenant_id: TenantId },
    /// What you hear of now.
    Subscribed {
        channels: Vec<String>,
        refused: Vec<Refused>,
        /// Whether all is told that happened since `lastEventId`; false: read anew what you show.
        #[serde(skip_serializing_if = "Option::is_none")]
        resumed: Option<bool>,
    },
    /// What you hear of no more.
    Unsubscribed {
        channels: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    },
    /// It is here, too.
    Pong,
    /// What you said was not understood, or is not possible.
    Error { code: &'a str, message: String },
    /// A record was created, updated or deleted.
    Data {
        channel: String,
        action: &'a str,
        id: &'a str,
        record: &'a Value,
        /// The record is too large for an event; read it.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        truncated: bool,
        event_id: &'a str,
        at: kernel::Timestamp,
    },
    /// A message came into the inbox, or was read.
    Notification {
        channel: &'static str,
        action: &'a str,
        /// Which one was read; all where it is null.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        notification: Option<EntryOut>,
        unread: i64,
        event_id: &'a str,
        at: kernel::Timestamp,
    },
    /// Something happened in the tenant.
    Event { channel: &'static str, event: &'a DomainEvent, event_id: &'a str },
}

/// A channel that can't be heard.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refused {
    pub channel: String,
    pub code: &'static str,
    pub message: String,
}

/// Why a socket is closed (RFC 6455 §7.4; 4000 to 4999 are ours).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Close {
    /// The sandbox is being closed for a moment.
    Restart,
    /// Something else than text came.
    NotText,
    /// Too much, too often, or nothing but mistakes.
    Policy,
    /// A message was too large.
    TooLarge,
    /// Nobody said who it is in time, or it is somebody else now.
    NotAuthenticated,
    /// The tenant is closed.
    Terminated,
    /// Nothing was heard for 30 s.
    Idle,
    /// It reads more slowly than things happen.
    TooSlow,
}

impl Close {
    /// The code.
    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::NotText => 1003,
            Self::Policy => 1008,
            Self::TooLarge => 1009,
            Self::Restart => 1012,
            Self::NotAuthenticated => 4401,
            Self::Terminated => 4402,
            Self::Idle => 4408,
            Self::TooSlow => 4429,
        }
    }

    /// A few words for whoever reads a log.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::NotText => "only JSON text is taken",
            Self::Policy => "too many messages or mistakes",
            Self::TooLarge => "a message takes at most 4096 bytes",
            Self::Restart => "the sandbox is being closed for a moment; come again",
            Self::NotAuthenticated => "nobody authenticated in time",
            Self::Terminated => "the tenant's subscription has ended",
            Self::Idle => "nothing was heard for 30 s; send a ping now and then",
            Self::TooSlow => "read too slowly; come again with lastEventId",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_is_read_strictly() {
        let read = |text: &str| serde_json::from_str::<Said>(text);
        assert!(matches!(read(r#"{"type":"ping"}"#), Ok(Said::Ping {})));
        let said = read(r#"{"type":"subscribe","channels":["events"],"lastEventId":"x"}"#);
        assert!(matches!(said, Ok(Said::Subscribe { last_event_id: Some(_), .. })));
        assert!(!format!("{:?}", read(r#"{"type":"auth","token":"secret"}"#)).contains("secret"));
        for bad in [
            "{}",
            r#"{"type":"shout"}"#,
            r#"{"type":"auth"}"#,
            r#"{"type":"auth","token":"t","x":1}"#,
            r#"{"type":"ping","x":1}"#,
            "[]",
            "1",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_the_kernel_says_has_the_names_of_the_api() {
        let said =
            Says::AuthOk { conn_id: Uuid::nil(), user_id: None, tenant_id: TenantId::from_uuid(Uuid::nil()) };
        let text = serde_json::to_value(said).unwrap();
        assert_eq!(text["type"], "auth_ok");
        assert!(text.get("connId").is_some() && text.get("tenantId").is_some());
        assert_eq!(serde_json::to_string(&Says::Pong).unwrap(), r#"{"type":"pong"}"#);
    }
}

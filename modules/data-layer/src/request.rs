//! What the triggers on module tables are told about a change, so that event and audit record name who asked.

use kernel::{Actor, Ctx};
use serde_json::{Map, json};

/// The value of the setting `kernel.request`, which `kernel.capture_change` reads.
pub(crate) fn told(cx: &Ctx) -> String {
    let mut personal = Map::new();
    if let Some(address) = cx.client().address {
        personal.insert("ip".to_owned(), address.to_string().into());
    }
    if let Some(agent) = &cx.client().agent {
        personal.insert("userAgent".to_owned(), plain(agent).into());
    }
    if let Actor::User { email, .. } = cx.actor() {
        personal.insert("actorEmail".to_owned(), plain(email).into());
    }
    json!({
        "actorKind": cx.actor().kind(),
        "actor": cx.actor().name(),
        "userId": cx.actor().user(),
        "trace": cx.trace().trace_id_text(),
        "personal": personal,
    })
    .to_string()
}

/// `jsonb` refuses U+0000, and a header must not be able to make a write fail.
fn plain(text: &str) -> String {
    text.replace('\0', "")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kernel::{Caller, Client, Clock, SandboxName, SessionId, TenantId, UserId};
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_triggers_learn_who_asked_and_from_where() {
        let id = UserId::new();
        let actor = Actor::User { id, session: SessionId::new(), email: "ada@example.com".into() };
        let caller = Caller { tenant: Some(TenantId::new()), actor, permissions: Arc::default() };
        let client =
            Client { address: Some([192, 0, 2, 7].into()), agent: Some("curl\0/8".into()), host: None };
        let cx =
            Ctx::build(SandboxName::default_sandbox(), Clock::real()).caller(caller).client(client).finish();
        let told: Value = serde_json::from_str(&told(&cx)).unwrap();
        assert_eq!(told["actorKind"], "user");
        assert_eq!(told["actor"], format!("user:{id}"));
        assert_eq!(told["userId"], id.to_string());
        assert_eq!(told["trace"], cx.trace().trace_id_text());
        assert_eq!(
            told["personal"],
            json!({ "ip": "192.0.2.7", "userAgent": "curl/8", "actorEmail": "ada@example.com" })
        );
    }
}

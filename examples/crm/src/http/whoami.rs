//! `GET /whoami`: what reached the back-end. Tests use it to see what the gateway strips.

use std::collections::BTreeMap;

use axum::Json;
use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};
use serde::Serialize;
use uuid::Uuid;

use crate::caller::{Caller, TOKEN_HEADER};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WhoamiOut {
    user: String,
    tenant: Uuid,
    issuer: String,
    permissions: Vec<String>,
    /// `X-*` and `traceparent` as received; values of a repeated header joined by a comma.
    headers: BTreeMap<String, String>,
    /// Behind the gateway both are false: a module never holds a user's credentials.
    authorization_seen: bool,
    cookie_seen: bool,
}

pub(super) async fn whoami(caller: Caller, received: HeaderMap) -> Json<WhoamiOut> {
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value) in &received {
        let name = name.as_str();
        // The module token is a credential while it lasts: it is not echoed.
        if name == TOKEN_HEADER || !(name.starts_with("x-") || name == "traceparent") {
            continue;
        }
        let value = String::from_utf8_lossy(value.as_bytes());
        let seen = headers.entry(name.to_owned()).or_default();
        if !seen.is_empty() {
            seen.push_str(", ");
        }
        seen.push_str(&value);
    }
    Json(WhoamiOut {
        user: caller.user().to_owned(),
        tenant: caller.tenant(),
        issuer: caller.issuer().url().to_owned(),
        permissions: caller.permissions().to_vec(),
        headers,
        authorization_seen: received.contains_key(AUTHORIZATION),
        cookie_seen: received.contains_key(COOKIE),
    })
}

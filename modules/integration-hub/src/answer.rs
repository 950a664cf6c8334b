//! What a provider answered. Pure.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header, response::Parts};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::mask;

/// Headers that are the connection's or would set something in the caller's browser.
const LEFT_OUT: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Most characters of a provider's own words that are passed on.
const MOST_WORDS: usize = 300;

/// A whole answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub status: StatusCode,
    headers: HeaderMap,
    pub body: Bytes,
}

/// How a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Encoding {
    /// There is none.
    None,
    /// As JSON.
    Json,
    /// As text.
    Text,
    /// Bytes in Base64.
    Base64,
}

impl Answer {
    pub(crate) fn new(head: Parts, body: Bytes) -> Self {
        Self { status: head.status, headers: head.headers, body }
    }

    /// The media type.
    pub(crate) fn kind(&self) -> &str {
        self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// When the provider wants to be asked again, in seconds.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
    }

    /// The headers that the caller is told.
    pub(crate) fn told_headers(&self, secrets: &[String]) -> BTreeMap<String, String> {
        let told = self.headers.iter().filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()));
        told.filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), mask::scrub(value.to_str().ok()?, secrets)))
        })
        .collect()
    }

    /// The body that the caller is told.
    pub(crate) fn told_body(&self, secrets: &[String]) -> (Value, Encoding) {
        if self.body.is_empty() {
            return (Value::Null, Encoding::None);
        }
        let json = self.kind().split(';').next().is_some_and(|kind| {
            let kind = kind.trim().to_ascii_lowercase();
            kind == "application/json" || kind.ends_with("+json")
        });
        if json && let Ok(value) = serde_json::from_slice(&self.body) {
            return (mask::scrub_json(value, secrets), Encoding::Json);
        }
        match std::str::from_utf8(&self.body) {
            Ok(text) => (Value::String(mask::scrub(text, secrets)), Encoding::Text),
            Err(_) => (Value::String(STANDARD.encode(&self.body)), Encoding::Base64),
        }
    }

    /// The provider's own words about what is wrong, if it said something that can be read.
    pub(crate) fn words(&self, secrets: &[String]) -> Option<String> {
        let text = match serde_json::from_slice::<Value>(&self.body) {
            Ok(value) => said(&value)?.to_owned(),
            Err(_) if self.kind().starts_with("text/plain") => {
                std::str::from_utf8(&self.body).ok()?.to_owned()
            }
            Err(_) => return None,
        };
        let text = mask::storable(&mask::scrub(text.trim(), secrets));
        let text: String = text.chars().filter(|c| !c.is_control()).take(MOST_WORDS).collect();
        (!text.is_empty()).then_some(text)
    }

    /// What happened, as a clause: `answered 404 Not Found: No such customer`.
    pub(crate) fn clause(&self, secrets: &[String]) -> String {
        let words = self.words(secrets).map(|words| format!(": {words}")).unwrap_or_default();
        format!("answered {}{words}", self.status)
    }
}

/// Where problems, OAuth and most APIs say what is wrong.
fn said(value: &Value) -> Option<&str> {
    let members = ["detail", "message", "error_description", "error", "title"];
    members.iter().find_map(|name| match value.get(name)? {
        Value::String(text) => Some(text.as_str()),
        inner @ Value::Object(_) => said(inner),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use http::Response;
    use serde_json::json;

    use super::*;

    fn answer(kind: &str, body: &'static [u8]) -> Answer {
        let response =
            Response::builder().status(404).header("content-type", kind).header("set-cookie", "a=b");
        let (head, ()) = response.header("retry-after", "7").body(()).unwrap().into_parts();
        Answer::new(head, Bytes::from_static(body))
    }

    #[test]
    fn a_body_is_told_as_what_it_is() {
        let told = |kind, body| answer(kind, body).told_body(&["secret-key".to_owned()]);
        assert_eq!(
            told("application/json", br#"{"k":"secret-key"}"#),
            (json!({ "k": "***" }), Encoding::Json)
        );
        assert_eq!(told("application/problem+json; charset=utf-8", b"{}"), (json!({}), Encoding::Json));
        assert_eq!(told("application/json", b"{"), (json!("{"), Encoding::Text));
        assert_eq!(told("image/png", &[0xff]), (json!("/w=="), Encoding::Base64));
        assert_eq!(told("", b""), (Value::Null, Encoding::None));
    }

    #[test]
    fn the_providers_words_are_found_and_credentials_in_them_are_not_repeated() {
        let secrets = ["sk_live_1".to_owned()];
        for (kind, body, words) in [
            ("application/json", br#"{"error":{"message":"No sk_live_1"}}"# as &[u8], Some("No ***")),
            ("application/problem+json", br#"{"title":"T","detail":"D"}"#, Some("D")),
            ("application/json", br#"{"error":"invalid_client"}"#, Some("invalid_client")),
            ("text/plain", b" gone \n", Some("gone")),
            ("text/html", b"<html>", None),
            ("application/json", b"[]", None),
        ] {
            let told = answer(kind, body).words(&secrets);
            assert_eq!(told.as_deref(), words);
        }
        let told = answer("text/plain", b"x");
        assert_eq!(told.clause(&secrets), "answered 404 Not Found: x");
        assert_eq!(told.retry_after(), Some(7));
        assert_eq!(
            told.told_headers(&secrets).keys().map(String::as_str).collect::<Vec<_>>(),
            ["content-type", "retry-after"]
        );
    }
}

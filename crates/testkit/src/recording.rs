use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex},
};

use regex::Regex;
use reqwest::Method;
use serde_json::{Value, json};

use crate::Answer;

/// What a kernel answered, in order, without what differs from run to run.
///
/// Masked by its form, wherever it stands: ids (each gets a number, so that the same one stays the same one), times, days,
/// digests, addresses of this machine. Masked by the name of its member: see [`MASKED`].
#[derive(Default)]
pub struct Recording(Mutex<Recorded>);

#[derive(Default)]
struct Recorded {
    answers: Vec<Value>,
    ids: HashMap<String, usize>,
}

/// Most bytes of an answer that is no JSON that are noted.
const MOST_TEXT: usize = 2_000;

/// Members whose values are of one run: tokens, places in lists and logs, signatures and hashes, what was measured.
pub const MASKED: [&str; 21] = [
    // A flag that is on for some of all people.
    "console-new-navigation",
    "accessToken",
    "refreshToken",
    "sessionToken",
    "token",
    "key",
    "secret",
    "nextCursor",
    "cursor",
    "position",
    "offset",
    "signature",
    "hash",
    "etag",
    "traceId",
    "traceparent",
    "prefix",
    "url",
    "durationMs",
    "tookMs",
    "sizeBytes",
];

static ID: LazyLock<Regex> = LazyLock::new(|| {
    pattern("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}(?:[0-9a-f]{32})?")
});
static MOMENT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z| UTC|\+00:00)?)?")
});
static ADDRESS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:https?|wss?)://[a-z0-9.-]+:\d+|127\.0\.0\.1(?::\d+)?"));
/// Of a mail.
static DATE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} [0-9:]{8} \+0000"));
static BOUNDARY: LazyLock<Regex> = LazyLock::new(|| pattern("boundary=\"[^\"]+\""));
static LINK: LazyLock<Regex> = LazyLock::new(|| pattern(r"#token=\S+"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

impl Recording {
    /// Notes an answer.
    pub(crate) fn note(&self, method: &Method, path: &str, host: &str, answer: &Answer) {
        let mut recorded = self.0.lock().unwrap();
        let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
        let mut body = match (&answer.body, answer.text.as_str()) {
            // A picture, or a page.
            (Value::Null, text) if text.len() > MOST_TEXT => json!({ "bytes": text.len() }),
            (Value::Null, text) => Value::from(text),
            (body, _) => body.clone(),
        };
        let mut asked = Value::from(format!("{method} {path} on {host}"));
        recorded.mask(&mut asked);
        recorded.mask(&mut body);
        let kind = header("content-type");
        recorded
            .answers
            .push(json!({ "asked": asked, "status": answer.status.as_u16(), "kind": kind, "body": body }));
    }

    /// All that was noted, an answer after the other.
    pub fn answers(&self) -> Vec<Value> {
        self.0.lock().unwrap().answers.clone()
    }
}

impl Recorded {
    fn mask(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.masked(text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.mask(value)),
            Value::Object(members) => {
                for (name, value) in members.iter_mut() {
                    if MASKED.contains(&name.as_str()) && !value.is_null() {
                        *value = Value::from(format!("<{name}>"));
                    } else {
                        self.mask(value);
                    }
                }
            }
            _ => {}
        }
    }

    fn masked(&mut self, text: &str) -> String {
        let text = LINK.replace_all(text, "#token=<token>");
        let text = ADDRESS.replace_all(&text, "<address>");
        let text = ID.replace_all(&text, |found: &regex::Captures<'_>| {
            let next = self.ids.len() + 1;
            format!("<id {}>", self.ids.entry(found[0].to_owned()).or_insert(next))
        });
        let text = DATE.replace_all(&text, "<date>");
        let text = BOUNDARY.replace_all(&text, "<boundary>");
        MOMENT.replace_all(&text, "<time>").into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_one_run_is_masked_and_what_is_the_same_stays_so() {
        let mut recorded = Recorded::default();
        let (one, two) = ("019a0000-0000-7000-8000-000000000001", "019a0000-0000-7000-8000-000000000002");
        let mut body = json!({ "id": one, "parent": two, "again": one, "at": "2026-11-27T02:15:05.123456Z", "name": "Ada",
            "accessToken": "ey", "cursor": null, "link": format!("see http://localhost:8080/x/{two}#token=ev_abc now") });
        recorded.mask(&mut body);
        assert_eq!(
            body,
            json!({ "id": "<id 1>", "parent": "<id 2>", "again": "<id 1>", "at": "<time>", "name": "Ada",
                "accessToken": "<accessToken>", "cursor": null, "link": "see <address>/x/<id 2>#token=<token> now" })
        );
    }
}

//! What the log of calls may keep of a request and its answer. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

/// Parts of names that mark a secret, without punctuation and in lower case.
const SECRET_WORDS: [&str; 20] = [
    "password",
    "passphrase",
    "passwd",
    "secret",
    "token",
    "credential",
    "apikey",
    "accesskey",
    "privatekey",
    "recoverycode",
    "totp",
    "authorization",
    "cookie",
    "signature",
    "cardnumber",
    "cvc",
    "cvv",
    "iban",
    "accountnumber",
    "socialsecurity",
];

/// What stands in a secret's place.
pub(crate) const MASK: &str = "***";

/// Most characters of a body that are kept.
const MOST_TEXT: usize = 4_000;

/// Shortest secret that is looked for in texts: shorter ones occur everywhere.
const LEAST_SECRET: usize = 6;

fn is_secret(name: &str) -> bool {
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| plain.contains(word))
}

/// Puts [`MASK`] in the place of every value of `secrets`, wherever it stands.
pub(crate) fn scrub(text: &str, secrets: &[String]) -> String {
    secrets
        .iter()
        .filter(|secret| secret.len() >= LEAST_SECRET)
        .fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK))
}

/// The same in every text of a JSON value, names of members included.
pub(crate) fn scrub_json(value: Value, secrets: &[String]) -> Value {
    match value {
        Value::String(text) => Value::String(scrub(&text, secrets)),
        Value::Array(items) => items.into_iter().map(|item| scrub_json(item, secrets)).collect(),
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, member)| (scrub(&name, secrets), scrub_json(member, secrets)))
                .collect(),
        ),
        other => other,
    }
}

/// A path with its query, whose secret parameters are masked.
pub(crate) fn path(path: &str, secrets: &[String]) -> String {
    let masked = match path.split_once('?') {
        None => path.to_owned(),
        Some((before, query)) => {
            let pairs = query.split('&').map(|pair| match pair.split_once('=') {
                Some((name, _)) if is_secret(name) => format!("{name}={MASK}"),
                _ => pair.to_owned(),
            });
            format!("{before}?{}", pairs.collect::<Vec<_>>().join("&"))
        }
    };
    storable(&scrub(&masked, secrets))
}

/// Headers, with the secret ones masked.
pub(crate) fn headers(headers: &BTreeMap<String, String>, secrets: &[String]) -> BTreeMap<String, String> {
    let masked = |name: &str, value: &str| {
        if is_secret(name) { MASK.to_owned() } else { storable(&scrub(value, secrets)) }
    };
    headers.iter().map(|(name, value)| (name.clone(), masked(name, value))).collect()
}

/// A body as the log keeps it: JSON with secret members masked, the beginning of other text, or only how long it is.
pub(crate) fn body(bytes: &[u8], kind: &str, secrets: &[String]) -> Option<String> {
    if bytes.is_empty() {
        return None;
    }
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if let Ok(mut value) = serde_json::from_slice::<Value>(bytes) {
        mask_members(&mut value);
        return Some(cut(&storable(&scrub(&value.to_string(), secrets))));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if essence == "application/x-www-form-urlencoded" => {
            let whole = path(&format!("?{text}"), secrets);
            Some(cut(whole.strip_prefix('?').unwrap_or(&whole)))
        }
        Ok(text) => Some(cut(&storable(&scrub(text, secrets)))),
        Err(_) => Some(format!("{} bytes that are no text", bytes.len())),
    }
}

fn mask_members(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                if is_secret(name) && !member.is_null() {
                    *member = Value::String(MASK.to_owned());
                } else {
                    mask_members(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask_members),
        _ => {}
    }
}

/// The texts of a request that stand under secret names: an answer may repeat them elsewhere.
pub(crate) fn named(path: &str, headers: &BTreeMap<String, String>, body: Option<&Value>) -> Vec<String> {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    let parameters = form_urlencoded::parse(query.as_bytes()).into_owned();
    let raw =
        query.split('&').filter_map(|pair| pair.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned()));
    let headers = headers.iter().map(|(name, value)| (name.clone(), value.clone()));
    let pairs = parameters.chain(raw).chain(headers);
    let mut found: Vec<String> = pairs.filter(|(name, _)| is_secret(name)).map(|(_, value)| value).collect();
    if let Some(body) = body {
        collect(body, false, &mut found);
    }
    found
}

fn collect(value: &Value, secret: bool, found: &mut Vec<String>) {
    match value {
        Value::String(text) if secret => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, secret, found)),
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| collect(member, secret || is_secret(name), found));
        }
        _ => {}
    }
}

/// Without the one character that Postgres does not keep.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn cut(text: &str) -> String {
    if text.chars().count() <= MOST_TEXT {
        return text.to_owned();
    }
    let kept: String = text.chars().take(MOST_TEXT).collect();
    format!("{kept}… ({} bytes)", text.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NONE: &[String] = &[];

    #[test]
    fn secret_members_are_masked_at_every_depth() {
        let sent = json!({ "amount": 5, "card": { "card_number": "4242", "CVC": "123" }, "tokens": ["a"], "n": null });
        let kept = body(sent.to_string().as_bytes(), "application/json", NONE).unwrap();
        let kept: Value = serde_json::from_str(&kept).unwrap();
        assert_eq!(
            kept,
            json!({ "amount": 5, "card": { "card_number": MASK, "CVC": MASK }, "tokens": MASK, "n": null })
        );
    }

    #[test]
    fn secret_parameters_and_headers_are_masked() {
        assert_eq!(path("/a?api_key=x&page=2", NONE), "/a?api_key=***&page=2");
        let form = body(b"user=ada&password=x", "application/x-www-form-urlencoded; charset=utf-8", NONE);
        assert_eq!(form.as_deref(), Some("user=ada&password=***"));
        let sent =
            BTreeMap::from([("X-Auth-Token".to_owned(), "x".to_owned()), ("Accept".into(), "y".into())]);
        let kept = headers(&sent, NONE);
        assert_eq!((kept["X-Auth-Token"].as_str(), kept["Accept"].as_str()), (MASK, "y"));
    }

    #[test]
    fn a_credential_is_masked_wherever_it_is_repeated() {
        let secrets = ["sk_live_123".to_owned(), "abc".to_owned()];
        assert_eq!(scrub("you sent sk_live_123, abc", &secrets), "you sent ***, abc");
        let told = scrub_json(json!({ "h": ["Bearer sk_live_123"], "sk_live_123": 1 }), &secrets);
        assert_eq!(told, json!({ "h": ["Bearer ***"], "***": 1 }));
    }

    #[test]
    fn what_stands_under_secret_names_is_known_for_answers_that_repeat_it() {
        let headers = BTreeMap::from([("X-Token".to_owned(), "in-header".to_owned())]);
        let sent = json!({ "a": { "secrets": ["in-body"] }, "n": "free" });
        let found = named("/x?api_key=in%20query&page=2", &headers, Some(&sent));
        assert_eq!(found, ["in query", "in%20query", "in-header", "in-body"]);
    }

    #[test]
    fn what_is_long_or_no_text_is_kept_short() {
        let long = body("ä".repeat(5_000).as_bytes(), "text/plain", NONE).unwrap();
        assert!(long.ends_with("… (10000 bytes)") && long.chars().count() < 4_100, "{}", long.len());
        assert_eq!(body(&[0xff, 0xfe], "image/png", NONE).as_deref(), Some("2 bytes that are no text"));
        assert_eq!(body(b"", "text/plain", NONE), None);
        assert_eq!(body(b"a\0b", "text/plain", NONE).as_deref(), Some("a\u{fffd}b"));
    }
}

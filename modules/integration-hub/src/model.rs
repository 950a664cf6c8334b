//! Providers: what they are and what holds for them. Pure.

use std::collections::BTreeMap;

use fabric::{dialler::Dialler, words};
use http::{HeaderName, HeaderValue, Uri};
use kernel::{Error, FieldCode, FieldError, Id, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{echo::ECHO, retry::MOST_RETRIES};

/// See [`ProviderId`].
pub(crate) enum ProviderKind {}
/// Identifies a provider.
pub(crate) type ProviderId = Id<ProviderKind>;
/// See [`CallId`].
pub(crate) enum CallKind {}
/// Identifies a call.
pub(crate) type CallId = Id<CallKind>;
/// See [`DeadLetterId`].
pub(crate) enum DeadLetterKind {}
/// Identifies a dead letter.
pub(crate) type DeadLetterId = Id<DeadLetterKind>;

words! {
    /// What a provider is for.
    pub enum ProviderType {
        /// Takes and pays out money.
        Payment = "payment",
        /// Sends text messages.
        Sms = "sms",
        /// Sends mail.
        Email = "email",
        /// Counts and measures.
        Analytics = "analytics",
        /// Advertises.
        Advertising = "advertising",
        /// Anything else.
        Custom = "custom",
    }
}

words! {
    /// How requests prove who sends them.
    pub enum AuthType {
        /// Not at all.
        None = "none",
        /// A key in a header or the query.
        ApiKey = "api_key",
        /// A token in `Authorization`.
        Bearer = "bearer",
        /// Name and password in `Authorization`.
        Basic = "basic",
        /// A token that is fetched with client credentials (RFC 6749 §4.4).
        OAuth2 = "oauth2",
        /// A signature over each request.
        Hmac = "hmac",
    }
}

words! {
    /// Whether a provider may be called.
    pub(crate) enum Status {
        /// It may.
        Active = "active",
        /// Calls are refused.
        Disabled = "disabled",
    }
}

words! {
    /// Where a call came from.
    pub(crate) enum Origin {
        /// Somebody called.
        Call = "call",
        /// Somebody tried the provider.
        Test = "test",
        /// A dead letter was made again.
        Retry = "retry",
    }
}

words! {
    /// How a call stands.
    pub(crate) enum CallState {
        /// It is under way.
        Running = "running",
        /// The provider answered.
        Answered = "answered",
        /// The provider refused it.
        Rejected = "rejected",
        /// The provider could not be brought to answer.
        Failed = "failed",
        /// The process ended while it was under way: whether it reached the provider is not known.
        Interrupted = "interrupted",
    }
}

words! {
    /// How a dead letter stands.
    pub(crate) enum LetterState {
        /// It waits for somebody to decide.
        Waiting = "waiting",
        /// It is being made again.
        Queued = "queued",
    }
}

/// How a provider is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Config {
    /// What one attempt gets, in milliseconds: 100 to 10,000; 10,000 unless said.
    #[schemars(range(min = 100, max = 10000))]
    pub timeout_ms: u32,
    /// Attempts after a failed one: 0 to 5; 5 unless said.
    #[schemars(range(max = 5))]
    pub retries: u32,
    /// Headers of every request, at most 20. Credentials don't belong here.
    pub headers: BTreeMap<String, String>,
    /// Requests a second: 1 to 100; 100 unless said.
    #[schemars(range(min = 1, max = 100))]
    pub rps: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { timeout_ms: 10_000, retries: MOST_RETRIES, headers: BTreeMap::new(), rps: 100 }
    }
}

const LONGEST_NAME: usize = 100;
const LONGEST_URL: usize = 500;
const MOST_HEADERS: usize = 20;

/// Checks a name.
pub(crate) fn check_name(name: &str, wrong: &mut Vec<FieldError>) {
    let length = name.chars().count();
    if name.trim() != name || length == 0 || name.chars().any(char::is_control) {
        let message = "must be a line of text that neither begins nor ends with a space";
        wrong.push(FieldError::new("/name", FieldCode::InvalidFormat, message));
    } else if length > LONGEST_NAME {
        let message = format!("takes at most {LONGEST_NAME} characters");
        wrong.push(FieldError::new("/name", FieldCode::TooLong, message));
    }
}

/// Checks an address that requests go to. Gives the one form in which it is kept: without a slash at its end.
pub(crate) fn check_url(dialler: &Dialler, field: &str, text: &str) -> Result<String, FieldError> {
    let wrong = |code, message: &str| Err(FieldError::new(field, code, message));
    if text.len() > LONGEST_URL {
        return wrong(FieldCode::TooLong, "takes at most 500 characters");
    }
    if text == ECHO {
        return Ok(text.to_owned());
    }
    let Ok(uri) = text.parse::<Uri>() else {
        return wrong(FieldCode::InvalidFormat, "must be an address like https://api.example.com/v1");
    };
    if uri.query().is_some() || text.contains('#') || !is_plain_path(uri.path()) {
        return wrong(FieldCode::InvalidFormat, "takes a plain path: no query, no fragment, no dot segments");
    }
    match dialler.check(&uri) {
        Ok(()) => Ok(text.trim_end_matches('/').to_owned()),
        Err(error) => Err(FieldError::new(field, FieldCode::NotAllowed, error.to_string())),
    }
}

/// Whether two addresses mean the same server: credentials given for one must not go to another.
pub(crate) fn same_origin(one: &str, other: &str) -> bool {
    let origin = |text: &str| {
        let uri: Uri = text.parse().ok()?;
        let scheme = uri.scheme_str()?.to_owned();
        let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        Some((scheme, uri.host()?.to_ascii_lowercase(), port))
    };
    origin(one).is_some() && origin(one) == origin(other)
}

/// Whether a path means on the other side what it says here.
pub(crate) fn is_plain_path(path: &str) -> bool {
    path.split('/').all(|segment| {
        let coded = segment.to_ascii_lowercase();
        let plain = coded.replace("%2e", ".");
        plain != "." && plain != ".." && !segment.contains('\\') && !coded.contains("%00")
    })
}

impl Config {
    /// Notes what is not right.
    pub(crate) fn check(&self, wrong: &mut Vec<FieldError>) {
        let mut range = |name: &str, value: u32, least: u32, most: u32| {
            if !(least..=most).contains(&value) {
                let message = format!("must lie between {least} and {most}");
                wrong.push(FieldError::new(format!("/config/{name}"), FieldCode::OutOfRange, message));
            }
        };
        range("timeoutMs", self.timeout_ms, 100, 10_000);
        range("retries", self.retries, 0, MOST_RETRIES);
        range("rps", self.rps, 1, 100);
        check_headers("/config/headers", &self.headers, MOST_HEADERS, wrong);
    }
}

/// Headers that nobody sets: they are the connection's, the credentials', or ours.
const OURS: [&str; 18] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Checks headers that somebody wants sent.
pub(crate) fn check_headers(
    field: &str,
    headers: &BTreeMap<String, String>,
    most: usize,
    wrong: &mut Vec<FieldError>,
) {
    if headers.len() > most {
        let message = format!("takes at most {most} headers");
        wrong.push(FieldError::new(field, FieldCode::TooLong, message));
    }
    for (name, value) in headers {
        let at = format!("{field}/{}", name.replace('~', "~0").replace('/', "~1"));
        let lower = name.to_ascii_lowercase();
        if OURS.contains(&lower.as_str()) || lower.starts_with("x-forwarded-") {
            let message = "is set by the kernel; credentials belong into the provider's credentials";
            wrong.push(FieldError::new(at, FieldCode::NotAllowed, message));
        } else if HeaderName::try_from(name.as_str()).is_err() || HeaderValue::from_str(value).is_err() {
            wrong.push(FieldError::new(at, FieldCode::InvalidFormat, "is not a header of HTTP"));
        } else if value.len() > 2_000 {
            wrong.push(FieldError::new(at, FieldCode::TooLong, "takes at most 2000 bytes"));
        }
    }
}

/// `Ok` if nothing is wrong.
pub(crate) fn settle(wrong: Vec<FieldError>) -> Result<()> {
    if wrong.is_empty() { Ok(()) } else { Err(Error::fields(wrong)) }
}

#[cfg(test)]
mod tests {
    use fabric::dialler::DiallerOptions;

    use super::*;

    #[test]
    fn an_address_is_public_plain_and_without_anything_behind_it() {
        let dialler = Dialler::new(DiallerOptions::default()).unwrap();
        let check = |text: &str| check_url(&dialler, "/baseUrl", text);
        assert_eq!(check("https://api.example.com/v1/").unwrap(), "https://api.example.com/v1");
        assert_eq!(check(ECHO).unwrap(), ECHO);
        for text in [
            "http://127.0.0.1/",
            "http://localhost:8080",
            "http://10.0.0.1/x",
            "http://192.168.1.1",
            "http://169.254.169.254/latest/meta-data",
            "http://100.100.100.200/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[fe80::1]/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://0.0.0.0/",
            "https://user:secret@api.example.com/",
            "ftp://example.com/",
            "kernel://other",
            "https://api.example.com/v1?x=1",
            "https://api.example.com/v1#x",
            "https://api.example.com/a/../b",
            "https://api.example.com/a/%2e%2E/b",
            "not an address",
            "",
        ] {
            let error = check(text).unwrap_err();
            assert_eq!(error.field, "/baseUrl", "{text}");
            assert!(!error.message.contains("secret"), "{}", error.message);
        }
    }

    #[test]
    fn credentials_stay_with_their_server() {
        assert!(same_origin("https://api.example.com/v1", "https://API.example.com:443/v2"));
        for other in
            ["https://api.example.org/v1", "http://api.example.com/v1", "https://api.example.com:8443"]
        {
            assert!(!same_origin("https://api.example.com/v1", other), "{other}");
        }
    }

    #[test]
    fn headers_of_the_connection_and_credentials_are_refused() {
        let mut wrong = Vec::new();
        let headers = [
            ("Host", "x"),
            ("authorization", "x"),
            ("X-Forwarded-For", "x"),
            ("bad name", "x"),
            ("X-Fine", "y\n"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        check_headers("/headers", &headers, 20, &mut wrong);
        assert_eq!(wrong.len(), 5);
        wrong.clear();
        check_headers("/headers", &[("Accept".to_owned(), "a/b".to_owned())].into(), 20, &mut wrong);
        assert!(wrong.is_empty());
    }

    #[test]
    fn a_configuration_has_bounds() {
        let mut wrong = Vec::new();
        Config::default().check(&mut wrong);
        assert!(wrong.is_empty());
        Config { timeout_ms: 10_001, retries: 6, rps: 0, ..Config::default() }.check(&mut wrong);
        let fields: Vec<_> = wrong.iter().map(|wrong| wrong.field.as_str()).collect();
        assert_eq!(fields, ["/config/timeoutMs", "/config/retries", "/config/rps"]);
    }
}

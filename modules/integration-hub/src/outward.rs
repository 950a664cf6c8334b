//! A request that is to go out, as the caller said it. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use fabric::words;
use http::Uri;
use kernel::{FieldCode, FieldError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{check_headers, is_plain_path};

words! {
    /// What to do.
    pub(crate) enum Method {
        /// Read.
        Get = "GET",
        /// Read the head alone.
        Head = "HEAD",
        /// Make, or do.
        Post = "POST",
        /// Put in place.
        Put = "PUT",
        /// Change.
        Patch = "PATCH",
        /// Remove.
        Delete = "DELETE",
    }
}

impl Method {
    pub(crate) fn http(self) -> http::Method {
        match self {
            Self::Get => http::Method::GET,
            Self::Head => http::Method::HEAD,
            Self::Post => http::Method::POST,
            Self::Put => http::Method::PUT,
            Self::Patch => http::Method::PATCH,
            Self::Delete => http::Method::DELETE,
        }
    }

    fn takes_body(self) -> bool {
        !matches!(self, Self::Get | Self::Head)
    }
}

/// A request to a provider, without what proves who sends it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Outward {
    pub method: Method,
    /// Below the provider's address, with its query.
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Option<Value>,
}

const LONGEST_PATH: usize = 4_000;
const MOST_HEADERS: usize = 50;

impl Outward {
    /// Notes what is not right.
    pub(crate) fn check(&self, wrong: &mut Vec<FieldError>) {
        let path = self.path.split('?').next().unwrap_or_default();
        if self.path.len() > LONGEST_PATH {
            let message = format!("takes at most {LONGEST_PATH} bytes");
            wrong.push(FieldError::new("/path", FieldCode::TooLong, message));
        } else if !path.starts_with('/')
            || path.starts_with("//")
            || self.path.contains('#')
            || !is_plain_path(path)
            || self.path.parse::<Uri>().is_err()
        {
            let message = "must be a path below the provider's address, like /v1/charges?limit=3";
            wrong.push(FieldError::new("/path", FieldCode::InvalidFormat, message));
        }
        check_headers("/headers", &self.headers, MOST_HEADERS, wrong);
        if self.body.is_some() && !self.method.takes_body() {
            let message = format!("{} takes none", self.method);
            wrong.push(FieldError::new("/body", FieldCode::NotAllowed, message));
        }
    }

    /// Where it goes, given the provider's address. `None` if that makes no address.
    pub(crate) fn uri(&self, base: &str) -> Option<Uri> {
        format!("{base}{}", self.path).parse().ok()
    }

    /// The body's bytes and what they are unless a header says so: text stays as it is, all else is JSON.
    pub(crate) fn payload(&self) -> (Bytes, Option<&'static str>) {
        match &self.body {
            None | Some(Value::Null) => (Bytes::new(), None),
            Some(Value::String(text)) => (Bytes::from(text.clone()), Some("text/plain; charset=utf-8")),
            Some(json) => (Bytes::from(json.to_string()), Some("application/json")),
        }
    }

    /// The header that says what the body is.
    pub(crate) fn content_type(&self) -> Option<&str> {
        let given = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        given.map(|(_, value)| value.as_str()).or(self.payload().1)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn get(path: &str) -> Outward {
        Outward { method: Method::Get, path: path.to_owned(), headers: BTreeMap::new(), body: None }
    }

    fn wrong(request: &Outward) -> Vec<String> {
        let mut wrong = Vec::new();
        request.check(&mut wrong);
        wrong.into_iter().map(|wrong| wrong.field).collect()
    }

    #[test]
    fn a_path_stays_below_the_providers_address() {
        for path in ["/", "/v1/charges?limit=3&x=../..", "/a%20b", "/a//b", "/user@example.com"] {
            assert!(wrong(&get(path)).is_empty(), "{path}");
        }
        for path in [
            "",
            "v1",
            "//evil.example/",
            "/../admin",
            "/a/%2e%2e/b",
            "/a/..",
            "/a b",
            "/a#b",
            "/a\\b",
            "/%00",
            "@evil.example/",
            ".evil.example/",
        ] {
            assert_eq!(wrong(&get(path)), ["/path"], "{path}");
        }
        let uri = get("/v1?x=1").uri("https://api.example.com/base").unwrap();
        assert_eq!(uri, "https://api.example.com/base/v1?x=1");
    }

    #[test]
    fn text_goes_as_it_is_and_everything_else_as_json() {
        let with = |body| Outward { method: Method::Post, body: Some(body), ..get("/") };
        assert_eq!(with(json!("a=b")).payload().0, "a=b");
        assert_eq!(with(json!({ "a": 1 })).payload(), (Bytes::from(r#"{"a":1}"#), Some("application/json")));
        assert_eq!(with(Value::Null).payload(), (Bytes::new(), None));
        let form =
            Outward { headers: [("content-type".to_owned(), "x/y".to_owned())].into(), ..with(json!("a")) };
        assert_eq!(form.content_type(), Some("x/y"));
        assert_eq!(wrong(&Outward { method: Method::Get, ..with(json!(1)) }), ["/body"]);
    }
}

use std::borrow::Cow;

use axum::body::Body;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, header};
use ring::digest::{SHA256, digest};

use crate::visit::Response;

/// Whether a client would rather read HTML than JSON: a browser that opens the address.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    let place = |kind: &str| {
        accepts.split(',').position(|one| one.split(';').next().is_some_and(|one| one.trim() == kind))
    };
    match (place("text/html"), place("application/json").or(place("application/problem+json"))) {
        (Some(html), Some(json)) => html < json,
        (html, _) => html.is_some(),
    }
}

/// The source expression of a Content-Security-Policy that allows exactly this text.
pub(super) fn source_of(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, text.as_bytes())))
}

/// Text that can stand in an element or a quoted attribute.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return text.into();
    }
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
        .into()
}

/// A page without scripts.
pub(crate) fn page(title: &str, style: &str, body: &str) -> Response {
    let text = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>{}</title><style>{style}</style></head>\
         <body><main>{body}</main></body></html>",
        escaped(title)
    );
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    let policy = format!(
        "default-src 'none'; style-src {}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        source_of(style)
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_told_from_a_program() {
        let wanted = |accept: &str| {
            is_wanted(&[(header::ACCEPT, HeaderValue::from_str(accept).unwrap())].into_iter().collect())
        };
        assert!(wanted("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(!wanted("application/json") && !wanted("*/*") && !wanted("application/json, text/html"));
        assert!(!is_wanted(&HeaderMap::new()));
    }

    #[test]
    fn text_can_not_become_markup() {
        assert_eq!(escaped("<a href='x' title=\"&\">"), "&lt;a href=&#39;x&#39; title=&quot;&amp;&quot;&gt;");
    }
}

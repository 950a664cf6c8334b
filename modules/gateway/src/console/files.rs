use std::borrow::Cow;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use kernel::Error;
use ports::http::{Path, Result, etag};
use rust_embed::RustEmbed;

use super::takes_brotli;
use crate::{pages::plain_page, visit::Response};

/// What `npm run build` made. In debug builds the files are read from disk.
#[derive(RustEmbed)]
#[folder = "../../web/dist"]
#[allow_missing = true]
struct Built;

/// What the console's page may do: load what lies beside it, call its own origin, show pictures that it made itself.
/// Nothing from elsewhere, nothing written into the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data: blob:; \
    connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// Names of files carry a hash of their content, so what was fetched once is good for ever.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

const NOT_BUILT: &str = "<h1>This binary has no console</h1><p>It was built without one: run <code>npm ci &amp;&amp; npm \
    run build</code> in <code>web/</code> and build the binary again (<code>make build</code> does both). The API is \
    whole; its reference is at <a href=\"/docs\">/docs</a>.</p>";
const NOT_BUILT_STYLE: &str =
    "body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem}";

/// The page itself: small, and asked for anew each time.
pub(super) async fn page(headers: HeaderMap) -> Response {
    let Some(file) = Built::get("index.html") else {
        return plain_page("Platform Kernel", NOT_BUILT_STYLE, NOT_BUILT);
    };
    let text = bytes_of(file.data);
    let tag = etag(&text);
    let mut response = match headers.get(header::IF_NONE_MATCH) == Some(&tag) {
        true => status(StatusCode::NOT_MODIFIED),
        false => Response::new(Body::from(text)),
    };
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    out.insert(header::ETAG, tag);
    out.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    out.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    out.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    out.insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// A script, style, font or picture.
pub(super) async fn file(Path(name): Path<String>, headers: HeaderMap) -> Result<Response> {
    let packed = takes_brotli(&headers).then(|| Built::get(&format!("console/{name}.br"))).flatten();
    let (file, encoding) = match packed {
        Some(file) => (file, Some(HeaderValue::from_static("br"))),
        None => {
            let plain = Built::get(&format!("console/{name}"));
            (plain.ok_or_else(|| Error::not_found("file of the console"))?, None)
        }
    };
    let mut response = Response::new(Body::from(bytes_of(file.data)));
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind_of(&name)));
    out.insert(header::CACHE_CONTROL, FOR_EVER);
    out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(encoding) = encoding {
        out.insert(header::CONTENT_ENCODING, encoding);
    }
    Ok(response)
}

fn bytes_of(data: Cow<'static, [u8]>) -> Bytes {
    match data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    }
}

fn status(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

fn kind_of(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "woff2" => "font/woff2",
        "json" => "application/json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_lets_nothing_be_written_into_the_page() {
        assert!(!POLICY.contains("unsafe") && !POLICY.contains('*') && !POLICY.contains("http"));
        assert!(POLICY.starts_with("default-src 'none'"));
        assert!(HeaderValue::from_static(POLICY).to_str().is_ok());
    }

    #[test]
    fn kinds_are_those_of_the_build() {
        assert_eq!(kind_of("index-4f2a.js"), "text/javascript; charset=utf-8");
        assert_eq!(kind_of("a.b.woff2"), "font/woff2");
        assert_eq!(kind_of("nothing"), "application/octet-stream");
    }

    #[tokio::test]
    async fn there_is_a_page_whether_the_console_was_built_or_not() {
        let response = page(HeaderMap::new()).await;
        assert_eq!(response.status(), 200);
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(!policy.contains("unsafe-inline"), "{policy}");
        assert!(file(Path("no-such-file.js".to_owned()), HeaderMap::new()).await.is_err());
    }
}

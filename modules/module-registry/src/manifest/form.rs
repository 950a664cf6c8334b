//! The forms of single values in a manifest.

use http::Uri;
use semver::VersionReq;

/// Lower-case letters, digits and underscores, a letter first.
pub(super) fn word(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Words with dots between them.
pub(super) fn words(text: &str) -> Vec<&str> {
    let parts: Vec<&str> = text.split('.').collect();
    if parts.iter().all(|part| word(part)) { parts } else { Vec::new() }
}

/// A semver range. Comparators may be separated by commas or, as in npm, by blanks.
pub(crate) fn range(text: &str) -> Option<VersionReq> {
    if text.trim().is_empty() || text.len() > 100 {
        return None;
    }
    VersionReq::parse(text).ok().or_else(|| {
        let mut joined = String::with_capacity(text.len() + 8);
        for token in text.split_whitespace() {
            let after_operator = joined.ends_with(['<', '>', '=', '^', '~', ',']);
            if !joined.is_empty() && !after_operator {
                joined.push(',');
            }
            joined.push_str(token);
        }
        VersionReq::parse(&joined).ok()
    })
}

/// An absolute http(s) address without user, query and fragment; `None` when it is fine, else what is wrong.
pub(super) fn base_url_fault(text: &str) -> Option<&'static str> {
    if text.len() > 2_000 {
        return Some("is longer than 2,000 characters");
    }
    if text.contains('#') {
        return Some("must not have a fragment");
    }
    let Ok(uri) = text.parse::<Uri>() else { return Some("is not an address like https://crm.example.com") };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Some("must begin with http:// or https://");
    }
    match uri.authority() {
        None => return Some("names no host"),
        Some(authority) if authority.as_str().contains('@') => {
            return Some("must not carry a user or password");
        }
        Some(authority) if authority.host().is_empty() => return Some("names no host"),
        Some(_) => {}
    }
    uri.query().is_some().then_some("must not have a query")
}

/// An absolute path: `/` and segments of unreserved characters; `{parameters}` where they are allowed.
pub(super) fn path(text: &str, parameters: bool) -> bool {
    if text == "/" {
        return true;
    }
    let Some(rest) = text.strip_prefix('/') else { return false };
    let mut seen = Vec::new();
    text.len() <= 200
        && rest.split('/').all(|segment| {
            if let Some(name) = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
                let known = seen.contains(&name);
                seen.push(name);
                return parameters
                    && !known
                    && !name.is_empty()
                    && name.bytes().all(|b| b.is_ascii_alphanumeric());
            }
            !segment.is_empty()
                && segment != "."
                && segment != ".."
                && segment
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~'))
        })
}

//! Which page a browser sent a request from.

use http::{HeaderMap, Method, Uri, header};

/// Whether `origin` (an Origin header, RFC 6454) is the address that the request itself went to.
///
/// `authority` is the host with its port as the client sent it; `public_url` is allowed too, because a balancer that
/// ends TLS is not always a trusted proxy that says so.
pub(crate) fn is_own(origin: &str, https: bool, authority: &str, public_url: &str) -> bool {
    if origin.eq_ignore_ascii_case(public_url) {
        return true;
    }
    let Ok(uri) = origin.parse::<Uri>() else { return false };
    let (Some(scheme), Some(from)) = (uri.scheme_str(), uri.authority()) else { return false };
    let default_port = match (scheme, https) {
        ("https", true) => ":443",
        ("http", false) => ":80",
        _ => return false,
    };
    let bare = |text: &str| text.strip_suffix(default_port).unwrap_or(text).to_ascii_lowercase();
    bare(from.as_str()) == bare(authority)
}

/// Whether a request that a browser vouches for with a cookie may have come from our own page. One that changes
/// something or opens a socket must say where it comes from.
pub(crate) fn cookie_may_count(
    method: &Method,
    headers: &HeaderMap,
    https: bool,
    authority: &str,
    public_url: &str,
) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        let fine = site == "same-origin" || (site == "none" && is_read(method));
        if !fine {
            return false;
        }
    }
    match headers.get(header::ORIGIN) {
        Some(origin) => origin.to_str().is_ok_and(|origin| is_own(origin, https, authority, public_url)),
        None => is_read(method) && !headers.contains_key(header::UPGRADE),
    }
}

fn is_read(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_our_own_with_scheme_host_and_port() {
        let own = |origin, https, authority| is_own(origin, https, authority, "https://api.example.com");
        assert!(own("http://localhost:8080", false, "localhost:8080"));
        assert!(own("https://acme.localhost", true, "ACME.localhost:443"));
        assert!(own("https://api.example.com", false, "api.example.com"), "the public address");
        assert!(!own("http://localhost:8080", true, "localhost:8080"), "another scheme");
        assert!(!own("http://localhost:5173", false, "localhost:8080"), "another port");
        assert!(!own("http://localhost:8080.evil.example", false, "localhost:8080"));
        assert!(!own("null", false, "localhost:8080"));
    }

    #[test]
    fn a_cookie_counts_for_our_own_page_only() {
        let counts = |method: Method, pairs: &[(&'static str, &str)]| {
            let headers: HeaderMap =
                pairs.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
            cookie_may_count(&method, &headers, false, "localhost:8080", "http://localhost:8080")
        };
        let own = ("origin", "http://localhost:8080");
        assert!(counts(Method::POST, &[own]) && counts(Method::GET, &[]));
        assert!(counts(Method::GET, &[("sec-fetch-site", "none")]));
        assert!(!counts(Method::POST, &[]), "a change must name its origin");
        assert!(!counts(Method::POST, &[("origin", "http://evil.example")]));
        assert!(!counts(Method::GET, &[("origin", "http://evil.example")]));
        assert!(!counts(Method::GET, &[("sec-fetch-site", "cross-site")]));
        assert!(!counts(Method::GET, &[("sec-fetch-site", "same-site")]), "another sandbox's host");
        assert!(!counts(Method::POST, &[own, ("sec-fetch-site", "cross-site")]));
        assert!(!counts(Method::GET, &[("upgrade", "websocket")]), "sockets are not guarded by CORS");
    }
}

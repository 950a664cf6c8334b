use http::{HeaderMap, Method, Response, StatusCode, Uri, header};

/// The place that a redirect names, or `None` when the answer is none. A `Location` that can't be read is none: the
/// answer is then handed on as it is.
pub(super) fn target<B>(from: &Uri, answer: &Response<B>) -> Option<Uri> {
    let redirects = matches!(
        answer.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    if !redirects {
        return None;
    }
    join(from, answer.headers().get(header::LOCATION)?.to_str().ok()?)
}

/// Reads a reference relative to `base` (RFC 3986 §5.2, without removing dot segments: the server does that).
fn join(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.split('#').next()?.trim();
    if reference.contains("://") && !reference.starts_with(['/', '?']) {
        return reference.parse().ok();
    }
    let scheme = base.scheme_str()?;
    if let Some(rest) = reference.strip_prefix("//") {
        return format!("{scheme}://{rest}").parse().ok();
    }
    let authority = base.authority()?;
    let path = if reference.is_empty() {
        base.path_and_query().map_or("/", |whole| whole.as_str()).to_owned()
    } else if reference.starts_with('/') {
        reference.to_owned()
    } else if reference.starts_with('?') {
        format!("{}{reference}", base.path())
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{folder}/{reference}")
    };
    format!("{scheme}://{authority}{path}").parse().ok()
}

/// The method and whether the body goes along (RFC 9110 §15.4): only 307 and 308 keep a POST a POST.
pub(super) fn keeps_body(status: StatusCode, method: &Method) -> bool {
    let same_again = matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
    same_again || matches!(*method, Method::GET | Method::HEAD)
}

/// What was meant for the first host alone does not go on to another one: credentials under their usual names, and every
/// header whose value its sender marked as sensitive.
pub(super) fn strip_for_another_host(from: &Uri, to: &Uri, headers: &mut HeaderMap) {
    headers.remove(header::HOST);
    if from.scheme() != to.scheme() || from.authority() != to.authority() {
        for name in [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION] {
            headers.remove(name);
        }
        let secret: Vec<_> =
            headers.iter().filter(|(_, value)| value.is_sensitive()).map(|(name, _)| name.clone()).collect();
        for name in secret {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_read_relative_to_where_it_was_found() {
        let base: Uri = "https://a.example:8443/x/y?q=1".parse().unwrap();
        for (reference, whole) in [
            ("http://b.example/z", "http://b.example/z"),
            ("//b.example/z", "https://b.example/z"),
            ("/z?k=http://c", "https://a.example:8443/z?k=http://c"),
            ("z", "https://a.example:8443/x/z"),
            ("?p=2", "https://a.example:8443/x/y?p=2"),
            ("/z#part", "https://a.example:8443/z"),
        ] {
            assert_eq!(join(&base, reference).unwrap().to_string(), whole, "{reference}");
        }
    }

    #[test]
    fn credentials_do_not_follow_to_another_host() {
        let headers = || {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, "Bearer x".parse().unwrap());
            let mut key: http::HeaderValue = "secret".parse().unwrap();
            key.set_sensitive(true);
            headers.insert("x-api-key", key);
            headers
        };
        let from: Uri = "https://a.example/".parse().unwrap();
        let (mut same, mut other, mut plain) = (headers(), headers(), headers());
        strip_for_another_host(&from, &"https://a.example/b".parse().unwrap(), &mut same);
        strip_for_another_host(&from, &"https://b.example/".parse().unwrap(), &mut other);
        strip_for_another_host(&from, &"http://a.example/".parse().unwrap(), &mut plain);
        assert_eq!((same.len(), other.len(), plain.len()), (2, 0, 0));
    }
}

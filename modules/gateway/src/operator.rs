use http::{HeaderMap, header};

/// Knows who runs the process.
pub trait OperatorGate: Send + Sync + 'static {
    /// Whether this is the operator key, `ok_…`. Compares in constant time.
    fn verify_key(&self, key: &str) -> bool;

    /// Whether this is the value of a session cookie that is good now.
    fn verify_session(&self, cookie: &str) -> bool;

    /// The name of the session cookie.
    fn cookie_name(&self) -> &str;

    /// What tells this installation from others on the same host: names of cookies carry it.
    fn installation(&self) -> &str;
}

/// What operator keys begin with.
pub(crate) const KEY_PREFIX: &str = "ok_";

/// Longest credential that is looked at.
pub(crate) const CREDENTIAL_LIMIT: usize = 8 * 1024;

/// What a request shows to say who it is from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Presented<'a> {
    Nothing,
    /// The text after `Bearer`.
    Bearer(&'a str),
    /// The value of the operator's session cookie.
    Session(&'a str),
    /// An Authorization header that can't be one of ours.
    Unusable,
}

/// The header in which clients of GO Feature Flag send a key.
const API_KEY: &str = "x-api-key";

/// Reads the credential. An Authorization header goes before an `X-API-Key`, and both before a cookie, which a browser
/// sends unasked.
pub(crate) fn presented<'a>(headers: &'a HeaderMap, cookie_name: &str) -> Presented<'a> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    match (given.next(), given.next()) {
        (None, _) => api_key(headers)
            .unwrap_or_else(|| cookie(headers, cookie_name).map_or(Presented::Nothing, Presented::Session)),
        (Some(one), None) => {
            one.to_str().ok().and_then(bearer).map_or(Presented::Unusable, Presented::Bearer)
        }
        (Some(_), Some(_)) => Presented::Unusable,
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, rest) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token(rest)).flatten()
}

fn api_key(headers: &HeaderMap) -> Option<Presented<'_>> {
    let mut given = headers.get_all(API_KEY).iter();
    let key = given.next()?.to_str().ok().and_then(token).filter(|_| given.next().is_none());
    Some(key.map_or(Presented::Unusable, Presented::Bearer))
}

fn token(text: &str) -> Option<&str> {
    let token = text.trim();
    let fits =
        !token.is_empty() && token.len() <= CREDENTIAL_LIMIT && token.bytes().all(|b| b.is_ascii_graphic());
    fits.then_some(token)
}

/// The value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, cookie_name: &str) -> Option<&'a str> {
    let pairs = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|v| v.split(';'));
    let mut values = pairs.filter_map(|pair| pair.trim().strip_prefix(cookie_name)?.strip_prefix('='));
    values.next().filter(|value| !value.is_empty() && value.len() <= CREDENTIAL_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_bearer_goes_before_a_cookie() {
        let both = headers(&[("authorization", "bearer  abc"), ("cookie", "pk_operator=xyz")]);
        assert_eq!(presented(&both, "pk_operator"), Presented::Bearer("abc"));
        let cookie = headers(&[("cookie", "a=b; pk_operator=xyz; c=d")]);
        assert_eq!(presented(&cookie, "pk_operator"), Presented::Session("xyz"));
        let key = headers(&[("x-api-key", "pk_a_b"), ("cookie", "pk_operator=xyz")]);
        assert_eq!(presented(&key, "pk_operator"), Presented::Bearer("pk_a_b"));
        let bearer = headers(&[("x-api-key", "pk_a_b"), ("authorization", "Bearer abc")]);
        assert_eq!(presented(&bearer, "pk_operator"), Presented::Bearer("abc"));
        let twice = headers(&[("x-api-key", "a"), ("x-api-key", "b")]);
        assert_eq!(presented(&twice, "pk_operator"), Presented::Unusable);
        let other = headers(&[("cookie", "xpk_operator=1; pk_operator2=2; pk_operator=")]);
        assert_eq!(presented(&other, "pk_operator"), Presented::Nothing);
    }

    #[test]
    fn what_is_no_single_bearer_token_is_unusable() {
        let long = format!("Bearer {}", "a".repeat(CREDENTIAL_LIMIT + 1));
        for value in ["Basic YTpi", "Bearer", "Bearer ", "abc", "Bearer a b", long.as_str()] {
            assert_eq!(
                presented(&headers(&[("authorization", value)]), "c"),
                Presented::Unusable,
                "{value:.20}"
            );
        }
        let twice = headers(&[("authorization", "Bearer a"), ("authorization", "Bearer b")]);
        assert_eq!(presented(&twice, "c"), Presented::Unusable);
    }
}

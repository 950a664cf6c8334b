//! Which sandbox a token is of.

use http::HeaderValue;
use http::uri::Authority;

const MAX_HOST_BYTES: usize = 255;

/// The issuer of a token: a sandbox, by the address under which clients know it.
///
/// The kernel tells sandboxes apart by host, so what is asked of the kernel about a token goes
/// to its one address with the issuer's host in the `Host` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issuer {
    url: String,
    host: String,
    header: HeaderValue,
}

impl Issuer {
    /// None when `url` is not `http(s)://host[:port]`.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
        let host = Self::host_of(rest.strip_suffix('/').unwrap_or(rest))?;
        let header = HeaderValue::from_str(&host).ok()?;
        Some(Issuer { url: url.to_owned(), host, header })
    }

    /// A host with its port if it has one, in lower case; None when it is anything else.
    pub(crate) fn host_of(text: &str) -> Option<String> {
        if text.len() > MAX_HOST_BYTES || text.contains('@') {
            return None;
        }
        let authority: Authority = text.parse().ok()?;
        Some(authority.as_str().to_ascii_lowercase()).filter(|_| !authority.host().is_empty())
    }

    /// As written in `iss`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Host and port, in lower case.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The same for the `Host` header.
    pub(crate) fn host_header(&self) -> HeaderValue {
        self.header.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_a_scheme_and_a_host_and_nothing_more() {
        let acme = Issuer::parse("http://Acme.localhost:8080").expect("valid");
        assert_eq!(acme.host(), "acme.localhost:8080");
        assert_eq!(Issuer::parse("https://kernel.example.com/").expect("valid").host(), "kernel.example.com");
        for wrong in [
            "",
            "acme.localhost",
            "ftp://a",
            "http://",
            "http://a/b",
            "http://u@a",
            "http://a?b",
            "http://a b",
        ] {
            assert_eq!(Issuer::parse(wrong), None, "{wrong:?}");
        }
        assert_eq!(Issuer::parse(&format!("http://{}", "a".repeat(300))), None);
    }
}

//! What hosts mean. Pure.
//!
//! | Host | Means |
//! |---|---|
//! | `localhost`, an IP address | the sandbox `default` |
//! | the public address's host, a name of `KERNEL_HOSTS` | the sandbox `default` |
//! | `{sandbox}.localhost` | that sandbox |
//! | `{tenant}.{sandbox}.localhost` | a tenant of that sandbox |
//! | anything else | nothing |

use std::{borrow::Cow, collections::BTreeSet, net::IpAddr};

use http::{Request, header};
use kernel::{SandboxName, TenantSlug};

use super::HostVerdict;

/// What a name means by itself, without any list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// `localhost` or an IP address.
    Own,
    /// A sandbox's own host.
    Sandbox(SandboxName),
    /// A tenant's host.
    Tenant { tenant: TenantSlug, sandbox: SandboxName },
    /// Some other name: a list must say.
    Name,
    /// A name below `localhost` that can't be one of ours.
    Nothing,
}

/// The host with its port that a request asks for: of the address itself (absolute form, HTTP/2's `:authority`), else
/// of the one Host header (RFC 9112 §3.2).
pub(crate) fn authority_of<B>(request: &Request<B>) -> Option<&str> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.as_str());
    }
    let mut given = request.headers().get_all(header::HOST).iter();
    let host = given.next()?.to_str().ok()?;
    given.next().is_none().then_some(host)
}

/// The bare name: without port and final dot, lower case, IPv6 without brackets. None for what names no host.
pub(crate) fn bare(authority: &str) -> Option<Cow<'_, str>> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        let port_fits = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
        let address: IpAddr = address.parse().ok()?;
        return (port_fits && address.is_ipv6()).then(|| address.to_string().into());
    }
    let name = match authority.split_once(':') {
        Some((name, port)) if is_port(port) => name,
        Some(_) => return None,
        None => authority,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if name.is_empty() || name.len() > 253 || !name.bytes().all(plain) || name.split('.').any(str::is_empty) {
        return None;
    }
    match name.bytes().any(|b| b.is_ascii_uppercase()) {
        true => Some(name.to_ascii_lowercase().into()),
        false => Some(name.into()),
    }
}

fn is_port(text: &str) -> bool {
    text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit())
}

/// What a bare name means by itself.
pub(crate) fn meaning(name: &str) -> Meaning {
    if name == "localhost" {
        return Meaning::Own;
    }
    if let Some(labels) = name.strip_suffix(".localhost") {
        let (tenant, sandbox) = match labels.rsplit_once('.') {
            Some((tenant, sandbox)) => (Some(tenant), sandbox),
            None => (None, labels),
        };
        let Ok(sandbox) = sandbox.parse() else { return Meaning::Nothing };
        return match tenant.map(str::parse) {
            None => Meaning::Sandbox(sandbox),
            Some(Ok(tenant)) => Meaning::Tenant { tenant, sandbox },
            Some(Err(_)) => Meaning::Nothing,
        };
    }
    if name.parse::<IpAddr>().is_ok() { Meaning::Own } else { Meaning::Name }
}

/// The hosts of this process.
#[derive(Debug, Clone, Default)]
pub struct HostRules {
    /// Names of the sandbox `default`, lower case.
    own: BTreeSet<String>,
}

impl HostRules {
    /// Rules with these further names of the sandbox `default`: the host of the public address, and `KERNEL_HOSTS`.
    pub fn new<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Self {
        let own = names.into_iter().filter_map(|name| bare(name.as_ref()).map(Cow::into_owned));
        Self { own: own.collect() }
    }

    /// Which sandbox a host names; with or without port, in any case. Whether that sandbox exists is another question.
    pub fn verdict(&self, host: &str) -> HostVerdict {
        let Some(name) = bare(host) else { return HostVerdict::Unknown };
        let default = || HostVerdict::Sandbox { name: SandboxName::default_sandbox(), tenant_label: None };
        match meaning(&name) {
            _ if self.own.contains(&*name) => default(),
            Meaning::Own => default(),
            Meaning::Sandbox(name) => HostVerdict::Sandbox { name, tenant_label: None },
            Meaning::Tenant { tenant, sandbox } => {
                HostVerdict::Sandbox { name: sandbox, tenant_label: Some(tenant.to_string()) }
            }
            Meaning::Name | Meaning::Nothing => HostVerdict::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(host: &str) -> String {
        let rules = HostRules::new(["Api.Example.com", "app.example.com:8443", "[2001:db8::1]"]);
        match rules.verdict(host) {
            HostVerdict::Sandbox { name, tenant_label: None } => name.to_string(),
            HostVerdict::Sandbox { name, tenant_label: Some(tenant) } => format!("{tenant} of {name}"),
            HostVerdict::Unknown => "unknown".to_owned(),
        }
    }

    #[test]
    fn hosts_mean_what_the_table_says() {
        for (host, expected) in [
            ("localhost", "default"),
            ("localhost:8080", "default"),
            ("LocalHost.", "default"),
            ("localhost.:8080", "default"),
            ("127.0.0.1", "default"),
            ("192.0.2.7:8443", "default"),
            ("[::1]", "default"),
            ("[::1]:8080", "default"),
            ("[2001:DB8::1]:8080", "default"),
            ("api.example.com", "default"),
            ("API.EXAMPLE.COM.:443", "default"),
            ("app.example.com", "default"),
            ("acme.localhost", "acme"),
            ("Acme.Localhost:8443", "acme"),
            ("default.localhost", "default"),
            ("blue.acme.localhost", "blue of acme"),
            ("BLUE.acme.localhost.:1", "blue of acme"),
        ] {
            assert_eq!(verdict(host), expected, "{host}");
        }
    }

    #[test]
    fn everything_else_is_unknown() {
        for host in [
            "",
            ".",
            ":8080",
            "example.com",
            "www.example.com",
            "evil.api.example.com",
            "localhost.evil.example",
            "a.b.acme.localhost",
            "-a.localhost",
            "a--b.localhost",
            "api.localhost",
            "x_y.localhost",
            ".localhost",
            "blue..localhost",
            "user@localhost",
            "localhost:port",
            "localhost:123456",
            "localhost:80:80",
            "::1",
            "[::1",
            "[::1]x",
            "[127.0.0.1]",
            "[::1]:x",
            "loc alhost",
            "127.0.0.1.localhost.",
            "ä.localhost",
            "xn--.localhost",
        ] {
            assert_eq!(verdict(host), "unknown", "{host}");
        }
    }

    #[test]
    fn the_address_goes_before_the_header() {
        let request = |uri: &str, hosts: &[&str]| {
            let mut request = Request::get(uri);
            for host in hosts {
                request = request.header("host", *host);
            }
            request.body(()).unwrap()
        };
        assert_eq!(authority_of(&request("/", &["a.localhost:1"])), Some("a.localhost:1"));
        assert_eq!(authority_of(&request("http://b.localhost:2/", &["a.localhost"])), Some("b.localhost:2"));
        assert_eq!(authority_of(&request("/", &[])), None);
        assert_eq!(authority_of(&request("/", &["a.localhost", "b.localhost"])), None, "two hosts are none");
    }
}

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::Uri;
use kernel::config::Target;

use super::{address, error::DialError, options::DiallerOptions};

/// Where a request goes, read from its address without asking anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Destination {
    pub host: Host,
    pub port: u16,
    pub tls: bool,
}

/// The host of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// Lower case, without a dot at its end.
    Name(String),
    Address(IpAddr),
}

impl Host {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::Address(address) => address.to_string(),
        }
    }

    /// Whether the name means this machine whatever a name server says (RFC 6761 §6.3).
    pub(super) fn is_localhost(&self) -> bool {
        matches!(self, Self::Name(name) if name == "localhost" || name.ends_with(".localhost"))
    }
}

/// Both addresses of this machine.
pub(super) const LOCALHOST: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

impl Destination {
    /// Reads an address of the schemes http, https, ws and wss.
    pub(super) fn of(uri: &Uri) -> Result<Self, DialError> {
        let wrong = |reason| DialError::BadAddress { address: shown(uri), reason };
        let tls = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(wrong("it must begin with https:// or http://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("a user name or password does not belong in it"));
        }
        let host = authority.host();
        // `http` reads a lone colon and ports above 65535 as no port.
        let port = match authority.as_str().strip_prefix(host).unwrap_or_default() {
            "" => {
                if tls {
                    443
                } else {
                    80
                }
            }
            port => match port.trim_start_matches(':').parse::<u16>() {
                Ok(port) if port != 0 => port,
                _ => return Err(wrong("the port must be a number from 1 to 65535")),
            },
        };
        let host = read_host(host).map_err(wrong)?;
        Ok(Self { host, port, tls })
    }

    /// Whether an address that the host stands for may be dialled: it is public, or the operator listed it, or it is
    /// the process's own.
    pub(super) fn admits(&self, address: IpAddr, options: &DiallerOptions) -> bool {
        let address = address::canonical(address);
        address::is_public(address)
            || options.own.contains(&SocketAddr::new(address, self.port))
            || options.allowed.iter().any(|target| match target {
                Target::Network(network) => network.contains(address),
                Target::Host(name) => matches!(&self.host, Host::Name(host) if host == name),
            })
    }
}

/// `scheme://host:port` of an address: what stands in messages. Paths and queries may hold secrets.
fn shown(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| {
        let text = authority.as_str();
        text.rsplit_once('@').map_or(text, |(_, host)| host)
    });
    let text = format!("{}://{authority}", uri.scheme_str().unwrap_or(""));
    text.chars().take(300).collect()
}

fn read_host(text: &str) -> Result<Host, &'static str> {
    if let Some(inner) = text.strip_prefix('[') {
        let inner = inner.strip_suffix(']').unwrap_or(inner);
        let address: Ipv6Addr = inner.parse().map_err(|_| "the text in brackets is not an IPv6 address")?;
        return Ok(Host::Address(address::canonical(address.into())));
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Address(address.into()));
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    // `2130706433`, `0x7f.1`, `0177.0.0.1` and `127.1` are spellings of addresses that resolvers take (WHATWG URL,
    // "ends in a number"); a name never ends so.
    let last = name.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    if hex || (!last.is_empty() && last.bytes().all(|b| b.is_ascii_digit())) {
        return Err("write an IPv4 address as four decimal numbers");
    }
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(label_fits) {
        return Err("it names no host");
    }
    Ok(Host::Name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Destination, DialError> {
        Destination::of(&text.parse().unwrap())
    }

    #[test]
    fn an_address_is_read_with_its_port_and_whether_it_is_encrypted() {
        let destination = read("https://API.Example.com./x?y=1").unwrap();
        let name = Host::Name("api.example.com".to_owned());
        assert_eq!(destination, Destination { host: name, port: 443, tls: true });
        assert_eq!(read("http://[::ffff:10.0.0.1]:81/").unwrap().host, Host::Address([10, 0, 0, 1].into()));
        assert_eq!(read("ws://127.0.0.1/").unwrap().port, 80);
        assert_eq!(read("wss://a_b.example:8443/").unwrap().port, 8443);
    }

    #[test]
    fn odd_spellings_of_addresses_are_refused() {
        for text in [
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0x7f.0.0.1/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://0177.1/",
            "http://127.1/",
            "http://127.0.1/",
            "http://127.0.0.1./",
            "http://127.0.0.0x1/",
            "http://1.2.3.4.5/",
            "http://256.0.0.1/",
            "http://0x/",
            "http://a.0X1F/",
            "http://a.1/",
            "http://127.0.0.01/",
            "http://0/",
            "http://[::1/",
        ] {
            let Ok(uri) = text.parse::<Uri>() else { continue };
            assert!(matches!(Destination::of(&uri), Err(DialError::BadAddress { .. })), "{text}");
        }
    }

    #[test]
    fn other_schemes_credentials_and_odd_ports_are_refused() {
        for text in [
            "ftp://example.com/",
            "file://localhost/etc/passwd",
            "gopher://example.com/",
            "/path",
            "unix://x/",
            "http://user:secret@example.com/",
            "http://user@10.0.0.1/",
            "http://example.com:0/",
            "http://example.com:99999/",
            "http://example.com:/",
            "http://-a.example/",
            "http://a..b/",
            "http://%31/",
            "http://[fe80::1%25eth0]/",
            "http://[v1.a]/",
        ] {
            let Ok(uri) = text.parse::<Uri>() else { continue };
            let error = Destination::of(&uri).unwrap_err();
            assert!(matches!(error, DialError::BadAddress { .. }), "{text}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_operators_list_opens_names_and_networks() {
        let allowed: Vec<Target> = {
            let network = |text| Target::Network(kernel::config::Network::parse(text).unwrap());
            vec![network("127.0.0.0/8"), network("fd00::/8"), Target::Host("crm.internal".to_owned())]
        };
        let own = vec!["192.168.7.7:8095".parse().unwrap()];
        let options = DiallerOptions { allowed, own, ..DiallerOptions::default() };
        assert!(read("http://192.168.7.7:8095/").unwrap().admits([192, 168, 7, 7].into(), &options));
        assert!(!read("http://192.168.7.7:8096/").unwrap().admits([192, 168, 7, 7].into(), &options));
        let plain = read("http://backend.example/").unwrap();
        for (address, admitted) in [
            ("127.0.0.1", true),
            ("::ffff:127.0.0.9", true),
            ("fd12::1", true),
            ("8.8.8.8", true),
            ("::1", false),
            ("10.0.0.1", false),
            ("2002:7f00:1::", false),
            ("64:ff9b::7f00:1", false),
            ("169.254.169.254", false),
        ] {
            assert_eq!(plain.admits(address.parse().unwrap(), &options), admitted, "{address}");
        }
        let named = read("http://CRM.internal:9000/").unwrap();
        assert!(named.admits([10, 0, 0, 7].into(), &options));
        assert!(!read("http://x.crm.internal/").unwrap().admits([10, 0, 0, 7].into(), &options));
    }
}

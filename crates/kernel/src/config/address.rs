//! Addresses: what to listen on, whom to trust, where to call, under which name the world knows us.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::form::{Form, Kind, Unfit, parse_list};

/// The address that all listeners bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenHost {
    /// 127.0.0.1 and ::1; a port taken on either is taken.
    Loopback,
    /// This one address; `0.0.0.0` and `::` are all of the machine's.
    Address(IpAddr),
}

impl ListenHost {
    /// Whether only this machine can reach the listeners.
    pub fn is_loopback(self) -> bool {
        match self {
            Self::Loopback => true,
            Self::Address(address) => address.to_canonical().is_loopback(),
        }
    }
}

impl Form for ListenHost {
    const SHAPE: &'static str = "an IP address of this machine, or loopback";
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, Unfit> {
        if matches!(text, "loopback" | "localhost") {
            return Ok(Self::Loopback);
        }
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        bare.parse().map(Self::Address).map_err(|_| Unfit::shape())
    }

    fn show(&self) -> String {
        match self {
            Self::Loopback => "loopback".to_owned(),
            Self::Address(address) => address.to_string(),
        }
    }
}

/// An IP network in CIDR form. A single address is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Reads `10.0.0.0/8`, `fd00::/8` or one address. The message says what is wrong with another text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let no_network = || "it is not an IP address or a network such as 10.0.0.0/8".to_owned();
        let (address, prefix) = match text.split_once('/') {
            None => (text, None),
            Some((address, prefix)) => (address, Some(prefix)),
        };
        let address: IpAddr = address.parse().map_err(|_| no_network())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => width,
            Some(prefix) => {
                let prefix: u8 = prefix.parse().map_err(|_| no_network())?;
                if prefix > width {
                    return Err(format!("/{prefix} is longer than the address, at most /{width}"));
                }
                prefix
            }
        };
        // Peers are compared in canonical form, so a mapped network would never match anything.
        if address != address.to_canonical() {
            return Err(format!("write it as IPv4: {}", address.to_canonical()));
        }
        let network = Self { address: masked(address, prefix), prefix };
        if network.address != address {
            return Err(format!("it has bits behind the /{prefix}; write {network} or {address}/{width}"));
        }
        Ok(network)
    }

    /// A network that the code names; bits behind the prefix fall away.
    pub(super) fn known(address: IpAddr, prefix: u8) -> Self {
        Self { address: masked(address, prefix), prefix }
    }

    /// Whether the address is in the network; an IPv4 address in an IPv6 one counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.prefix) == self.address
    }

    /// Whether it is every address there is.
    pub fn is_everything(&self) -> bool {
        self.prefix == 0
    }
}

/// The address with all bits behind the prefix cleared.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Form for Vec<Network> {
    const SHAPE: &'static str = "a list of IP addresses and networks, separated by commas";
    const KIND: Kind = Kind::List;

    fn parse(text: &str) -> Result<Self, Unfit> {
        parse_list(text, |entry| Network::parse(entry).map_err(Unfit::because))
    }

    fn show(&self) -> String {
        joined(self)
    }
}

/// A place that outgoing requests may reach although it is private.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// This host name, whatever it resolves to; lower case.
    Host(String),
    /// Every address of this network.
    Network(Network),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => f.write_str(name),
            Self::Network(network) => network.fmt(f),
        }
    }
}

impl Form for Vec<Target> {
    const SHAPE: &'static str = "a list of host names, IP addresses and networks, separated by commas";
    const KIND: Kind = Kind::List;

    fn parse(text: &str) -> Result<Self, Unfit> {
        parse_list(text, |entry| {
            if entry.contains('/') || entry.parse::<IpAddr>().is_ok() {
                return Network::parse(entry).map(Target::Network).map_err(Unfit::because);
            }
            host_name(entry).map(Target::Host).map_err(Unfit::because)
        })
    }

    fn show(&self) -> String {
        joined(self)
    }
}

/// Name servers: IP addresses, with a port unless it is 53.
impl Form for Vec<SocketAddr> {
    const SHAPE: &'static str = "a list of IP addresses, each with or without a port, separated by commas";
    const KIND: Kind = Kind::List;

    fn parse(text: &str) -> Result<Self, Unfit> {
        parse_list(text, |entry| {
            let bare = entry.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(entry);
            match (bare.parse::<IpAddr>(), entry.parse::<SocketAddr>()) {
                (Ok(address), _) => Ok(SocketAddr::new(address, 53)),
                (_, Ok(server)) if server.port() != 0 => Ok(server),
                _ => Err(Unfit::because(
                    "write an IP address like 9.9.9.9, 127.0.0.1:5353 or [2620:fe::fe]:53",
                )),
            }
        })
    }

    fn show(&self) -> String {
        joined(self)
    }
}

/// Further names of the `default` sandbox, lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostNames(pub Vec<String>);

impl Form for HostNames {
    const SHAPE: &'static str = "a list of host names, separated by commas";
    const KIND: Kind = Kind::List;

    fn parse(text: &str) -> Result<Self, Unfit> {
        parse_list(text, |entry| {
            let name = host_name(entry).map_err(Unfit::because)?;
            if name.ends_with(".localhost") {
                return Err(Unfit::because("a name under .localhost always means the sandbox of that name"));
            }
            Ok(name)
        })
        .map(Self)
    }

    fn show(&self) -> String {
        self.0.join(",")
    }
}

/// The address under which the outside knows this installation: `https://api.acme.example`, with a port
/// if it is not the scheme's own, without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    text: String,
    host: String,
    https: bool,
}

impl PublicUrl {
    /// The whole address, without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host alone, lower case, without port; an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether the scheme is `https`.
    pub fn is_https(&self) -> bool {
        self.https
    }
}

impl Form for PublicUrl {
    const SHAPE: &'static str = "an http or https address without a path";
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, Unfit> {
        if text.contains(['#', '?']) {
            return Err(Unfit::because("it must end after the host or the port"));
        }
        let uri: http::Uri = text.parse().map_err(|_| Unfit::shape())?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(Unfit::because("it must begin with https:// or http://")),
        };
        let authority = uri.authority().ok_or_else(Unfit::shape)?;
        if authority.as_str().contains('@') {
            return Err(Unfit::because("a user name or password does not belong in it"));
        }
        if !matches!(uri.path(), "" | "/") {
            return Err(Unfit::because("it must end after the host or the port; a path is not supported"));
        }
        let bracketed = authority.host().strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = match bracketed.unwrap_or(authority.host()).parse::<IpAddr>() {
            Ok(address) => address.to_string(),
            Err(_) => host_name(authority.host()).map_err(Unfit::because)?,
        };
        // `http` lets a lone colon and ports above 65535 through as "no port".
        let port = match authority.as_str().strip_prefix(authority.host()).unwrap_or_default() {
            "" => None,
            port => match port.trim_start_matches(':').parse::<u16>() {
                Ok(0) | Err(_) => return Err(Unfit::because("the port must be a number from 1 to 65535")),
                Ok(port) => Some(port),
            },
        };
        let scheme = if https { "https" } else { "http" };
        let written = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let text = match port {
            Some(port) if port != if https { 443 } else { 80 } => format!("{scheme}://{written}:{port}"),
            _ => format!("{scheme}://{written}"),
        };
        Ok(Self { text, host, https })
    }

    fn show(&self) -> String {
        self.text.clone()
    }
}

/// A mail address, checked as far as sending can't check it better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MailAddress(pub String);

impl Form for MailAddress {
    const SHAPE: &'static str = "an e-mail address";
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, Unfit> {
        let (local, domain) = text.rsplit_once('@').ok_or_else(Unfit::shape)?;
        let local_fits = !local.is_empty()
            && local.len() <= 64
            && !local.chars().any(|c| c == '@' || c.is_whitespace() || c.is_control());
        if !local_fits {
            return Err(Unfit::shape());
        }
        host_name(domain).map_err(Unfit::because)?;
        Ok(Self(text.to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// A DNS name in lower case. An all-digit last label is refused: `2130706433` and `127.1` are spellings
/// of addresses that would slip past a check of names.
fn host_name(text: &str) -> Result<String, String> {
    let name = text.to_ascii_lowercase();
    if name.contains("://") || name.contains('/') {
        return Err("a host name has no scheme and no path".to_owned());
    }
    if name.contains(':') {
        return Err("a host name has no port".to_owned());
    }
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let number_last = name.rsplit('.').next().is_none_or(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if name.len() > 253 || !name.split('.').all(label_fits) || number_last {
        return Err("it is not a host name".to_owned());
    }
    Ok(name)
}

fn joined<T: fmt::Display>(entries: &[T]) -> String {
    entries.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

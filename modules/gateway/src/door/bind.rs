//! Opens every port before any work starts.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

use super::owner::{self, Owner};

/// Connections the system holds ready while the accept loop is busy.
pub(super) const BACKLOG: u32 = 1024;
/// How often a free port is sought that is free on both address families.
const FREE_PORT_ATTEMPTS: usize = 64;
/// The step between port offsets that are offered, and how many are tried.
const OFFSET_STEP: u16 = 100;
const OFFSET_ATTEMPTS: u16 = 100;
/// Linux' EAFNOSUPPORT: the machine has no IPv6 at all.
const ADDRESS_FAMILY_NOT_SUPPORTED: i32 = 97;

/// One port that the configuration asks for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What listens there, for messages and for [`Bound::take`]: "https", "http", "iam", "grpc".
    pub name: &'static str,
    /// The port; 0 is any free one.
    pub port: u16,
    /// The setting that names it, e.g. `GATEWAY_PORT`.
    pub env: &'static str,
}

/// All ports, open.
#[derive(Debug, Default)]
pub struct Bound(Vec<Listening>);

impl Bound {
    /// The ports really in use, by name, in the order they were asked for.
    pub fn ports(&self) -> impl Iterator<Item = (&'static str, u16)> {
        self.0.iter().map(|listening| (listening.name, listening.port))
    }

    /// The port in use under this name.
    pub fn port(&self, name: &str) -> Option<u16> {
        self.0.iter().find(|listening| listening.name == name).map(|listening| listening.port)
    }

    /// Takes out the sockets of this name, to be served.
    pub fn take(&mut self, name: &str) -> Option<Listening> {
        let at = self.0.iter().position(|listening| listening.name == name)?;
        Some(self.0.remove(at))
    }
}

/// One port, open on one address or (loopback) two.
#[derive(Debug)]
pub struct Listening {
    /// The name it was asked for under.
    pub name: &'static str,
    /// The port in use.
    pub port: u16,
    pub(super) sockets: Vec<TcpListener>,
}

impl Listening {
    /// The addresses that are open.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }
}

/// One port that could not be opened.
#[derive(Debug)]
pub struct Refusal {
    /// The name it was asked for under.
    pub name: &'static str,
    /// The setting that names it.
    pub env: &'static str,
    /// The address and port.
    pub address: SocketAddr,
    /// Why not.
    pub cause: Cause,
}

/// Why a port could not be opened.
#[derive(Debug)]
pub enum Cause {
    /// Somebody listens there; who, where that is readable.
    Taken(Option<Owner>),
    /// Two settings ask for the same port; the other one's name.
    AskedTwice(&'static str),
    /// The system's own words: no such address, no right to a port below 1024 …
    System(io::Error),
}

/// Every port that could not be opened, with a line to copy that works.
#[derive(Debug)]
pub struct BindError {
    /// All of them, in the order they were asked for.
    pub refusals: Vec<Refusal>,
    /// A value for `--port-offset` with which every port is free right now.
    pub free_offset: Option<u16>,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = self.refusals.len() == 1;
        writeln!(f, "{}", if one { "A port cannot be opened:" } else { "Ports cannot be opened:" })?;
        for Refusal { name, env, address, cause } in &self.refusals {
            write!(f, "  {} ({name}, {env}) ", address.port())?;
            match cause {
                Cause::Taken(Some(owner)) => writeln!(f, "is taken by {owner}")?,
                Cause::Taken(None) => writeln!(f, "is taken")?,
                Cause::AskedTwice(other) => {
                    writeln!(f, "is also asked for by {other}; give one of them another port")?
                }
                Cause::System(e) if e.kind() == io::ErrorKind::PermissionDenied => writeln!(
                    f,
                    "needs rights this user does not have; take a port above 1023 or grant CAP_NET_BIND_SERVICE"
                )?,
                Cause::System(e) if e.kind() == io::ErrorKind::AddrNotAvailable => writeln!(
                    f,
                    "cannot be opened on {}: this machine has no such address; see GATEWAY_HOST",
                    address.ip()
                )?,
                Cause::System(e) => writeln!(f, "cannot be opened on {}: {e}", address.ip())?,
            }
        }
        if let Some(offset) = self.free_offset {
            writeln!(f, "Start on other ports with:")?;
            write!(f, "  platform-kernel --port-offset {offset}")?;
        } else {
            write!(f, "Free the ports, or set them to 0 to take any free one.")?;
        }
        Ok(())
    }
}

impl std::error::Error for BindError {}

/// Opens all ports on `host` (`None`: 127.0.0.1 and ::1), or none of them.
///
/// Must be called inside a tokio runtime. Errors: [`BindError`] with every port that could not be opened.
pub fn bind(host: Option<IpAddr>, ports: &[Wanted]) -> Result<Bound, BindError> {
    bind_at_offset(host, ports, 0)
}

/// As [`bind`], with `offset` added to every port that is not 0, and to the line the error offers.
pub fn bind_at_offset(host: Option<IpAddr>, ports: &[Wanted], offset: u16) -> Result<Bound, BindError> {
    let addresses = match host {
        Some(address) => vec![address],
        None => vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)],
    };
    let mut bound = Bound::default();
    let mut refusals = Vec::new();
    for (at, wanted) in ports.iter().enumerate() {
        let first = addresses[0];
        let Some(port) = shifted(wanted.port, offset) else {
            let cause = Cause::System(io::Error::other(format!(
                "with an offset of {offset} it would be above 65535; take a smaller --port-offset"
            )));
            let address = SocketAddr::new(first, wanted.port);
            refusals.push(Refusal { name: wanted.name, env: wanted.env, address, cause });
            continue;
        };
        let twin = ports[..at].iter().find(|other| wanted.port != 0 && other.port == wanted.port);
        if let Some(twin) = twin {
            let cause = Cause::AskedTwice(twin.env);
            let address = SocketAddr::new(first, port);
            refusals.push(Refusal { name: wanted.name, env: wanted.env, address, cause });
            continue;
        }
        match open_everywhere(&addresses, port) {
            Ok((port, sockets)) => bound.0.push(Listening { name: wanted.name, port, sockets }),
            Err((address, e)) => {
                let cause = match e.kind() {
                    io::ErrorKind::AddrInUse => Cause::Taken(None),
                    _ => Cause::System(e),
                };
                refusals.push(Refusal { name: wanted.name, env: wanted.env, address, cause });
            }
        }
    }
    if refusals.is_empty() {
        return Ok(bound);
    }
    drop(bound); // our own sockets must not count as somebody else's below
    name_owners(&mut refusals);
    let moving_helps = refusals.iter().all(|refusal| matches!(refusal.cause, Cause::Taken(_)));
    let free_offset = if moving_helps { free_offset(&addresses, ports, offset) } else { None };
    Err(BindError { refusals, free_offset })
}

fn name_owners(refusals: &mut [Refusal]) {
    let taken: Vec<SocketAddr> = refusals
        .iter()
        .filter(|refusal| matches!(refusal.cause, Cause::Taken(_)))
        .map(|refusal| refusal.address)
        .collect();
    let mut owners = owner::of_listeners(&taken);
    for refusal in refusals {
        if let Cause::Taken(owner) = &mut refusal.cause {
            *owner = owners.remove(&refusal.address);
        }
    }
}

/// 0 stays 0: any free port needs no offset.
fn shifted(port: u16, offset: u16) -> Option<u16> {
    if port == 0 { Some(0) } else { port.checked_add(offset) }
}

fn free_offset(addresses: &[IpAddr], ports: &[Wanted], from: u16) -> Option<u16> {
    (1..=OFFSET_ATTEMPTS).find_map(|step| {
        let offset = from.checked_add(step.checked_mul(OFFSET_STEP)?)?;
        let all_free = ports.iter().filter(|wanted| wanted.port != 0).all(|wanted| {
            shifted(wanted.port, offset).is_some_and(|port| open_everywhere(addresses, port).is_ok())
        });
        all_free.then_some(offset)
    })
}

/// The port and its sockets, or the address that refused.
type Opened = Result<(u16, Vec<TcpListener>), (SocketAddr, io::Error)>;

/// Opens one port on every address. An address the machine does not have at all (no IPv6) is left out as long as
/// another one opens.
fn open_everywhere(addresses: &[IpAddr], port: u16) -> Opened {
    let attempts = if port == 0 { FREE_PORT_ATTEMPTS } else { 1 };
    let mut refused = None;
    for _ in 0..attempts {
        match open_once(addresses, port) {
            Ok(opened) => return Ok(opened),
            // With port 0 the first address found a free port that the second one does not have.
            Err((address, e)) if e.kind() == io::ErrorKind::AddrInUse => refused = Some((address, e)),
            Err(other) => return Err(other),
        }
    }
    Err(refused.expect("a refusal, because at least one attempt was made and none succeeded"))
}

fn open_once(addresses: &[IpAddr], port: u16) -> Opened {
    let mut chosen = port;
    let mut sockets = Vec::with_capacity(addresses.len());
    let mut absent = None;
    for address in addresses {
        let address = SocketAddr::new(*address, chosen);
        match open(address) {
            Ok(socket) => {
                chosen = socket.local_addr().map_err(|e| (address, e))?.port();
                sockets.push(socket);
            }
            Err(e) if addresses.len() > 1 && is_absent(&e) => absent = Some((address, e)),
            Err(e) => return Err((address, e)),
        }
    }
    match absent {
        Some(absent) if sockets.is_empty() => Err(absent),
        _ => Ok((chosen, sockets)),
    }
}

fn is_absent(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::AddrNotAvailable || e.raw_os_error() == Some(ADDRESS_FAMILY_NOT_SUPPORTED)
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait for the last connections' TIME_WAIT; two listeners are still refused by Linux.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit both: answers leave at once, dead peers are noticed.
    socket.set_nodelay(true)?;
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(name: &'static str, port: u16, env: &'static str) -> Wanted {
        Wanted { name, port, env }
    }

    #[tokio::test]
    async fn port_zero_is_the_same_free_port_on_both_families() {
        let bound = bind(None, &[wanted("http", 0, "GATEWAY_PORT"), wanted("iam", 0, "IAM_PORT")]).unwrap();

        for listening in &bound.0 {
            assert_ne!(listening.port, 0);
            assert!(listening.addresses().iter().all(|address| address.port() == listening.port));
        }
        assert_ne!(bound.port("http"), bound.port("iam"));
    }

    #[tokio::test]
    async fn accepted_connections_send_at_once() {
        let mut bound = bind(None, &[wanted("http", 0, "GATEWAY_PORT")]).unwrap();
        let listening = bound.take("http").unwrap();
        let _client = tokio::net::TcpStream::connect(listening.addresses()[0]).await.unwrap();

        let (accepted, _) = listening.sockets[0].accept().await.unwrap();

        assert!(accepted.nodelay().unwrap());
    }

    #[tokio::test]
    async fn all_taken_ports_are_named_at_once_with_their_owner_and_a_line_that_works() {
        let first = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let second = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let ports = [
            wanted("https", first.local_addr().unwrap().port(), "GATEWAY_TLS_PORT"),
            wanted("grpc", 0, "GRPC_PORT"),
            wanted("http", second.local_addr().unwrap().port(), "GATEWAY_PORT"),
        ];

        let error = bind(None, &ports).unwrap_err();

        let text = error.to_string();
        let pid = format!("pid {}", std::process::id());
        assert_eq!(text.matches(&pid).count(), 2, "{text}");
        for part in ["https, GATEWAY_TLS_PORT", "http, GATEWAY_PORT", "platform-kernel --port-offset "] {
            assert!(text.contains(part), "{part} in {text}");
        }
        bind_at_offset(None, &ports, error.free_offset.unwrap()).unwrap();
    }

    #[tokio::test]
    async fn a_port_taken_on_ipv6_alone_is_taken() {
        let Ok(other) = std::net::TcpListener::bind("[::1]:0") else { return }; // a machine without IPv6
        let port = other.local_addr().unwrap().port();

        let error = bind(None, &[wanted("http", port, "GATEWAY_PORT")]).unwrap_err();

        assert!(
            matches!(&error.refusals[0].cause, Cause::Taken(Some(owner)) if owner.pid == Some(std::process::id()))
        );
    }

    #[tokio::test]
    async fn a_port_taken_on_the_wildcard_is_taken_on_loopback() {
        let other = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let port = other.local_addr().unwrap().port();

        let error = bind(None, &[wanted("http", port, "GATEWAY_PORT")]).unwrap_err();

        assert!(matches!(&error.refusals[0].cause, Cause::Taken(Some(_))), "{error}");
    }

    #[tokio::test]
    async fn two_settings_with_one_port_are_both_named() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();

        let error = bind(None, &[wanted("http", port, "GATEWAY_PORT"), wanted("iam", port, "IAM_PORT")]);

        let text = error.unwrap_err().to_string();
        assert!(text.contains("(iam, IAM_PORT) is also asked for by GATEWAY_PORT"), "{text}");
    }

    #[tokio::test]
    async fn an_address_of_another_machine_points_to_the_setting() {
        let elsewhere = "192.0.2.1".parse().unwrap(); // TEST-NET-1, RFC 5737
        let error = bind(Some(elsewhere), &[wanted("http", 0, "GATEWAY_PORT")]).unwrap_err();

        assert!(error.to_string().contains("see GATEWAY_HOST"), "{error}");
        assert_eq!(error.free_offset, None);
    }

    #[tokio::test]
    async fn an_offset_beyond_the_last_port_is_a_sentence() {
        let error = bind_at_offset(None, &[wanted("http", 65_000, "GATEWAY_PORT")], 600).unwrap_err();

        assert!(error.to_string().contains("smaller --port-offset"), "{error}");
    }
}

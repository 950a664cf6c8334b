//! Who listens on a port: `/proc/net/tcp{,6}` gives the socket, `/proc/<pid>/fd` the process.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The state LISTEN in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// The process behind a listening socket, as far as this user may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its id; unknown when the process belongs to somebody else or lives in another pid namespace.
    pub pid: Option<u32>,
    /// Its name, as in `/proc/<pid>/comm`.
    pub name: Option<String>,
    /// The user that opened the socket.
    pub uid: u32,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, &self.name) {
            (Some(pid), Some(name)) => write!(f, "{name}, pid {pid}"),
            (Some(pid), None) => write!(f, "pid {pid}"),
            (None, _) => write!(f, "a process of user {} that this user may not look at", self.uid),
        }
    }
}

struct Socket {
    address: SocketAddr,
    uid: u32,
    inode: u64,
}

/// The owners of the sockets that listen on these addresses (or on a wildcard that covers them). What cannot be
/// read is left out: this only ever improves a message.
pub(super) fn of_listeners(wanted: &[SocketAddr]) -> HashMap<SocketAddr, Owner> {
    if wanted.is_empty() {
        return HashMap::new();
    }
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let listening: Vec<Socket> = tables
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| listeners(&table))
        .collect();
    let found: Vec<(SocketAddr, &Socket)> = wanted
        .iter()
        .filter_map(|address| {
            let socket = listening.iter().find(|socket| covers(socket.address, *address))?;
            Some((*address, socket))
        })
        .collect();
    let inodes: Vec<u64> = found.iter().map(|(_, socket)| socket.inode).collect();
    let processes = processes_holding(&inodes);
    found
        .into_iter()
        .map(|(address, socket)| {
            let pid = processes.get(&socket.inode).copied();
            let name = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).ok());
            let name = name.map(|name| name.trim_end().to_owned());
            (address, Owner { pid, name, uid: socket.uid })
        })
        .collect()
}

/// Whether a socket on `theirs` keeps `ours` from being opened.
fn covers(theirs: SocketAddr, ours: SocketAddr) -> bool {
    if theirs.port() != ours.port() {
        return false;
    }
    let (theirs, ours) = (theirs.ip().to_canonical(), ours.ip().to_canonical());
    match (theirs, ours) {
        _ if theirs == ours => true,
        // The IPv6 wildcard is also the IPv4 one unless told otherwise; the other way round it is not.
        (IpAddr::V6(wildcard), _) if wildcard.is_unspecified() => true,
        (IpAddr::V4(wildcard), IpAddr::V4(_)) if wildcard.is_unspecified() => true,
        (IpAddr::V4(_), IpAddr::V4(mine)) => mine.is_unspecified(),
        (_, IpAddr::V6(mine)) => mine.is_unspecified(),
        _ => false,
    }
}

fn listeners(table: &str) -> Vec<Socket> {
    table.lines().skip(1).filter_map(listener).collect()
}

/// `sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode …`
fn listener(line: &str) -> Option<Socket> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let address = socket_address(fields.next()?)?;
    let state = fields.nth(1)?;
    let uid = fields.nth(3)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    (state == LISTEN).then_some(Socket { address, uid, inode })
}

/// `0100007F:1F90`: words of 32 bits in the machine's own byte order, the port in plain hexadecimal.
fn socket_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words = (0..ip.len() / 8)
        .map(|at| u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes))
        .collect::<Option<Vec<[u8; 4]>>>()?;
    let ip = match words.as_slice() {
        [word] => IpAddr::V4(Ipv4Addr::from(*word)),
        [a, b, c, d] => {
            let octets: [u8; 16] = [*a, *b, *c, *d].concat().try_into().ok()?;
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// The first process that has each of these sockets open.
fn processes_holding(inodes: &[u64]) -> HashMap<u64, u32> {
    let links: HashMap<String, u64> =
        inodes.iter().map(|inode| (format!("socket:[{inode}]"), *inode)).collect();
    let mut holders = HashMap::new();
    let Ok(processes) = fs::read_dir("/proc") else { return holders };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for pid in pids {
        if holders.len() == links.len() {
            break;
        }
        let Ok(open_files) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for file in open_files.flatten() {
            let Ok(target) = fs::read_link(file.path()) else { continue };
            if let Some(inode) = target.to_str().and_then(|target| links.get(target)) {
                holders.entry(*inode).or_insert(pid);
            }
        }
    }
    holders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn addresses_are_read_in_the_byte_order_of_the_kernel() {
        assert_eq!(socket_address("0100007F:1F90"), Some("127.0.0.1:8080".parse().unwrap()));
        assert_eq!(
            socket_address("00000000000000000000000001000000:20FB"),
            Some("[::1]:8443".parse().unwrap())
        );
    }

    #[test]
    fn broken_lines_are_passed_over() {
        for line in [
            "",
            "0:",
            "  0: 0100007F:1F90",
            "0: 0100007:zz 0 0A 0 0 0 0 0 1",
            "0: é100007F:1F90 0 0A 0 0 0 0 0 1",
        ] {
            assert!(listener(line).is_none(), "{line}");
        }
    }

    #[test]
    fn a_wildcard_covers_its_own_family_and_ipv6_covers_both() {
        let covers = |theirs: &str, ours: &str| covers(theirs.parse().unwrap(), ours.parse().unwrap());
        assert!(covers("0.0.0.0:80", "127.0.0.1:80"));
        assert!(covers("[::]:80", "127.0.0.1:80"));
        assert!(covers("10.0.0.1:80", "0.0.0.0:80"));
        assert!(!covers("0.0.0.0:80", "[::1]:80"));
        assert!(!covers("10.0.0.1:80", "127.0.0.1:80"));
        assert!(!covers("127.0.0.1:81", "127.0.0.1:80"));
    }
}

//! `<data>/runtime.json`: what a running kernel tells the verbs beside it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use kernel::Timestamp;
use kernel::config::ListenHost;
use serde::{Deserialize, Serialize};

/// The running kernel of a data folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// The process.
    pub pid: u32,
    /// Ports really bound, by listener: `https`, `http`, `iam`, `grpc`.
    pub ports: BTreeMap<String, u16>,
    /// An address of this machine that all of them answer on.
    pub address: IpAddr,
    /// Where a client on this machine finds the `default` sandbox.
    pub url: String,
    /// The version of the program.
    pub version: String,
    /// Real time.
    pub started_at: Timestamp,
}

/// The file in a data folder.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("runtime.json")
}

impl Running {
    /// What the folder's file says; none when there is no file or it is not one of ours.
    pub fn read(data_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path(data_dir)).ok()?).ok()
    }

    /// Writes the file for its owner alone; a reader sees all of it or nothing.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, data_dir: &Path) -> io::Result<()> {
        let beside = data_dir.join(format!("runtime.json.{}", std::process::id()));
        let written = (|| {
            let mut file =
                fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            fs::rename(&beside, path(data_dir))
        })();
        if written.is_err() {
            fs::remove_file(&beside).ok();
        }
        written
    }

    /// Removes the file, if it is this process's own.
    pub fn remove(data_dir: &Path) {
        if Self::read(data_dir).is_some_and(|running| running.pid == std::process::id()) {
            fs::remove_file(path(data_dir)).ok();
        }
    }

    /// Removes what a killed process left; for whoever holds the folder.
    pub fn forget(data_dir: &Path) {
        fs::remove_file(path(data_dir)).ok();
    }

    /// The socket address of a listener.
    pub fn socket(&self, listener: &str) -> Option<SocketAddr> {
        self.ports.get(listener).map(|port| SocketAddr::new(self.address, *port))
    }

    /// The address of a sandbox for a client on this machine.
    pub fn url_of(&self, sandbox: &str) -> String {
        match (sandbox, self.url.split_once("://localhost")) {
            ("default", _) => self.url.clone(),
            (_, Some((scheme, port))) => format!("{scheme}://{sandbox}.localhost{port}"),
            // On an address of its own the host can't be had by name: clients send it as X-Kernel-Sandbox.
            (_, None) => self.url.clone(),
        }
    }
}

/// An address to reach a listener from this machine: loopback when it listens everywhere.
pub fn reachable(host: ListenHost) -> IpAddr {
    match host {
        ListenHost::Loopback => Ipv4Addr::LOCALHOST.into(),
        ListenHost::Address(IpAddr::V4(address)) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        ListenHost::Address(IpAddr::V6(address)) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ListenHost::Address(address) => address,
    }
}

/// How a browser on this machine writes it: `localhost` for loopback.
pub fn url(address: IpAddr, port: u16) -> String {
    match (address.is_loopback(), address) {
        (true, _) => format!("http://localhost:{port}"),
        (false, IpAddr::V4(address)) => format!("http://{address}:{port}"),
        (false, IpAddr::V6(address)) => format!("http://[{address}]:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn running() -> Running {
        Running {
            pid: std::process::id(),
            ports: BTreeMap::from([("http".to_owned(), 8080)]),
            address: Ipv4Addr::LOCALHOST.into(),
            url: "http://localhost:8080".to_owned(),
            version: "0.1.0".to_owned(),
            started_at: Timestamp::real(),
        }
    }

    #[test]
    fn the_file_is_its_owners_alone_and_goes_with_its_process() {
        let folder = tempfile::tempdir().unwrap();
        let written = running();
        written.write(folder.path()).unwrap();
        let mode = fs::metadata(path(folder.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = Running::read(folder.path()).unwrap();
        assert_eq!((read.pid, read.ports), (written.pid, written.ports));

        Running::remove(folder.path());
        assert_eq!(Running::read(folder.path()), None);
    }

    #[test]
    fn the_file_of_another_process_stays() {
        let folder = tempfile::tempdir().unwrap();
        Running { pid: 1, ..running() }.write(folder.path()).unwrap();
        Running::remove(folder.path());
        assert!(Running::read(folder.path()).is_some());
    }

    #[test]
    fn a_sandbox_has_a_host_of_its_own() {
        assert_eq!(running().url_of("default"), "http://localhost:8080");
        assert_eq!(running().url_of("acme"), "http://acme.localhost:8080");
        let elsewhere = Running { url: url("10.0.0.5".parse().unwrap(), 8080), ..running() };
        assert_eq!(elsewhere.url_of("acme"), "http://10.0.0.5:8080");
    }

    #[test]
    fn a_listener_on_every_address_is_reached_by_loopback() {
        let reached = |text: &str| reachable(ListenHost::Address(text.parse().unwrap())).to_string();
        assert_eq!(reached("0.0.0.0"), "127.0.0.1");
        assert_eq!(reached("::"), "::1");
        assert_eq!(reached("10.0.0.5"), "10.0.0.5");
    }
}

//! The door: what stands between the network and the layers of the gateway.
//!
//! [`bind`] opens every port before any work starts and names all taken ones at once. [`serve`] runs the accept
//! loops and speaks HTTP/1.1 and HTTP/2 within limits. [`ca`] is the certificate authority of this machine's user,
//! [`tls`] picks a certificate by name, [`trust`] makes browsers believe the authority. [`shutdown`] closes the door
//! without losing a request.

pub mod bind;
pub mod ca;
mod connection;
mod der;
mod head_timer;
mod owner;
mod private_file;
pub mod serve;
pub mod shutdown;
pub mod tls;
pub mod trust;

use std::fmt;
use std::io;
use std::path::PathBuf;

pub use bind::{BindError, Bound, Listening, Wanted, bind, bind_at_offset};
pub use ca::LocalCa;
pub use connection::Limits;
pub use serve::{Connections, Listener, Mode, PeerAddr, Secure, serve};
pub use shutdown::Shutdown;
pub use tls::{CertificateFiles, Certificates, TlsDoor};
pub use trust::TrustStores;

/// Why a certificate or the local authority could not be used. Each is a sentence for the person at the terminal.
#[derive(Debug)]
pub enum DoorError {
    /// A file or folder could not be read or written.
    File {
        /// What was tried: "read", "write", "lock" …
        verb: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is there but does not hold what it should.
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// What to do about it.
        remedy: String,
    },
    /// Another process has held the lock on the authority's folder for too long.
    Busy {
        /// The lock file.
        path: PathBuf,
    },
    /// The cryptographic library refused.
    Crypto {
        /// What was tried.
        doing: &'static str,
        /// What it said.
        why: String,
    },
}

impl fmt::Display for DoorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DoorError::File { verb, path, source } => {
                write!(f, "cannot {verb} {}: {source}; check its owner and its rights", path.display())
            }
            DoorError::Unusable { path, why, remedy } => write!(f, "{} {why}; {remedy}", path.display()),
            DoorError::Busy { path } => write!(
                f,
                "another process has been holding {} for more than 10 seconds; stop it and start again",
                path.display()
            ),
            DoorError::Crypto { doing, why } => write!(f, "cannot {doing}: {why}"),
        }
    }
}

impl std::error::Error for DoorError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DoorError::File { source, .. } => Some(source),
            DoorError::Unusable { .. } | DoorError::Busy { .. } | DoorError::Crypto { .. } => None,
        }
    }
}

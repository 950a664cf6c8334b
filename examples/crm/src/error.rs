//! Why the back-end could not start or go on.

use std::net::SocketAddr;

/// A reason for [`serve`](crate::serve) to end with an error.
#[derive(Debug, thiserror::Error)]
pub enum CrmError {
    /// The address to listen on is taken or not ours.
    #[error("can't listen on {address}: {source}; free it or choose another (port 0 takes any)")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The kernel's address is not one that can be called.
    #[error("the kernel's address {url:?} {reason}; expected a form such as http://127.0.0.1:8080")]
    KernelUrl {
        /// The address given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A module key is not written as [`ModuleKeys::parse`](crate::ModuleKeys::parse) wants it.
    #[error(
        "module key number {position} {reason}; \
         expected tenantId@host=pk_…, several separated by commas"
    )]
    ModuleKeys {
        /// Which one, counted from 1. The text itself holds a secret and is not repeated.
        position: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Accepting connections failed for good.
    #[error("the CRM back-end stopped accepting connections: {0}")]
    Serve(#[source] std::io::Error),
}

//! How the back-end is started.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use tokio::net::TcpListener;

use crate::{CrmError, ModuleKeys};

/// Where the back-end listens.
#[derive(Debug)]
pub enum Listen {
    /// Bind this address.
    Address(SocketAddr),
    /// Use a listener that the caller has bound already, for instance to know its port.
    Bound(TcpListener),
}

impl Listen {
    pub(crate) async fn open(self) -> Result<TcpListener, CrmError> {
        match self {
            Listen::Bound(listener) => Ok(listener),
            Listen::Address(address) => {
                TcpListener::bind(address).await.map_err(|source| CrmError::Listen { address, source })
            }
        }
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Listen::Address(address)
    }
}

impl From<TcpListener> for Listen {
    fn from(listener: TcpListener) -> Self {
        Listen::Bound(listener)
    }
}

/// Everything [`serve`](crate::serve) is told.
pub struct Options {
    /// Where to listen. The back-end belongs on loopback or a private network: only the
    /// gateway has business with it.
    pub listen: Listen,
    /// Where the kernel answers, `http://host:port`. All sandboxes of that kernel are served;
    /// which one a request is of, its token says.
    pub kernel_url: String,
    /// The issuers whose tokens are taken, as written in their `iss`. Empty: every issuer that
    /// the kernel at `kernel_url` serves keys for.
    pub issuers: Vec<String>,
    /// Keys for work in the module's own name. Without one for a tenant its events are
    /// published with the token of the request.
    pub module_keys: ModuleKeys,
    /// When this ends the back-end finishes what it has begun (10 s at most) and returns.
    pub shutdown: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Options {
    /// Serves on `listen` for the kernel at `kernel_url` until the future of `serve` is dropped.
    pub fn new(listen: impl Into<Listen>, kernel_url: impl Into<String>) -> Self {
        Options {
            listen: listen.into(),
            kernel_url: kernel_url.into(),
            issuers: Vec::new(),
            module_keys: ModuleKeys::default(),
            shutdown: Box::pin(std::future::pending()),
        }
    }

    /// Takes tokens of these issuers only.
    #[must_use]
    pub fn only_issuers(mut self, issuers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.issuers = issuers.into_iter().map(Into::into).collect();
        self
    }

    /// Publishes with these keys where there is one for the tenant.
    #[must_use]
    pub fn with_module_keys(mut self, keys: ModuleKeys) -> Self {
        self.module_keys = keys;
        self
    }

    /// Stops gracefully when `shutdown` ends.
    #[must_use]
    pub fn until(mut self, shutdown: impl Future<Output = ()> + Send + 'static) -> Self {
        self.shutdown = Box::pin(shutdown);
        self
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("listen", &self.listen)
            .field("kernel_url", &self.kernel_url)
            .field("issuers", &self.issuers)
            .field("module_keys", &self.module_keys)
            .finish_non_exhaustive()
    }
}

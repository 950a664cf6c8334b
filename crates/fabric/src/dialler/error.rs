use std::{error::Error as StdError, fmt, io, net::IpAddr, time::Duration};

use kernel::{Error, Slug};

/// Why an outgoing request came to nothing.
///
/// The texts name addresses and are for the log and for those who own the target; [`Error::from`] keeps them from
/// other callers.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The text is not an address that is dialled.
    #[error("{address} can't be called: {reason}")]
    BadAddress {
        /// As it was given, without anything that may be secret.
        address: String,
        /// What is wrong with it, as a clause.
        reason: &'static str,
    },
    /// The host stands for nothing that may be reached.
    #[error(
        "{host} is {address}, which is not on the public internet; if it may be called, add it to \
         KERNEL_ALLOWED_TARGETS"
    )]
    Refused {
        /// The host of the address.
        host: String,
        /// The first address that was refused.
        address: IpAddr,
    },
    /// The name has no address.
    #[error("{host} has no address: {source}")]
    Unresolved {
        /// The host of the address.
        host: String,
        /// What the system says.
        source: io::Error,
    },
    /// Nobody answers there.
    #[error("{host} can't be reached: {source}")]
    Unreachable {
        /// The host and port.
        host: String,
        /// What the system says about the last address tried.
        source: io::Error,
    },
    /// The other end could not prove to be who it should be, or does not speak TLS.
    #[error("{host} has no usable TLS: {source}")]
    Tls {
        /// The host of the address.
        host: String,
        /// What went wrong in the handshake.
        source: io::Error,
    },
    /// It took too long.
    #[error("{host} did not answer within {} ms", .limit.as_millis())]
    Late {
        /// The host of the address.
        host: String,
        /// The time that was given.
        limit: Duration,
    },
    /// The answer is longer than its reader takes.
    #[error("the answer is longer than {most} bytes")]
    TooLong {
        /// Bytes.
        most: usize,
    },
    /// The answer redirects further than is followed.
    #[error("{host} redirects more than {most} times")]
    TooManyRedirects {
        /// The host of the last address.
        host: String,
        /// What is followed at most.
        most: u8,
    },
    /// The exchange broke off or was not HTTP.
    #[error("the exchange with {host} failed: {source}")]
    Broken {
        /// The host of the address.
        host: String,
        /// What went wrong.
        source: Box<dyn StdError + Send + Sync>,
    },
}

impl DialError {
    /// Whether the target was refused by rule: trying again changes nothing.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::BadAddress { .. } | Self::Refused { .. })
    }

    /// Whether it is certain that the other end saw nothing of the request, so that it may be sent again.
    pub fn was_not_sent(&self) -> bool {
        matches!(
            self,
            Self::BadAddress { .. }
                | Self::Refused { .. }
                | Self::Unresolved { .. }
                | Self::Unreachable { .. }
                | Self::Tls { .. }
        )
    }

    /// The dialler's own error inside of what hyper made of it, or what hyper says.
    pub(super) fn within(host: &str, error: hyper_util::client::legacy::Error) -> Self {
        let mut next: Option<&(dyn StdError + 'static)> = error.source();
        while let Some(cause) = next {
            if let Some(Carried(inner)) = cause.downcast_ref::<Carried>()
                && let Some(inner) = inner.lock().ok().and_then(|mut place| place.take())
            {
                return inner;
            }
            next = cause.source();
        }
        Self::Broken { host: host.to_owned(), source: Box::new(error) }
    }
}

/// What a caller who does not own the target may know of it; the rest goes to the log and to authors.
impl From<DialError> for Error {
    fn from(error: DialError) -> Self {
        let (slug, detail) = match &error {
            DialError::TooLong { .. } | DialError::TooManyRedirects { .. } | DialError::Broken { .. } => {
                (Slug::UpstreamFailed, "The other end gave no usable answer.")
            }
            DialError::Late { .. } => (Slug::DependencyUnavailable, "The other end did not answer in time."),
            _ => (Slug::DependencyUnavailable, "The other end can't be reached."),
        };
        Error::new(slug, detail).for_author(error.to_string()).because(error)
    }
}

/// Carries a [`DialError`] through hyper's errors, which only lend their causes.
pub(super) struct Carried(std::sync::Mutex<Option<DialError>>);

impl Carried {
    pub(super) fn new(error: DialError) -> Self {
        Self(std::sync::Mutex::new(Some(error)))
    }
}

impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Carried")
    }
}

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection was not made")
    }
}

impl StdError for Carried {}

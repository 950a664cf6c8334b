//! A mail server that takes what leaves.

use std::{fmt, time::Duration};

use kernel::Secret;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

/// The configured server. Each mail has a connection of its own.
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    timeout: Duration,
}

/// Why a mail was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotTaken {
    /// Whether trying again is of no use (a reply of 5xx, RFC 5321 §4.2.1).
    pub for_good: bool,
    /// What the server or the network said.
    pub why: String,
}

/// Most of an error's text that is kept.
const MOST_WHY: usize = 500;

impl Smtp {
    /// `smtp://user:password@host:port`, `smtps://…`, or `smtp://…?tls=required`. Nothing is connected yet.
    ///
    /// # Errors
    /// What is wrong with the address; it never repeats it.
    pub fn new(url: &Secret, timeout: Duration) -> Result<Self, String> {
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose())
            .map_err(|error| format!("SMTP_URL is not usable: {error}"))?;
        Ok(Self { transport: builder.timeout(Some(timeout)).build(), timeout })
    }

    /// Hands a mail to the server.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn send(&self, message: Message) -> Result<(), NotTaken> {
        match tokio::time::timeout(self.timeout, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                let mut why = error.to_string();
                let mut source = std::error::Error::source(&error);
                while let Some(cause) = source {
                    why = format!("{why}: {cause}");
                    source = cause.source();
                }
                Err(NotTaken { for_good: error.is_permanent(), why: why.chars().take(MOST_WHY).collect() })
            }
            Err(_) => {
                let why = format!("the mail server did not answer within {} s", self.timeout.as_secs());
                Err(NotTaken { for_good: false, why })
            }
        }
    }
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Smtp")
    }
}

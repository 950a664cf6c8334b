use fred::error::{Error, ErrorKind};

/// Why the server can't be used. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ValkeyError {
    /// The address does not parse.
    #[error("VALKEY_URL can't be read: {0}; an example: valkeys://user:password@valkey.example.com:6379/0")]
    Address(String),
    /// The file of further authorities.
    #[error(
        "the authorities in {path} (SSL_CERT_FILE) can't be read: {why}; it is a PEM file of certificates"
    )]
    Roots {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody answers there.
    #[error(
        "no Valkey answers at {place}: {why}; check host and port in VALKEY_URL, the firewall, and that the server runs"
    )]
    Unreachable {
        /// Where.
        place: String,
        /// What the system or the client said.
        why: String,
    },
    /// Somebody answers, but not with TLS that can be trusted.
    #[error(
        "no trusted TLS with Valkey at {place}: {why}; an authority of your own goes into the file of SSL_CERT_FILE, the \
         host in VALKEY_URL must be a name in the certificate, and a server without TLS is reached by valkey://"
    )]
    Tls {
        /// Where.
        place: String,
        /// What the handshake ended with.
        why: String,
    },
    /// The server hangs up on plain text.
    #[error(
        "Valkey at {place} hung up at the first word ({why}); a server with TLS is reached by valkeys://, and something \
         else than Valkey may listen there"
    )]
    HungUp {
        /// Where.
        place: String,
        /// What the client said.
        why: String,
    },
    /// User and password.
    #[error(
        "Valkey at {place} does not let us in: {why}; check the user in VALKEY_URL and the password in VALKEY_PASSWORD \
         (or VALKEY_PASSWORD_FILE)"
    )]
    Password {
        /// Where.
        place: String,
        /// What the server said.
        why: String,
    },
    /// It lacks what is needed.
    #[error("the server at {place} is {version}; at least Redis 6.2 or any Valkey is needed: upgrade it")]
    Version {
        /// Where.
        place: String,
        /// What it is.
        version: String,
    },
    /// The user may not do what is needed.
    #[error(
        "the user of VALKEY_URL at {place} lacks a right: {why}; grant it: ACL SETUSER … ~* &* +@all -@dangerous +info \
         +role"
    )]
    Permission {
        /// Where.
        place: String,
        /// What the server said.
        why: String,
    },
    /// It answers, but does not work.
    #[error("Valkey at {place} answers, but does not work: {why}")]
    Unfit {
        /// Where.
        place: String,
        /// What the server said.
        why: String,
    },
}

impl ValkeyError {
    /// What the client said at the first connection, sorted by what helps.
    pub(super) fn sort(place: &str, tls: bool, error: &Error) -> Self {
        let (place, why) = (place.to_owned(), error.details().to_owned());
        let says = |words: &[&str]| words.iter().any(|word| why.contains(word));
        if error.kind() == &ErrorKind::Auth || says(&["WRONGPASS", "NOAUTH", "invalid username-password"]) {
            return Self::Password { place, why };
        }
        if says(&["NOPERM"]) {
            return Self::Permission { place, why };
        }
        if says(&["unknown command", "NOPROTO"]) {
            return Self::Version { place, version: format!("too old ({why})") };
        }
        let handshake =
            ["Certificate", "InvalidContentType", "InvalidMessage", "AlertReceived", "HandshakeFailure"];
        if tls && (says(&handshake) || error.kind() == &ErrorKind::Tls) {
            return Self::Tls { place, why };
        }
        match error.kind() {
            ErrorKind::Timeout if tls => {
                let why = "the handshake did not end in time (a server without TLS waits for more: it is reached by valkey://)";
                Self::Unreachable { place, why: why.to_owned() }
            }
            ErrorKind::IO if says(&["ConnectionReset", "UnexpectedEof", "BrokenPipe"]) => {
                Self::HungUp { place, why }
            }
            ErrorKind::Protocol | ErrorKind::Parse | ErrorKind::Canceled => Self::HungUp { place, why },
            ErrorKind::IO | ErrorKind::Timeout | ErrorKind::Routing | ErrorKind::Sentinel => {
                Self::Unreachable { place, why }
            }
            _ => Self::Unfit { place, why },
        }
    }
}

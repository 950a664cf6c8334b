//! Kafka: where it is, and as whom to reach it.

use std::fmt;
use std::path::PathBuf;

use super::form::{Form, Kind, Unfit, parse_list};
use crate::Secret;

/// How to reach a Kafka.
#[derive(Debug, Clone, PartialEq)]
pub struct Kafka {
    /// Brokers to begin with, each `host:port`.
    pub brokers: Vec<String>,
    /// This replica's lasting name; without one its membership ends with the process.
    pub client_id: Option<String>,
    /// As whom; without it nobody signs in.
    pub login: Option<KafkaLogin>,
    /// By TLS; without it in the clear.
    pub tls: Option<KafkaTls>,
    /// Partitions of the topics of sandboxes other than `default`.
    pub sandbox_partitions: u32,
}

/// A user of Kafka (SASL).
#[derive(Debug, Clone, PartialEq)]
pub struct KafkaLogin {
    /// How the password is shown.
    pub mechanism: SaslMechanism,
    /// The user.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// Whom to believe that it is Kafka.
#[derive(Debug, Clone, PartialEq)]
pub struct KafkaTls {
    /// A PEM file; without one the public authorities.
    pub authorities: Option<PathBuf>,
}

/// How a password is shown to Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaslMechanism {
    /// RFC 5802 with SHA-256.
    ScramSha256,
    /// RFC 5802 with SHA-512.
    ScramSha512,
    /// As it is.
    Plain,
}

impl SaslMechanism {
    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::Plain => "PLAIN",
        }
    }
}

impl fmt::Display for SaslMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Form for SaslMechanism {
    const SHAPE: &'static str = "SCRAM-SHA-256, SCRAM-SHA-512 or PLAIN";
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, Unfit> {
        let known = [Self::ScramSha256, Self::ScramSha512, Self::Plain];
        known.into_iter().find(|one| one.name().eq_ignore_ascii_case(text)).ok_or_else(Unfit::shape)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// `host:port`, several of them; the port is 9092 unless said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Brokers(pub Vec<String>);

/// Kafka's own port.
const PORT: u16 = 9092;

impl Form for Brokers {
    const SHAPE: &'static str = "a list of brokers, each host:port, separated by commas";
    const KIND: Kind = Kind::List;

    fn parse(text: &str) -> Result<Self, Unfit> {
        let brokers = parse_list(text, broker)?;
        if brokers.is_empty() { Err(Unfit::because("it names no broker")) } else { Ok(Self(brokers)) }
    }

    fn show(&self) -> String {
        self.0.join(",")
    }
}

fn broker(entry: &str) -> Result<String, Unfit> {
    if entry.contains("://") || entry.contains('/') {
        return Err(Unfit::because("a broker has no scheme and no path; TLS is said by KAFKA_TLS"));
    }
    if entry.contains('@') {
        return Err(Unfit::because("the user does not belong in it; set KAFKA_SASL_USERNAME"));
    }
    let (host, port) = match entry.rsplit_once(':') {
        // An IPv6 address has colons of its own, and stands in brackets.
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (entry, ""),
    };
    let port = match port {
        "" if entry.ends_with(':') => return Err(Unfit::because("the port is missing")),
        "" => PORT,
        port => port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| Unfit::because("the port must be a number from 1 to 65535"))?,
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let fits = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        }
    };
    if fits { Ok(format!("{host}:{port}")) } else { Err(Unfit::shape()) }
}

/// A name at Kafka: it may be read in the names of its metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientId(pub String);

impl Form for ClientId {
    const SHAPE: &'static str = "a name of 1 to 100 letters, digits, dots, hyphens and underscores";
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, Unfit> {
        let fits = (1..=100).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
        if fits { Ok(Self(text.to_owned())) } else { Err(Unfit::shape()) }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// A user's name at Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KafkaUser(pub String);

impl Form for KafkaUser {
    const SHAPE: &'static str = "a user's name";
    const KIND: Kind = Kind::Text;

    fn parse(text: &str) -> Result<Self, Unfit> {
        if text.is_empty() { Err(Unfit::because("it is empty")) } else { Ok(Self(text.to_owned())) }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

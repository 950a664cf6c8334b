use kernel::{Error, Slug};
use rdkafka::{error::KafkaError, types::RDKafkaErrorCode};

/// What is wrong with Kafka, as a sentence with what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KafkaFault {
    /// Nobody answers there.
    #[error(
        "Kafka does not answer at {place} ({why}); check KAFKA_BROKERS, that it runs, and the firewall. A broker that \
         expects TLS answers nothing to a client without it: then set KAFKA_TLS=true"
    )]
    Unreachable {
        /// The brokers.
        place: String,
        /// What was tried.
        why: String,
    },
    /// A name that leads nowhere.
    #[error("the name of a broker in KAFKA_BROKERS={place} leads nowhere ({why}); check it for a slip")]
    Name {
        /// The brokers.
        place: String,
        /// What the resolver said.
        why: String,
    },
    /// The other side is not who it should be, or does not speak TLS.
    #[error(
        "TLS with Kafka at {place} fails ({why}); KAFKA_TLS_CA must name a PEM file with the authority of its \
         certificate, the certificate must carry the name in KAFKA_BROKERS, and the port must be one for TLS"
    )]
    Tls {
        /// The brokers.
        place: String,
        /// What OpenSSL said.
        why: String,
    },
    /// User or password are wrong.
    #[error(
        "Kafka at {place} does not let us in ({why}); check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and \
         KAFKA_SASL_MECHANISM, and that the port is one for SASL"
    )]
    Login {
        /// The brokers.
        place: String,
        /// What the broker said.
        why: String,
    },
    /// Something is not allowed.
    #[error(
        "Kafka does not allow {what}; give our user the rights: Describe, Read, Write and Create on topics, Read on \
         the group platform-kernel, IdempotentWrite on the cluster"
    )]
    Permission {
        /// What was tried.
        what: String,
    },
    /// A file of authorities.
    #[error(
        "KAFKA_TLS_CA={path} can't be used: {why}; name a PEM file with the authority of Kafka's certificate"
    )]
    Authorities {
        /// Which.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// No answer for now.
    #[error("Kafka does not answer ({what})")]
    Silent {
        /// What was tried.
        what: String,
    },
    /// Anything else.
    #[error("Kafka: {what}: {why}")]
    Other {
        /// What was tried.
        what: String,
        /// What was said.
        why: String,
    },
}

impl KafkaFault {
    /// What an error means, met while doing `what`.
    pub(super) fn of(what: impl Into<String>, error: &KafkaError) -> Self {
        let (what, why) = (what.into(), error.to_string());
        let code = match error {
            KafkaError::AdminOp(code) => Some(*code),
            other => other.rdkafka_error_code(),
        };
        match code {
            Some(
                RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut,
            ) => Self::Silent { what },
            Some(code) if is_permission(code) => Self::Permission { what: format!("{what} ({code})") },
            _ => Self::Other { what, why },
        }
    }

    /// Whether it passes when a broker comes back.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Silent { .. })
    }

    /// Whether trying again later can't help: somebody has to change a setting.
    pub fn is_setting(&self) -> bool {
        matches!(self, Self::Name { .. } | Self::Tls { .. } | Self::Login { .. } | Self::Authorities { .. })
    }
}

/// Whether a refusal is for lack of rights.
pub(super) fn is_permission(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
    )
}

impl From<KafkaFault> for Error {
    fn from(fault: KafkaFault) -> Self {
        Self::new(Slug::EventsBrokerUnavailable, "The event broker is not reachable just now.").because(fault)
    }
}

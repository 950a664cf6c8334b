use std::{fmt::Write as _, path::Path, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use kernel::config;
use rdkafka::ClientConfig;

use super::KafkaFault;

/// How a Kafka is reached and used.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// Where it is, and as whom.
    pub server: config::Kafka,
    /// How long topics keep records.
    pub retention: Duration,
    /// How long the audit topic does.
    pub audit_retention: Duration,
}

impl KafkaOptions {
    /// As the configuration says; none where it names no broker.
    pub fn of(events: &config::Events) -> Option<Self> {
        let server = events.kafka.clone()?;
        Some(Self { server, retention: events.retention, audit_retention: events.audit_retention })
    }

    /// The brokers, for a sentence.
    pub(super) fn place(&self) -> String {
        self.server.brokers.join(",")
    }

    /// What every client has in common.
    pub(super) fn client(&self) -> Result<ClientConfig, KafkaFault> {
        let server = &self.server;
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", server.brokers.join(","))
            .set("client.id", server.client_id.as_deref().unwrap_or("platform-kernel"))
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "30000")
            .set("socket.keepalive.enable", "true")
            .set("socket.timeout.ms", "30000")
            .set("topic.metadata.refresh.interval.ms", "10000")
            // A broker closes idle connections; that is nothing to tell.
            .set("log.connection.close", "false");
        config.set(
            "security.protocol",
            match (&server.tls, &server.login) {
                (None, None) => "plaintext",
                (Some(_), None) => "ssl",
                (None, Some(_)) => "sasl_plaintext",
                (Some(_), Some(_)) => "sasl_ssl",
            },
        );
        if let Some(login) = &server.login {
            config
                .set("sasl.mechanisms", login.mechanism.name())
                .set("sasl.username", &login.user)
                .set("sasl.password", login.password.expose());
        }
        if let Some(tls) = &server.tls {
            match &tls.authorities {
                Some(path) => config.set("ssl.ca.pem", authorities(path)?),
                None => config.set("ssl.ca.pem", public_authorities()),
            };
        }
        Ok(config)
    }
}

fn authorities(path: &Path) -> Result<String, KafkaFault> {
    let wrong = |why: String| KafkaFault::Authorities { path: path.display().to_string(), why };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    if text.contains("-----BEGIN CERTIFICATE-----") {
        Ok(text)
    } else {
        Err(wrong("there is no certificate in it".to_owned()))
    }
}

/// Those that the program carries, for a machine without a folder of certificates.
fn public_authorities() -> String {
    let mut pem = String::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        let _ = write!(
            pem,
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            wrapped(&STANDARD.encode(certificate))
        );
    }
    pem
}

/// OpenSSL reads lines of up to 76 characters.
fn wrapped(text: &str) -> String {
    let mut lines = String::with_capacity(text.len() + text.len() / 64 + 1);
    for (at, character) in text.char_indices() {
        if at > 0 && at % 64 == 0 {
            lines.push('\n');
        }
        lines.push(character);
    }
    lines
}

#[cfg(test)]
mod tests {
    use kernel::{
        Secret,
        config::{KafkaLogin, KafkaTls, SaslMechanism},
    };

    use super::*;

    fn options(login: Option<KafkaLogin>, tls: Option<KafkaTls>) -> KafkaOptions {
        let brokers = vec!["kafka:9092".to_owned()];
        KafkaOptions {
            server: config::Kafka { brokers, client_id: None, login, tls, sandbox_partitions: 1 },
            retention: Duration::from_secs(3600),
            audit_retention: Duration::from_secs(7200),
        }
    }

    #[test]
    fn the_four_ways_to_a_broker_are_made_from_login_and_tls() {
        let login = || {
            Some(KafkaLogin {
                mechanism: SaslMechanism::ScramSha256,
                user: "kernel".to_owned(),
                password: Secret::new("secret"),
            })
        };
        let tls = || Some(KafkaTls { authorities: None });
        let protocol = |login, tls| {
            let config = options(login, tls).client().unwrap();
            config.get("security.protocol").unwrap().to_owned()
        };
        assert_eq!(protocol(None, None), "plaintext");
        assert_eq!(protocol(login(), None), "sasl_plaintext");
        assert_eq!(protocol(None, tls()), "ssl");
        assert_eq!(protocol(login(), tls()), "sasl_ssl");
    }

    #[test]
    fn the_public_authorities_are_read_by_librdkafka() {
        let config = options(None, Some(KafkaTls { authorities: None })).client().unwrap();
        config.create::<rdkafka::producer::BaseProducer>().unwrap();
    }

    #[test]
    fn a_file_of_authorities_that_is_none_is_told_with_its_path() {
        let missing = Some(KafkaTls { authorities: Some("/nowhere/ca.crt".into()) });
        let told = options(None, missing).client().unwrap_err().to_string();
        assert!(told.contains("/nowhere/ca.crt") && told.contains("KAFKA_TLS_CA"), "{told}");
    }
}

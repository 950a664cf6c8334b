use std::sync::Arc;

use rdkafka::{ClientContext, config::RDKafkaLogLevel, error::KafkaError, types::RDKafkaErrorCode};

use super::{Figures, KafkaFault, figures::CONNECTION};

/// Hears what a client says of its brokers.
#[derive(Clone)]
pub(super) struct Watch {
    pub figures: Arc<Figures>,
    /// The brokers, for a sentence.
    pub place: String,
}

impl Watch {
    /// What an error of the client itself means; none when it passes by itself.
    pub(super) fn fault(place: &str, error: &KafkaError, reason: &str) -> Option<KafkaFault> {
        let (place, why) = (place.to_owned(), shortened(reason));
        match error.rdkafka_error_code()? {
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
                Some(KafkaFault::Login { place, why })
            }
            RDKafkaErrorCode::SSL => Some(KafkaFault::Tls { place, why }),
            RDKafkaErrorCode::Resolve => Some(KafkaFault::Name { place, why }),
            RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure => {
                Some(KafkaFault::Unreachable { place, why })
            }
            _ => None,
        }
    }
}

/// librdkafka puts the client's name in front and figures behind.
fn shortened(reason: &str) -> String {
    let text = reason.split_once("]: ").map_or(reason, |(_, text)| text);
    text.split(" (after ").next().unwrap_or(text).trim().to_owned()
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(target: "kafka", facility, message);
            }
            // What its connections do comes as an error, too, and is told once there.
            _ => tracing::debug!(target: "kafka", facility, message),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match Self::fault(&self.place, &error, reason) {
            Some(KafkaFault::Unreachable { .. }) => {
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
                    self.figures.lost();
                }
            }
            Some(fault) => self.figures.faulty(CONNECTION, fault),
            None => tracing::debug!(target: "kafka", %error, reason),
        }
    }
}

use rdkafka::{
    Message,
    message::{Headers, OwnedHeaders},
};

use super::TopicName;

/// Names of headers.
pub(super) mod header {
    pub const ID: &str = "id";
    pub const TYPE: &str = "type";
    pub const TENANT: &str = "tenant";
    pub const TRACE: &str = "traceparent";
    pub const CONTENT: &str = "content-type";
    pub const GENERATION: &str = "generation";
    pub const ERROR: &str = "error";
    pub const TOPIC: &str = "original-topic";
    pub const PARTITION: &str = "original-partition";
    pub const OFFSET: &str = "original-offset";
}

/// What an envelope is, for readers that see many kinds.
pub(super) const CONTENT_TYPE: &str = "application/protobuf; messageType=platform.events.v1.EventEnvelope";

/// A record as it came from Kafka.
#[derive(Debug, Clone)]
pub struct Record {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: i32,
    /// Its place in the partition.
    pub offset: i64,
    /// What keeps its order.
    pub key: Option<Vec<u8>>,
    /// The envelope.
    pub payload: Vec<u8>,
    /// When it was produced, in milliseconds since 1970.
    pub at: Option<i64>,
    pub(super) headers: Option<OwnedHeaders>,
}

impl Record {
    /// A copy of a message, if it lies in a topic of ours.
    pub(super) fn of(message: &impl Message) -> Option<Self> {
        let headers = message.headers().filter(|headers| headers.count() > 0).map(|headers| {
            let kept = OwnedHeaders::new_with_capacity(headers.count());
            (0..headers.count()).fold(kept, |kept, index| kept.insert(headers.get(index)))
        });
        Some(Self {
            topic: TopicName::parse(message.topic())?,
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            payload: message.payload().unwrap_or_default().to_vec(),
            at: message.timestamp().to_millis(),
            headers,
        })
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.headers.as_ref()?;
        let found = headers.iter().find(|header| header.key == name)?;
        std::str::from_utf8(found.value?).ok()
    }

    /// The sandbox's generation when the record was fed from its log; none: it is an outsider's.
    pub fn generation(&self) -> Option<i64> {
        self.header(header::GENERATION)?.parse().ok()
    }

    /// The type that it says to be of.
    pub fn kind(&self) -> Option<&str> {
        self.header(header::TYPE)
    }
}

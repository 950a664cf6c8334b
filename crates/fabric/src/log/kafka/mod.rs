//! Kafka beside the log: events go out to it from the tables in Postgres, which stay the record, and those of outsiders
//! come in (`docs/decisions/0021-kafka.md`).
//!
//! [`Kafka`] is one for the process: the producer, the topics, the figures. A [`Feed`] carries a sandbox's events out,
//! a [`Group`] brings records in.

mod closing;
mod dead_letters;
mod fault;
mod feed;
mod feed_store;
mod figures;
mod group;
mod held;
mod lanes;
mod probe;
mod producer;
mod record;
mod settings;
mod topics;
mod watch;

use std::sync::Arc;

pub use self::{
    fault::KafkaFault,
    feed::{Carried, FROM_KAFKA, Feed},
    figures::{Counted, Figures},
    group::{Group, GroupOptions},
    lanes::{Heard, Hearer},
    probe::Probe,
    record::Record,
    settings::KafkaOptions,
    topics::{TOPICS, TopicName},
};
use self::{producer::Producer, topics::Topics};

/// The group in which all replicas of an installation share the partitions.
pub const GROUP: &str = "platform-kernel";

/// A Kafka, as the whole process shares it.
pub struct Kafka {
    options: KafkaOptions,
    figures: Arc<Figures>,
    producer: Producer,
    topics: Topics,
}

impl Kafka {
    /// Sets up the clients; they connect by themselves, now or when a broker comes.
    ///
    /// # Errors
    /// What is wrong with the settings; nothing was asked yet.
    pub fn open(options: KafkaOptions) -> Result<Arc<Self>, KafkaFault> {
        let figures = Arc::new(Figures::default());
        let producer = Producer::new(&options, Arc::clone(&figures))?;
        let topics = Topics::new(&options, Arc::clone(&figures));
        Ok(Arc::new(Self { options, figures, producer, topics }))
    }

    /// How it was set up.
    pub fn options(&self) -> &KafkaOptions {
        &self.options
    }

    /// What happened so far.
    pub fn figures(&self) -> &Arc<Figures> {
        &self.figures
    }

    /// Makes topics that are not there yet, with the partitions and the retention that they are to have. One that is
    /// there with fewer partitions is told once and used as it is.
    ///
    /// # Errors
    /// The first that could not be made, and why.
    pub async fn make_topics(&self, names: &[TopicName]) -> Result<(), KafkaFault> {
        let failed = self.topics.ensure(names).await?;
        for (name, fault) in &failed {
            self.figures.faulty(&name.to_string(), fault.clone());
        }
        failed.into_iter().next().map_or(Ok(()), |(_, fault)| Err(fault))
    }

    /// Removes all topics of a sandbox; nothing happens to those of others.
    ///
    /// # Errors
    /// What Kafka says.
    pub async fn remove_topics(&self, sandbox: &kernel::SandboxName) -> Result<usize, KafkaFault> {
        self.topics.remove(sandbox).await
    }

    /// Ends the clients, within a bounded time. What was not acknowledged is fed again by the next start.
    pub async fn close(&self) {
        self.producer.close().await;
    }
}

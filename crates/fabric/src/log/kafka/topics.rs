use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kernel::SandboxName;
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    error::KafkaError,
    types::RDKafkaErrorCode,
};

use super::{Figures, KafkaFault, KafkaOptions, closing::close, producer::MOST_BYTES, watch::Watch};
use crate::log::PARTITIONS;

/// The topics of events, as a pattern for a subscription.
pub const TOPICS: &str = r"^([a-z0-9-]+\.)?platform\.[a-z0-9_]+\.events$";

/// Where records go that nobody can read or use.
const DEAD_LETTERS: &str = "platform.dead-letters";

/// A topic as Kafka knows it: that of a sandbox other than `default` has the sandbox in front.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TopicName {
    /// Whose it is.
    pub sandbox: SandboxName,
    /// Its name in the sandbox, `platform.{word}.events`.
    pub topic: String,
}

impl TopicName {
    /// A topic of a sandbox.
    pub fn new(sandbox: SandboxName, topic: impl Into<String>) -> Self {
        Self { sandbox, topic: topic.into() }
    }

    /// Reads a name at Kafka; none where it is not a topic of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let (sandbox, topic) = match text.split_once('.')? {
            ("platform", rest) if rest.matches('.').count() == 1 => (SandboxName::default_sandbox(), text),
            (sandbox, topic) => (sandbox.parse().ok()?, topic),
        };
        let word = topic.strip_prefix("platform.")?.strip_suffix(".events")?;
        let fits = !word.is_empty()
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        fits.then(|| Self::new(sandbox, topic))
    }

    /// Where records of the sandbox go that nobody can read or use.
    pub(super) fn dead_letters(&self) -> String {
        prefixed(&self.sandbox, DEAD_LETTERS)
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&prefixed(&self.sandbox, &self.topic))
    }
}

fn prefixed(sandbox: &SandboxName, topic: &str) -> String {
    if sandbox.is_default() { topic.to_owned() } else { format!("{sandbox}.{topic}") }
}

/// Makes topics before they are written to: one that a broker makes by itself has the broker's partitions and retention.
pub(super) struct Topics {
    options: KafkaOptions,
    figures: Arc<Figures>,
    known: Mutex<HashSet<String>>,
}

/// A topic as it is to be.
struct Wanted {
    name: String,
    partitions: i32,
    kept_ms: String,
}

type Admin = AdminClient<Watch>;

const PATIENCE: Duration = Duration::from_secs(5);

impl Topics {
    pub(super) fn new(options: &KafkaOptions, figures: Arc<Figures>) -> Self {
        Self { options: options.clone(), figures, known: Mutex::default() }
    }

    /// These topics are there when this returns; but for those that it answers, with the reason.
    ///
    /// # Errors
    /// Kafka can't be asked.
    pub(super) async fn ensure(
        &self,
        names: &[TopicName],
    ) -> Result<Vec<(TopicName, KafkaFault)>, KafkaFault> {
        let wanted: Vec<Wanted> = names.iter().map(|name| self.wanted(name)).collect();
        let failed = self.make(wanted).await?;
        let reason = |name: &TopicName| {
            let text = name.to_string();
            failed.iter().find(|(failed, _)| *failed == text).map(|(_, fault)| fault.clone())
        };
        Ok(names.iter().filter_map(|name| Some((name.clone(), reason(name)?))).collect())
    }

    /// The same for the topic of dead letters.
    pub(super) async fn ensure_dead_letters(&self, name: &TopicName) -> Result<(), KafkaFault> {
        let kept_ms = self.options.audit_retention.as_millis().to_string();
        let wanted = Wanted { name: name.dead_letters(), partitions: 1, kept_ms };
        self.make(vec![wanted]).await?.into_iter().next().map_or(Ok(()), |(_, fault)| Err(fault))
    }

    /// Somebody removed it: the next [`Topics::ensure`] looks again.
    pub(super) fn forget(&self, name: &str) {
        self.known().remove(name);
    }

    fn wanted(&self, name: &TopicName) -> Wanted {
        let audit = name.topic == "platform.audit.events";
        let kept = if audit { self.options.audit_retention } else { self.options.retention };
        let partitions = match name.sandbox.is_default() {
            true => i32::from(PARTITIONS),
            false => i32::try_from(self.options.server.sandbox_partitions).unwrap_or(1),
        };
        Wanted { name: name.to_string(), partitions, kept_ms: kept.as_millis().to_string() }
    }

    async fn make(&self, mut wanted: Vec<Wanted>) -> Result<Vec<(String, KafkaFault)>, KafkaFault> {
        {
            let known = self.known();
            wanted.retain(|topic| !known.contains(&topic.name));
        }
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let admin = self.admin()?;
        let topics: Vec<NewTopic<'_>> = wanted
            .iter()
            .map(|topic| {
                NewTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(-1))
                    .set("retention.ms", &topic.kept_ms)
                    .set("cleanup.policy", "delete")
                    .set("max.message.bytes", MOST_BYTES)
            })
            .collect();
        let made = admin.create_topics(&topics, &limits()).await;
        let mut failed = Vec::new();
        let mut there = Vec::new();
        let made = made.map_err(|error| KafkaFault::of("making topics", &error));
        for made in made.as_deref().unwrap_or_default() {
            match made {
                Ok(name) => {
                    tracing::info!(topic = name, "a topic was made");
                    self.known().insert(name.clone());
                }
                Err((name, RDKafkaErrorCode::TopicAlreadyExists)) => {
                    there.extend(wanted.iter().find(|topic| topic.name == *name));
                    self.known().insert(name.clone());
                }
                Err((name, code)) => {
                    let what = format!("making the topic {name}");
                    failed.push((name.clone(), KafkaFault::of(what, &KafkaError::AdminOp(*code))));
                }
            }
        }
        let admin = compare(admin, &there).await;
        close("administration", admin).await;
        made.map(|_| failed)
    }

    /// A client for one use: nobody serves its events while it lies idle.
    fn admin(&self) -> Result<Admin, KafkaFault> {
        let watch = Watch { figures: Arc::clone(&self.figures), place: self.options.place() };
        let admin = self.options.client()?.create_with_context(watch);
        admin.map_err(|error| KafkaFault::of("setting up the administration", &error))
    }

    pub(super) async fn remove(&self, sandbox: &SandboxName) -> Result<usize, KafkaFault> {
        let admin = self.admin()?;
        let (admin, listed) = partitions(admin).await?;
        let dead = prefixed(sandbox, DEAD_LETTERS);
        let own =
            |name: &&str| **name == dead || TopicName::parse(name).is_some_and(|n| n.sandbox == *sandbox);
        let gone: Vec<&str> = listed.iter().map(|(name, _)| name.as_str()).filter(own).collect();
        let removed = match gone.as_slice() {
            [] => Ok(Vec::new()),
            gone => admin.delete_topics(gone, &limits()).await,
        };
        close("administration", admin).await;
        for name in &gone {
            self.forget(name);
        }
        let removed = removed.map_err(|error| KafkaFault::of("removing topics", &error))?;
        match removed.into_iter().find_map(Result::err) {
            Some((name, code)) if code != RDKafkaErrorCode::UnknownTopicOrPartition => {
                Err(KafkaFault::of(format!("removing the topic {name}"), &KafkaError::AdminOp(code)))
            }
            _ => Ok(gone.len()),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashSet<String>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A topic with fewer partitions works, but is shared by fewer readers.
async fn compare(admin: Admin, there: &[&Wanted]) -> Option<Admin> {
    if there.is_empty() {
        return Some(admin);
    }
    let (admin, found) = partitions(admin).await.ok()?;
    for (name, found) in found {
        let Some(topic) = there.iter().find(|topic| topic.name == name) else { continue };
        if i32::try_from(found).is_ok_and(|found| found < topic.partitions) {
            tracing::warn!(
                topic = name,
                partitions = found,
                wanted = topic.partitions,
                "a topic has fewer partitions than it should; it is used as it is, and shared by fewer readers. Adding \
                 partitions moves keys: let readers come to its end first"
            );
        }
    }
    Some(admin)
}

/// All topics, with how many partitions they have.
async fn partitions(admin: Admin) -> Result<(Admin, Vec<(String, usize)>), KafkaFault> {
    let listed = tokio::task::spawn_blocking(move || {
        let metadata = admin.inner().fetch_metadata(None, PATIENCE);
        let topics = metadata.map(|metadata| {
            let all = metadata.topics().iter();
            all.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect()
        });
        (admin, topics)
    });
    let what = "listing topics";
    let (admin, topics) =
        listed.await.map_err(|error| KafkaFault::Other { what: what.to_owned(), why: error.to_string() })?;
    match topics {
        Ok(topics) => Ok((admin, topics)),
        Err(error) => {
            close("administration", admin).await;
            Err(KafkaFault::of(what, &error))
        }
    }
}

fn limits() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_names_its_sandbox() {
        let acme: SandboxName = "acme".parse().unwrap();
        let own = TopicName::new(acme.clone(), "platform.crm.events");
        assert_eq!(own.to_string(), "acme.platform.crm.events");
        assert_eq!(own.dead_letters(), "acme.platform.dead-letters");
        assert_eq!(TopicName::parse("acme.platform.crm.events"), Some(own));
        let plain = TopicName::new(SandboxName::default_sandbox(), "platform.auth.events");
        assert_eq!(plain.to_string(), "platform.auth.events");
        assert_eq!(TopicName::parse("platform.auth.events"), Some(plain));
        for other in [
            "orders",
            "platform.dead-letters",
            "platform.a.b.events",
            "Acme.platform.crm.events",
            "acme.platform.events",
            "platform..events",
            "a.b.platform.crm.events",
        ] {
            assert_eq!(TopicName::parse(other), None, "{other}");
        }
    }
}

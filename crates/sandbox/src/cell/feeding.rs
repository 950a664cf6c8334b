//! What goes to Kafka, and into which topics.

use std::{sync::Arc, time::Duration};

use fabric::log::{
    KERNEL_TOPICS, Patterns,
    kafka::{Kafka, TopicName},
};
use kernel::Result;
use ports::Modules as _;

use super::Cell;

/// Topics that could not be made are tried again after this time.
const AGAIN: Duration = Duration::from_secs(5);

impl Cell {
    /// Carries events out, and makes the topics of the default sandbox: those of the kernel at once, those of modules
    /// when they are registered, so that outsiders can write to them. Another sandbox gets a topic at its first event.
    pub(super) fn feed_kafka(self: &Arc<Self>, kafka: &Arc<Kafka>) -> Result<()> {
        if let Some(feed) = self.feed.clone() {
            let (log, stop) = (Arc::clone(&self.log), self.stop.clone());
            self.tasks.spawn(async move { feed.run(log, stop).await });
        }
        if !self.name.is_default() {
            return Ok(());
        }
        let ear = self.log.listen(Patterns::new(["module.*"])?);
        let (me, kafka, stop) = (Arc::downgrade(self), Arc::clone(kafka), self.stop.clone());
        self.tasks.spawn(async move {
            loop {
                let Some(cell) = me.upgrade() else { return };
                let made = cell.make_topics(&kafka).await;
                drop(cell);
                if let Err(error) = &made {
                    tracing::debug!(?error, "topics could not be made; it is tried again");
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = ear.heard() => {}
                    () = tokio::time::sleep(AGAIN), if made.is_err() => {}
                }
            }
        });
        Ok(())
    }

    async fn make_topics(&self, kafka: &Kafka) -> Result<()> {
        let modules = self.services.modules.snapshot(&self.cx("event-bus")).await?;
        let words = KERNEL_TOPICS.into_iter().chain(modules.modules.keys().map(|slug| slug.as_str()));
        let names = words.map(|word| TopicName::new(self.name.clone(), format!("platform.{word}.events")));
        let names: Vec<TopicName> = names.collect();
        Ok(kafka.make_topics(&names).await?)
    }
}

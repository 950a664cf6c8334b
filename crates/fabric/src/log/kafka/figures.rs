use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use serde::Serialize;

use super::KafkaFault;

/// What happened between this process and Kafka, for `/health` and `/metrics`.
#[derive(Debug, Default)]
pub struct Figures {
    fed: AtomicU64,
    refused: AtomicU64,
    taken_in: AtomicU64,
    dead_letters: AtomicU64,
    rebalances: AtomicU64,
    partitions: AtomicU64,
    away: AtomicBool,
    /// By what they are about: a topic, a group, the connection.
    faults: Mutex<BTreeMap<String, KafkaFault>>,
    lag: Mutex<BTreeMap<(String, i32), u64>>,
}

/// The same at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counted {
    /// `up`, or `degraded` while nothing can be carried.
    pub state: &'static str,
    /// What is wrong, with what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Events that are in Kafka, on all of its replicas.
    pub fed: u64,
    /// Events that Kafka will not have.
    pub refused: u64,
    /// Events of outsiders that came in.
    pub taken_in: u64,
    /// Records that nobody could read or use.
    pub dead_letters: u64,
    /// How often partitions came to this process or went.
    pub rebalances: u64,
    /// Partitions that this process reads now.
    pub partitions: u64,
    /// Records in those partitions that were not dealt with yet.
    pub lag: u64,
}

/// What a fault of no single topic is about.
pub(super) const CONNECTION: &str = "connection";

impl Figures {
    /// All of them.
    pub fn counted(&self) -> Counted {
        let fault = self.faults().values().next().map(ToString::to_string);
        Counted {
            state: if fault.is_some() || self.away.load(Relaxed) { "degraded" } else { "up" },
            fault,
            fed: self.fed.load(Relaxed),
            refused: self.refused.load(Relaxed),
            taken_in: self.taken_in.load(Relaxed),
            dead_letters: self.dead_letters.load(Relaxed),
            rebalances: self.rebalances.load(Relaxed),
            partitions: self.partitions.load(Relaxed),
            lag: self.lag().values().sum(),
        }
    }

    /// By topic and partition: records that were not dealt with yet.
    pub fn lags(&self) -> BTreeMap<(String, i32), u64> {
        self.lag().clone()
    }

    pub(super) fn fed(&self, events: u64) {
        self.fed.fetch_add(events, Relaxed);
        self.well();
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// An event of an outsider came in.
    pub fn taken_in(&self) {
        self.taken_in.fetch_add(1, Relaxed);
    }

    pub(super) fn dead_letter(&self) {
        self.dead_letters.fetch_add(1, Relaxed);
    }

    pub(super) fn rebalanced(&self, partitions: usize) {
        self.rebalances.fetch_add(1, Relaxed);
        self.partitions.store(u64::try_from(partitions).unwrap_or(u64::MAX), Relaxed);
    }

    pub(super) fn lagging(&self, lag: BTreeMap<(String, i32), u64>) {
        *self.lag() = lag;
    }

    /// No broker answers. Told once.
    pub(super) fn lost(&self) {
        if !self.away.swap(true, Relaxed) {
            tracing::warn!("no broker of Kafka answers; events wait in PostgreSQL until one does");
        }
    }

    /// Kafka answered.
    pub(super) fn well(&self) {
        if self.away.swap(false, Relaxed) {
            tracing::info!("Kafka answers again");
        }
        self.settled(CONNECTION);
    }

    /// Something is wrong with a topic, a group or the connection. Told once.
    pub fn faulty(&self, about: &str, fault: KafkaFault) {
        if fault.is_away() {
            return self.lost();
        }
        let mut faults = self.faults();
        if faults.get(about) != Some(&fault) {
            tracing::warn!(%fault, "Kafka");
            faults.insert(about.to_owned(), fault);
        }
    }

    /// It was put right.
    pub(super) fn settled(&self, about: &str) {
        self.faults().remove(about);
    }

    fn faults(&self) -> MutexGuard<'_, BTreeMap<String, KafkaFault>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lag(&self) -> MutexGuard<'_, BTreeMap<(String, i32), u64>> {
        self.lag.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degraded_until_kafka_answers_again() {
        let figures = Figures::default();
        assert_eq!(figures.counted().state, "up");
        figures.lost();
        assert_eq!(figures.counted().state, "degraded");
        figures.fed(3);
        assert_eq!((figures.counted().state, figures.counted().fed), ("up", 3));
    }

    #[test]
    fn a_topics_fault_stays_until_it_is_put_right() {
        let figures = Figures::default();
        figures.faulty("platform.crm.events", KafkaFault::Permission { what: "writing".into() });
        figures.faulty(CONNECTION, KafkaFault::Login { place: "k:9092".into(), why: "no".into() });
        figures.fed(1);
        let counted = figures.counted();
        assert!(counted.fault.unwrap().contains("does not allow writing") && counted.state == "degraded");
        figures.settled("platform.crm.events");
        assert_eq!((figures.counted().state, figures.counted().fault), ("up", None));
    }
}

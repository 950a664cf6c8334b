use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use kernel::{Error, Result, Slug};

use super::Record;

/// What is done with records that come from Kafka.
#[async_trait]
pub trait Hearer: Send + Sync + 'static {
    /// Whether there is nothing to do for a record but to notice it, as it passes. Must not wait.
    fn passes(&self, record: &Record) -> bool {
        let _ = record;
        false
    }

    /// Deals with a record. It may come again, so an effect that must not happen twice notes the event's id in its
    /// transaction ([`crate::postgres::Tx::first_time`]).
    ///
    /// # Errors
    /// It is tried again after 1 s, 5 s and 25 s, later records of its key waiting, and then becomes a dead letter.
    /// While a part that it needs is away (`dependency-unavailable`, `overloaded`, `draining`) it is tried without end.
    async fn hear(&self, record: &Record) -> Result<Heard>;
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Its effect is committed, or was before.
    Done,
    /// It can't be used, now or ever, for this reason: it becomes a dead letter.
    Refused(String),
}

/// A record on its way to the hearer.
pub(super) struct Taken {
    pub record: Record,
    /// In which turn of its partition it was taken.
    pub turn: u64,
    pub failures: u32,
    /// Why it is a dead letter by now.
    pub dead: Option<String>,
}

/// What must stay in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct LaneName {
    topic: String,
    partition: i32,
    /// Records without a key wait for no other.
    key: Result<Vec<u8>, i64>,
}

/// Records of each key in order; those of different keys side by side.
#[derive(Default)]
pub(super) struct Lanes {
    waiting: HashMap<LaneName, VecDeque<Taken>>,
    ready: VecDeque<LaneName>,
    running: HashSet<LaneName>,
    resting: Vec<(Instant, LaneName)>,
    count: usize,
}

impl Lanes {
    /// Records that are not dealt with.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn add(&mut self, taken: Taken) {
        let name = LaneName::of(&taken.record);
        self.count += 1;
        let rests = self.resting.iter().any(|(_, resting)| *resting == name);
        let lane = self.waiting.entry(name.clone()).or_default();
        lane.push_back(taken);
        if lane.len() == 1 && !rests && !self.running.contains(&name) {
            self.ready.push_back(name);
        }
    }

    /// The next record whose turn it is; its lane stands still until [`Lanes::settled`] or [`Lanes::again`].
    pub(super) fn next(&mut self, now: Instant) -> Option<(LaneName, Taken)> {
        let (due, resting) = std::mem::take(&mut self.resting).into_iter().partition(|(at, _)| *at <= now);
        self.resting = resting;
        let due: Vec<(Instant, LaneName)> = due;
        self.ready.extend(due.into_iter().map(|(_, name)| name));
        while let Some(name) = self.ready.pop_front() {
            let Some(taken) = self.waiting.get_mut(&name).and_then(VecDeque::pop_front) else { continue };
            self.running.insert(name.clone());
            return Some((name, taken));
        }
        None
    }

    /// The record is dealt with; its lane goes on.
    pub(super) fn settled(&mut self, name: LaneName) {
        self.count = self.count.saturating_sub(1);
        self.running.remove(&name);
        match self.waiting.get(&name).map(VecDeque::len) {
            Some(0) | None => {
                self.waiting.remove(&name);
            }
            Some(_) => self.ready.push_back(name),
        }
    }

    /// The record is to be tried again at `at`; its lane rests until then.
    pub(super) fn again(&mut self, name: LaneName, taken: Taken, at: Instant) {
        self.running.remove(&name);
        self.waiting.entry(name.clone()).or_default().push_front(taken);
        self.resting.push((at, name));
    }

    /// When the first resting lane goes on.
    pub(super) fn due(&self) -> Option<Instant> {
        self.resting.iter().map(|(at, _)| *at).min()
    }
}

impl LaneName {
    fn of(record: &Record) -> Self {
        Self {
            topic: record.topic.to_string(),
            partition: record.partition,
            key: record.key.clone().ok_or(record.offset),
        }
    }
}

/// Tries after the first.
const MOST_RETRIES: u32 = 3;

/// Whether a failure says nothing about the record.
pub(super) fn is_passing(error: &Error) -> bool {
    matches!(
        error.slug(),
        Slug::DependencyUnavailable | Slug::EventsBrokerUnavailable | Slug::Overloaded | Slug::Draining
    )
}

/// How long a record waits after so many failures; none when it becomes a dead letter. ±10 %.
pub(super) fn pause_after(failures: u32) -> Option<Duration> {
    if failures == 0 || failures > MOST_RETRIES {
        return None;
    }
    let seconds = 5_f64.powi(i32::try_from(failures - 1).unwrap_or(0));
    Some(Duration::from_secs_f64(seconds * rand::random_range(0.9..1.1)))
}

#[cfg(test)]
mod tests {
    use kernel::SandboxName;

    use super::*;
    use crate::log::kafka::TopicName;

    fn taken(key: Option<&str>, offset: i64) -> Taken {
        let record = Record {
            topic: TopicName::new(SandboxName::default_sandbox(), "platform.crm.events"),
            partition: 0,
            offset,
            key: key.map(|key| key.as_bytes().to_vec()),
            payload: Vec::new(),
            at: None,
            headers: None,
        };
        Taken { record, turn: 1, failures: 0, dead: None }
    }

    fn offsets(lanes: &mut Lanes, now: Instant) -> Vec<(LaneName, i64)> {
        let mut all = Vec::new();
        while let Some((name, taken)) = lanes.next(now) {
            all.push((name, taken.record.offset));
        }
        all
    }

    #[test]
    fn one_record_of_each_key_goes_at_a_time() {
        let mut lanes = Lanes::default();
        for (key, offset) in [(Some("a"), 1), (Some("b"), 2), (Some("a"), 3), (None, 4), (None, 5)] {
            lanes.add(taken(key, offset));
        }
        let now = Instant::now();
        let first = offsets(&mut lanes, now);
        assert_eq!(first.iter().map(|(_, offset)| *offset).collect::<Vec<_>>(), [1, 2, 4, 5]);
        for (name, _) in first {
            lanes.settled(name);
        }
        assert_eq!(offsets(&mut lanes, now)[0].1, 3);
        assert_eq!(lanes.count(), 1);
    }

    #[test]
    fn a_failed_record_keeps_its_key_waiting_and_no_other() {
        let mut lanes = Lanes::default();
        for (key, offset) in [(Some("a"), 1), (Some("a"), 2)] {
            lanes.add(taken(key, offset));
        }
        let now = Instant::now();
        let (name, failed) = lanes.next(now).unwrap();
        lanes.again(name, failed, now + Duration::from_secs(1));
        lanes.add(taken(Some("b"), 3));
        lanes.add(taken(Some("a"), 4));
        let meanwhile = offsets(&mut lanes, now);
        assert_eq!(meanwhile.iter().map(|(_, offset)| *offset).collect::<Vec<_>>(), [3]);
        assert!(lanes.due().is_some());
        for expected in [1, 2, 4] {
            let (name, next) = lanes.next(now + Duration::from_secs(1)).unwrap();
            assert_eq!(next.record.offset, expected);
            lanes.settled(name);
        }
        assert!(lanes.due().is_none());
    }

    #[test]
    fn three_retries_a_second_to_half_a_minute_apart() {
        let seconds = |failures| pause_after(failures).map(|pause| pause.as_secs_f64());
        assert!((0.9..1.1).contains(&seconds(1).unwrap()));
        assert!((4.5..5.5).contains(&seconds(2).unwrap()));
        assert!((22.5..27.5).contains(&seconds(3).unwrap()));
        assert_eq!(seconds(4), None);
    }
}

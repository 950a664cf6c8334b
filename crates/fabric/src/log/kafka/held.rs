use std::collections::{HashMap, VecDeque};

/// Which records of which partitions are in hand, and up to where each partition is dealt with without a gap.
#[derive(Default)]
pub(super) struct Held {
    partitions: HashMap<(String, i32), Partition>,
    /// Grows with each partition that comes: what was taken before it went is not believed after.
    turn: u64,
}

struct Partition {
    turn: u64,
    /// Offsets in order, and whether they are dealt with.
    open: VecDeque<(i64, bool)>,
}

impl Held {
    /// A record was taken; answers in which turn.
    pub(super) fn take(&mut self, topic: &str, partition: i32, offset: i64) -> u64 {
        let turn = &mut self.turn;
        let place = self.partitions.entry((topic.to_owned(), partition)).or_insert_with(|| {
            *turn += 1;
            Partition { turn: *turn, open: VecDeque::new() }
        });
        place.open.push_back((offset, false));
        place.turn
    }

    /// A record was dealt with. Answers the offset up to which nothing is open, if that moved.
    pub(super) fn done(&mut self, topic: &str, partition: i32, offset: i64, turn: u64) -> Option<i64> {
        let place = self.partitions.get_mut(&(topic.to_owned(), partition)).filter(|p| p.turn == turn)?;
        let at = place.open.binary_search_by_key(&offset, |(offset, _)| *offset).ok()?;
        place.open[at].1 = true;
        let mut reached = None;
        while let Some((offset, true)) = place.open.front() {
            reached = Some(*offset);
            place.open.pop_front();
        }
        reached
    }

    /// Whether the partition has not gone since.
    pub(super) fn is_ours(&self, topic: &str, partition: i32, turn: u64) -> bool {
        self.partitions.get(&(topic.to_owned(), partition)).is_some_and(|place| place.turn == turn)
    }

    /// The partition went.
    pub(super) fn forget(&mut self, topic: &str, partition: i32) {
        self.partitions.remove(&(topic.to_owned(), partition));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_reached_when_everything_before_it_is_dealt_with() {
        let mut held = Held::default();
        let turn = held.take("t", 0, 5);
        for offset in [6, 9, 10] {
            assert_eq!(held.take("t", 0, offset), turn);
        }
        assert_eq!(held.done("t", 0, 9, turn), None);
        assert_eq!(held.done("t", 0, 5, turn), Some(5));
        assert_eq!(held.done("t", 0, 6, turn), Some(9));
        assert_eq!(held.done("t", 0, 6, turn), None);
        assert_eq!(held.done("t", 0, 10, turn), Some(10));
        assert_eq!(held.done("t", 1, 10, turn), None);
    }

    #[test]
    fn what_was_taken_before_a_partition_went_says_nothing_after() {
        let mut held = Held::default();
        let before = held.take("t", 0, 5);
        held.forget("t", 0);
        assert!(!held.is_ours("t", 0, before));
        let after = held.take("t", 0, 5);
        assert_eq!(held.done("t", 0, 5, before), None);
        assert!(held.is_ours("t", 0, after));
        assert_eq!(held.done("t", 0, 5, after), Some(5));
    }
}

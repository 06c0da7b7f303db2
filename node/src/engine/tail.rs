//! The bounds of the engine's log and its newest records, in memory.
//!
//! A record is here from the moment it is appended, before the disk has it, so that it can be read
//! and sent at once. Once it is durable it may be forgotten here.

use std::collections::VecDeque;
use std::ops::Range;

use super::{Entry, LogId, Payload};
use crate::store::{EngineState, RecordSpan};

/// Memory for records that are durable too: some thirty of the largest batches, or seconds of
/// common ones, so that a follower that keeps up is never served from the disk.
const RECENT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What a record takes beside its batch.
const ENTRY_BYTES: usize = 128;

/// The records do not continue the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    /// Where they begin.
    pub(super) got: u64,
    /// Where they must begin.
    pub(super) want: u64,
}

/// What is known of the log without the disk.
#[derive(Debug)]
pub(super) struct Tail {
    purged: Option<LogId>,
    present: Option<RecordSpan>,
    /// The newest records, without a gap, up to the last.
    recent: VecDeque<(Entry, usize)>,
    recent_bytes: usize,
    recent_bytes_max: usize,
    /// All records below this index are durable.
    durable: u64,
    /// How often records were cut off or purged.
    cuts: u64,
}

/// Where the records of a range are.
#[derive(Debug)]
pub(super) struct Plan {
    /// Those that the disk has alone; they come first.
    pub(super) disk: Range<u64>,
    /// Those that are in memory, unless the disk's come first and the answer is bounded.
    pub(super) memory: Vec<Entry>,
    /// What [`Tail::cuts`] must still be once the disk was read.
    pub(super) cuts: u64,
}

impl Tail {
    /// What a node starts with: all on the disk.
    pub(super) fn new(state: &EngineState) -> Self {
        Self {
            purged: state.purged,
            present: state.present,
            recent: VecDeque::new(),
            recent_bytes: 0,
            recent_bytes_max: RECENT_BYTES_MAX,
            durable: state.present.map_or(0, |span| span.last.index + 1),
            cuts: 0,
        }
    }

    /// Up to where records were purged.
    pub(super) const fn purged(&self) -> Option<LogId> {
        self.purged
    }

    /// The last record, be it purged.
    pub(super) fn last(&self) -> Option<LogId> {
        self.present.map(|span| span.last).or(self.purged)
    }

    /// How often records were cut off or purged.
    pub(super) const fn cuts(&self) -> u64 {
        self.cuts
    }

    /// Takes records in at the end: all, or none when they leave a gap.
    pub(super) fn append(&mut self, entries: &[Entry]) -> Result<(), Gap> {
        let mut next = self.last().map(|last| last.index.saturating_add(1));
        for entry in entries {
            let got = entry.log_id.index;
            let want = next.unwrap_or(got);
            if got != want {
                return Err(Gap { got, want });
            }
            next = Some(got.saturating_add(1));
        }
        for entry in entries {
            let first = self.present.map_or(entry.log_id.index, |span| span.first);
            let last = entry.log_id;
            self.present = Some(RecordSpan { first, last });
            let bytes = size(entry);
            self.recent_bytes += bytes;
            self.recent.push_back((entry.clone(), bytes));
        }
        Ok(())
    }

    /// Notes that all records below an index are durable, and forgets the oldest of them.
    pub(super) fn became_durable(&mut self, next: u64) {
        self.durable = next;
        while self.recent_bytes > self.recent_bytes_max {
            match self.recent.front() {
                Some((entry, _)) if entry.log_id.index < self.durable => self.forget_front(),
                _ => return,
            }
        }
    }

    /// Cuts off all records after a place.
    pub(super) fn truncate(&mut self, after: Option<LogId>) {
        self.cuts += 1;
        let Some(span) = self.present else {
            return;
        };
        let kept = after.filter(|after| after.index >= span.first);
        self.present = match kept {
            Some(last) if last.index >= span.last.index => return,
            Some(last) => Some(RecordSpan { last, ..span }),
            None => None,
        };
        let end = kept.map_or(span.first, |last| last.index.saturating_add(1));
        self.durable = self.durable.min(end);
        while let Some((_, bytes)) = self
            .recent
            .pop_back_if(|(entry, _)| entry.log_id.index >= end)
        {
            self.recent_bytes -= bytes;
        }
    }

    /// Forgets all records up to a place.
    pub(super) fn purge(&mut self, upto: LogId) {
        if self.purged.is_some_and(|purged| purged.index >= upto.index) {
            return;
        }
        self.cuts += 1;
        self.purged = Some(upto);
        let left = self.present.filter(|span| span.last.index > upto.index);
        self.present = left.map(|span| RecordSpan {
            first: span.first.max(upto.index.saturating_add(1)),
            ..span
        });
        while let Some((entry, _)) = self.recent.front()
            && entry.log_id.index <= upto.index
        {
            self.forget_front();
        }
    }

    /// Where the records of a range are, as far as the log has them; those in memory up to this
    /// many bytes, and at least one.
    pub(super) fn plan(&self, range: Range<u64>, bytes_max: usize) -> Plan {
        let (first, end) = self.present.map_or((0, 0), |span| {
            (span.first, span.last.index.saturating_add(1))
        });
        let (from, to) = (range.start.max(first), range.end.min(end));
        let in_memory = self
            .recent
            .front()
            .map_or(end, |(entry, _)| entry.log_id.index);
        let disk = from..to.min(in_memory).max(from);
        let skipped = usize::try_from(from.saturating_sub(in_memory)).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let mut memory = Vec::new();
        for (entry, size) in self.recent.iter().skip(skipped) {
            bytes += size;
            let full = bytes > bytes_max && !memory.is_empty();
            if full || entry.log_id.index >= to {
                break;
            }
            memory.push(entry.clone());
        }
        let cuts = self.cuts;
        Plan { disk, memory, cuts }
    }

    fn forget_front(&mut self) {
        if let Some((_, bytes)) = self.recent.pop_front() {
            self.recent_bytes -= bytes;
        }
    }
}

/// About what a record takes in memory and on the wire.
fn size(entry: &Entry) -> usize {
    ENTRY_BYTES
        + match &entry.payload {
            Payload::Blank => 0,
            Payload::Normal(record) => record.bytes().len(),
            Payload::Membership(membership) => membership.nodes().count() * ENTRY_BYTES,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Applied, CommittedLeaderId, EngineId, Record};
    use proptest::prelude::*;

    fn empty() -> Tail {
        let mut tail = Tail::new(&EngineState {
            id: EngineId::new(1),
            vote: None,
            purged: None,
            present: None,
            lock: None,
            applied: Applied::default(),
            snapshot: None,
        });
        tail.recent_bytes_max = 10 * ENTRY_BYTES;
        tail
    }

    fn place(term: u64, index: u64) -> LogId {
        LogId::new(CommittedLeaderId::new(term), index)
    }

    fn entries(term: u64, indexes: Range<u64>) -> Vec<Entry> {
        let entry = |index| Entry {
            log_id: place(term, index),
            payload: Payload::Normal(Record::new(vec![0; 10])),
        };
        indexes.map(entry).collect()
    }

    #[test]
    fn what_is_not_durable_is_never_forgotten() {
        let mut tail = empty();
        tail.append(&entries(1, 0..50)).unwrap();
        assert_eq!(tail.plan(0..50, usize::MAX).memory.len(), 50);
        tail.became_durable(45);
        let plan = tail.plan(0..50, usize::MAX);
        assert_eq!((plan.disk, plan.memory.len()), (0..41, 9));
        // Cut off and appended anew: the new ones are not durable, whatever was before.
        tail.truncate(Some(place(1, 29)));
        tail.append(&entries(2, 30..50)).unwrap();
        tail.became_durable(30);
        let plan = tail.plan(0..50, usize::MAX);
        assert_eq!((plan.disk, plan.memory.len()), (0..30, 20));
        assert_eq!(
            tail.append(&entries(2, 51..52)),
            Err(Gap { got: 51, want: 50 })
        );
    }

    #[test]
    fn an_answer_from_memory_is_bounded_and_never_empty() {
        let mut tail = empty();
        tail.append(&entries(1, 0..5)).unwrap();
        assert_eq!(tail.plan(1..5, 1).memory, entries(1, 1..2));
        assert_eq!(tail.plan(1..5, 3 * (ENTRY_BYTES + 10)).memory.len(), 3);
        assert!(tail.plan(7..9, 1).memory.is_empty());
    }

    /// What a tail is judged by: all records that the log has, and those that the disk has.
    #[derive(Debug, Clone)]
    enum Op {
        Append(u8),
        Durable,
        Truncate(u8),
        Purge(u8),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (1_u8..20).prop_map(Op::Append),
            Just(Op::Durable),
            (0_u8..20).prop_map(Op::Truncate),
            (0_u8..20).prop_map(Op::Purge),
        ]
    }

    proptest! {
        #[test]
        fn disk_and_memory_together_are_the_whole_log(ops in prop::collection::vec(op(), 1..40)) {
            let (mut tail, mut log, mut disk) = (empty(), Vec::<Entry>::new(), Vec::<Entry>::new());
            let (mut term, mut purged) = (1, None);
            for op in ops {
                let last = log.last().map(|entry| entry.log_id).or(purged);
                match op {
                    Op::Append(count) => {
                        let next = last.map_or(0, |last| last.index + 1);
                        let new = entries(term, next..next + u64::from(count));
                        tail.append(&new).unwrap();
                        log.extend(new);
                    }
                    Op::Durable => {
                        disk.clone_from(&log);
                        tail.became_durable(last.map_or(0, |last| last.index + 1));
                    }
                    Op::Truncate(back) => {
                        term += 1;
                        log.truncate(log.len().saturating_sub(back.into()));
                        disk.retain(|entry| log.contains(entry));
                        tail.truncate(log.last().map(|entry| entry.log_id).or(purged));
                    }
                    Op::Purge(count) => {
                        if let Some(entry) = log.get(usize::from(count)) {
                            purged = Some(entry.log_id);
                            tail.purge(entry.log_id);
                            log.drain(..=usize::from(count));
                            disk.retain(|entry| log.contains(entry));
                        }
                    }
                }
                prop_assert_eq!(tail.last(), log.last().map(|entry| entry.log_id).or(purged));
                let plan = tail.plan(0..u64::MAX, usize::MAX);
                let mut found = disk.clone();
                found.retain(|entry| plan.disk.contains(&entry.log_id.index));
                prop_assert_eq!(found.len() as u64, plan.disk.end - plan.disk.start);
                found.extend(plan.memory);
                prop_assert_eq!(&found, &log);
                let bytes: usize = tail.recent.iter().map(|(_, bytes)| bytes).sum();
                prop_assert_eq!(bytes, tail.recent_bytes);
            }
        }
    }
}

//! What was applied and is not in the database's file yet: newer values over those of the file.
//!
//! One write to the file takes all of it, and each value once, however many batches have changed it
//! since the write before. Whoever reads finds the newest value, wherever it lies. What is only
//! here is gone with the process: for that there is the engine's log.

use std::collections::BTreeMap;
use std::mem;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use sled::IVec;

/// What one key is to hold; `None` where it is removed.
pub(super) type Layer = BTreeMap<IVec, Option<IVec>>;

/// Changes that are applied together.
#[derive(Debug, Clone, Default)]
pub(super) struct Batch(Layer);

impl Batch {
    pub(super) fn insert(&mut self, key: impl Into<IVec>, value: impl Into<IVec>) {
        self.0.insert(key.into(), Some(value.into()));
    }

    pub(super) fn remove(&mut self, key: impl Into<IVec>) {
        self.0.insert(key.into(), None);
    }
}

/// The values that are newer than the file.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    newest: Layer,
    /// Those on their way to the file. They stay until the file has them: for ever, where that
    /// failed.
    underway: Arc<Layer>,
    /// What `newest` takes in memory, about.
    bytes: usize,
}

impl Unwritten {
    /// Takes changes in, over those before.
    pub(super) fn apply(&mut self, Batch(changes): Batch) {
        for (key, value) in changes {
            self.bytes += length(&key, value.as_ref());
            let key_bytes = key.len();
            if let Some(replaced) = self.newest.insert(key, value) {
                self.bytes -= key_bytes + replaced.map_or(0, |value| value.len());
            }
        }
    }

    /// What waits to be written, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// What a key holds, if that is known here: nothing, where it was removed.
    pub(super) fn find(&self, key: &[u8]) -> Option<Option<IVec>> {
        let newest = self.newest.get(key);
        newest.or_else(|| self.underway.get(key)).cloned()
    }

    /// What is known here of a range of keys.
    pub(super) fn range(&self, range: &impl RangeBounds<Vec<u8>>) -> Layer {
        fn key(bound: Bound<&Vec<u8>>) -> Bound<&[u8]> {
            bound.map(Vec::as_slice)
        }
        let bounds = (key(range.start_bound()), key(range.end_bound()));
        let found = |layer: &Layer| {
            let found = layer.range::<[u8], _>(bounds);
            let copied = found.map(|(key, value)| (key.clone(), value.clone()));
            copied.collect::<Layer>()
        };
        let mut all = found(&self.underway);
        all.append(&mut found(&self.newest));
        all
    }

    /// What goes to the file now; empty when there is nothing.
    pub(super) fn begin(&mut self) -> Arc<Layer> {
        self.bytes = 0;
        Arc::make_mut(&mut self.underway).append(&mut self.newest);
        self.underway.clone()
    }

    /// What was on its way is in the file: it is given back, to be dropped where nobody waits.
    pub(super) fn written(&mut self) -> Arc<Layer> {
        mem::take(&mut self.underway)
    }
}

fn length(key: &IVec, value: Option<&IVec>) -> usize {
    key.len() + value.map_or(0, |value| value.len())
}

/// The values of a range: those of the file, which come in the order of their keys, under those
/// that are newer.
pub(super) fn merged<E>(
    newer: Layer,
    file: impl Iterator<Item = Result<(IVec, IVec), E>>,
) -> impl Iterator<Item = Result<(IVec, IVec), E>> {
    let (mut newer, mut file) = (newer.into_iter().peekable(), file.peekable());
    std::iter::from_fn(move || {
        loop {
            let mut comes_first = |key: &IVec| match file.peek() {
                None => true,
                Some(Ok((other, _))) => key <= other,
                Some(Err(_)) => false,
            };
            let Some((key, value)) = newer.next_if(|(key, _)| comes_first(key)) else {
                return file.next();
            };
            let is_it =
                |other: &Result<(IVec, IVec), E>| matches!(other, Ok((other, _)) if *other == key);
            drop(file.next_if(is_it));
            if let Some(value) = value {
                return Some(Ok((key, value)));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What values are judged by: one table of all of them, and one of those in the file.
    #[derive(Debug, Clone)]
    enum Op {
        Insert(u8, u8),
        Remove(u8),
        Begin,
        Written,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (0_u8..12, any::<u8>()).prop_map(|(key, value)| Op::Insert(key, value)),
            2 => (0_u8..12).prop_map(Op::Remove),
            1 => Just(Op::Begin),
            1 => Just(Op::Written),
        ]
    }

    fn change(table: &mut BTreeMap<IVec, IVec>, layer: &Layer) {
        for (key, value) in layer {
            match value {
                Some(value) => drop(table.insert(key.clone(), value.clone())),
                None => drop(table.remove(key)),
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_applied_last(ops in prop::collection::vec(op(), 1..60)) {
            let (mut unwritten, mut all, mut file) = <(Unwritten, BTreeMap<_, _>, BTreeMap<_, _>)>::default();
            let mut underway = Layer::new();
            for op in ops {
                let mut batch = Batch::default();
                match op {
                    Op::Insert(key, value) => batch.insert(&[key], &[value]),
                    Op::Remove(key) => batch.remove(&[key]),
                    Op::Begin => {
                        underway.clone_from(&unwritten.begin());
                        prop_assert_eq!(unwritten.bytes(), 0);
                    }
                    Op::Written => {
                        change(&mut file, &mem::take(&mut underway));
                        drop(unwritten.written());
                    }
                }
                change(&mut all, &batch.0);
                unwritten.apply(batch);
                for key in 0..12 {
                    let key = [key];
                    let found = unwritten.find(&key).unwrap_or_else(|| file.get(&key[..]).cloned());
                    prop_assert_eq!(found.as_ref(), all.get(&key[..]));
                }
                let range = vec![3]..vec![9];
                let stored = file.range(IVec::from(&[3])..IVec::from(&[9]));
                let stored = stored.map(|(key, value)| Ok((key.clone(), value.clone())));
                let found: Result<Vec<_>, ()> = merged(unwritten.range(&range), stored).collect();
                let want = all.range(IVec::from(&[3])..IVec::from(&[9]));
                let want: Vec<_> = want.map(|(key, value)| (key.clone(), value.clone())).collect();
                prop_assert_eq!(found, Ok(want));
                let newest = unwritten.newest.iter();
                let bytes: usize = newest.map(|(key, value)| length(key, value.as_ref())).sum();
                prop_assert_eq!(unwritten.bytes(), bytes);
            }
        }
    }
}

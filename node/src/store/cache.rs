//! What the store keeps in memory of what it has on disk.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use proto::ids::TreeSize;
use proto::map::{Bucket, Prefix};

use super::StoreError;

/// Most replaced buckets that are kept for readers of earlier states: at 2 KiB each that is
/// 32 MiB, and at 10,000 appends a second about half a second of history. A proof takes less
/// than a millisecond.
const REPLACED_BUCKETS_MAX: usize = 16 * 1024;

/// A bounded cache in two generations: what is used moves to the young one; when that is full,
/// it becomes the old one, and what nobody used meanwhile is dropped.
#[derive(Debug)]
pub(super) struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    young_max: usize,
}

impl<K: Eq + Hash + Copy, V: Clone> Generations<K, V> {
    /// A cache of at most `capacity` values.
    pub(super) fn new(capacity: usize) -> Self {
        let young_max = (capacity / 2).max(1);
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            young_max,
        }
    }

    pub(super) fn find(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let value = self.old.remove(key)?;
        self.insert(*key, value.clone());
        Some(value)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.young_max {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    pub(super) fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

/// The newest buckets, and those that recent commits replaced.
///
/// A bucket is overwritten in place while readers still prove against the state before. They ask
/// by the size of the log at their state, and get the bucket as it was then.
#[derive(Debug)]
pub(super) struct Buckets {
    newest: Generations<Prefix, Arc<Bucket>>,
    /// By prefix, each value with the last size of the log at which it stood, in ascending order.
    replaced: BTreeMap<Prefix, VecDeque<(TreeSize, Arc<Bucket>)>>,
    /// What each recent commit replaced, oldest first, under the size before it.
    commits: VecDeque<(TreeSize, Vec<Prefix>)>,
    replaced_count: usize,
    /// The smallest size at which every replaced bucket is still here.
    oldest: TreeSize,
    /// Odd while a commit writes: then nobody knows which of the two a read from disk is.
    writes: u64,
}

/// What the cache knows of a bucket.
pub(super) enum Lookup {
    /// It is this one.
    Found(Arc<Bucket>),
    /// It is the one on disk, if the cache still says so after the read.
    OnDisk,
    /// The state at this size is too long ago.
    Superseded(TreeSize),
}

impl Lookup {
    /// The bucket, unless it is on disk.
    pub(super) fn in_memory(self) -> Result<Option<Arc<Bucket>>, StoreError> {
        match self {
            Self::Found(bucket) => Ok(Some(bucket)),
            Self::OnDisk => Ok(None),
            Self::Superseded(size) => Err(StoreError::Superseded { size }),
        }
    }
}

/// A moment of the cache, to tell whether a commit came between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(u64);

impl Buckets {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            newest: Generations::new(capacity),
            replaced: BTreeMap::new(),
            commits: VecDeque::new(),
            replaced_count: 0,
            oldest: TreeSize::new(0),
            writes: 0,
        }
    }

    /// The bucket as of a size of the log; without one, the newest.
    pub(super) fn find(&mut self, prefix: &Prefix, as_of: Option<TreeSize>) -> (Lookup, Moment) {
        (self.lookup(prefix, as_of), Moment(self.writes))
    }

    fn lookup(&mut self, prefix: &Prefix, as_of: Option<TreeSize>) -> Lookup {
        if let Some(size) = as_of {
            if size < self.oldest {
                return Lookup::Superseded(size);
            }
            let versions = self.replaced.get(prefix).into_iter().flatten();
            if let Some((_, bucket)) = versions.into_iter().find(|(last, _)| *last >= size) {
                return Lookup::Found(bucket.clone());
            }
        }
        self.newest
            .find(prefix)
            .map_or(Lookup::OnDisk, Lookup::Found)
    }

    /// Keeps what was read from disk, unless a commit has written since or is writing.
    pub(super) fn remember(&mut self, prefix: Prefix, bucket: &Arc<Bucket>, since: Moment) {
        if since == Moment(self.writes) && self.writes.is_multiple_of(2) {
            self.newest.insert(prefix, bucket.clone());
        }
    }

    /// Before a commit writes: keeps what it replaces for the readers of the state before it.
    pub(super) fn begin(&mut self, before: TreeSize, replaced: Vec<(Prefix, Arc<Bucket>)>) {
        self.writes += 1;
        let mut prefixes = Vec::with_capacity(replaced.len());
        for (prefix, bucket) in replaced {
            self.newest.remove(&prefix);
            self.replaced
                .entry(prefix)
                .or_default()
                .push_back((before, bucket));
            prefixes.push(prefix);
        }
        if prefixes.is_empty() {
            return;
        }
        self.replaced_count += prefixes.len();
        self.commits.push_back((before, prefixes));
        while self.replaced_count > REPLACED_BUCKETS_MAX && self.commits.len() > 1 {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((before, prefixes)) = self.commits.pop_front() else {
            return;
        };
        self.replaced_count -= prefixes.len();
        self.oldest = TreeSize::new(before.get() + 1);
        for prefix in prefixes {
            let Some(versions) = self.replaced.get_mut(&prefix) else {
                continue;
            };
            versions.pop_front();
            if versions.is_empty() {
                self.replaced.remove(&prefix);
            }
        }
    }

    /// Once a commit is durable: what it wrote is the newest.
    pub(super) fn end(&mut self, written: impl Iterator<Item = (Prefix, Arc<Bucket>)>) {
        for (prefix, bucket) in written {
            self.newest.insert(prefix, bucket);
        }
        self.writes += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_keeps_what_is_used_and_stays_within_its_capacity() {
        let mut cache = Generations::new(8);
        for key in 0..1000 {
            cache.insert(key, key * 2);
            assert_eq!(cache.find(&0), Some(0), "after {key}");
            assert!(cache.len() <= 8);
        }
        assert_eq!(cache.find(&500), None);
        cache.remove(&0);
        assert_eq!(cache.find(&0), None);
    }
}

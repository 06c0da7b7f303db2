//! The upper tree in memory: reads, proofs, and updates that return what to write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thiserror::Error;

use super::bucket::{BUCKET_LEAVES_MAX, Bucket, Leaf, branch_root, part};
use super::proof::{End, MapProof};
use super::{MapIndex, MapValue, Prefix};
use crate::hash::{self, Hash};
use crate::merkle;

/// Where buckets are stored.
pub trait BucketSource {
    /// Why a bucket cannot be read.
    type Error;

    /// The bucket stored under this prefix; it need not be believed.
    ///
    /// # Errors
    /// Whatever keeps the store from answering, a missing bucket included.
    fn bucket(&self, prefix: &Prefix) -> Result<Arc<Bucket>, Self::Error>;
}

/// Why the map cannot answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MapError<E> {
    /// A stored bucket is not the one that the map was built from.
    #[error("the bucket under {prefix} is corrupt: it has another root")]
    CorruptBucket {
        /// Which one.
        prefix: Prefix,
    },
    /// A bucket cannot be read.
    #[error("a bucket cannot be read")]
    Source(#[from] E),
}

/// Why the crown cannot be built from the stored buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MapRebuildError<E> {
    /// A bucket has a leaf that belongs elsewhere.
    #[error("the bucket under {prefix} has a leaf of another branch")]
    ForeignLeaf {
        /// Which bucket.
        prefix: Prefix,
    },
    /// A bucket stands under another one, or one came twice.
    #[error("the bucket under {prefix} overlaps another one")]
    Overlap {
        /// Which bucket.
        prefix: Prefix,
    },
    /// A branch is split although its leaves fit one bucket.
    #[error("the branch under {prefix} is split but fits one bucket")]
    NeedlessSplit {
        /// Which branch.
        prefix: Prefix,
    },
    /// The buckets cannot be read.
    #[error("the buckets cannot be read")]
    Source(#[from] E),
}

/// A branch of the upper tree.
#[derive(Debug)]
enum Branch {
    Empty,
    /// At most 16 leaves: the rest is in storage.
    Bucket {
        root: Hash,
        leaves: usize,
    },
    /// More than 16 leaves.
    Pair {
        root: Hash,
        leaves: usize,
        left: Arc<Branch>,
        right: Arc<Branch>,
    },
}

impl Branch {
    fn pair(left: Arc<Self>, right: Arc<Self>) -> Self {
        Self::Pair {
            root: merkle::pair(&left.root(), &right.root()),
            leaves: left.leaves() + right.leaves(),
            left,
            right,
        }
    }

    fn root(&self) -> Hash {
        match self {
            Self::Empty => hash::empty(),
            Self::Bucket { root, .. } | Self::Pair { root, .. } => *root,
        }
    }

    fn leaves(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Bucket { leaves, .. } | Self::Pair { leaves, .. } => *leaves,
        }
    }
}

/// One version of the map, without its leaves.
///
/// It never changes and a clone is one counter, so readers keep the published version while the
/// writer makes the next. A reader's source must then still have that version's buckets.
#[derive(Debug, Clone)]
pub struct Crown {
    top: Arc<Branch>,
}

impl Default for Crown {
    fn default() -> Self {
        Self::new()
    }
}

impl Crown {
    /// The empty map.
    #[must_use]
    pub fn new() -> Self {
        Self {
            top: Arc::new(Branch::Empty),
        }
    }

    /// The map of these stored buckets, which may come in any order.
    ///
    /// Its [`root`](Self::root) is computed from what was read, so whoever compares it with a
    /// checkpoint has checked every byte of it.
    ///
    /// # Errors
    /// [`MapRebuildError`] unless the buckets are just those that the map of their leaves has.
    pub fn rebuild<E>(
        buckets: impl IntoIterator<Item = Result<(Prefix, Bucket), E>>,
    ) -> Result<Self, MapRebuildError<E>> {
        let mut marks = Vec::new();
        for bucket in buckets {
            let (prefix, bucket) = bucket?;
            if !bucket.leaves().all(|(index, _)| prefix.contains(index)) {
                return Err(MapRebuildError::ForeignLeaf { prefix });
            }
            let root = bucket.root(&prefix);
            let leaves = bucket.hashed_leaves().len();
            marks.push(Mark {
                prefix,
                root,
                leaves,
            });
        }
        marks.sort_by_key(|mark| mark.prefix);
        let top = grow(Prefix::ROOT, &marks)?;
        Ok(Self { top: Arc::new(top) })
    }

    /// The root of the map.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.top.root()
    }

    /// How many leaves the map has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.top.leaves()
    }

    /// Whether the map has no leaf.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value under an index.
    ///
    /// # Errors
    /// [`MapError`] when its bucket cannot be read or is corrupt; a value is then not given.
    pub fn read<S: BucketSource>(
        &self,
        index: &MapIndex,
        source: &S,
    ) -> Result<Option<MapValue>, MapError<S::Error>> {
        let (prefix, branch) = self.descend(index, |_| ());
        let bucket = checked_bucket(branch, &prefix, source)?;
        Ok(bucket.and_then(|bucket| bucket.find(index).copied()))
    }

    /// Proves what the map holds under an index, be it nothing.
    ///
    /// # Errors
    /// [`MapError`] when its bucket cannot be read or is corrupt; no proof is then made.
    pub fn prove<S: BucketSource>(
        &self,
        index: &MapIndex,
        source: &S,
    ) -> Result<MapProof, MapError<S::Error>> {
        let mut siblings = Vec::new();
        let (prefix, branch) = self.descend(index, |sibling| siblings.push(sibling.root()));
        let bucket = checked_bucket(branch, &prefix, source)?;
        let mut leaves = bucket.as_deref().map_or(&[][..], Bucket::hashed_leaves);
        let mut depth = prefix.depth();
        while leaves.len() > 1 {
            let (left, right) = part(leaves, depth);
            let (next, sibling) = if index.turns_right(depth) {
                (right, left)
            } else {
                (left, right)
            };
            depth += 1;
            siblings.push(branch_root(sibling, depth));
            leaves = next;
        }
        siblings.reverse(); // A proof is read from the end of the path up.
        let end = match leaves.first() {
            None => End::Empty,
            Some(leaf) if leaf.index == *index => End::Own(leaf.value),
            Some(leaf) => End::Other {
                index: leaf.index,
                value_hash: leaf.value.hash(),
            },
        };
        Ok(MapProof::of(end, siblings))
    }

    /// The next version: sets each index to its value, or removes it. Nothing is written; the
    /// update says what to write before its crown is published.
    ///
    /// Costs the reading and hashing of each bucket touched, and one hash for each branch above.
    ///
    /// # Errors
    /// [`MapError`] when a bucket cannot be read or is corrupt; this version is still good.
    pub fn update<S: BucketSource>(
        &self,
        changes: &BTreeMap<MapIndex, Option<MapValue>>,
        source: &S,
    ) -> Result<MapUpdate, MapError<S::Error>> {
        let changes: Vec<Change<'_>> = changes.iter().collect();
        let mut update = Update {
            source,
            puts: BTreeMap::new(),
            deletes: BTreeSet::new(),
        };
        let next = update.branch(&self.top, Prefix::ROOT, &changes)?;
        let top = update.keep(Prefix::ROOT, next);
        Ok(MapUpdate {
            puts: update.puts,
            deletes: update.deletes,
            crown: Self { top },
        })
    }

    /// Follows an index down to a branch that is not a pair, and shows each sibling passed.
    fn descend(&self, index: &MapIndex, mut pass: impl FnMut(&Branch)) -> (Prefix, &Branch) {
        let mut prefix = Prefix::ROOT;
        let mut branch = &*self.top;
        while let Branch::Pair { left, right, .. } = branch {
            let (left_prefix, right_prefix) = prefix.halves();
            if index.turns_right(prefix.depth()) {
                pass(left);
                (prefix, branch) = (right_prefix, right);
            } else {
                pass(right);
                (prefix, branch) = (left_prefix, left);
            }
        }
        (prefix, branch)
    }
}

/// What the crown keeps of one stored bucket.
struct Mark {
    prefix: Prefix,
    root: Hash,
    leaves: usize,
}

/// The branch under a prefix, from the marks of the buckets under it, in order.
fn grow<E>(prefix: Prefix, marks: &[Mark]) -> Result<Branch, MapRebuildError<E>> {
    match marks {
        [] => return Ok(Branch::Empty),
        // A prefix sorts before all that begin with it, so it could only be the first.
        [first, rest @ ..] if first.prefix == prefix => {
            let bucket = Branch::Bucket {
                root: first.root,
                leaves: first.leaves,
            };
            let overlap = MapRebuildError::Overlap { prefix };
            return rest.is_empty().then_some(bucket).ok_or(overlap);
        }
        _ => (),
    }
    let turns_left = |mark: &Mark| !mark.prefix.turns_right(prefix.depth());
    let (left, right) = marks.split_at(marks.partition_point(turns_left));
    let (left_prefix, right_prefix) = prefix.halves();
    let left = Arc::new(grow(left_prefix, left)?);
    let right = Arc::new(grow(right_prefix, right)?);
    let pair = Branch::pair(left, right);
    let needed = pair.leaves() > BUCKET_LEAVES_MAX;
    let needless = MapRebuildError::NeedlessSplit { prefix };
    needed.then_some(pair).ok_or(needless)
}

/// The bucket of a branch, once its root is found to be the one that the crown knows.
fn checked_bucket<S: BucketSource>(
    branch: &Branch,
    prefix: &Prefix,
    source: &S,
) -> Result<Option<Arc<Bucket>>, MapError<S::Error>> {
    let Branch::Bucket { root, .. } = branch else {
        return Ok(None);
    };
    let bucket = source.bucket(prefix)?;
    if bucket.root(prefix) != *root {
        return Err(MapError::CorruptBucket { prefix: *prefix });
    }
    Ok(Some(bucket))
}

/// What an update writes, and the version that stands once it is written.
#[derive(Debug, Clone)]
pub struct MapUpdate {
    puts: BTreeMap<Prefix, Arc<Bucket>>,
    deletes: BTreeSet<Prefix>,
    crown: Crown,
}

impl MapUpdate {
    /// The buckets to store, each under its prefix.
    pub fn puts(&self) -> impl Iterator<Item = (&Prefix, &Arc<Bucket>)> {
        self.puts.iter()
    }

    /// The prefixes whose buckets are to be removed. None of them is also stored.
    pub fn deletes(&self) -> impl Iterator<Item = &Prefix> {
        self.deletes.iter()
    }

    /// The root after the update.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.crown.root()
    }

    /// The version after the update. Publish it once the writes are durable.
    #[must_use]
    pub fn crown(&self) -> &Crown {
        &self.crown
    }
}

type Change<'a> = (&'a MapIndex, &'a Option<MapValue>);

/// An update under way.
struct Update<'a, S> {
    source: &'a S,
    puts: BTreeMap<Prefix, Arc<Bucket>>,
    deletes: BTreeSet<Prefix>,
}

/// A branch after its changes. Its own bucket is not among the puts yet: the branch above may
/// still take the leaves into one of its own.
struct Next {
    branch: Arc<Branch>,
    unsaved: Option<Arc<Bucket>>,
}

impl<S: BucketSource> Update<'_, S> {
    /// Applies the changes that fall under one branch.
    fn branch(
        &mut self,
        old: &Arc<Branch>,
        prefix: Prefix,
        changes: &[Change<'_>],
    ) -> Result<Next, MapError<S::Error>> {
        if changes.is_empty() {
            return Ok(Next::unchanged(old));
        }
        let Branch::Pair { left, right, .. } = &**old else {
            return self.bucket(old, prefix, changes);
        };
        let middle = changes.partition_point(|(index, _)| !index.turns_right(prefix.depth()));
        let (left_changes, right_changes) = changes.split_at(middle);
        let (left_prefix, right_prefix) = prefix.halves();
        let next_left = self.branch(left, left_prefix, left_changes)?;
        let next_right = self.branch(right, right_prefix, right_changes)?;
        if next_left.branch.leaves() + next_right.branch.leaves() > BUCKET_LEAVES_MAX {
            let left = self.keep(left_prefix, next_left);
            let right = self.keep(right_prefix, next_right);
            return Ok(Next::saved(Branch::pair(left, right)));
        }
        let mut leaves = self.take_leaves(left, left_prefix, next_left)?;
        leaves.extend(self.take_leaves(right, right_prefix, next_right)?);
        Ok(self.build(prefix, leaves))
    }

    /// Applies changes to a branch that is empty or a bucket.
    fn bucket(
        &mut self,
        old: &Arc<Branch>,
        prefix: Prefix,
        changes: &[Change<'_>],
    ) -> Result<Next, MapError<S::Error>> {
        let bucket = checked_bucket(old, &prefix, self.source)?;
        let before = bucket.as_deref().map_or(&[][..], Bucket::hashed_leaves);
        let mut leaves = before.to_vec();
        for (index, value) in changes {
            let place = leaves.binary_search_by_key(*index, |leaf| leaf.index);
            match (place, value) {
                (Ok(at), Some(value)) => leaves[at] = Leaf::new(**index, *value),
                (Ok(at), None) => drop(leaves.remove(at)),
                (Err(at), Some(value)) => leaves.insert(at, Leaf::new(**index, *value)),
                (Err(_), None) => (),
            }
        }
        if leaves == before {
            return Ok(Next::unchanged(old));
        }
        if bucket.is_some() && !(1..=BUCKET_LEAVES_MAX).contains(&leaves.len()) {
            self.deletes.insert(prefix);
        }
        Ok(self.build(prefix, leaves))
    }

    /// The branch of these leaves in the one layout that they have.
    fn build(&mut self, prefix: Prefix, leaves: Vec<Leaf>) -> Next {
        if leaves.is_empty() {
            return Next::saved(Branch::Empty);
        }
        if leaves.len() > BUCKET_LEAVES_MAX {
            let (left, right) = part(&leaves, prefix.depth());
            let (left_prefix, right_prefix) = prefix.halves();
            let next_left = self.build(left_prefix, left.to_vec());
            let next_right = self.build(right_prefix, right.to_vec());
            let left = self.keep(left_prefix, next_left);
            let right = self.keep(right_prefix, next_right);
            return Next::saved(Branch::pair(left, right));
        }
        let leaf_count = leaves.len();
        let bucket = Bucket::of(leaves);
        let branch = Arc::new(Branch::Bucket {
            root: bucket.root(&prefix),
            leaves: leaf_count,
        });
        let unsaved = Some(Arc::new(bucket));
        Next { branch, unsaved }
    }

    /// A branch stays where it is: its bucket is to be stored.
    fn keep(&mut self, prefix: Prefix, next: Next) -> Arc<Branch> {
        if let Some(bucket) = next.unsaved {
            self.puts.insert(prefix, bucket);
        }
        next.branch
    }

    /// A branch goes into a bucket above it: its leaves are taken, its own bucket is to go.
    fn take_leaves(
        &mut self,
        old: &Branch,
        prefix: Prefix,
        next: Next,
    ) -> Result<Vec<Leaf>, MapError<S::Error>> {
        if matches!(old, Branch::Bucket { .. }) {
            self.deletes.insert(prefix);
        }
        let bucket = match next.unsaved {
            Some(bucket) => Some(bucket),
            None => checked_bucket(&next.branch, &prefix, self.source)?,
        };
        Ok(bucket.map_or_else(Vec::new, |bucket| bucket.hashed_leaves().to_vec()))
    }
}

impl Next {
    fn unchanged(old: &Arc<Branch>) -> Self {
        Self {
            branch: old.clone(),
            unsaved: None,
        }
    }

    /// A branch that has no bucket of its own.
    fn saved(branch: Branch) -> Self {
        Self {
            branch: Arc::new(branch),
            unsaved: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::super::proof::MapProofError;
    use super::super::tests::{index, value};
    use super::*;
    use crate::hash::{Context, LEAF_PREFIX, prefixed};

    type Contents = BTreeMap<MapIndex, MapValue>;
    type Changes = BTreeMap<MapIndex, Option<MapValue>>;

    /// The definition of the map, over its whole contents: slow and obvious.
    fn reference_root(contents: &Contents, depth: usize) -> Hash {
        match contents.len() {
            0 => hash::empty(),
            1 => {
                let (index, value) = contents.first_key_value().unwrap();
                let value_hash = prefixed(LEAF_PREFIX, value.as_bytes(), &[]);
                prefixed(LEAF_PREFIX, index.as_bytes(), value_hash.as_bytes())
            }
            _ => {
                let side = |right| {
                    let bit = |i: &MapIndex| (i.0[depth / 8] >> (7 - depth % 8)) & 1 == 1;
                    let under = contents.iter().filter(|(i, _)| bit(i) == right);
                    reference_root(&under.map(|(i, v)| (*i, *v)).collect(), depth + 1)
                };
                merkle::pair(&side(false), &side(true))
            }
        }
    }

    /// The buckets that the contents have, by the rule: the largest branches of at most 16.
    fn reference_layout(contents: &Contents, prefix: Prefix, layout: &mut Vec<Prefix>) {
        let under = contents.keys().filter(|i| prefix.contains(i)).count();
        match under {
            0 => (),
            1..=16 => layout.push(prefix),
            _ => {
                let (left, right) = prefix.halves();
                reference_layout(contents, left, layout);
                reference_layout(contents, right, layout);
            }
        }
    }

    /// Buckets as bytes under bytes, as a disk has them.
    #[derive(Default, Clone)]
    struct Disk(BTreeMap<Vec<u8>, Vec<u8>>);

    impl BucketSource for Disk {
        type Error = Prefix;

        fn bucket(&self, prefix: &Prefix) -> Result<Arc<Bucket>, Prefix> {
            let bytes = self.0.get(&prefix.to_bytes()).ok_or(*prefix)?;
            Bucket::from_bytes(bytes).map(Arc::new).map_err(|_| *prefix)
        }
    }

    impl Disk {
        fn apply(&mut self, update: &MapUpdate) {
            for prefix in update.deletes() {
                assert!(!update.puts.contains_key(prefix), "{prefix} is also put");
                let removed = self.0.remove(&prefix.to_bytes());
                assert!(removed.is_some(), "{prefix} was never stored");
            }
            for (prefix, bucket) in update.puts() {
                self.0.insert(prefix.to_bytes(), bucket.to_bytes());
            }
        }

        fn buckets(&self) -> impl Iterator<Item = Result<(Prefix, Bucket), Infallible>> {
            let read = |(prefix, bucket): (&Vec<u8>, &Vec<u8>)| {
                let prefix = Prefix::from_bytes(prefix).unwrap();
                Ok((prefix, Bucket::from_bytes(bucket).unwrap()))
            };
            self.0.iter().rev().map(read)
        }
    }

    /// A map, its disk, and what should be in it.
    #[derive(Default)]
    struct World {
        crown: Crown,
        disk: Disk,
        contents: Contents,
    }

    impl World {
        fn of(contents: impl IntoIterator<Item = (MapIndex, MapValue)>) -> Self {
            let mut world = Self::default();
            world.step(&contents.into_iter().map(|(i, v)| (i, Some(v))).collect());
            world
        }

        fn step(&mut self, changes: &Changes) {
            let update = self.crown.update(changes, &self.disk).unwrap();
            self.disk.apply(&update);
            self.crown = update.crown().clone();
            for (index, value) in changes {
                match value {
                    Some(value) => drop(self.contents.insert(*index, *value)),
                    None => drop(self.contents.remove(index)),
                }
            }
        }

        fn check(&self) {
            assert_eq!(self.crown.root(), reference_root(&self.contents, 0));
            assert_eq!(self.crown.len(), self.contents.len());
            let mut layout = Vec::new();
            reference_layout(&self.contents, Prefix::ROOT, &mut layout);
            let stored: Vec<_> = self.disk.buckets().map(|b| b.unwrap().0).collect();
            layout.sort();
            assert_eq!(layout, {
                let mut s = stored;
                s.sort();
                s
            });
            let rebuilt = Crown::rebuild(self.disk.buckets()).unwrap();
            assert_eq!(rebuilt.root(), self.crown.root());
            assert_eq!(rebuilt.len(), self.crown.len());
        }

        fn check_index(&self, index: &MapIndex) {
            let expected = self.contents.get(index);
            let read = self.crown.read(index, &self.disk).unwrap();
            assert_eq!(read.as_ref(), expected);
            let proof = self.crown.prove(index, &self.disk).unwrap();
            assert_eq!(proof.verify(index, self.crown.root()), Ok(expected));
            assert_eq!(MapProof::from_bytes(&proof.to_bytes()), Ok(proof));
        }
    }

    fn key(number: u32) -> MapIndex {
        MapIndex::new(Context::MapSlot, &number.to_be_bytes())
    }

    fn numbered(numbers: std::ops::Range<u32>) -> impl Iterator<Item = (MapIndex, MapValue)> {
        numbers.map(|n| (key(n), value(&n.to_be_bytes())))
    }

    #[test]
    fn an_empty_map_proves_every_absence() {
        let world = World::default();
        world.check();
        world.check_index(&key(1));
        assert_eq!(world.crown.root(), hash::empty());
        assert!(world.crown.is_empty());
    }

    #[test]
    fn the_map_matches_its_definition_at_every_small_size_up_and_down() {
        let mut world = World::default();
        for n in 0..60 {
            world.step(&BTreeMap::from([(key(n), Some(value(&[1])))]));
            world.check();
            (0..=n + 1).for_each(|i| world.check_index(&key(i)));
        }
        for n in 0..60 {
            world.step(&BTreeMap::from([(key(n), None)]));
            world.check();
            world.check_index(&key(n));
        }
        assert!(world.disk.0.is_empty());
    }

    #[test]
    fn one_batch_or_many_in_any_order_make_the_same_map_and_the_same_disk() {
        let whole = World::of(numbered(0..700));
        whole.check();
        let mut pieces = World::default();
        for start in [600, 0, 300, 100, 500, 200, 400] {
            pieces.step(
                &numbered(start..start + 200)
                    .map(|(i, v)| (i, Some(v)))
                    .collect(),
            );
            pieces.check();
        }
        pieces.step(&numbered(700..800).map(|(i, _)| (i, None)).collect());
        assert_eq!(pieces.crown.root(), whole.crown.root());
        assert_eq!(pieces.disk.0, whole.disk.0);
    }

    #[test]
    fn indexes_that_share_almost_all_bits_are_told_apart() {
        let close = |last: u8| {
            let mut bytes = [0x5a; 32];
            bytes[31] = last;
            MapIndex(bytes)
        };
        let mut world = World::of((0..=31).map(|i| (close(i), value(&[i]))));
        world.check();
        (0..=33).for_each(|i| world.check_index(&close(i)));
        world.check_index(&index(&[0x5a]));
        world.check_index(&index(&[0x80]));
        world.step(&(0..=15).map(|i| (close(i), None)).collect());
        world.check();
        assert_eq!(world.disk.0.keys().next(), Some(&vec![0]));
    }

    #[test]
    fn a_change_that_changes_nothing_writes_nothing() {
        let world = World::of(numbered(0..100));
        let same = numbered(0..50).map(|(i, v)| (i, Some(v)));
        let gone = numbered(100..150).map(|(i, _)| (i, None));
        let update = world.crown.update(&same.chain(gone).collect(), &world.disk);
        let update = update.unwrap();
        assert_eq!(update.root(), world.crown.root());
        assert_eq!(update.puts().count() + update.deletes().count(), 0);
    }

    #[test]
    fn a_published_version_still_proves_while_the_next_is_made() {
        let old = World::of(numbered(0..300));
        let changes = numbered(200..500).map(|(i, _)| (i, Some(value(b"new"))));
        let update = old.crown.update(&changes.collect(), &old.disk).unwrap();
        assert_ne!(update.root(), old.crown.root());
        old.check();
        (0..500).step_by(7).for_each(|n| old.check_index(&key(n)));
    }

    #[test]
    fn one_flipped_byte_of_a_bucket_is_never_served_nor_built_upon() {
        let world = World::of(numbered(0..40));
        let index = key(7);
        let (prefix, _) = world.crown.descend(&index, |_| ());
        let stored = prefix.to_bytes();
        for at in 0..world.disk.0[&stored].len() {
            let mut disk = world.disk.clone();
            disk.0.get_mut(&stored).unwrap()[at] ^= 1 << (at % 8);
            let refused = [
                world.crown.read(&index, &disk).err(),
                world.crown.prove(&index, &disk).err(),
                world.crown.update(&[(index, None)].into(), &disk).err(),
            ];
            let corrupt = Some(MapError::CorruptBucket { prefix });
            let unreadable = Some(MapError::Source(prefix));
            assert!(refused.iter().all(|e| *e == corrupt || *e == unreadable));
            // What was not touched is still served.
            let other = (0..40).map(key).find(|i| !prefix.contains(i)).unwrap();
            assert!(world.crown.read(&other, &disk).unwrap().is_some());
        }
    }

    #[test]
    fn a_bucket_of_another_branch_or_none_is_refused() {
        let world = World::of(numbered(0..40));
        let (prefix, _) = world.crown.descend(&key(7), |_| ());
        let mut disk = world.disk.clone();
        let other = disk.0.iter().find(|(p, _)| **p != prefix.to_bytes());
        let other = other.unwrap().1.clone();
        disk.0.insert(prefix.to_bytes(), other);
        let corrupt = MapError::CorruptBucket { prefix };
        assert_eq!(world.crown.read(&key(7), &disk), Err(corrupt));
        disk.0.remove(&prefix.to_bytes());
        let missing = MapError::Source(prefix);
        assert_eq!(world.crown.read(&key(7), &disk), Err(missing));
    }

    fn bucket_of(starts: std::ops::Range<u8>) -> Bucket {
        Bucket::of(
            starts
                .map(|s| Leaf::new(index(&[s]), value(b"x")))
                .collect(),
        )
    }

    fn rebuilt(buckets: &[(Prefix, Bucket)]) -> Option<MapRebuildError<Infallible>> {
        Crown::rebuild(buckets.iter().cloned().map(Ok)).err()
    }

    #[test]
    fn buckets_that_are_not_the_maps_own_layout_build_no_crown() {
        let root = Prefix::ROOT;
        let (left, right) = root.halves();
        let (left_left, _) = left.halves();
        let full = || (left, bucket_of(0..16));
        let one = |start| bucket_of(start..start + 1);
        assert_eq!(rebuilt(&[full(), (right, one(0x80))]), None);
        assert_eq!(
            rebuilt(&[full(), (right, one(0x7f))]),
            Some(MapRebuildError::ForeignLeaf { prefix: right })
        );
        assert_eq!(
            rebuilt(&[full(), (right, one(0x80)), full()]),
            Some(MapRebuildError::Overlap { prefix: left })
        );
        assert_eq!(
            rebuilt(&[(left_left, one(1)), full(), (right, one(0x80))]),
            Some(MapRebuildError::Overlap { prefix: left })
        );
        assert_eq!(
            rebuilt(&[full(), (root, one(0x80))]),
            Some(MapRebuildError::Overlap { prefix: root })
        );
        assert_eq!(
            rebuilt(&[(left, one(1)), (right, one(0x80))]),
            Some(MapRebuildError::NeedlessSplit { prefix: root })
        );
        assert_eq!(
            rebuilt(&[(left_left, one(1))]),
            Some(MapRebuildError::NeedlessSplit { prefix: left })
        );
    }

    #[test]
    fn a_proof_shows_its_own_index_root_and_value_alone() {
        let world = World::of(numbered(0..60));
        let root = world.crown.root();
        for n in 0..70 {
            let proof = world.crown.prove(&key(n), &world.disk).unwrap();
            let truth = world.contents.get(&key(n));
            assert_eq!(
                proof.verify(&key(n), hash::empty()),
                Err(MapProofError::WrongRoot)
            );
            for other in (0..90).filter(|other| *other != n) {
                // A proof of absence may hold for a neighbour; it never hides a present leaf.
                let shown = proof.verify(&key(other), root);
                let expected = world.contents.get(&key(other));
                assert!(shown.is_err() || (shown == Ok(expected) && truth.is_none()));
            }
        }
    }

    #[test]
    fn absence_of_what_is_present_cannot_be_shown_by_its_own_leaf() {
        let world = World::of(numbered(0..60));
        let index = key(3);
        let value_hash = world.contents[&index].hash();
        let mut bytes = world.crown.prove(&index, &world.disk).unwrap().to_bytes();
        let end = 2 + usize::from(bytes[1]);
        bytes.splice(..end, [&[2], &index.0[..], value_hash.as_bytes()].concat());
        let forged = MapProof::from_bytes(&bytes).unwrap();
        let verified = forged.verify(&index, world.crown.root());
        assert_eq!(verified, Err(MapProofError::Present));
        let elsewhere = forged.verify(&key(4), world.crown.root());
        assert_eq!(elsewhere, Err(MapProofError::Elsewhere));
    }

    #[test]
    fn every_flipped_byte_added_byte_and_cut_of_a_proof_is_refused() {
        let close = |last: u8| index(&[0x5a, 0x5a, last]);
        let some = numbered(0..30).chain((0..9).map(|i| (close(i), value(&[i; 64]))));
        let world = World::of(some);
        let root = world.crown.root();
        for index in [key(0), key(1), key(99), close(3), close(200), close(9)] {
            let bytes = world.crown.prove(&index, &world.disk).unwrap().to_bytes();
            let refused = |bytes: &[u8]| {
                MapProof::from_bytes(bytes).map_or(true, |p| p.verify(&index, root).is_err())
            };
            assert!(!refused(&bytes));
            for at in 0..bytes.len() {
                for bit in 0..8 {
                    let mut flipped = bytes.clone();
                    flipped[at] ^= 1 << bit;
                    assert!(refused(&flipped), "byte {at} bit {bit}");
                }
                assert!(refused(&bytes[..at]));
            }
            assert!(refused(&[&bytes[..], &[0]].concat()));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_history_of_batches_leaves_the_map_of_its_contents(
            batches in prop::collection::vec(
                prop::collection::btree_map(
                    // Few places, some close together, so that batches meet and branches merge.
                    (0_u8..4, 0_u8..40),
                    prop::option::weighted(0.5, 0_u8..3),
                    0..60,
                ),
                1..12,
            ),
        ) {
            let place = |(group, n): &(u8, u8)| match group {
                0 | 1 => key(u32::from(*group) * 256 + u32::from(*n)),
                _ => index(&[*group, 0, 0, *n]),
            };
            let mut world = World::default();
            for batch in &batches {
                let changes = batch.iter().map(|(p, v)| (place(p), v.map(|v| value(&[v]))));
                world.step(&changes.collect());
                world.check();
                batch.keys().for_each(|p| world.check_index(&place(p)));
            }
        }
    }
}

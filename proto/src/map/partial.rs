//! A map of which only some paths are known, each from a proof: what it takes to compute the root
//! after a change without having the map.
//!
//! To remove a leaf is the one change that asks for more than the leaf's own path: the branch
//! beside it moves up if it is a single leaf and stays if it is not, and its hash does not say
//! which. So the path into that branch must be known too; [`NotShown`] names an index under it.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use super::proof::{End, MapProof, MapProofError};
use super::{MapIndex, MapValue, leaf_hash};
use crate::hash::{self, Hash};
use crate::merkle;

/// Some paths are not known that an answer needs.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} more map proofs are needed", .indexes.len())]
pub struct NotShown {
    /// The indexes whose proofs would show them.
    pub indexes: Vec<MapIndex>,
}

/// A branch as far as it is known.
#[derive(Debug)]
enum Branch {
    Empty,
    Leaf(Leaf),
    Pair {
        root: Hash,
        left: Arc<Branch>,
        right: Arc<Branch>,
    },
    /// A branch that is not empty, of which nothing but its root is known.
    Closed(Hash),
}

/// A leaf. The proof of another index's absence shows it without its value.
#[derive(Debug, Clone, Copy)]
struct Leaf {
    index: MapIndex,
    value: Option<MapValue>,
    hash: Hash,
}

impl Branch {
    fn of(root: Hash) -> Arc<Self> {
        Arc::new(match root == hash::empty() {
            true => Self::Empty,
            false => Self::Closed(root),
        })
    }

    fn pair(left: Arc<Self>, right: Arc<Self>) -> Arc<Self> {
        let root = merkle::pair(&left.root(), &right.root());
        Arc::new(Self::Pair { root, left, right })
    }

    fn root(&self) -> Hash {
        match self {
            Self::Empty => hash::empty(),
            Self::Leaf(leaf) => leaf.hash,
            Self::Pair { root, .. } | Self::Closed(root) => *root,
        }
    }
}

/// The paths of a map that are known, under its one root.
#[derive(Debug, Clone)]
pub struct PartialMap {
    top: Arc<Branch>,
}

impl PartialMap {
    /// The map with this root, of which nothing is known yet.
    #[must_use]
    pub fn new(root: Hash) -> Self {
        let top = Branch::of(root);
        Self { top }
    }

    /// The root of the map.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.top.root()
    }

    /// Takes up what a proof shows about an index, once it is verified against the root.
    ///
    /// # Errors
    /// [`MapProofError`] when it does not verify; what is known stays.
    pub fn learn(&mut self, index: &MapIndex, proof: &MapProof) -> Result<(), MapProofError> {
        proof.verify(index, self.root())?;
        let (end, siblings) = proof.path();
        let path = Path {
            index,
            end,
            siblings,
        };
        self.top = path.open(&self.top, 0)?;
        Ok(())
    }

    /// The value under an index.
    ///
    /// # Errors
    /// [`NotShown`] when the path of the index is not known, or ends at a leaf without its value.
    pub fn read(&self, index: &MapIndex) -> Result<Option<MapValue>, NotShown> {
        let (mut at, mut depth) = (&self.top, 0);
        while let Branch::Pair { left, right, .. } = &**at {
            at = if index.turns_right(depth) {
                right
            } else {
                left
            };
            depth += 1;
        }
        let not_shown = || NotShown {
            indexes: vec![*index],
        };
        match &**at {
            Branch::Leaf(leaf) if leaf.index == *index => {
                leaf.value.map(Some).ok_or_else(not_shown)
            }
            Branch::Empty | Branch::Leaf(_) => Ok(None),
            Branch::Pair { .. } | Branch::Closed(_) => Err(not_shown()),
        }
    }

    /// The root after each index is set to its value, or removed. The map itself stays as it is.
    ///
    /// # Errors
    /// [`NotShown`] when the path of a changed index is not known, or that of a branch beside a
    /// removed leaf. Once those proofs are learned there may be more.
    pub fn root_after(
        &self,
        changes: &BTreeMap<MapIndex, Option<MapValue>>,
    ) -> Result<Hash, NotShown> {
        let changes: Vec<Change<'_>> = changes.iter().collect();
        let mut indexes = Vec::new();
        let next = change(&self.top, 0, &changes, &mut indexes);
        match indexes.is_empty() {
            true => Ok(next.root()),
            false => Err(NotShown { indexes }),
        }
    }
}

/// A verified proof on its way into the tree.
struct Path<'a> {
    index: &'a MapIndex,
    end: &'a End,
    siblings: &'a [Hash],
}

impl Path<'_> {
    /// The branch at this depth with the path opened in it. Two proofs under one root can only
    /// disagree about a branch if a hash has two inputs.
    fn open(&self, branch: &Arc<Branch>, depth: usize) -> Result<Arc<Branch>, MapProofError> {
        // Siblings go from the end of the path up.
        let below = self.siblings.len().checked_sub(depth + 1);
        let Some(sibling) = below.and_then(|at| self.siblings.get(at)) else {
            return self.end(branch);
        };
        let turns_right = self.index.turns_right(depth);
        let (near, far) = match &**branch {
            Branch::Pair { left, right, .. } if turns_right => (right.clone(), left.clone()),
            Branch::Pair { left, right, .. } => (left.clone(), right.clone()),
            Branch::Closed(_) => (Arc::new(Branch::Empty), Branch::of(*sibling)),
            Branch::Empty | Branch::Leaf(_) => return Err(MapProofError::WrongRoot),
        };
        let near = match &**branch {
            Branch::Closed(_) => self.grow(depth + 1),
            _ => self.open(&near, depth + 1)?,
        };
        let (left, right) = if turns_right {
            (far, near)
        } else {
            (near, far)
        };
        let opened = Branch::pair(left, right);
        let same = opened.root() == branch.root();
        same.then_some(opened).ok_or(MapProofError::WrongRoot)
    }

    /// The branch at this depth as the proof alone has it.
    fn grow(&self, depth: usize) -> Arc<Branch> {
        let below = self.siblings.len().saturating_sub(depth);
        let mut at = Arc::new(self.end_branch());
        let written = self.siblings.get(..below).unwrap_or_default();
        for (depth, sibling) in (depth..self.siblings.len()).rev().zip(written) {
            let far = Branch::of(*sibling);
            at = match self.index.turns_right(depth) {
                true => Branch::pair(far, at),
                false => Branch::pair(at, far),
            };
        }
        at
    }

    fn end(&self, branch: &Arc<Branch>) -> Result<Arc<Branch>, MapProofError> {
        let end = self.end_branch();
        if end.root() != branch.root() {
            return Err(MapProofError::WrongRoot);
        }
        // A leaf that is known with its value is not forgotten again.
        Ok(match (&**branch, &end) {
            (Branch::Leaf(known), Branch::Leaf(shown))
                if known.value.is_some() || shown.value.is_none() =>
            {
                branch.clone()
            }
            _ => Arc::new(end),
        })
    }

    fn end_branch(&self) -> Branch {
        match self.end {
            End::Empty => Branch::Empty,
            End::Own(value) => Branch::Leaf(Leaf {
                index: *self.index,
                value: Some(*value),
                hash: leaf_hash(self.index, &value.hash()),
            }),
            End::Other { index, value_hash } => Branch::Leaf(Leaf {
                index: *index,
                value: None,
                hash: leaf_hash(index, value_hash),
            }),
        }
    }
}

type Change<'a> = (&'a MapIndex, &'a Option<MapValue>);

/// A branch after its changes; what it takes to know it goes to `needed`.
fn change(
    branch: &Arc<Branch>,
    depth: usize,
    changes: &[Change<'_>],
    needed: &mut Vec<MapIndex>,
) -> Arc<Branch> {
    let Some((first, _)) = changes.first() else {
        return branch.clone();
    };
    let before = match &**branch {
        Branch::Pair { left, right, .. } => {
            let middle = changes.partition_point(|(index, _)| !index.turns_right(depth));
            let (to_left, to_right) = changes.split_at(middle);
            let left = change(left, depth + 1, to_left, needed);
            let right = change(right, depth + 1, to_right, needed);
            return join(left, right, first, depth, needed);
        }
        Branch::Closed(_) => {
            needed.extend(changes.iter().map(|(index, _)| **index));
            return branch.clone();
        }
        Branch::Empty => None,
        Branch::Leaf(leaf) => Some(*leaf),
    };
    let mut leaves: BTreeMap<MapIndex, Leaf> = BTreeMap::new();
    leaves.extend(before.map(|leaf| (leaf.index, leaf)));
    for (index, value) in changes {
        match value {
            None => drop(leaves.remove(*index)),
            Some(value) => {
                let leaf = Leaf {
                    index: **index,
                    value: Some(*value),
                    hash: leaf_hash(index, &value.hash()),
                };
                leaves.insert(**index, leaf);
            }
        }
    }
    let leaves: Vec<Leaf> = leaves.into_values().collect();
    build(&leaves, depth)
}

/// Two halves in the one shape that they have: a leaf that is alone moves up.
fn join(
    left: Arc<Branch>,
    right: Arc<Branch>,
    under: &MapIndex,
    depth: usize,
    needed: &mut Vec<MapIndex>,
) -> Arc<Branch> {
    match (&*left, &*right) {
        (Branch::Empty, Branch::Empty | Branch::Leaf(_)) => right,
        (Branch::Leaf(_), Branch::Empty) => left,
        (Branch::Empty, Branch::Closed(_)) => {
            needed.push(turned(under, depth, true));
            Branch::pair(left, right)
        }
        (Branch::Closed(_), Branch::Empty) => {
            needed.push(turned(under, depth, false));
            Branch::pair(left, right)
        }
        _ => Branch::pair(left, right),
    }
}

/// An index that shares the path down to this depth and turns to this side there.
fn turned(index: &MapIndex, depth: usize, right: bool) -> MapIndex {
    match index.turns_right(depth) == right {
        true => *index,
        false => index.across(depth),
    }
}

/// The branch of these leaves, which are sorted.
fn build(leaves: &[Leaf], depth: usize) -> Arc<Branch> {
    match leaves {
        [] => Arc::new(Branch::Empty),
        [alone] => Arc::new(Branch::Leaf(*alone)),
        _ => {
            let middle = leaves.partition_point(|leaf| !leaf.index.turns_right(depth));
            let (left, right) = leaves.split_at(middle);
            Branch::pair(build(left, depth + 1), build(right, depth + 1))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::super::bucket::Bucket;
    use super::super::tests::{index, value};
    use super::super::{BucketSource, Crown, Prefix};
    use super::*;

    type Changes = BTreeMap<MapIndex, Option<MapValue>>;

    /// A whole map, whose crown judges.
    struct Whole {
        crown: Crown,
        buckets: BTreeMap<Prefix, Arc<Bucket>>,
    }

    impl BucketSource for Whole {
        type Error = Infallible;

        fn bucket(&self, prefix: &Prefix) -> Result<Arc<Bucket>, Infallible> {
            Ok(self.buckets[prefix].clone())
        }
    }

    impl Whole {
        fn of(contents: &Changes) -> Self {
            let none = Self {
                crown: Crown::new(),
                buckets: BTreeMap::new(),
            };
            let update = none.crown.update(contents, &none).unwrap();
            let puts = update.puts().map(|(at, bucket)| (*at, bucket.clone()));
            Self {
                buckets: puts.collect(),
                crown: update.crown().clone(),
            }
        }

        fn teach(&self, map: &mut PartialMap, index: &MapIndex) {
            let proof = self.crown.prove(index, self).unwrap();
            map.learn(index, &proof).unwrap();
        }

        /// The root after changes, from proofs alone.
        fn root_after(&self, changes: &Changes) -> Hash {
            let mut map = PartialMap::new(self.crown.root());
            changes.keys().for_each(|index| self.teach(&mut map, index));
            loop {
                match map.root_after(changes) {
                    Ok(root) => return root,
                    Err(NotShown { indexes }) => {
                        indexes.iter().for_each(|index| self.teach(&mut map, index));
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_not_shown_is_neither_read_nor_changed() {
        let contents = (0..40_u8).map(|n| (index(&[n * 6]), Some(value(&[n + 1]))));
        let whole = Whole::of(&contents.collect());
        let (mut map, here) = (PartialMap::new(whole.crown.root()), index(&[6]));
        let not_shown = NotShown {
            indexes: vec![here],
        };
        assert_eq!(map.read(&here), Err(not_shown.clone()));
        let change = [(here, Some(value(b"new")))].into();
        assert_eq!(map.root_after(&change), Err(not_shown));
        whole.teach(&mut map, &here);
        assert_eq!(map.read(&here), Ok(Some(value(&[2]))));
        assert!(map.root_after(&change).is_ok());
        assert_eq!(map.root(), whole.crown.root());
    }

    #[test]
    fn a_leaf_beside_a_removed_one_has_to_be_shown_and_moves_up() {
        // 000... and 001... part at bit 2; 1... stands apart.
        let (gone, stays) = (index(&[0x00]), index(&[0x20]));
        let contents: Changes = [gone, stays, index(&[0x80])]
            .map(|at| (at, Some(value(b"x"))))
            .into();
        let whole = Whole::of(&contents);
        let mut map = PartialMap::new(whole.crown.root());
        whole.teach(&mut map, &gone);
        let removal = [(gone, None)].into();
        let NotShown { indexes } = map.root_after(&removal).unwrap_err();
        assert_eq!(indexes, [stays]);
        whole.teach(&mut map, &stays);
        let mut left: Changes = contents.clone();
        left.remove(&gone);
        assert_eq!(map.root_after(&removal), Ok(Whole::of(&left).crown.root()));
    }

    #[test]
    fn a_proof_of_absence_does_not_give_the_value_of_the_leaf_in_its_way() {
        let there = index(&[0x10]);
        let whole = Whole::of(&[(there, Some(value(b"x")))].into());
        let mut map = PartialMap::new(whole.crown.root());
        whole.teach(&mut map, &index(&[0x11]));
        assert_eq!(map.read(&index(&[0x11])), Ok(None));
        assert!(map.read(&there).is_err());
        whole.teach(&mut map, &there);
        whole.teach(&mut map, &index(&[0x11]));
        assert_eq!(map.read(&there), Ok(Some(value(b"x"))));
    }

    #[test]
    fn a_proof_under_another_root_teaches_nothing() {
        let here = index(&[1]);
        let whole = Whole::of(&[(here, Some(value(b"x")))].into());
        let proof = whole.crown.prove(&here, &whole).unwrap();
        let mut map = PartialMap::new(Hash::from_bytes([9; 32]));
        assert_eq!(map.learn(&here, &proof), Err(MapProofError::WrongRoot));
        assert_eq!(map.root(), Hash::from_bytes([9; 32]));
    }

    /// Indexes that share long beginnings, so that leaves move up and down many levels.
    fn close_index() -> impl Strategy<Value = MapIndex> {
        let byte = prop::sample::select(vec![0_u8, 1, 2, 0x40, 0x80, 0xc0, 0xff]);
        prop::collection::vec(byte, 3).prop_map(|start| index(&start))
    }

    fn spread_index() -> impl Strategy<Value = MapIndex> {
        any::<[u8; 32]>().prop_map(MapIndex)
    }

    proptest! {
        #[test]
        fn proofs_alone_lead_to_the_root_that_the_whole_map_has(
            close in prop::collection::btree_map(close_index(), any::<u8>(), 0..60),
            spread in prop::collection::btree_map(spread_index(), any::<u8>(), 0..60),
            more in prop::collection::btree_map(close_index(), prop::option::of(any::<u8>()), 0..30),
            picked in prop::collection::vec((any::<prop::sample::Index>(), prop::option::of(any::<u8>())), 0..40),
        ) {
            let set = |byte: u8| Some(value(&[byte, 1]));
            let contents: Changes = close.into_iter().chain(spread).map(|(i, b)| (i, set(b))).collect();
            let whole = Whole::of(&contents);
            let mut changes: Changes = more.into_iter().map(|(i, b)| (i, b.and_then(set))).collect();
            let known: Vec<MapIndex> = contents.keys().copied().collect();
            if !known.is_empty() {
                changes.extend(picked.iter().map(|(at, b)| (*at.get(&known), b.and_then(set))));
            }
            let mut after = contents.clone();
            after.extend(changes.clone());
            after.retain(|_, value| value.is_some());
            prop_assert_eq!(whole.root_after(&changes), Whole::of(&after).crown.root());
            let update = whole.crown.update(&changes, &whole).unwrap();
            prop_assert_eq!(whole.root_after(&changes), update.root());
        }
    }
}

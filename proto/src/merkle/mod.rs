//! The log's tree: roots, inclusion proofs and consistency proofs (RFC 9162, section 2.1).
//!
//! ```text
//! root(D[0:0]) = empty
//! root(D[i:i+1]) = leaf(D[i])
//! root(D[a:b]) = pair(root(D[a:a+k]), root(D[a+k:b])), k the largest power of two below b - a
//! ```
//!
//! The tree is never in memory here. Whoever stores it answers for complete subtrees
//! ([`Subtrees`]), and a proof in a tree of `n` leaves asks for at most `2 * log2(n)` of them.
//! The short names hash with BLAKE3; those ending in `_with` take the hash function as a type,
//! so that the published SHA-256 vectors judge the very code that runs.

mod peaks;
mod proof;

pub use peaks::{PEAKS_MAX, Peaks, PeaksError};
pub use proof::{
    CONSISTENCY_PROOF_HASHES_MAX, ConsistencyProof, INCLUSION_PROOF_HASHES_MAX, InclusionProof,
    ProofError,
};

use std::fmt;

use sha2::Digest as _;
use thiserror::Error;

use crate::hash::{self, Hash, LEAF_PREFIX, PAIR_PREFIX};
use crate::ids::{LeafIndex, TreeSize};

/// The hash function of a tree: what an empty tree, a leaf and a pair hash to. It has no value: what
/// is built over it is compared and copied as if it were not there.
pub trait TreeHasher: fmt::Debug + Clone + PartialEq + Eq + Default {
    /// The root of a tree without leaves.
    fn empty() -> Hash;
    /// The hash of a leaf with these bytes.
    fn leaf(bytes: &[u8]) -> Hash;
    /// The hash of two neighbouring subtrees.
    fn pair(left: &Hash, right: &Hash) -> Hash;
}

/// The hash function of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Blake3;

impl TreeHasher for Blake3 {
    fn empty() -> Hash {
        hash::empty()
    }

    fn leaf(bytes: &[u8]) -> Hash {
        hash::prefixed(LEAF_PREFIX, bytes, &[])
    }

    fn pair(left: &Hash, right: &Hash) -> Hash {
        hash::prefixed(PAIR_PREFIX, left.as_bytes(), right.as_bytes())
    }
}

/// The hash function of RFC 6962, for which test vectors are published: that of head logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sha256;

impl TreeHasher for Sha256 {
    fn empty() -> Hash {
        Hash::from_bytes(sha2::Sha256::digest(b"").into())
    }

    fn leaf(bytes: &[u8]) -> Hash {
        let hasher = sha2::Sha256::new_with_prefix([LEAF_PREFIX]);
        Hash::from_bytes(hasher.chain_update(bytes).finalize().into())
    }

    fn pair(left: &Hash, right: &Hash) -> Hash {
        let hasher = sha2::Sha256::new_with_prefix([PAIR_PREFIX]);
        let both = hasher
            .chain_update(left.as_bytes())
            .chain_update(right.as_bytes());
        Hash::from_bytes(both.finalize().into())
    }
}

/// The hash of a leaf of the ledger.
#[must_use]
pub fn leaf(bytes: &[u8]) -> Hash {
    Blake3::leaf(bytes)
}

/// The hash of a pair of the ledger.
#[must_use]
pub fn pair(left: &Hash, right: &Hash) -> Hash {
    Blake3::pair(left, right)
}

/// A stored tree, seen as its complete subtrees.
pub trait Subtrees {
    /// Why a subtree cannot be read.
    type Error;

    /// The root of the complete subtree over the leaves `[index << level, (index + 1) << level)`.
    ///
    /// # Errors
    /// Whatever keeps the store from answering; a proof is then not made.
    fn subtree(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// The root of the first `size` leaves of a stored tree.
///
/// # Errors
/// That of [`Subtrees::subtree`].
pub fn root<S: Subtrees + ?Sized>(size: TreeSize, subtrees: &S) -> Result<Hash, S::Error> {
    root_with::<Blake3, S>(size, subtrees)
}

/// [`root`] under another hash function.
///
/// # Errors
/// That of [`Subtrees::subtree`].
pub fn root_with<H: TreeHasher, S: Subtrees + ?Sized>(
    size: TreeSize,
    subtrees: &S,
) -> Result<Hash, S::Error> {
    Span::whole(size).root::<H, S>(subtrees)
}

/// Why a proof cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProveError<E> {
    /// The leaf is not in a tree of this size.
    #[error("leaf {index} is not in a tree of size {size}")]
    NotInTree {
        /// The leaf asked for.
        index: LeafIndex,
        /// The size of the tree.
        size: TreeSize,
    },
    /// The older tree is the larger one.
    #[error("a tree of size {old} does not grow into one of size {new}")]
    Shrinks {
        /// The size before.
        old: TreeSize,
        /// The size after.
        new: TreeSize,
    },
    /// The stored tree did not answer.
    #[error("a subtree cannot be read")]
    Subtrees(#[from] E),
}

/// Proves that the leaf `index` is in the tree of `size` (RFC 9162, 2.1.3.1).
///
/// # Errors
/// [`ProveError::NotInTree`], or what [`Subtrees::subtree`] answered.
pub fn prove_inclusion<S: Subtrees + ?Sized>(
    index: LeafIndex,
    size: TreeSize,
    subtrees: &S,
) -> Result<InclusionProof, ProveError<S::Error>> {
    prove_inclusion_with::<Blake3, S>(index, size, subtrees)
}

/// [`prove_inclusion`] under another hash function.
///
/// # Errors
/// Those of [`prove_inclusion`].
pub fn prove_inclusion_with<H: TreeHasher, S: Subtrees + ?Sized>(
    index: LeafIndex,
    size: TreeSize,
    subtrees: &S,
) -> Result<InclusionProof, ProveError<S::Error>> {
    if !size.contains(index) {
        return Err(ProveError::NotInTree { index, size });
    }
    let mut hashes = Vec::new();
    let mut span = Span::whole(size);
    while let Some((next, sibling)) = span.towards(index.get()) {
        hashes.push(sibling.root::<H, S>(subtrees)?);
        span = next;
    }
    hashes.reverse(); // A proof is read from the leaf up.
    Ok(InclusionProof::of(hashes))
}

/// Proves that the tree of size `new` begins with the tree of size `old` (RFC 9162, 2.1.4.1).
///
/// The proof is empty when the sizes are equal, and when `old` is 0: every tree begins with the
/// empty one, a case the RFC leaves out.
///
/// # Errors
/// [`ProveError::Shrinks`], or what [`Subtrees::subtree`] answered.
pub fn prove_consistency<S: Subtrees + ?Sized>(
    old: TreeSize,
    new: TreeSize,
    subtrees: &S,
) -> Result<ConsistencyProof, ProveError<S::Error>> {
    prove_consistency_with::<Blake3, S>(old, new, subtrees)
}

/// [`prove_consistency`] under another hash function.
///
/// # Errors
/// Those of [`prove_consistency`].
pub fn prove_consistency_with<H: TreeHasher, S: Subtrees + ?Sized>(
    old: TreeSize,
    new: TreeSize,
    subtrees: &S,
) -> Result<ConsistencyProof, ProveError<S::Error>> {
    if old > new {
        return Err(ProveError::Shrinks { old, new });
    }
    let mut hashes = Vec::new();
    let Some(last_old) = old.get().checked_sub(1) else {
        return Ok(ConsistencyProof::of(hashes));
    };
    // Down to the largest span that ends with the old tree: all before it is shared.
    let mut span = Span::whole(new);
    while span.end != old.get()
        && let Some((next, sibling)) = span.towards(last_old)
    {
        hashes.push(sibling.root::<H, S>(subtrees)?);
        span = next;
    }
    // If that span is the old tree itself, the verifier starts from the old root it holds.
    if span.begin != 0 {
        hashes.push(span.root::<H, S>(subtrees)?);
    }
    hashes.reverse();
    Ok(ConsistencyProof::of(hashes))
}

/// The leaves `[begin, end)` that one step of the recursion covers.
///
/// The recursion only ever makes spans whose `begin` is a multiple of the smallest power of two
/// that holds their length, so the binary digits of the length name complete subtrees.
#[derive(Debug, Clone, Copy)]
struct Span {
    begin: u64,
    end: u64,
}

impl Span {
    fn whole(size: TreeSize) -> Self {
        Self {
            begin: 0,
            end: size.get(),
        }
    }

    /// The side of the topmost pair that holds `leaf`, and the other one; `None` without a pair.
    fn towards(self, leaf: u64) -> Option<(Self, Self)> {
        let Self { begin, end } = self;
        let length = end - begin;
        if length < 2 {
            return None;
        }
        let middle = begin + (1 << (length - 1).ilog2());
        let left = Self { begin, end: middle };
        let right = Self { begin: middle, end };
        Some(if leaf < middle {
            (left, right)
        } else {
            (right, left)
        })
    }

    /// Pairs up the complete subtrees of the span, smallest and rightmost first.
    fn root<H: TreeHasher, S: Subtrees + ?Sized>(self, subtrees: &S) -> Result<Hash, S::Error> {
        let mut end = self.end;
        let mut folded: Option<Hash> = None;
        while end > self.begin {
            let level = (end - self.begin).trailing_zeros();
            end -= 1 << level;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a u64 has 64 binary digits"
            )]
            let subtree = subtrees.subtree(level as u8, end >> level)?;
            folded = Some(folded.map_or(subtree, |right| H::pair(&subtree, &right)));
        }
        Ok(folded.unwrap_or_else(H::empty))
    }
}

/// A subtree reaches past the leaves that are at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the subtree {index} of level {level} is not complete")]
pub struct MissingSubtree {
    /// The level asked for.
    pub level: u8,
    /// The index asked for.
    pub index: u64,
}

/// A small tree whose leaf hashes are all at hand: every subtree is hashed anew.
impl Subtrees for [Hash] {
    type Error = MissingSubtree;

    fn subtree(&self, level: u8, index: u64) -> Result<Hash, MissingSubtree> {
        let missing = MissingSubtree { level, index };
        let Some(below) = level.checked_sub(1) else {
            let at = usize::try_from(index).map_err(|_| missing)?;
            return self.get(at).copied().ok_or(missing);
        };
        let first = index.checked_mul(2).ok_or(missing)?;
        let left = self.subtree(below, first)?;
        let right = self.subtree(below, first + 1)?;
        Ok(pair(&left, &right))
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "a test's trees are small")]
mod tests {
    use std::marker::PhantomData;

    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use proptest::prelude::*;

    use super::*;

    /// Every size up to here is tried in full: it holds trees just below, at and above 64.
    const SIZE_MAX: u64 = 70;

    /// RFC 9162's definitions, word for word: slow and obvious.
    struct Reference<H> {
        leaves: Vec<Hash>,
        hasher: PhantomData<H>,
    }

    impl<H: TreeHasher> Reference<H> {
        fn new(leaves: Vec<Hash>) -> Self {
            let hasher = PhantomData;
            Self { leaves, hasher }
        }

        fn mth(d: &[Hash]) -> Hash {
            match d {
                [] => H::empty(),
                [one] => *one,
                _ => {
                    let k = d.len().next_power_of_two() / 2;
                    H::pair(&Self::mth(&d[..k]), &Self::mth(&d[k..]))
                }
            }
        }

        fn path(m: usize, d: &[Hash]) -> Vec<Hash> {
            if d.len() == 1 {
                return Vec::new();
            }
            let k = d.len().next_power_of_two() / 2;
            let (mut path, other) = if m < k {
                (Self::path(m, &d[..k]), Self::mth(&d[k..]))
            } else {
                (Self::path(m - k, &d[k..]), Self::mth(&d[..k]))
            };
            path.push(other);
            path
        }

        fn subproof(m: usize, d: &[Hash], b: bool) -> Vec<Hash> {
            if m == d.len() {
                return if b { Vec::new() } else { vec![Self::mth(d)] };
            }
            let k = d.len().next_power_of_two() / 2;
            let (mut path, other) = if m <= k {
                (Self::subproof(m, &d[..k], b), Self::mth(&d[k..]))
            } else {
                (Self::subproof(m - k, &d[k..], false), Self::mth(&d[..k]))
            };
            path.push(other);
            path
        }

        fn root(&self, size: u64) -> Hash {
            Self::mth(&self.leaves[..size as usize])
        }
    }

    impl<H: TreeHasher> Subtrees for Reference<H> {
        type Error = MissingSubtree;

        fn subtree(&self, level: u8, index: u64) -> Result<Hash, MissingSubtree> {
            let (begin, end) = ((index << level) as usize, ((index + 1) << level) as usize);
            let leaves = self.leaves.get(begin..end);
            leaves.map(Self::mth).ok_or(MissingSubtree { level, index })
        }
    }

    fn blake3_leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|i| leaf(&i.to_be_bytes())).collect()
    }

    fn blake3_tree() -> Reference<Blake3> {
        Reference::new(blake3_leaves(SIZE_MAX))
    }

    fn size(value: u64) -> TreeSize {
        TreeSize::new(value)
    }

    fn at(value: u64) -> LeafIndex {
        LeafIndex::new(value)
    }

    #[test]
    fn every_root_is_the_one_the_rfc_defines() {
        let tree = blake3_tree();
        for n in 0..=SIZE_MAX {
            assert_eq!(root(size(n), &tree), Ok(tree.root(n)), "size {n}");
        }
    }

    #[test]
    fn every_inclusion_proof_is_the_one_the_rfc_defines_and_verifies() {
        let tree = blake3_tree();
        for n in 1..=SIZE_MAX {
            let leaves = &tree.leaves[..n as usize];
            for i in 0..n {
                let proof = prove_inclusion(at(i), size(n), &tree).unwrap();
                assert_eq!(
                    proof.hashes(),
                    Reference::<Blake3>::path(i as usize, leaves)
                );
                let leaf = leaves[i as usize];
                assert_eq!(proof.verify(leaf, at(i), size(n), tree.root(n)), Ok(()));
            }
        }
    }

    #[test]
    fn every_consistency_proof_is_the_one_the_rfc_defines_and_verifies() {
        let tree = blake3_tree();
        for new in 0..=SIZE_MAX {
            for old in 0..=new {
                let proof = prove_consistency(size(old), size(new), &tree).unwrap();
                if old > 0 {
                    let leaves = &tree.leaves[..new as usize];
                    let expected = Reference::<Blake3>::subproof(old as usize, leaves, true);
                    assert_eq!(proof.hashes(), expected, "{old} to {new}");
                }
                let verified = proof.verify(size(old), tree.root(old), size(new), tree.root(new));
                assert_eq!(verified, Ok(()), "{old} to {new}");
            }
        }
    }

    /// All that a cheat or a broken wire could make of a list of hashes.
    fn altered(hashes: &[Hash]) -> Vec<Vec<Hash>> {
        let foreign = leaf(b"foreign");
        let mut all = vec![];
        for i in 0..=hashes.len() {
            let mut added = hashes.to_vec();
            added.insert(i, foreign);
            all.push(added);
            if let Some(hash) = hashes.get(i) {
                let mut doubled = hashes.to_vec();
                doubled.insert(i, *hash);
                let mut dropped = hashes.to_vec();
                dropped.remove(i);
                let mut bytes = *hash.as_bytes();
                bytes[i % 32] ^= 1 << (i % 8);
                let mut changed = hashes.to_vec();
                changed[i] = Hash::from_bytes(bytes);
                all.extend([doubled, dropped, changed, hashes[..i].to_vec()]);
            }
            if i + 1 < hashes.len() {
                let mut swapped = hashes.to_vec();
                swapped.swap(i, i + 1);
                all.push(swapped);
            }
        }
        all
    }

    #[test]
    fn no_altered_inclusion_proof_verifies() {
        let tree = blake3_tree();
        let mut refused = 0;
        for n in [1, 2, 3, 7, 8, 9, 31, 33, 64, 65, 70] {
            let root = tree.root(n);
            for i in 0..n {
                let leaf = tree.leaves[i as usize];
                let proof = prove_inclusion(at(i), size(n), &tree).unwrap();
                for hashes in altered(proof.hashes()) {
                    let wrong = InclusionProof::from_hashes(hashes).unwrap();
                    assert!(wrong.verify(leaf, at(i), size(n), root).is_err());
                    refused += 1;
                }
            }
        }
        assert!(refused > 5_000, "only {refused} wrong proofs were tried");
    }

    #[test]
    fn an_inclusion_proof_holds_for_its_leaf_index_and_root_alone() {
        let tree = blake3_tree();
        for n in 1..=33 {
            let root = tree.root(n);
            for i in 0..n {
                let leaf = tree.leaves[i as usize];
                let proof = prove_inclusion(at(i), size(n), &tree).unwrap();
                for j in (0..n + 3).filter(|j| *j != i) {
                    assert!(proof.verify(leaf, at(j), size(n), root).is_err());
                    let other = tree.leaves[j as usize];
                    assert!(proof.verify(other, at(i), size(n), root).is_err());
                }
                let verify = |leaf, n, root| proof.verify(leaf, at(i), size(n), root);
                assert_eq!(
                    verify(leaf, n, tree.root(n + 1)),
                    Err(ProofError::WrongRoot)
                );
                assert!(verify(Blake3::empty(), n, root).is_err());
                assert!(verify(leaf, n, Blake3::empty()).is_err());
                assert!(verify(leaf, 0, root).is_err());
                assert!(verify(leaf, u64::MAX, root).is_err());
            }
        }
    }

    #[test]
    fn no_altered_consistency_proof_verifies() {
        let tree = blake3_tree();
        let mut refused = 0;
        for new in [1, 2, 3, 7, 8, 9, 31, 33, 64, 65, 70] {
            for old in 0..=new {
                let (old_root, new_root) = (tree.root(old), tree.root(new));
                let proof = prove_consistency(size(old), size(new), &tree).unwrap();
                for hashes in altered(proof.hashes()) {
                    let wrong = ConsistencyProof::from_hashes(hashes).unwrap();
                    let verified = wrong.verify(size(old), old_root, size(new), new_root);
                    assert!(verified.is_err(), "{old} to {new}");
                    refused += 1;
                }
            }
        }
        assert!(refused > 5_000, "only {refused} wrong proofs were tried");
    }

    #[test]
    fn a_consistency_proof_holds_for_its_sizes_and_roots_alone() {
        let tree = blake3_tree();
        let foreign = leaf(b"foreign");
        for new in 1..=33 {
            for old in 0..=new {
                let roots = (tree.root(old), tree.root(new));
                let proof = prove_consistency(size(old), size(new), &tree).unwrap();
                let verify =
                    |o, old_root, n, new_root| proof.verify(size(o), old_root, size(n), new_root);
                assert!(verify(old, foreign, new, roots.1).is_err());
                // From the empty tree everything follows; a new root is then only a claim.
                assert_eq!(verify(old, roots.0, new, foreign).is_ok(), old == 0);
                for other in (1..=34).filter(|o| *o != old && *o != new && old != 0) {
                    let root = tree.root(other);
                    assert!(verify(other, root, new, roots.1).is_err());
                    assert!(verify(old, roots.0, other, root).is_err());
                    assert!(verify(old, root, new, roots.1).is_err());
                    assert!(verify(old, roots.0, new, root).is_err());
                }
            }
        }
    }

    #[test]
    fn a_tree_that_shrinks_or_lacks_the_leaf_is_refused_by_name() {
        let tree = blake3_tree();
        let (three, two) = (size(3), size(2));
        assert_eq!(
            prove_consistency(three, two, &tree),
            Err(ProveError::Shrinks {
                old: three,
                new: two
            })
        );
        assert_eq!(
            prove_inclusion(at(2), two, &tree),
            Err(ProveError::NotInTree {
                index: at(2),
                size: two
            })
        );
        let proof = ConsistencyProof::from_hashes(vec![]).unwrap();
        assert_eq!(
            proof.verify(three, tree.root(3), two, tree.root(2)),
            Err(ProofError::Shrinks {
                old: three,
                new: two
            })
        );
    }

    #[test]
    fn a_subtree_that_cannot_be_read_makes_no_proof() {
        let tree = Reference::<Blake3>::new(blake3_leaves(9));
        let missing = MissingSubtree { level: 1, index: 4 };
        assert_eq!(root(size(10), &tree), Err(missing));
        assert_eq!(
            prove_inclusion(at(1), size(10), &tree),
            Err(ProveError::Subtrees(missing))
        );
        assert_eq!(
            prove_consistency(size(8), size(10), &tree),
            Err(ProveError::Subtrees(missing))
        );
    }

    #[test]
    fn a_proof_longer_than_any_tree_is_deep_is_refused_unread() {
        let hashes = |count| vec![Blake3::empty(); count];
        assert!(InclusionProof::from_hashes(hashes(INCLUSION_PROOF_HASHES_MAX)).is_ok());
        assert!(ConsistencyProof::from_hashes(hashes(CONSISTENCY_PROOF_HASHES_MAX)).is_ok());
        assert_eq!(
            InclusionProof::from_hashes(hashes(INCLUSION_PROOF_HASHES_MAX + 1)),
            Err(ProofError::TooManyHashes { got: 65, max: 64 })
        );
        assert_eq!(
            ConsistencyProof::from_hashes(hashes(CONSISTENCY_PROOF_HASHES_MAX + 1)),
            Err(ProofError::TooManyHashes { got: 64, max: 63 })
        );
    }

    #[test]
    fn leaf_hashes_at_hand_are_a_tree() {
        let tree = blake3_tree();
        let leaves = tree.leaves.as_slice();
        for n in 0..=SIZE_MAX {
            assert_eq!(root(size(n), leaves), Ok(tree.root(n)));
        }
        for (level, index) in [(0, 70), (1, 35), (7, 0), (64, 0), (64, 1), (255, u64::MAX)] {
            assert!(leaves.subtree(level, index).is_err());
        }
    }

    #[test]
    fn ct_merkle_builds_the_same_tree_and_proofs() {
        let ours = blake3_tree();
        let mut theirs = MemoryBackedTree::<blake3::Hasher, Vec<u8>>::new();
        let bytes = |hashes: &[Hash]| {
            let slices: Vec<&[u8]> = hashes.iter().map(|h| h.as_bytes().as_slice()).collect();
            slices.concat()
        };
        for n in 1..=SIZE_MAX {
            theirs.push((n - 1).to_be_bytes().to_vec());
            assert_eq!(
                theirs.root().as_bytes().as_slice(),
                ours.root(n).as_bytes().as_slice()
            );
            for i in 0..n {
                let proof = prove_inclusion(at(i), size(n), &ours).unwrap();
                let expected = theirs.prove_inclusion(i as usize);
                assert_eq!(bytes(proof.hashes()), expected.as_bytes());
            }
            for added in 0..n {
                let proof = prove_consistency(size(n - added), size(n), &ours).unwrap();
                let expected = theirs.prove_consistency(added as usize);
                assert_eq!(bytes(proof.hashes()), expected.as_bytes());
            }
        }
    }

    fn sha256_hash(text: &str) -> Hash {
        Hash::from_slice(&hex::decode(text).unwrap()).unwrap()
    }

    /// The eight-leaf tree of the certificate-transparency project, and its roots by size.
    const CT_LEAVES: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    const CT_ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn ct_tree() -> Reference<Sha256> {
        let leaf = |text: &&str| Sha256::leaf(&hex::decode(text).unwrap());
        Reference::new(CT_LEAVES.iter().map(leaf).collect())
    }

    #[test]
    fn the_published_sha256_roots_come_out() {
        let tree = ct_tree();
        for (n, expected) in (0..).zip(CT_ROOTS) {
            let root = root_with::<Sha256, _>(size(n), &tree);
            assert_eq!(root, Ok(sha256_hash(expected)), "size {n}");
        }
    }

    #[test]
    fn the_published_sha256_proofs_come_out_and_verify() {
        let tree = ct_tree();
        let proof = prove_inclusion_with::<Sha256, _>(at(0), size(8), &tree).unwrap();
        let expected = [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ];
        assert_eq!(proof.hashes(), expected.map(sha256_hash));
        let root = sha256_hash(CT_ROOTS[8]);
        let verified = proof.verify_with::<Sha256>(tree.leaves[0], at(0), size(8), root);
        assert_eq!(verified, Ok(()));

        let proof = prove_consistency_with::<Sha256, _>(size(6), size(8), &tree).unwrap();
        let expected = [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ];
        assert_eq!(proof.hashes(), expected.map(sha256_hash));
        let old_root = sha256_hash(CT_ROOTS[6]);
        let verified = proof.verify_with::<Sha256>(size(6), old_root, size(8), root);
        assert_eq!(verified, Ok(()));
    }

    proptest! {
        #[test]
        fn arbitrary_hashes_never_verify_nor_panic(
            seeds in prop::collection::vec(any::<[u8; 32]>(), 0..64),
            numbers: [u64; 2],
        ) {
            let hashes: Vec<Hash> = seeds.into_iter().map(Hash::from_bytes).collect();
            let (low, high) = (numbers[0].min(numbers[1]), numbers[0].max(numbers[1]));
            let (leaf, root) = (leaf(b"leaf"), leaf(b"root"));
            let proof = InclusionProof::from_hashes(hashes.clone()).unwrap();
            prop_assert!(proof.verify(leaf, at(low), size(high), root).is_err());
            let proof = ConsistencyProof::from_hashes(hashes.into_iter().take(63).collect()).unwrap();
            prop_assert!(proof.verify(size(low), leaf, size(high), root).is_err());
        }
    }
}

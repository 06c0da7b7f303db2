//! The joint secret in shares: a node evaluates with its share, a client verifies each node and
//! combines any `threshold` of them into the evaluation under the joint key (Shamir, in the
//! exponent).

use std::fmt;
use std::num::NonZeroU16;

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::VartimeMultiscalarMul as _;
use thiserror::Error;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::ciphersuite::{
    BlindedElement, DecodeError, ELEMENT_BYTES, Element, JointPublicKey, PartialElement,
    SCALAR_BYTES, SCALAR_RANDOM_BYTES, Tag, half, hash_to_scalar, scalar_from_bytes,
};
use super::dleq::DleqProof;

/// Most elements in one request: one batch of an insurer's import. At 32 bytes each they fit a
/// 64 KiB message, and one answer takes a node about 0.1 s.
pub const ELEMENTS_MAX: usize = 1000;

/// Declares a number of the sharing that cannot be zero.
macro_rules! positive {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(NonZeroU16);

        impl $name {
            /// 1.
            pub const ONE: Self = Self(NonZeroU16::MIN);

            /// Wraps the number; `None` for 0.
            #[must_use]
            pub const fn new(value: u16) -> Option<Self> {
                match NonZeroU16::new(value) {
                    Some(value) => Some(Self(value)),
                    None => None,
                }
            }

            /// The number itself.
            #[must_use]
            pub const fn get(self) -> u16 {
                self.0.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

positive! {
    /// The point at which the sharing polynomial gives a share. Never 0: there lies the secret.
    ShareIndex
}
positive! {
    /// How many shares evaluate together; with one fewer, every joint secret is equally likely.
    Threshold
}

impl ShareIndex {
    pub(super) fn scalar(self) -> Scalar {
        Scalar::from(self.get())
    }
}

/// Why a node does not evaluate a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EvaluateError {
    /// The request holds no element.
    #[error("a request must hold at least one element")]
    NoElements,
    /// The request holds too many.
    #[error("a request holds {got} elements, more than {ELEMENTS_MAX}")]
    TooManyElements {
        /// How many it holds.
        got: usize,
    },
}

/// Why a node's answer is not believed. Each variant that accuses names the share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// The answer was held against the public share of another node: a mistake of the caller.
    #[error("an answer of share {got} was held against share {want}")]
    OtherShare {
        /// The share that the answer names.
        got: ShareIndex,
        /// The share it was verified with.
        want: ShareIndex,
    },
    /// The answer does not have one element for each one asked, or none or too many were asked.
    #[error("share {culprit} answered {got} elements for {want}")]
    WrongCount {
        /// The share that answered.
        culprit: ShareIndex,
        /// Elements in the answer.
        got: usize,
        /// Elements in the request.
        want: usize,
    },
    /// The proof fails: at least one element was not multiplied by the published share.
    #[error("share {culprit} answered with a wrong evaluation (RFC 9497, 2.2.2)")]
    BadShare {
        /// The share that cheated or is broken.
        culprit: ShareIndex,
    },
}

/// Why verified answers do not add up to an evaluation under the joint key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CombineError {
    /// Fewer answers than the threshold.
    #[error("{got} answers are fewer than the threshold of {want}")]
    TooFew {
        /// Answers there are.
        got: usize,
        /// Answers needed.
        want: Threshold,
    },
    /// One share answers twice.
    #[error("share {index} is there twice")]
    Duplicate {
        /// The share.
        index: ShareIndex,
    },
    /// An answer belongs to another request than the first one.
    #[error("share {index} answered another request")]
    OtherRequest {
        /// The share.
        index: ShareIndex,
    },
    /// The shares are not shares of this joint key, or the threshold is not theirs.
    #[error("the shares do not belong to the joint key")]
    OtherKey,
}

/// Why public shares do not make one joint key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum JointKeyError {
    /// Fewer shares than the threshold.
    #[error("{got} shares are fewer than the threshold of {want}")]
    TooFew {
        /// Shares there are.
        got: usize,
        /// Shares needed.
        want: Threshold,
    },
    /// One index is there twice.
    #[error("share {index} is there twice")]
    Duplicate {
        /// The index.
        index: ShareIndex,
    },
    /// A share does not lie on the polynomial of the first ones.
    #[error("share {index} does not fit the first {threshold} shares")]
    Misfit {
        /// The share.
        index: ShareIndex,
        /// The threshold of the sharing.
        threshold: Threshold,
    },
    /// The joint key would be the identity.
    #[error("the shares make a joint key of zero")]
    Identity,
}

/// One node's share of a joint secret. It cannot be printed, and is wiped when dropped.
#[derive(Clone, ZeroizeOnDrop)]
pub struct SecretShare {
    scalar: Scalar,
    #[zeroize(skip)]
    public: PublicShare,
}

impl SecretShare {
    /// Reads a share as the key ceremony stores it: a scalar that is canonical and not zero.
    ///
    /// # Errors
    /// [`DecodeError::Scalar`] or [`DecodeError::ZeroShare`].
    pub fn from_bytes(index: ShareIndex, bytes: &[u8; SCALAR_BYTES]) -> Result<Self, DecodeError> {
        Self::new(index, *Zeroizing::new(scalar_from_bytes(bytes)?))
    }

    pub(super) fn new(index: ShareIndex, scalar: Scalar) -> Result<Self, DecodeError> {
        if scalar == Scalar::ZERO {
            return Err(DecodeError::ZeroShare);
        }
        Ok(Self::of_nonzero(index, scalar))
    }

    pub(super) fn of_nonzero(index: ShareIndex, scalar: Scalar) -> Self {
        let element = Element::multiple(&RistrettoPoint::mul_base(&scalar));
        let public = PublicShare { index, element };
        Self { scalar, public }
    }

    /// The 32 bytes of the share: for the node's own key file, and for nothing else.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; SCALAR_BYTES]> {
        Zeroizing::new(self.scalar.to_bytes())
    }

    /// Which share it is.
    #[must_use]
    pub const fn index(&self) -> ShareIndex {
        self.public.index
    }

    /// The public share that belongs to it: what the roster publishes.
    #[must_use]
    pub const fn public(&self) -> PublicShare {
        self.public
    }

    /// BlindEvaluate (RFC 9497, 3.3.2) with this share, over a batch, with one proof for all.
    /// `random` is 64 fresh bytes from a cryptographic source.
    ///
    /// # Errors
    /// [`EvaluateError`] for an empty batch or one above [`ELEMENTS_MAX`].
    pub fn evaluate(
        &self,
        blinded: &[BlindedElement],
        random: &[u8; SCALAR_RANDOM_BYTES],
    ) -> Result<PartialEvaluation, EvaluateError> {
        if blinded.is_empty() {
            return Err(EvaluateError::NoElements);
        }
        if blinded.len() > ELEMENTS_MAX {
            return Err(EvaluateError::TooManyElements { got: blinded.len() });
        }
        Ok(self.evaluate_with(blinded, &self.proof_nonce(blinded, random)))
    }

    /// The proof's `r` (RFC 9497, 2.2.1), hashed from the random bytes, the share and the batch.
    /// A random source that repeats itself, as in a cloned machine, then repeats a proof at
    /// worst, where a plain random `r` would give the share away.
    fn proof_nonce(
        &self,
        blinded: &[BlindedElement],
        random: &[u8; SCALAR_RANDOM_BYTES],
    ) -> Zeroizing<Scalar> {
        let mut message: Vec<&[u8]> = vec![self.scalar.as_bytes(), random];
        message.extend(blinded.iter().map(|element| element.0.bytes().as_slice()));
        Zeroizing::new(hash_to_scalar(&message, Tag::ProofNonce))
    }

    pub(super) fn evaluate_with(
        &self,
        blinded: &[BlindedElement],
        r: &Scalar,
    ) -> PartialEvaluation {
        // evaluatedElement = skS * blindedElement
        let half = Zeroizing::new(half(&self.scalar));
        let halves: Vec<_> = blinded
            .iter()
            .map(|element| *half * element.0.point())
            .collect();
        let elements = Element::doubles(&halves);
        let elements: Vec<_> = elements.into_iter().map(PartialElement).collect();
        // proof = GenerateProof(skS, G.Generator(), pkS, blindedElements, evaluatedElements)
        let public = &self.public.element;
        let dleq_proof = DleqProof::generate(&self.scalar, public, blinded, &elements, r);
        PartialEvaluation {
            index: self.index(),
            elements,
            dleq_proof,
        }
    }
}

impl fmt::Debug for SecretShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretShare({}, <secret>)", self.index())
    }
}

/// One node's answer, as it came: nothing in it is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialEvaluation {
    /// The share that claims to have answered.
    pub index: ShareIndex,
    /// One element for each one asked, in the same order.
    pub elements: Vec<PartialElement>,
    /// The proof over all of them.
    pub dleq_proof: DleqProof,
}

/// The public side of one share, as the roster has it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicShare {
    index: ShareIndex,
    element: Element,
}

impl PublicShare {
    /// Reads a public share.
    ///
    /// # Errors
    /// [`DecodeError::Element`] or [`DecodeError::Identity`] (RFC 9497, 4.1).
    pub fn from_bytes(index: ShareIndex, bytes: &[u8; ELEMENT_BYTES]) -> Result<Self, DecodeError> {
        let element = Element::from_bytes(bytes)?;
        Ok(Self { index, element })
    }

    /// The canonical encoding of its element; the index is carried beside it.
    #[must_use]
    pub const fn to_bytes(&self) -> [u8; ELEMENT_BYTES] {
        *self.element.bytes()
    }

    /// Which share it is.
    #[must_use]
    pub const fn index(&self) -> ShareIndex {
        self.index
    }

    pub(crate) const fn point(&self) -> &RistrettoPoint {
        self.element.point()
    }

    /// Checks a node's whole answer to `blinded` (RFC 9497, 2.2.2): all of its elements or none.
    ///
    /// # Errors
    /// [`VerifyError::BadShare`] and [`VerifyError::WrongCount`] name the culprit;
    /// [`VerifyError::OtherShare`] when the answer names another share than this one.
    pub fn verify(
        &self,
        blinded: &[BlindedElement],
        answer: PartialEvaluation,
    ) -> Result<VerifiedEvaluation, VerifyError> {
        let culprit = self.index;
        if answer.index != culprit {
            return Err(VerifyError::OtherShare {
                got: answer.index,
                want: culprit,
            });
        }
        let (got, want) = (answer.elements.len(), blinded.len());
        if got != want || !(1..=ELEMENTS_MAX).contains(&want) {
            return Err(VerifyError::WrongCount { culprit, got, want });
        }
        let PartialEvaluation {
            elements,
            dleq_proof,
            ..
        } = answer;
        if !dleq_proof.verifies(&self.element, blinded, &elements) {
            return Err(VerifyError::BadShare { culprit });
        }
        Ok(VerifiedEvaluation {
            share: *self,
            request: blinded.iter().map(BlindedElement::to_bytes).collect(),
            elements,
            dleq_proof,
        })
    }
}

impl fmt::Debug for PublicShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicShare({}, ..)", self.index)
    }
}

/// A node's answer that was verified. It remembers the request and the public share that it was
/// verified with, so that answers of two requests or two key ceremonies never mix.
#[derive(Clone)]
pub struct VerifiedEvaluation {
    share: PublicShare,
    request: Vec<[u8; ELEMENT_BYTES]>,
    elements: Vec<PartialElement>,
    dleq_proof: DleqProof,
}

impl VerifiedEvaluation {
    /// The share that answered.
    #[must_use]
    pub const fn index(&self) -> ShareIndex {
        self.share.index
    }

    /// What the node answered, for somebody else to verify once more.
    #[must_use]
    pub fn to_answer(&self) -> PartialEvaluation {
        PartialEvaluation {
            index: self.index(),
            elements: self.elements.clone(),
            dleq_proof: self.dleq_proof,
        }
    }
}

impl fmt::Debug for VerifiedEvaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifiedEvaluation({}, ..)", self.index())
    }
}

/// A blinded element times the joint secret. Only [`combine`] makes one, out of verified answers.
#[derive(Clone, Copy)]
pub struct EvaluatedElement(pub(super) RistrettoPoint);

impl fmt::Debug for EvaluatedElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EvaluatedElement(..)")
    }
}

/// Combines the first `threshold` answers into the evaluation under `joint`, bit for bit what
/// one server with the whole secret would answer (RFC 9497, 3.3.2). More answers than that are
/// allowed; any of them that is a duplicate or of another request is refused all the same.
///
/// # Errors
/// [`CombineError`]; [`CombineError::OtherKey`] stands for the joint key itself: the public
/// shares that were verified must add up to it.
pub fn combine(
    joint: &JointPublicKey,
    threshold: Threshold,
    answers: &[VerifiedEvaluation],
) -> Result<Vec<EvaluatedElement>, CombineError> {
    let chosen = answers
        .get(..usize::from(threshold.get()))
        .ok_or(CombineError::TooFew {
            got: answers.len(),
            want: threshold,
        })?;
    if let Some(index) = duplicate(answers.iter().map(VerifiedEvaluation::index)) {
        return Err(CombineError::Duplicate { index });
    }
    let request = chosen.first().map(|answer| &answer.request);
    if let Some(other) = answers.iter().find(|it| Some(&it.request) != request) {
        let index = other.index();
        return Err(CombineError::OtherRequest { index });
    }

    let indexes: Vec<_> = chosen.iter().map(VerifiedEvaluation::index).collect();
    let weights = lagrange(&indexes, Scalar::ZERO);
    let sum =
        |points: Vec<&RistrettoPoint>| RistrettoPoint::vartime_multiscalar_mul(&weights, points);
    let shares = chosen.iter().map(|answer| answer.share.element.point());
    if sum(shares.collect()) != *joint.0.point() {
        return Err(CombineError::OtherKey);
    }
    // Each row holds the answers of the chosen nodes to one blinded element.
    let rows = (0..request.map_or(0, Vec::len)).map(|position| {
        chosen
            .iter()
            .filter_map(|answer| answer.elements.get(position))
            .map(|element| element.0.point())
            .collect()
    });
    Ok(rows.map(|row| EvaluatedElement(sum(row))).collect())
}

impl JointPublicKey {
    /// The joint key of a whole list of public shares. Every share is checked against the others,
    /// so that any `threshold` of them later combine.
    ///
    /// The work grows with the square of the list: whoever reads a list from outside bounds it.
    ///
    /// # Errors
    /// [`JointKeyError`]; a misfit says where the list disagrees, not which side is wrong.
    pub fn of_shares(threshold: Threshold, shares: &[PublicShare]) -> Result<Self, JointKeyError> {
        let count = usize::from(threshold.get());
        let Some((first, rest)) = shares.split_at_checked(count) else {
            return Err(JointKeyError::TooFew {
                got: shares.len(),
                want: threshold,
            });
        };
        if let Some(index) = duplicate(shares.iter().map(PublicShare::index)) {
            return Err(JointKeyError::Duplicate { index });
        }
        let indexes: Vec<_> = first.iter().map(PublicShare::index).collect();
        let points = || first.iter().map(|share| share.element.point());
        let value_at =
            |at: Scalar| RistrettoPoint::vartime_multiscalar_mul(lagrange(&indexes, at), points());
        for share in rest {
            let index = share.index;
            if value_at(index.scalar()) != *share.element.point() {
                return Err(JointKeyError::Misfit { index, threshold });
            }
        }
        let joint = Element::new(&value_at(Scalar::ZERO)).map_err(|_| JointKeyError::Identity)?;
        Ok(Self(joint))
    }
}

/// The first index that is there twice.
fn duplicate(indexes: impl Iterator<Item = ShareIndex>) -> Option<ShareIndex> {
    let mut seen = std::collections::BTreeSet::new();
    let mut indexes = indexes;
    indexes.find(|index| !seen.insert(*index))
}

/// The weights with which the values at `indexes` add up to the value at `at`:
/// `w_i = prod (at - x_j) / (x_i - x_j)` over all `j` other than `i`. The indexes are distinct,
/// so no divisor is zero; nothing here is secret.
pub(crate) fn lagrange(indexes: &[ShareIndex], at: Scalar) -> Vec<Scalar> {
    let others = |i: ShareIndex| indexes.iter().copied().filter(move |j| *j != i);
    let above = |i: ShareIndex| -> Scalar { others(i).map(|j| at - j.scalar()).product() };
    let below = |i: ShareIndex| -> Scalar { others(i).map(|j| i.scalar() - j.scalar()).product() };
    let mut inverses: Vec<Scalar> = indexes.iter().map(|i| below(*i)).collect();
    Scalar::batch_invert(&mut inverses);
    let weights = indexes.iter().zip(&inverses);
    weights.map(|(i, inverse)| above(*i) * inverse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oprf::dealer::JointSecret;
    use crate::oprf::{Blind, blind};

    const RANDOM: [u8; 64] = [9; 64];

    fn two() -> Threshold {
        Threshold::new(2).unwrap()
    }

    fn joint_secret() -> JointSecret {
        JointSecret::derive(&[5; 32], b"share tests").unwrap()
    }

    /// A 2-of-3 sharing.
    fn shares() -> Vec<SecretShare> {
        let three = ShareIndex::new(3).unwrap();
        joint_secret().split(two(), three, &[[8; 64]]).unwrap()
    }

    fn request(input: &[u8]) -> (Blind, Vec<BlindedElement>) {
        let (kept, element) = blind(input, &[7; 64]).unwrap();
        (kept, vec![element])
    }

    fn verified(share: &SecretShare, blinded: &[BlindedElement]) -> VerifiedEvaluation {
        let answer = share.evaluate(blinded, &RANDOM).unwrap();
        share.public().verify(blinded, answer).unwrap()
    }

    #[test]
    fn a_share_reads_back_and_belongs_to_its_public_share() {
        for share in shares() {
            let read = SecretShare::from_bytes(share.index(), &share.to_bytes()).unwrap();
            assert_eq!(read.public(), share.public());
            let public = share.public();
            let read = PublicShare::from_bytes(public.index(), &public.to_bytes());
            assert_eq!(read, Ok(public));
        }
    }

    #[test]
    fn a_share_of_zero_or_beyond_the_order_is_refused() {
        let read = |bytes| SecretShare::from_bytes(ShareIndex::ONE, &bytes).err();
        assert_eq!(read([0; 32]), Some(DecodeError::ZeroShare));
        assert_eq!(read([0xff; 32]), Some(DecodeError::Scalar));
        let public = PublicShare::from_bytes(ShareIndex::ONE, &[0; 32]);
        assert_eq!(public, Err(DecodeError::Identity));
    }

    #[test]
    fn zero_is_no_index_and_no_threshold() {
        assert_eq!(ShareIndex::new(0), None);
        assert_eq!(Threshold::new(0), None);
    }

    #[test]
    fn an_empty_request_and_one_above_the_limit_are_refused() {
        let share = &shares()[0];
        let refused = share.evaluate(&[], &RANDOM).err();
        assert_eq!(refused, Some(EvaluateError::NoElements));
        let many = vec![request(b"x").1[0]; ELEMENTS_MAX + 1];
        let refused = share.evaluate(&many, &RANDOM).err();
        let got = ELEMENTS_MAX + 1;
        assert_eq!(refused, Some(EvaluateError::TooManyElements { got }));
    }

    #[test]
    fn a_wrong_share_is_refused_and_named() {
        let (_, blinded) = request(b"x");
        let shares = shares();
        let culprit = shares[1].index();
        // Share 3's scalar under the name of share 2.
        let liar = SecretShare::from_bytes(culprit, &shares[2].to_bytes()).unwrap();
        let answer = liar.evaluate(&blinded, &RANDOM).unwrap();
        let refused = shares[1].public().verify(&blinded, answer).err();
        assert_eq!(refused, Some(VerifyError::BadShare { culprit }));
    }

    #[test]
    fn an_answer_to_another_request_is_refused_and_named() {
        let share = &shares()[0];
        let culprit = share.index();
        let answer = share.evaluate(&request(b"x").1, &RANDOM).unwrap();
        let refused = share.public().verify(&request(b"y").1, answer).err();
        assert_eq!(refused, Some(VerifyError::BadShare { culprit }));
    }

    #[test]
    fn an_answer_held_against_another_share_accuses_nobody() {
        let (_, blinded) = request(b"x");
        let shares = shares();
        let answer = shares[0].evaluate(&blinded, &RANDOM).unwrap();
        assert_eq!(
            shares[1].public().verify(&blinded, answer).err(),
            Some(VerifyError::OtherShare {
                got: shares[0].index(),
                want: shares[1].index()
            })
        );
    }

    #[test]
    fn an_answer_with_too_few_or_too_many_elements_is_refused() {
        let (_, blinded) = request(b"x");
        let share = &shares()[0];
        let answer = share.evaluate(&blinded, &RANDOM).unwrap();
        let culprit = share.index();
        for got in [0, 2] {
            let mut wrong = answer.clone();
            wrong.elements = vec![answer.elements[0]; got];
            let refused = share.public().verify(&blinded, wrong).err();
            let want = 1;
            assert_eq!(
                refused,
                Some(VerifyError::WrongCount { culprit, got, want })
            );
        }
    }

    #[test]
    fn an_answer_to_nothing_is_refused() {
        let share = &shares()[0];
        let mut answer = share.evaluate(&request(b"x").1, &RANDOM).unwrap();
        answer.elements.clear();
        assert!(share.public().verify(&[], answer).is_err());
    }

    #[test]
    fn one_answer_fewer_than_the_threshold_is_refused() {
        let (_, blinded) = request(b"x");
        let answers = [verified(&shares()[0], &blinded)];
        let refused = combine(&joint_secret().public(), two(), &answers).err();
        assert_eq!(
            refused,
            Some(CombineError::TooFew {
                got: 1,
                want: two()
            })
        );
    }

    #[test]
    fn fewer_answers_under_a_smaller_threshold_do_not_pass() {
        let (_, blinded) = request(b"x");
        let answers = [verified(&shares()[0], &blinded)];
        let refused = combine(&joint_secret().public(), Threshold::ONE, &answers).err();
        assert_eq!(refused, Some(CombineError::OtherKey));
    }

    #[test]
    fn fewer_answers_do_not_give_the_output() {
        let (kept, blinded) = request(b"x");
        let sole = joint_secret().sole_share();
        let right = verified(&sole, &blinded).elements[0];
        let right = kept.finalize(&EvaluatedElement(*right.0.point()));
        for share in shares() {
            // What a coalition of one can do with its answer: nothing, or weigh it.
            let answer = verified(&share, &blinded).elements[0];
            for weight in 1..4_u8 {
                let guess = EvaluatedElement(Scalar::from(weight) * answer.0.point());
                assert_ne!(kept.finalize(&guess).as_bytes(), right.as_bytes());
            }
        }
    }

    #[test]
    fn one_share_does_not_count_twice() {
        let (_, blinded) = request(b"x");
        let shares = shares();
        let index = shares[0].index();
        let one = verified(&shares[0], &blinded);
        let other = verified(&shares[1], &blinded);
        for answers in [
            vec![one.clone(), one.clone()],
            vec![one.clone(), other.clone(), one.clone()],
        ] {
            let refused = combine(&joint_secret().public(), two(), &answers).err();
            assert_eq!(refused, Some(CombineError::Duplicate { index }));
        }
    }

    #[test]
    fn answers_to_two_requests_do_not_combine() {
        let shares = shares();
        let answers = [
            verified(&shares[0], &request(b"x").1),
            verified(&shares[1], &request(b"y").1),
        ];
        let refused = combine(&joint_secret().public(), two(), &answers).err();
        let index = shares[1].index();
        assert_eq!(refused, Some(CombineError::OtherRequest { index }));
    }

    #[test]
    fn answers_of_two_sharings_of_one_secret_do_not_combine() {
        let (_, blinded) = request(b"x");
        let refreshed = joint_secret()
            .split(two(), ShareIndex::new(3).unwrap(), &[[80; 64]])
            .unwrap();
        let answers = [
            verified(&shares()[0], &blinded),
            verified(&refreshed[1], &blinded),
        ];
        let refused = combine(&joint_secret().public(), two(), &answers).err();
        assert_eq!(refused, Some(CombineError::OtherKey));
    }

    #[test]
    fn the_public_shares_make_the_joint_key() {
        let public: Vec<_> = shares().iter().map(SecretShare::public).collect();
        let joint = joint_secret().public();
        assert_eq!(JointPublicKey::of_shares(two(), &public), Ok(joint));
        assert_eq!(JointPublicKey::of_shares(two(), &public[1..]), Ok(joint));
    }

    #[test]
    fn a_list_of_public_shares_that_disagrees_makes_no_joint_key() {
        let public: Vec<_> = shares().iter().map(SecretShare::public).collect();
        let of = |list: &[PublicShare]| JointPublicKey::of_shares(two(), list).err();

        let want = two();
        assert_eq!(
            of(&public[..1]),
            Some(JointKeyError::TooFew { got: 1, want })
        );

        let index = public[0].index();
        let twice = [public[0], public[1], public[0]];
        assert_eq!(of(&twice), Some(JointKeyError::Duplicate { index }));

        let index = public[2].index();
        let threshold = two();
        let wrong = PublicShare::from_bytes(index, &public[0].to_bytes()).unwrap();
        let misfit = [public[0], public[1], wrong];
        assert_eq!(
            of(&misfit),
            Some(JointKeyError::Misfit { index, threshold })
        );
    }

    #[test]
    fn public_shares_that_cancel_out_make_no_joint_key() {
        // The line through 1 at 1 and 2 at 2 goes through 0 at 0.
        let share = |index| {
            let index = ShareIndex::new(index).unwrap();
            SecretShare::of_nonzero(index, index.scalar()).public()
        };
        let refused = JointPublicKey::of_shares(two(), &[share(1), share(2)]);
        assert_eq!(refused, Err(JointKeyError::Identity));
    }

    #[test]
    fn one_random_string_never_serves_two_proofs() {
        let share = &shares()[0];
        let nonce = |input: &[u8], random| share.proof_nonce(&request(input).1, &random);
        assert_ne!(*nonce(b"x", RANDOM), *nonce(b"y", RANDOM));
        assert_ne!(*nonce(b"x", RANDOM), *nonce(b"x", [10; 64]));
        assert_ne!(
            *nonce(b"x", RANDOM),
            *shares()[1].proof_nonce(&request(b"x").1, &RANDOM)
        );
    }

    #[test]
    fn debug_of_a_share_shows_no_byte_of_it() {
        let shown = format!("{:?}", shares()[1]);
        assert_eq!(shown, "SecretShare(2, <secret>)");
    }
}

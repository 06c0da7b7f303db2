//! One signed message of a ceremony, and what exactly is signed.

use std::fmt;

use thiserror::Error;
use zeroize::Zeroizing;

use super::CeremonyError;
use super::plan::{Participant, Plan};
use crate::hash::{self, Context, Hash};
use crate::signing::{SIGNATURE_BYTES, SecretKey, Signature};

/// Longest message: a view of 100 members has 9,600 bytes, and nothing is longer.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// What every signature of a ceremony begins with; no other signed message does.
const TITLE: &[u8] = b"vitrail ceremony message v1\n";

/// The steps, in the order of their numbers. The number is signed and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The fingerprint of an opening that is shown later.
    Commitment = 1,
    /// Commitments to both polynomials.
    Opening = 2,
    /// Which openings a member has.
    View = 3,
    /// The values for one other member: of the polynomials, or of a helper's deltas.
    Share = 4,
    /// The hash of the transcript.
    Confirmation = 5,
    /// In a repair, after the shares: the sums of the deltas that a helper got, for the repaired
    /// member alone.
    Sigma = 6,
}

impl Step {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Commitment,
        Self::Opening,
        Self::View,
        Self::Share,
        Self::Confirmation,
        Self::Sigma,
    ];

    /// Its word, in file names and errors.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Commitment => "commitment",
            Self::Opening => "opening",
            Self::View => "view",
            Self::Share => "share",
            Self::Confirmation => "confirmation",
            Self::Sigma => "sigma",
        }
    }

    /// Whether what is said in it is for one member alone, and a secret.
    #[must_use]
    pub const fn is_for_one(self) -> bool {
        match self {
            Self::Share | Self::Sigma => true,
            Self::Commitment | Self::Opening | Self::View | Self::Confirmation => false,
        }
    }

    /// The step with this number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|step| *step as u32 == number)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MessageError {
    /// Too short for a signature and a body, or longer than any.
    #[error("a message has {min} to {MESSAGE_BYTES_MAX} bytes, this one {got}", min = SIGNATURE_BYTES + 1)]
    Length {
        /// Its length.
        got: usize,
    },
}

/// A body and its sender's signature. A share's body is a secret, so none is printed, and each is
/// wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    signature: Signature,
    body: Zeroizing<Vec<u8>>,
}

impl Message {
    /// Signs a body as `from`: for everybody, or for `to` alone.
    pub(super) fn sign(about: &About<'_>, body: Zeroizing<Vec<u8>>, secret: &SecretKey) -> Self {
        let signature = secret.sign(&about.signed_bytes(fingerprint(&body)));
        Self { signature, body }
    }

    /// Reads a message as it is sent and kept: the signature, then the body.
    ///
    /// # Errors
    /// [`MessageError::Length`].
    pub fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        let got = bytes.len();
        let parts = bytes.split_first_chunk::<SIGNATURE_BYTES>();
        let (signature, body) = parts
            .filter(|(_, body)| !body.is_empty() && got <= MESSAGE_BYTES_MAX)
            .ok_or(MessageError::Length { got })?;
        Ok(Self {
            signature: Signature::from_bytes(*signature),
            body: Zeroizing::new(body.to_vec()),
        })
    }

    /// The message as it is sent and kept.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([self.signature.as_bytes().as_slice(), &self.body].concat())
    }

    /// The body, once it is known to be signed by its sender for this ceremony, step and receiver.
    pub(super) fn verify(&self, about: &About<'_>) -> Result<&[u8], CeremonyError> {
        let signed = about.signed_bytes(fingerprint(&self.body));
        let good = about.from.public_key.verify(&signed, &self.signature);
        good.map(|()| self.body.as_slice())
            .map_err(|_| CeremonyError::Signature {
                culprit: about.from.name.clone(),
                step: about.step,
            })
    }

    /// The hash of the body: what is compared and written into the transcript.
    pub(super) fn fingerprint(&self) -> Hash {
        fingerprint(&self.body)
    }

    pub(super) const fn signature(&self) -> &Signature {
        &self.signature
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({} bytes)", self.body.len())
    }
}

fn fingerprint(body: &[u8]) -> Hash {
    hash::derive(Context::CeremonyMessage, &[body])
}

/// Which message of a ceremony it is: all of this is signed with the body.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) plan: &'a Plan,
    pub(super) step: Step,
    pub(super) from: &'a Participant,
    /// Who alone may have it; `None` for everybody.
    pub(super) to: Option<&'a Participant>,
}

impl About<'_> {
    /// `title || plan id || u8 step || u16 sender's index || u16 receiver's index or 0 || hash of
    /// the body`. The body is signed by its hash so that a view can show who signed what.
    pub(super) fn signed_bytes(&self, body: Hash) -> Vec<u8> {
        let to = self.to.map_or(0, |to| to.index.get());
        let mut bytes = TITLE.to_vec();
        bytes.extend(self.plan.id().as_bytes());
        bytes.push(self.step as u8);
        bytes.extend(self.from.index.get().to_be_bytes());
        bytes.extend(to.to_be_bytes());
        bytes.extend(body.as_bytes());
        bytes
    }
}

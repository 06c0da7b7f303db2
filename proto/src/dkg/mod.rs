//! The key ceremony: members make the shares of both joint keys together, and nobody ever holds
//! a key (Pedersen's distributed key generation with proofs of knowledge, as in FROST, figure 1).
//!
//! ```text
//! step 1  commitment     the fingerprint of this member's opening
//! step 2  opening        commitments to two polynomials, with proofs; shown once all of step 1 are there
//! step 3  view           which openings this member has, and the signatures they came with
//! step 4  share          to each other member: the value of each polynomial at its index
//! step 5  confirmation   the hash of the transcript, once the new shares are durable
//! ```
//!
//! Step 1 keeps the last one to speak from choosing its part by what the others said. Step 3 keeps
//! a member from showing two openings to two others. Each message is signed, so whoever cheats is
//! named. A refresh has the same steps with polynomials that are zero at 0: the joint keys, and so
//! every token, stay as they are.
//!
//! A repair gives one member the shares again that it lost. What the helpers open and send are no
//! values of polynomials but the parts of sums, and each helper then sends its sums to the repaired
//! member, between steps 4 and 5. Nothing that is public changes.
//!
//! All of a member's randomness comes out of one seed. So a member that stopped and starts again
//! from its seed and the messages it has kept says the same again, and never anything else.

mod message;
mod plan;
mod polynomial;
mod repair;
mod seat;
#[cfg(test)]
mod tests;
mod transcript;

use thiserror::Error;

pub use self::message::{MESSAGE_BYTES_MAX, Message, MessageError, Step};
pub use self::plan::{Kind, PARTICIPANTS_MAX, Participant, Plan, PlanError, PlanParts};
pub use self::seat::{Basis, Messages, Openings, Outcome, SEED_BYTES, Seat};
pub use self::transcript::{Holding, PublicPair, Published, Transcript};
use crate::ids::MemberName;

/// Why a ceremony does not go on. Every variant that accuses names the member.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CeremonyError {
    /// A member's message has not come.
    #[error("the {step} of {member} is missing")]
    Missing {
        /// Whose message.
        member: MemberName,
        /// Of which step.
        step: Step,
    },
    /// A message is not signed by the member it is from, for this ceremony and step.
    #[error("the {step} of {culprit} is not signed by it for this ceremony")]
    Signature {
        /// Whose message it claims to be.
        culprit: MemberName,
        /// Of which step.
        step: Step,
    },
    /// A signed message is not of its form.
    #[error("the {step} of {culprit} is not of its form")]
    Malformed {
        /// Who signed it.
        culprit: MemberName,
        /// Of which step.
        step: Step,
    },
    /// An opening is another one than was committed to.
    #[error("{culprit} opened something else than it committed to")]
    OtherOpening {
        /// Who opened it.
        culprit: MemberName,
    },
    /// A proof of knowledge fails: its member does not know what it contributes.
    #[error("{culprit} does not prove that it knows its part of a key")]
    Proof {
        /// Whose proof.
        culprit: MemberName,
    },
    /// A member signed two openings.
    #[error("{culprit} showed {witness} another opening than this member")]
    TwoOpenings {
        /// Who signed both.
        culprit: MemberName,
        /// Who has the other one.
        witness: MemberName,
    },
    /// A member says that it has an opening which its author never signed.
    #[error("{culprit} shows an opening that {author} did not sign")]
    FalseView {
        /// Who says so.
        culprit: MemberName,
        /// Whose opening it is said to be.
        author: MemberName,
    },
    /// A share does not lie on the polynomial that its sender committed to.
    #[error("the share of {culprit} does not fit its opening")]
    Share {
        /// Who sent it.
        culprit: MemberName,
    },
    /// What a helper of a repair committed to is not its part of the repaired share.
    #[error("what {culprit} opened does not add up to its part of the repaired share")]
    Deltas {
        /// Who opened it.
        culprit: MemberName,
    },
    /// What a helper gives to the repaired member is not the sum of what it was given.
    #[error("the sum of {culprit} does not fit the openings")]
    Sigma {
        /// Who sent it.
        culprit: MemberName,
    },
    /// A member confirms another outcome.
    #[error("{culprit} confirms another transcript")]
    OtherTranscript {
        /// Who confirmed it.
        culprit: MemberName,
    },
    /// The shares do not add up; with openings and shares that were checked it does not happen.
    #[error("the shares do not make a joint key that can be used")]
    Unusable,
}

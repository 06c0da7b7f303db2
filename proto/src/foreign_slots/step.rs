//! The steps of a verification, and how each fails.

use std::fmt;

use thiserror::Error;

use super::{EVALUATIONS_MAX, FOREIGN_SLOTS_BYTES_MAX};
use crate::entry::Kind;
use crate::identity::IdentityError;
use crate::oprf::{BlindError, CombineError, ShareIndex, VerifyError};
use crate::receipt::{self, ReceiptError};
use crate::signing::SigningError;

/// The steps of a verification, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// 1. The file has the one spelling of its format.
    Format,
    /// 2. The identity is one that a card can have; the key of its NIR fits.
    Identity,
    /// 3. The checkpoint is of the roster's ledger and cosigned by a quorum of its members.
    Checkpoint,
    /// 4. The entry was signed by its issuer for this ledger.
    Entry,
    /// 5. The entry is in the log that the checkpoint commits to.
    Inclusion,
    /// 6. The entry is a claim.
    Claim,
    /// 7. A payer of the roster signed the file.
    Discloser,
    /// 8. As many members as the threshold evaluated this identity, each with its proof.
    Evaluations,
    /// 9. The evaluations make a token under the joint key.
    Token,
    /// 10. A slot of the claim is none of the person's.
    Foreign,
}

impl Step {
    /// The word for it in command output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Identity => "identity",
            Self::Checkpoint => "checkpoint",
            Self::Entry => "entry",
            Self::Inclusion => "inclusion",
            Self::Claim => "claim",
            Self::Discloser => "discloser",
            Self::Evaluations => "evaluations",
            Self::Token => "token",
            Self::Foreign => "foreign",
        }
    }

    /// What it means that the step passed.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Format => "the file is of the format, with nothing added or missing",
            Self::Identity => "the identity is well formed, and the key of its NIR fits",
            Self::Checkpoint => "a quorum of the roster's members cosigned the checkpoint",
            Self::Entry => "the issuer signed the entry for this ledger",
            Self::Inclusion => "the entry is in the log at its index",
            Self::Claim => "the entry is a claim",
            Self::Discloser => "a payer of the roster signed the file",
            Self::Evaluations => "the members of the threshold evaluated this identity",
            Self::Token => "the evaluations make the person's token",
            Self::Foreign => "a slot of the claim is none of the person's",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<receipt::Step> for Step {
    fn from(step: receipt::Step) -> Self {
        match step {
            receipt::Step::Checkpoint => Self::Checkpoint,
            receipt::Step::Entry => Self::Entry,
            receipt::Step::Inclusion => Self::Inclusion,
            // The last two are a refusal's, and this file has none.
            receipt::Step::Format | receipt::Step::State | receipt::Step::Refused => Self::Format,
        }
    }
}

/// Which step of a verification failed, and how. No variant carries a value of the identity.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ForeignSlotsError {
    /// A line is missing or not of its form.
    #[error("line {line} must be {want}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What it must be.
        want: &'static str,
    },
    /// The file is longer than any of its format.
    #[error("the file has at most {FOREIGN_SLOTS_BYTES_MAX} bytes, got {got}")]
    TooLong {
        /// Its length in bytes.
        got: usize,
    },
    /// The file has more evaluations than a roster has shares.
    #[error("the file has at most {EVALUATIONS_MAX} evaluations")]
    TooManyEvaluations,
    /// The receipt in it cannot be read, or fails one of its own steps.
    #[error("receipt: {0}")]
    Receipt(#[from] ReceiptError),
    /// A field of the identity is none that a card can have.
    #[error("identity: {0}")]
    Identity(#[from] IdentityError),
    /// A field of the identity has another spelling than the canonical one.
    #[error("identity: the {field} must be in capitals and without spaces")]
    Spelling {
        /// The field.
        field: &'static str,
    },
    /// The entry takes no slots for anybody.
    #[error("claim: an entry of kind {} is no claim", .kind.as_str())]
    NoClaim {
        /// Its kind.
        kind: Kind,
    },
    /// Who signed is no payer of the roster.
    #[error("discloser: the key that signed is no payer's of the roster")]
    Stranger,
    /// The payer's signature does not hold over the file.
    #[error("discloser: {0}")]
    Signature(#[from] SigningError),
    /// There are more or fewer evaluations than the threshold.
    #[error("evaluations: there must be {want}, got {got}")]
    Count {
        /// How many there are.
        got: usize,
        /// The roster's threshold.
        want: usize,
    },
    /// A share is there twice, or stands before a smaller one.
    #[error("evaluations: share {share} must stand once, in ascending order")]
    Order {
        /// The share.
        share: ShareIndex,
    },
    /// Nobody in the roster holds the share.
    #[error("evaluations: no member of the roster has share {share}")]
    NoShare {
        /// The share.
        share: ShareIndex,
    },
    /// The blind does not hide the identity.
    #[error("evaluations: {0}")]
    Blind(#[from] BlindError),
    /// An answer is not the share's to this identity under this blind.
    #[error("evaluations: {0}")]
    Evaluation(#[from] VerifyError),
    /// The roster's share cannot be used.
    #[error("evaluations: the roster has a share that cannot be used")]
    Roster,
    /// The roster's joint key cannot be used.
    #[error("token: the roster has a joint key that cannot be used")]
    Joint,
    /// The answers do not make an evaluation under the joint key.
    #[error("token: {0}")]
    Combine(#[from] CombineError),
    /// The claim is wholly the person's.
    #[error("foreign: every slot of the claim is the person's")]
    AllOwn,
}

impl ForeignSlotsError {
    /// The step that failed.
    #[must_use]
    pub fn step(&self) -> Step {
        match self {
            Self::Line { .. } | Self::TooLong { .. } | Self::TooManyEvaluations => Step::Format,
            Self::Receipt(error) => error.step().into(),
            Self::Identity(_) | Self::Spelling { .. } => Step::Identity,
            Self::NoClaim { .. } => Step::Claim,
            Self::Stranger | Self::Signature(_) => Step::Discloser,
            Self::Count { .. }
            | Self::Order { .. }
            | Self::NoShare { .. }
            | Self::Blind(_)
            | Self::Evaluation(_)
            | Self::Roster => Step::Evaluations,
            Self::Joint | Self::Combine(_) => Step::Token,
            Self::AllOwn => Step::Foreign,
        }
    }
}

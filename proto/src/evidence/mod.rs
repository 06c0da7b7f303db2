//! Evidence: one file that shows, to anybody who has the roster, that members signed what no
//! honest member signs. Nobody is asked, and no log is needed.
//!
//! Each kind rests on one thing that an honest member does whatever others do, so that no file
//! can ever be made against it:
//!
//! | kind | an honest member |
//! |---|---|
//! | [`Evidence::Fork`] | cosigns one pair of roots for a size |
//! | [`Evidence::Rollback`] | cosigns no smaller size later |
//! | [`Evidence::Rewritten`] | cosigns states of one log, each the beginning of the next |
//! | [`Evidence::TwoHeaders`] | signs one header for a place in its term |
//! | [`Evidence::WrongMap`] | signs a log root with the map root of that log alone |
//! | [`Evidence::BackDated`] | gives a batch no moment before the last batch, nor far from its entries |
//! | [`Evidence::Rule`] | vouches for no log with an entry that a rule refuses |
//!
//! A header that was signed is not yet in the ledger: its batch may be lost, and another take its
//! place. So headers are compared with headers of one term, and with the one they extend, never
//! with checkpoints of the same size.

mod appended;
#[cfg(test)]
mod example;
mod extension;
mod rule;
#[cfg(test)]
mod tests;
mod text;
mod verdict;

use crate::batch::{BatchError, SignedHeader};
use crate::checkpoint::{CheckpointError, SignedCheckpoint, SignedCheckpointError};
use crate::entry::EntryError;
use crate::hash::Hash;
use crate::ids::{LeafIndex, MemberName};
use crate::map::MapProofError;
use crate::merkle::{ConsistencyProof, PeaksError, ProofError};
use crate::receipt::EntryProof;
use crate::refusal::Reason;
use crate::roster::Roster;
use thiserror::Error;

pub use self::appended::{Appended, GatherError};
pub use self::extension::{BatchLink, Extension, Roots};
use self::extension::{Signers, Vouched, both, verify_header};
pub use self::verdict::{Offence, Step, Verdict};

/// Longest file: a full batch of claims of eight slots each, with a map proof for each of them
/// in a map of a hundred million keys, in base64.
pub const EVIDENCE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most entries in a file: four full batches.
pub const EVIDENCE_ENTRIES_MAX: usize = 4096;
/// By how much the moment of a batch may lie before that of the batch before: a new leader whose
/// clock is behind its predecessor's by no more than this accuses nobody.
pub const BACK_DATING_MS_MAX: u64 = 60_000;

/// Members' signatures that contradict each other, or what follows from them. Nothing of it is
/// checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "a file is read one at a time, so there is no array of them"
)]
pub enum Evidence {
    /// Two checkpoints of one size with other roots.
    Fork {
        /// One of them.
        first: SignedCheckpoint,
        /// The other one.
        second: SignedCheckpoint,
    },
    /// A checkpoint, and a smaller one that was cosigned later.
    Rollback {
        /// The larger one.
        larger: SignedCheckpoint,
        /// The smaller and later one.
        smaller: SignedCheckpoint,
    },
    /// Two checkpoints, the larger of which begins with another log than the smaller.
    Rewritten {
        /// The smaller one.
        smaller: SignedCheckpoint,
        /// The larger one.
        larger: SignedCheckpoint,
        /// The root that the larger log had at the smaller size.
        begins_with: Hash,
        /// Shows that it did.
        proof: ConsistencyProof,
    },
    /// Two headers of one leader for one place in one term.
    TwoHeaders {
        /// Who led.
        leader: MemberName,
        /// One of them.
        first: SignedHeader,
        /// The other one.
        second: SignedHeader,
    },
    /// A map root that is not the one that the log gives.
    WrongMap {
        /// From which state to which.
        extension: Extension,
        /// The entries between.
        appended: Appended,
    },
    /// A batch that is dated before the last one, or far from an entry that it has.
    BackDated {
        /// The batch and the one before.
        batch: BatchLink,
        /// The entry, with its place under the batch's log root; without one, the batch before
        /// shows it.
        entry: Option<EntryProof>,
    },
    /// An entry in the log that a rule refuses.
    Rule {
        /// From a state before the entry to one that has it.
        extension: Extension,
        /// The entries between.
        appended: Appended,
        /// The entry's place.
        index: LeafIndex,
        /// The rule.
        reason: Reason,
    },
}

/// Why a file is no evidence against anybody. No byte of it is quoted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EvidenceError {
    /// The file is longer than any evidence.
    #[error("a file of evidence has at most {EVIDENCE_BYTES_MAX} bytes, got {got}")]
    TooLong {
        /// Its length in bytes.
        got: usize,
    },
    /// A line is missing, too many, or not of its form.
    #[error("line {line} must be {want}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What it must be.
        want: &'static str,
    },
    /// A checkpoint has not the one spelling of a signed checkpoint.
    #[error("checkpoint: {0}")]
    CheckpointText(#[from] SignedCheckpointError),
    /// An entry cannot be read.
    #[error("entry: {0}")]
    Entry(#[from] EntryError),
    /// A checkpoint is of another ledger, or a line of it is no cosignature of a member.
    #[error("checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// A header was not signed by the leader that is named.
    #[error("header: {0}")]
    Header(#[from] BatchError),
    /// The leader is not in the roster.
    #[error("{name} is not in the roster")]
    UnknownMember {
        /// The name.
        name: MemberName,
    },
    /// The header names another one before it.
    #[error("the header names another header before it than the one given")]
    OtherPrevious,
    /// No member signed both, so nobody said two things.
    #[error("no member signed both")]
    NobodySignedBoth,
    /// There are not as many peaks as the size asks for.
    #[error(transparent)]
    Peaks(#[from] PeaksError),
    /// The peaks are not those of the log before.
    #[error("the peaks do not lead to the log root before")]
    OtherLogBefore,
    /// The entries do not make the log after.
    #[error("the log before with these entries is not the log after")]
    OtherLogAfter,
    /// An entry does not have the shape of its kind.
    #[error("entry {index}: {reason}")]
    Shape {
        /// Its place.
        index: LeafIndex,
        /// What is wrong with it.
        reason: crate::attestation::ShapeError,
    },
    /// A map proof does not lead to the map root before.
    #[error("a map proof: {0}")]
    MapProof(#[from] MapProofError),
    /// A state that the entries touch is not shown.
    #[error("a map proof that the entries call for is missing")]
    StateMissing,
    /// A map proof is of a state that nothing touches.
    #[error("a map proof is given that the entries do not call for")]
    StateNotCalledFor,
    /// What the map has cannot be read as a state.
    #[error("a map value is no state of this version")]
    NotAState,
    /// The entry is not in the log at its place, or the consistency proof fails.
    #[error("proof: {0}")]
    Proof(#[from] ProofError),
    /// The entry stands in another batch.
    #[error("entry {index} is not one of the batch")]
    OtherBatch {
        /// The entry's place.
        index: LeafIndex,
    },
    /// The place is not that of an entry between the two states.
    #[error("entry {index} is not among those given")]
    NotAppended {
        /// The place.
        index: LeafIndex,
    },
    /// All of it is so, and an honest member may have signed it.
    #[error("there is no contradiction: {0}")]
    NoContradiction(&'static str),
    /// The rule cannot be checked with the roster alone.
    #[error(
        "entry {index} is in the log; whether rule {} refuses it takes the log: run an audit",
        .reason.code()
    )]
    NeedsTheLog {
        /// The entry's place.
        index: LeafIndex,
        /// The rule.
        reason: Reason,
    },
}

impl EvidenceError {
    /// The step that failed.
    #[must_use]
    pub const fn step(&self) -> Step {
        match self {
            Self::TooLong { .. } | Self::Line { .. } | Self::CheckpointText(_) | Self::Entry(_) => {
                Step::Format
            }
            Self::Checkpoint(_)
            | Self::Header(_)
            | Self::UnknownMember { .. }
            | Self::OtherPrevious
            | Self::NobodySignedBoth => Step::Signatures,
            Self::Peaks(_)
            | Self::OtherLogBefore
            | Self::OtherLogAfter
            | Self::Shape { .. }
            | Self::MapProof(_)
            | Self::StateMissing
            | Self::StateNotCalledFor
            | Self::NotAState
            | Self::Proof(_)
            | Self::OtherBatch { .. }
            | Self::NotAppended { .. } => Step::Proofs,
            Self::NoContradiction(_) | Self::NeedsTheLog { .. } => Step::Contradiction,
        }
    }
}

impl Evidence {
    /// Reads a file of evidence and verifies it: step 1, then the others, `passed` after each.
    ///
    /// # Errors
    /// The first step that fails.
    pub fn verify_text(
        text: &str,
        roster: &Roster,
        passed: &mut dyn FnMut(Step),
    ) -> Result<Verdict, EvidenceError> {
        let evidence = Self::parse(text)?;
        passed(Step::Format);
        evidence.verify(roster, passed)
    }

    /// Verifies steps 2 to 4, calling `passed` after each one: who is guilty of what.
    ///
    /// 2. Somebody in the roster signed both states.
    /// 3. What the file adds leads to the roots that were signed.
    /// 4. No honest member signs both.
    ///
    /// # Errors
    /// The first step that fails. Then the file shows nothing against anybody.
    pub fn verify(
        &self,
        roster: &Roster,
        passed: &mut dyn FnMut(Step),
    ) -> Result<Verdict, EvidenceError> {
        let signers = self.signers(roster)?;
        passed(Step::Signatures);
        let contradiction = self.prove(roster)?;
        passed(Step::Proofs);
        let offence = contradiction?;
        passed(Step::Contradiction);
        let Signers { members, certified } = signers;
        Ok(Verdict {
            offence,
            members,
            certified,
        })
    }

    /// Step 2.
    fn signers(&self, roster: &Roster) -> Result<Signers, EvidenceError> {
        match self {
            Self::Fork { first, second } => both(roster, first, second, |_, _| true),
            Self::Rollback { larger, smaller } => {
                both(roster, larger, smaller, |before, after| before < after)
            }
            Self::Rewritten {
                smaller, larger, ..
            } => both(roster, smaller, larger, |_, _| true),
            Self::TwoHeaders {
                leader,
                first,
                second,
            } => {
                verify_header(roster, leader, first)?;
                verify_header(roster, leader, second)?;
                Ok(Signers {
                    members: vec![leader.clone()],
                    certified: false,
                })
            }
            Self::WrongMap { extension, .. } | Self::Rule { extension, .. } => {
                Ok(extension.verify(roster)?.signers)
            }
            Self::BackDated { batch, .. } => {
                batch.verify(roster)?;
                Ok(Signers {
                    members: vec![batch.leader.clone()],
                    certified: false,
                })
            }
        }
    }

    /// Step 3, and within its answer step 4.
    fn prove(&self, roster: &Roster) -> Result<Result<Offence, EvidenceError>, EvidenceError> {
        Ok(match self {
            Self::Fork { first, second } => fork(first, second),
            Self::Rollback { larger, smaller } => {
                let (size, smaller) = (larger.claimed().size, smaller.claimed().size);
                let goes_back = Offence::Rollback { size, smaller };
                (smaller < size)
                    .then_some(goes_back)
                    .ok_or(EvidenceError::NoContradiction(
                        "the later one is not smaller",
                    ))
            }
            Self::Rewritten {
                smaller,
                larger,
                begins_with,
                proof,
            } => {
                let (before, after) = (smaller.claimed(), larger.claimed());
                proof.verify(before.size, *begins_with, after.size, after.log_root)?;
                let (from, to) = (before.size, after.size);
                let rewritten = Offence::Rewritten { from, to };
                let other = *begins_with != before.log_root && from.get() > 0;
                let same = "the larger log begins with the smaller one";
                other
                    .then_some(rewritten)
                    .ok_or(EvidenceError::NoContradiction(same))
            }
            Self::TwoHeaders { first, second, .. } => {
                let (term, number) = (first.claimed().term, first.claimed().number);
                let two = Offence::TwoHeaders { term, number };
                let same = "the headers are for two places, or the same";
                first
                    .contradicts(second)
                    .then_some(two)
                    .ok_or(EvidenceError::NoContradiction(same))
            }
            Self::WrongMap {
                extension,
                appended,
            } => {
                let Vouched { before, after, .. } = extension.verify(roster)?;
                let root = appended.map_root_after(&before, &after, &mut |_, _, _| Ok(()))?;
                let wrong = Offence::WrongMap { size: after.size };
                let same = "the map is the one that the entries give";
                (root != after.map_root)
                    .then_some(wrong)
                    .ok_or(EvidenceError::NoContradiction(same))
            }
            Self::BackDated { batch, entry } => rule::back_dated(batch, entry.as_ref())?,
            Self::Rule {
                extension,
                appended,
                index,
                reason,
            } => {
                let vouched = extension.verify(roster)?;
                rule::broken(&vouched, appended, *index, *reason)?
            }
        })
    }
}

fn fork(first: &SignedCheckpoint, second: &SignedCheckpoint) -> Result<Offence, EvidenceError> {
    let (first, second) = (first.claimed(), second.claimed());
    if first.size != second.size {
        let sizes = "the checkpoints are of two sizes";
        return Err(EvidenceError::NoContradiction(sizes));
    }
    let same = Roots::of(first) == Roots::of(second);
    let fork = Offence::Fork { size: first.size };
    let roots = "the checkpoints have the same roots";
    (!same)
        .then_some(fork)
        .ok_or(EvidenceError::NoContradiction(roots))
}

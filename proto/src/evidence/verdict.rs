//! What evidence shows once every step has passed.

use std::fmt;

use crate::ids::{LeafIndex, MemberName, TreeSize};
use crate::refusal::Reason;

/// The steps of a verification, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// 1. The file has the one spelling of its format.
    Format,
    /// 2. A member of the roster signed both states.
    Signatures,
    /// 3. What the file adds leads to the signed roots.
    Proofs,
    /// 4. No honest member signs both.
    Contradiction,
}

impl Step {
    /// The word for it in command output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Signatures => "signatures",
            Self::Proofs => "proofs",
            Self::Contradiction => "contradiction",
        }
    }

    /// What it means that the step passed.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Format => "the file is of the format, with nothing added or missing",
            Self::Signatures => "at least one member of the roster signed both statements",
            Self::Proofs => "what the file adds leads to the roots that were signed",
            Self::Contradiction => "no honest member signs both",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the members that are named have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offence {
    /// Cosigned two states of one size.
    Fork {
        /// The size of both.
        size: TreeSize,
    },
    /// Cosigned a smaller ledger after a larger one.
    Rollback {
        /// The size of the larger one.
        size: TreeSize,
        /// The size of the later one.
        smaller: TreeSize,
    },
    /// Cosigned a log, and a longer one that begins with another.
    Rewritten {
        /// The size of the shorter one.
        from: TreeSize,
        /// The size of the longer one.
        to: TreeSize,
    },
    /// Signed two batches for one place.
    TwoHeaders {
        /// The term.
        term: u64,
        /// The place.
        number: u64,
    },
    /// Signed a map that does not follow from the log.
    WrongMap {
        /// The size of the log.
        size: TreeSize,
    },
    /// Gave a batch a moment that it cannot have been decided at.
    BackDated {
        /// The batch's term.
        term: u64,
        /// The batch's place.
        number: u64,
    },
    /// Vouched for a log with an entry that a rule refuses.
    Rule {
        /// The entry's place.
        index: LeafIndex,
        /// The rule.
        reason: Reason,
    },
}

impl Offence {
    /// The word for it, in a file of evidence and in command output.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Fork { .. } => "fork",
            Self::Rollback { .. } => "rollback",
            Self::Rewritten { .. } => "rewritten",
            Self::TwoHeaders { .. } => "two-headers",
            Self::WrongMap { .. } => "wrong-map",
            Self::BackDated { .. } => "back-dated",
            Self::Rule { .. } => "rule",
        }
    }

    /// What was done, in English.
    #[must_use]
    pub fn english(&self) -> String {
        match self {
            Self::Fork { size } => format!("cosigned two states of the ledger of size {size}"),
            Self::Rollback { size, smaller } => {
                format!("cosigned the ledger of size {smaller} after that of size {size}")
            }
            Self::Rewritten { from, to } => {
                format!("cosigned a log of {to} entries that does not begin with the one of {from}")
            }
            Self::TwoHeaders { term, number } => {
                format!("signed two batches {number} in term {term}")
            }
            Self::WrongMap { size } => {
                format!("signed a map that does not follow from the log of {size} entries")
            }
            Self::BackDated { term, number } => {
                format!("gave batch {number} of term {term} a moment that it was not decided at")
            }
            Self::Rule { index, reason } => {
                let because = reason.english();
                format!("vouched for entry {index}, which had to be refused: {because}")
            }
        }
    }

    /// What was done, in French.
    #[must_use]
    pub fn french(&self) -> String {
        match self {
            Self::Fork { size } => {
                format!("A cosigné deux états différents du registre à la taille {size}.")
            }
            Self::Rollback { size, smaller } => format!(
                "A cosigné le registre à la taille {smaller} après l'avoir cosigné à la taille {size}."
            ),
            Self::Rewritten { from, to } => format!(
                "A cosigné un journal de {to} écritures qui ne commence pas par celui de {from} écritures."
            ),
            Self::TwoHeaders { term, number } => {
                format!("A signé deux lots différents pour la place {number} du mandat {term}.")
            }
            Self::WrongMap { size } => {
                format!(
                    "A signé un état des droits qui ne découle pas du journal de {size} écritures."
                )
            }
            Self::BackDated { term, number } => {
                format!(
                    "A daté le lot {number} du mandat {term} d'un moment qui n'est pas le sien."
                )
            }
            Self::Rule { index, reason } => {
                let because = reason.french();
                format!(
                    "S'est porté garant de l'écriture {index}, qui devait être refusée : {because}"
                )
            }
        }
    }
}

/// Evidence of which every step passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What was done.
    pub offence: Offence,
    /// By whom: at least one member, sorted by name.
    pub members: Vec<MemberName>,
    /// Whether a quorum vouches for both states: then more members lie than a quorum bears, and
    /// what a quorum vouches for is no longer enough.
    pub certified: bool,
}

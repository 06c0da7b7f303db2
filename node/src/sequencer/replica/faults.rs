//! Why a page is not taken.

use proto::checkpoint::CheckpointError;
use proto::entry::EntryError;
use proto::evidence::Evidence;
use proto::follower::MAX_AHEAD_SECONDS;
use proto::ids::{LeafIndex, TreeSize};
use proto::lineage::LineageError;
use proto::merkle::ProofError;
use proto::refusal::Reason;
use thiserror::Error;

use crate::snapshot::ReadError;
use crate::sources::PageLie;
use crate::store::StoreError;
use crate::witness::WitnessError;

/// Why a page is not taken. The fault is with the node that sent it, or on the way; another may
/// have a better one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PageError {
    /// The page does not begin with a ledger's first entry.
    #[error("the first entry: {0}")]
    Genesis(String),
    /// The ledger is of another federation.
    #[error("the first entry is not the roster that this node was given")]
    OtherLedger,
    /// The page does not begin where this ledger ends.
    #[error("the page begins at {from}, this ledger has {held} entries")]
    Elsewhere {
        /// The place of its first entry.
        from: TreeSize,
        /// How many entries this node has.
        held: TreeSize,
    },
    /// The page has no entry, and the checkpoint has more than this node.
    #[error("the page has no entry beyond {size}, the checkpoint has")]
    Empty {
        /// How many entries this node has.
        size: TreeSize,
    },
    /// The page has entries that the checkpoint has not.
    #[error("the page has entries beyond the {size} of its checkpoint")]
    Beyond {
        /// The size of the checkpoint.
        size: TreeSize,
    },
    /// An entry is malformed or its signature fails.
    #[error("entry {index}: {error}")]
    Entry {
        /// Its place.
        index: LeafIndex,
        /// What is wrong with it.
        error: EntryError,
    },
    /// A payload is not the one that its entry commits to.
    #[error("the payload of entry {index} is not the one that the entry commits to")]
    Payload {
        /// The entry's place.
        index: LeafIndex,
    },
    /// An entry breaks a rule, and nothing shows yet that a quorum vouches for it.
    #[error("entry {index} breaks a rule: {}", .reason.english())]
    Rule {
        /// Its place.
        index: LeafIndex,
        /// The rule.
        reason: Reason,
    },
    /// The entries are not those of the checkpoint's log. Whoever sent them may have changed them,
    /// so this alone is no evidence against the members.
    #[error("the log with the entries of the page is not that of the checkpoint")]
    OtherLog,
    /// The page ends before its checkpoint, and is not shown to be part of the checkpoint's log.
    #[error("the entries are not shown to be in the checkpoint's log: {0}")]
    NotInLog(ProofError),
    /// The page ends before its checkpoint, and no quorum is shown to vouch for that.
    #[error("the checkpoint ahead: {0}")]
    NotVouched(#[from] LineageError),
    /// No quorum vouches for the checkpoint.
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// A quorum claims a time that has not come. One of the clocks is wrong.
    #[error("the checkpoint is {ahead} seconds ahead of this clock, {MAX_AHEAD_SECONDS} may be")]
    FromTheFuture {
        /// By how much, in seconds.
        ahead: u64,
    },
}

impl PageError {
    /// Why no honest node sends such a page, whatever it has and whatever the time; `None` when
    /// one may.
    #[must_use]
    pub const fn lie(&self) -> Option<PageLie> {
        Some(match self {
            // What this node has, or a clock, is not as the sender could know; an old checkpoint may
            // be of a roster that this node has left behind.
            Self::Elsewhere { .. } | Self::FromTheFuture { .. } | Self::Checkpoint(_) => {
                return None;
            }
            Self::Genesis(_) | Self::Empty { .. } | Self::Beyond { .. } => PageLie::Form,
            Self::OtherLedger => PageLie::OtherLedger,
            Self::Entry { .. } | Self::Payload { .. } => PageLie::Entry,
            Self::Rule { .. } => PageLie::Rule,
            Self::OtherLog | Self::NotInLog(_) => PageLie::OtherLog,
            Self::NotVouched(_) => PageLie::NotVouched,
        })
    }
}

/// Why a page was not applied.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// The page is no good.
    #[error(transparent)]
    Page(#[from] PageError),
    /// The voting members have contradicted themselves.
    #[error("the voting members have contradicted themselves")]
    Contradicted(Box<Evidence>),
    /// The own ledger cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The own store does not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The place in between cannot be signed.
    #[error(transparent)]
    Witness(#[from] WitnessError),
}

impl ApplyError {
    /// Why who sent the page is not to be believed, if so; it need not be who signed what is in it.
    #[must_use]
    pub const fn lie(&self) -> Option<PageLie> {
        match self {
            Self::Page(error) => error.lie(),
            _ => None,
        }
    }

    /// Whether this node is at fault, so that asking again does not help until it is restarted.
    #[must_use]
    pub const fn is_own_fault(&self) -> bool {
        match self {
            Self::Page(_) | Self::Contradicted(_) | Self::Store(StoreError::DiskFull { .. }) => {
                false
            }
            Self::Read(_) | Self::Store(_) | Self::Witness(_) => true,
        }
    }
}

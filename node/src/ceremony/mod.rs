//! The key ceremony between nodes: who takes part, in which folder, over which connections.
//!
//! Each member runs `vitrail-node ceremony run`. What it says is served to the others, and what
//! they say is fetched, checked and kept, step by step ([`proto::dkg`]). It may be stopped at any
//! moment and started again: its seed and what it has fetched are on disk before anything that
//! follows from them is served.

pub mod command;
mod folder;
mod plan;
mod publication;
mod run;
mod service;
mod succession;

use std::path::PathBuf;
use std::time::Duration;

use proto::dkg::{CeremonyError, PlanError, Step};
use proto::entry::EntryError;
use proto::ids::MemberName;
use proto::note::NoteError;
use proto::refusal::Reason;
use proto::roster::{ProposalError, SignedRosterError, SuccessionError};
use thiserror::Error;

pub(crate) use self::folder::EVALUATOR_PURPOSE;
pub(crate) use self::folder::{overwrite, read_bounded, sealed_files, write_whole};
pub use self::plan::{Purpose, Wanted};
pub use self::publication::{publish, sign};
pub use self::run::{Finished, run};
pub use self::succession::{ceremonies, share_in_force};
use crate::config::ConfigError;
use crate::protection::ProtectionError;
use crate::secret_file::SecretFileError;
use crate::server::StartError;

/// How long a member waits for the others in one step, unless it is told otherwise.
pub const WAIT_DEFAULT: Duration = Duration::from_secs(600);

/// Why a ceremony is not held, does not end, or does not take effect.
#[derive(Debug, Error)]
pub enum CeremonyFailure {
    /// A message is missing or wrong; names its member.
    #[error(transparent)]
    Ceremony(#[from] CeremonyError),
    /// There can be no such ceremony.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A threshold is needed where none was given, or is 0.
    #[error("a ceremony that makes new keys takes --threshold, from 2 on")]
    Threshold,
    /// Somebody is to take part who is no member.
    #[error("{member} is not in the roster")]
    NotAMember {
        /// The name given.
        member: MemberName,
    },
    /// This node's member does not take part.
    #[error("{member} does not take part, or its key is not the roster's")]
    NotTakingPart {
        /// This node's member name.
        member: MemberName,
    },
    /// A participant of a refresh or a repair has no shares.
    #[error("{member} has no shares in the roster")]
    NoShare {
        /// The member.
        member: MemberName,
    },
    /// The shares on this disk are not those of the roster.
    #[error("the evaluator key does not hold this member's shares of the roster")]
    OtherShares,
    /// It is not known where a participant is reached.
    #[error("{member} has no gRPC address in the roster: give --peer {member}=HOST:PORT")]
    NoAddress {
        /// The member.
        member: MemberName,
    },
    /// A participant holds another ceremony, or the same with other terms.
    #[error(
        "{member} holds a ceremony with another plan: compare roster, participants, threshold, attempt"
    )]
    OtherPlan {
        /// The member.
        member: MemberName,
    },
    /// A participant has not said what it must.
    #[error("no {step} of {member} came within {wait} s", wait = .wait.as_secs())]
    TooSlow {
        /// The member.
        member: MemberName,
        /// What it did not say.
        step: Step,
        /// How long this member waited.
        wait: Duration,
    },
    /// A participant answers with bytes that are no message.
    #[error("{member} answers with bytes that are no message")]
    Unreadable {
        /// The member.
        member: MemberName,
    },
    /// The endorsement in a confirmation is not its member's on the proposed roster.
    #[error("{member} does not endorse the same roster")]
    OtherRoster {
        /// The member.
        member: MemberName,
    },
    /// The folder has a ceremony with another plan.
    #[error("{path} holds a ceremony with another plan: choose another --attempt", path = path.display())]
    OtherFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A file of the ceremony is not what was written there.
    #[error("{path} is not of its form", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: SecretFileError,
    },
    /// A secret cannot be sealed or opened.
    #[error("{path}: {error}", path = path.display())]
    Protection {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: ProtectionError,
    },
    /// The node's own files cannot be used, or an address not bound.
    #[error(transparent)]
    Start(#[from] Box<StartError>),
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// The connection to a member cannot be prepared.
    #[error("the TLS side cannot be set up")]
    Tls,
    /// No roster follows from the outcome.
    #[error(transparent)]
    Proposal(#[from] ProposalError),
    /// The file is not a signed roster.
    #[error("{path}: {error}", path = path.display())]
    Roster {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: Box<SignedRosterError>,
    },
    /// The roster does not follow, or too few have signed it.
    #[error("the proposed roster: {0}")]
    Succession(#[from] Box<SuccessionError>),
    /// The proposed roster changes more than a ceremony may.
    #[error("the proposed roster does not follow, or changes more than shares, keys and threshold")]
    MoreThanShares,
    /// The signatures do not make a note.
    #[error("the proposed roster: {0}")]
    Note(#[from] NoteError),
    /// The entry cannot be made.
    #[error("the roster entry: {0}")]
    Entry(#[from] EntryError),
    /// The node did not take the entry.
    #[error("{member} did not take the roster entry ({code:?})")]
    NotAppended {
        /// Whose node was asked.
        member: MemberName,
        /// The gRPC code of the answer.
        code: tonic::Code,
    },
    /// The ledger refuses the entry.
    #[error("the ledger refuses the roster: {}", .0.english())]
    Refused(Reason),
    /// The receipt of the entry does not hold.
    #[error("the receipt of the roster entry does not hold")]
    Receipt,
    /// The server of this member's messages ended.
    #[error("the listener ended")]
    ListenerEnded,
}

impl CeremonyFailure {
    /// 1 when what was given or said is wrong, 2 when it could not be done now.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::TooSlow { .. }
            | Self::Io { .. }
            | Self::Start(_)
            | Self::NoRandomness
            | Self::Tls
            | Self::NotAppended { .. }
            | Self::ListenerEnded => 2,
            Self::Ceremony(CeremonyError::Missing { .. }) => 2,
            _ => 1,
        }
    }

    /// What the operator can do about it, where that is plain.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::TooSlow { .. } => Some("start again when the member is back: nothing is lost"),
            Self::Ceremony(_) => {
                Some("hold the ceremony again with another --attempt, without that member")
            }
            Self::Refused(_) => Some("has the roster been published already?"),
            _ => None,
        }
    }
}

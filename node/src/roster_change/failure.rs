//! Why a roster is not proposed, signed or published, and what can be done about it.

use std::io;
use std::path::PathBuf;

use proto::entry::EntryError;
use proto::ids::MemberName;
use proto::note::NoteError;
use proto::refusal::Reason;
use proto::roster::{
    ChangeError, Epoch, MergeError, RequestError, SignedRosterError, SuccessionError,
};
use thiserror::Error;
use tonic::Code;

use crate::init::InitError;
use crate::secret_file::SecretFileError;
use crate::server::StartError;
use crate::tls::TlsError;

/// Why a roster is not proposed, signed or published. Nothing is then written.
#[derive(Debug, Error)]
pub enum RosterChangeError {
    /// The node's key or first roster cannot be used.
    #[error(transparent)]
    Node(#[from] Box<StartError>),
    /// The way to a node cannot be prepared.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The own node's address cannot be dialled.
    #[error("the own node's address cannot be dialled")]
    OwnAddress,
    /// No node says which roster is in force.
    #[error("no member's node says which roster is in force")]
    NobodyAnswers,
    /// A file cannot be read or written.
    #[error("{path}: {kind}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        kind: io::ErrorKind,
    },
    /// A new key cannot be written.
    #[error("{path}: {error}", path = path.display())]
    SecretFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: SecretFileError,
    },
    /// No new key can be made.
    #[error(transparent)]
    Key(#[from] InitError),
    /// A file holds no roster.
    #[error("{path}: {error}", path = path.display())]
    Signed {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: Box<SignedRosterError>,
    },
    /// A file holds no request for this federation.
    #[error("{path}: {error}", path = path.display())]
    Request {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: Box<RequestError>,
    },
    /// No roster comes of the changes.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// So few would vote that fewer may lie than now.
    #[error("with {voting} votes fewer than {tolerated} members may lie: that takes 3f + 1 votes")]
    FewerFaults {
        /// How many would vote.
        voting: usize,
        /// How many may lie by the roster in force.
        tolerated: usize,
    },
    /// The proposal is not the next roster.
    #[error("the proposal is of epoch {got}, the roster in force of epoch {in_force}")]
    Epoch {
        /// The epoch of the proposal.
        got: Epoch,
        /// The epoch of the roster in force.
        in_force: Epoch,
    },
    /// The proposal does not follow the roster in force.
    #[error(transparent)]
    Succession(#[from] Box<SuccessionError>),
    /// The proposal changes shares, joint keys or the threshold.
    #[error("the proposal changes shares, joint keys or the threshold, as only a ceremony may")]
    Ceremony,
    /// The signature would not count.
    #[error("{0} has no vote in the roster in force")]
    NoVote(MemberName),
    /// The node has another key than the roster in force.
    #[error("the roster in force has another key for {0} than its node")]
    OtherKey(MemberName),
    /// The signed roster cannot be written as a note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The files hold different rosters.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// Too few members have signed.
    #[error(
        "{got} of the {want} signatures that it takes: {} may still sign",
        names(missing)
    )]
    QuorumNotMet {
        /// How many voting members have signed.
        got: usize,
        /// How many must.
        want: usize,
        /// Those that have not.
        missing: Vec<MemberName>,
    },
    /// There is no such member, or no address of it.
    #[error("no address is known of the node of {0}")]
    NoAddress(MemberName),
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// The entry cannot be signed.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The members that would vote are not there yet.
    #[error("{0}")]
    NotReady(String),
    /// The node did not take the entry.
    #[error("the node of {member} did not append the roster ({code:?})")]
    NotAppended {
        /// Whose node was asked.
        member: MemberName,
        /// The gRPC code.
        code: Code,
    },
    /// The ledger refuses the roster.
    #[error("the ledger refuses the roster: {}", .0.english())]
    Refused(Reason),
    /// The receipt does not hold.
    #[error("the receipt of the roster does not hold")]
    Receipt,
}

fn names(names: &[MemberName]) -> String {
    let names: Vec<_> = names.iter().map(MemberName::as_str).collect();
    names.join(", ")
}

impl RosterChangeError {
    /// What can be done about it, where that is plain.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NobodyAnswers => Some("--in-force names a file with the signed roster in force"),
            Self::FewerFaults { .. } => Some("--fewer-faults proposes it all the same"),
            Self::Change(ChangeError::Shares { .. }) => {
                Some("a key ceremony deals the shares anew, without that member")
            }
            Self::Epoch { .. } => Some("another roster came into force: propose the change anew"),
            Self::Ceremony => Some("such a roster is signed with `vitrail-node ceremony sign`"),
            Self::NotReady(_) => {
                Some("`vitrail-node status` says who is behind; --wait waits longer")
            }
            Self::QuorumNotMet { .. } => Some("name all signed copies; they are put together"),
            _ => None,
        }
    }

    /// 1 when what was given is invalid or refused, 2 when it could not be done now.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::NobodyAnswers
            | Self::Tls(_)
            | Self::Io { .. }
            | Self::NoRandomness
            | Self::NotAppended { .. }
            | Self::NotReady(_)
            | Self::Receipt => 2,
            _ => 1,
        }
    }
}

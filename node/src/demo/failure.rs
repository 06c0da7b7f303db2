//! Why the demo breaks off.

use std::io;
use std::path::PathBuf;

use client::auditor::{AuditError, FetchError};
use client::catalogue_file::CatalogueFileError;
use client::files::FileError;
use client::incident::IncidentError;
use client::insurer::{CoverError, InsurerError};
use client::issue::IssueError;
use client::pos::{
    CheckError, ClaimError, DeliverError, InsuredError, ItemTextError, ReleaseError,
};
use client::session::SessionError;
use client::settlement::SettleError;
use client::tokens::TokenError;
use proto::identity::IdentityError;
use proto::ids::IdError;
use proto::lpp::{CatalogueVersionError, GroupedCodeError};
use proto::note::NoteError;
use proto::receipt::ReceiptError;
use proto::refusal::Reason;
use proto::roster::{RosterError, RosterValueError, SignedRosterError, SuccessionError};
use proto::signing::SigningError;
use thiserror::Error;

use crate::ceremony::CeremonyFailure;
use crate::config::ConfigError;
use crate::init::{FollowingError, InitError};
use crate::join::JoinError;
use crate::secret_file::SecretFileError;
use crate::tls::TlsError;

/// Why the demo broke off. Nothing of a person is in any of these.
#[derive(Debug, Error)]
#[allow(
    missing_docs,
    reason = "each variant is the error that it holds, and they are said there"
)]
pub enum DemoError {
    #[error("the demo's folder: {0}")]
    Folder(#[from] io::Error),
    #[error(transparent)]
    Init(#[from] InitError),
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    SecretFile(#[from] SecretFileError),
    #[error(transparent)]
    Ceremony(#[from] Box<CeremonyFailure>),
    #[error("a member of the demo: {0}")]
    Member(#[from] FollowingError),
    #[error("an address of the demo: {0}")]
    Address(#[from] RosterValueError),
    #[error("a roster of the demo: {0}")]
    Roster(#[from] RosterError),
    #[error("a roster of the demo: {0}")]
    SignedRoster(#[from] Box<SignedRosterError>),
    #[error("a roster of the demo: {0}")]
    Succession(#[from] Box<SuccessionError>),
    #[error("a roster of the demo: {0}")]
    Note(#[from] NoteError),
    #[error("a name of the demo: {0}")]
    Name(#[from] IdError),
    #[error("a key of the demo: {0}")]
    Key(#[from] SigningError),
    #[error("a card of the demo: {0}")]
    Identity(#[from] IdentityError),
    #[error("a card of the demo: {0}")]
    Insured(#[from] InsuredError),
    #[error("a grouped code of the demo: {0}")]
    GroupedCode(#[from] GroupedCodeError),
    #[error("an item of the demo: {0}")]
    Item(#[from] ItemTextError),
    #[error("the demo's catalogue: {0}")]
    Catalogue(#[from] CatalogueFileError),
    #[error("the demo's catalogue: {0}")]
    CatalogueVersion(#[from] CatalogueVersionError),
    #[error("somebody has no key")]
    Miscast,
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error(transparent)]
    Insurer(#[from] InsurerError),
    #[error(transparent)]
    Tokens(#[from] TokenError),
    #[error(transparent)]
    Cover(#[from] CoverError),
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    Release(#[from] ReleaseError),
    #[error(transparent)]
    Deliver(#[from] DeliverError),
    #[error(transparent)]
    Settle(#[from] SettleError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("a receipt of the demo: {0}")]
    Receipt(#[from] ReceiptError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Incident(#[from] Box<IncidentError>),
    #[error(transparent)]
    Audit(#[from] Box<AuditError>),
    /// A node or a command of a member ended, and not well.
    #[error("a process of {member} ended; {log} says why", log = .log.display())]
    Ended {
        /// Whose it was.
        member: &'static str,
        /// What it logged.
        log: PathBuf,
    },
    /// A command printed something else than its report.
    #[error("a command of {member} printed no report")]
    Unreadable {
        /// Whose it was.
        member: &'static str,
    },
    /// The federation did not come to be as it must.
    #[error("{what}: not within {within_s} s; {how}")]
    Unsettled {
        /// What was waited for.
        what: &'static str,
        /// For how long.
        within_s: u64,
        /// How it is instead.
        how: String,
    },
    /// Two nodes show other roots at one size, or one audits to others.
    #[error("{member} has other roots than the others")]
    OtherRoots {
        /// The second of them.
        member: &'static str,
    },
    /// A claim got the place of another one.
    #[error("two claims have one place in the log")]
    OnePlace,
    /// The log does not have each accepted claim exactly once.
    #[error("the log has {in_log} claims, {accepted} were accepted")]
    Claims {
        /// Claims that an auditor counts.
        in_log: u64,
        /// Claims of which a till has the receipt.
        accepted: u64,
    },
    /// The ledger refused what it must accept.
    #[error("the ledger refused {what}: {reason}", reason = .reason.english())]
    Refused {
        /// What was asked.
        what: &'static str,
        /// The rule.
        reason: Reason,
    },
    /// The ledger accepted what it must refuse.
    #[error("the ledger accepted a second claim of the same slots")]
    AcceptedTwice,
    /// A look is not on record.
    #[error("{listed} looks of the first shop are on record, it made {made}")]
    Unrecorded {
        /// How many are listed.
        listed: usize,
        /// How many it made.
        made: usize,
    },
    /// A word of a card stands in a message.
    #[error("something of a card left the shop")]
    Leak,
}

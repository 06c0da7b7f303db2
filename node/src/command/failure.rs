//! Why a command does not succeed, what the operator can do about it, and its exit code.

use std::io;

use thiserror::Error;

use crate::backup::BackupError;
use crate::ceremony::CeremonyFailure;
use crate::config::ConfigError;
use crate::demo::DemoError;
use crate::fitness::FitnessError;
use crate::init::InitError;
use crate::join::JoinError;
use crate::protection::ProtectionError;
use crate::protection::token::TokenError;
use crate::rebuild::RebuildError;
use crate::reseal::ResealError;
use crate::restore::RestoreError;
use crate::roster_change::RosterChangeError;
use crate::secret_file::SecretFileError;
use crate::sequencer::OpenError;
use crate::server::StartError;
use crate::status::StatusError;

impl From<RosterChangeError> for CommandError {
    fn from(error: RosterChangeError) -> Self {
        Self::RosterChange(Box::new(error))
    }
}

/// Why a command does not succeed.
#[derive(Debug, Error)]
pub(super) enum CommandError {
    #[error(transparent)]
    Init(#[from] InitError),
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Protection(#[from] ProtectionError),
    #[error(transparent)]
    Reseal(#[from] ResealError),
    #[error(transparent)]
    Start(#[from] Box<StartError>),
    #[error(transparent)]
    Ceremony(#[from] Box<CeremonyFailure>),
    #[error(transparent)]
    Status(#[from] StatusError),
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    #[error(transparent)]
    Backup(#[from] Box<BackupError>),
    #[error(transparent)]
    Restore(#[from] Box<RestoreError>),
    #[error(transparent)]
    RosterChange(#[from] Box<RosterChangeError>),
    #[error("the own node's address cannot be dialled")]
    OwnAddress,
    #[error(transparent)]
    Demo(#[from] Box<DemoError>),
    #[error(transparent)]
    Fitness(#[from] Box<FitnessError>),
    #[error("this machine is not fit for a node")]
    Unfit,
    #[error("this is no command that answers in JSON")]
    NoAnswer,
    #[error("the runtime cannot be started: {0}")]
    Runtime(io::ErrorKind),
    #[error("standard output cannot be written: {0}")]
    Output(io::ErrorKind),
}

impl CommandError {
    /// What the operator can do about it, where that is plain.
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Init(error) | Self::Join(JoinError::Folder(error)) => init_hint(error),
            Self::Join(error) => join_hint(error),
            Self::Config(error) => config_hint(error),
            Self::Protection(error) | Self::Reseal(ResealError::Protection { error, .. }) => {
                protection_hint(error)
            }
            Self::Start(error) => start_hint(error),
            Self::Ceremony(error) => error.hint(),
            Self::RosterChange(error) => error.hint(),
            Self::Status(_) => Some("is a node running? --grpc says where the own one listens"),
            Self::Rebuild(RebuildError::NotEmpty { .. }) => {
                Some("nothing is rebuilt over a ledger: move the data folder away first")
            }
            Self::Rebuild(RebuildError::Start(error)) => start_hint(error),
            Self::Backup(error) => backup_hint(error),
            Self::Restore(error) => restore_hint(error),
            Self::Fitness(error) => fitness_hint(error),
            Self::Unfit => Some("what is marked `unfit` says what is wanted, and what may be done"),
            Self::NoAnswer => {
                Some("`vitrail-node help` lists the commands; name one as in `schema roster sign`")
            }
            Self::Rebuild(_)
            | Self::OwnAddress
            | Self::Reseal(_)
            | Self::Demo(_)
            | Self::Runtime(_)
            | Self::Output(_) => None,
        }
    }

    /// Whether the answer was printed, and says all of it: there is no other one to print.
    pub(super) const fn is_answered(&self) -> bool {
        matches!(self, Self::Unfit)
    }

    /// 1 when what was given is invalid or refused, 2 when the system did not let us.
    pub(super) const fn exit_code(&self) -> u8 {
        match self {
            Self::Init(
                InitError::Exists { .. }
                | InitError::Roster(_)
                | InitError::Protection(_)
                | InitError::SecretFile {
                    error: SecretFileError::Io(io::ErrorKind::AlreadyExists),
                    ..
                },
            )
            | Self::Config(_)
            | Self::Protection(_)
            | Self::Reseal(ResealError::Protection { .. }) => 1,
            Self::Join(JoinError::RosterFile { .. } | JoinError::KeyFile { .. }) => 2,
            Self::Join(_) => 1,
            Self::Rebuild(RebuildError::NotEmpty { .. } | RebuildError::NotVouched) => 1,
            Self::Backup(error) => match **error {
                BackupError::OtherLedger { .. } => 1,
                _ => 2,
            },
            Self::Restore(error) => match **error {
                RestoreError::Io { .. } => 2,
                _ => 1,
            },
            Self::Fitness(error) => match **error {
                FitnessError::NoFolder { .. }
                | FitnessError::InUse { .. }
                | FitnessError::NoRoom { .. } => 1,
                _ => 2,
            },
            Self::Unfit | Self::NoAnswer => 1,
            Self::Status(_)
            | Self::Rebuild(_)
            | Self::OwnAddress
            | Self::Init(_)
            | Self::Reseal(_)
            | Self::Demo(_)
            | Self::Runtime(_)
            | Self::Output(_) => 2,
            Self::Ceremony(error) => error.exit_code(),
            Self::RosterChange(error) => error.exit_code(),
            Self::Start(error) => match **error {
                StartError::Key { .. }
                | StartError::EvaluatorKey { .. }
                | StartError::Protection(_)
                | StartError::Roster { .. }
                | StartError::NotGenesis { .. }
                | StartError::OtherLedger { .. }
                | StartError::OtherShares { .. } => 1,
                _ => 2,
            },
        }
    }
}

fn init_hint(error: &InitError) -> Option<&'static str> {
    match error {
        InitError::Exists { .. } => Some("choose a folder that does not exist yet"),
        InitError::Io {
            kind: io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices,
            ..
        } => Some("the folder is moved into place: choose one below the mount point"),
        InitError::SecretFile {
            error: SecretFileError::Io(io::ErrorKind::AlreadyExists),
            ..
        } => Some("a key is never overwritten: choose another file"),
        InitError::Protection(error) => protection_hint(error),
        _ => None,
    }
}

const fn protection_hint(error: &ProtectionError) -> Option<&'static str> {
    let ProtectionError::Token(error) = error else {
        return None;
    };
    match error {
        TokenError::NoKey { .. } => Some("`vitrail-node seal-key` makes one; it never leaves"),
        TokenError::PinWrong { .. } => Some("a token locks itself after a few wrong PINs"),
        TokenError::PinLocked { .. } | TokenError::LastTry { .. } => {
            Some("log in with the token's own tool first, or have its officer set a new PIN")
        }
        TokenError::KeyMayLeave { .. } => Some("`vitrail-node seal-key` makes one that may not"),
        _ => None,
    }
}

const fn join_hint(error: &JoinError) -> Option<&'static str> {
    match error {
        JoinError::NotAMember(_) => Some("--role and --grpc ask the members to list it"),
        JoinError::OtherKey(_) => Some("the key must be the one that the roster was made with"),
        JoinError::Votes(_) => Some("the first voting member's node is made with `init`"),
        _ => None,
    }
}

fn backup_hint(error: &BackupError) -> Option<&'static str> {
    match error {
        BackupError::Peer(_) => Some(
            "is the node running? --grpc says where it listens; one that is stopped may be copied",
        ),
        _ if error.is_of_another_key() => {
            Some("the member has a new key since: back up into a new folder")
        }
        _ => None,
    }
}

fn restore_hint(error: &RestoreError) -> Option<&'static str> {
    match error {
        RestoreError::NotEmpty { .. } => Some("move the data folder away first"),
        RestoreError::NoBackup { .. } => Some("`vitrail-node backup` makes one of a running node"),
        _ if error.is_of_another_key() => {
            Some("the member has a new key since: `vitrail-node rebuild` fetches the ledger")
        }
        RestoreError::Start(_) | RestoreError::Other { .. } => {
            Some("`vitrail-node rebuild` fetches the ledger from the other members")
        }
        _ => None,
    }
}

const fn fitness_hint(error: &FitnessError) -> Option<&'static str> {
    match error {
        FitnessError::NoFolder { .. } => {
            Some("make it, or name another folder on the disk that the ledger is to lie on")
        }
        FitnessError::InUse { .. } => {
            Some("measuring would hold the node up: stop it first, one member after the other")
        }
        FitnessError::Unwritable { .. } => {
            Some("run it as the node's user, with --data where that may write")
        }
        FitnessError::NoRoom { .. } => Some("a node stops its writes on such a disk: make room"),
        _ => None,
    }
}

fn config_hint(error: &ConfigError) -> Option<&'static str> {
    match error {
        ConfigError::Read {
            kind: io::ErrorKind::NotFound,
            ..
        } => Some("make the folder with `vitrail-node init`; --dir names another, --config a file"),
        ConfigError::AdminNotLoopback { .. } => Some("use 127.0.0.1 and reach it through ssh"),
        _ => None,
    }
}

fn start_hint(error: &StartError) -> Option<&'static str> {
    match error {
        StartError::SecretFile {
            error: SecretFileError::Open { .. },
            ..
        } => Some("chmod 600 the file, and think about who could read it until now"),
        StartError::Bind {
            kind: io::ErrorKind::AddrInUse,
            ..
        } => Some("another process listens there; is the node running already?"),
        StartError::Evidence { .. } => {
            Some("show it to the other members; the node starts once the file is elsewhere")
        }
        StartError::Protection(error) => protection_hint(error),
        StartError::Ledger(OpenError::NotAMember(_)) => {
            Some("the roster in force does not list the member, or with another key")
        }
        StartError::OtherShares { .. } => Some("the evaluator key belongs to another federation"),
        _ => None,
    }
}

//! Why a call gave no answer that can be used: from a node's status to what a caller can do.

use std::time::Duration;

use proto::ids::MemberName;
use proto::refusal::Reason;
use proto::wire::WireError;
use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{Attempted, Verdict, retry_delay};
use crate::failure::{Failure, FailureKind};

/// What nodes say that cannot answer because of how they stand to the others.
const CUT_OFF: [&str; 3] = ["CUT_OFF", "NOT_LEADING", "LEDGER_CONTRADICTED"];

/// Why a call gave no answer that can be used. Each variant names the member that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CallError {
    /// It could not be reached, or stopped answering.
    #[error("{member} cannot be reached, or does not answer")]
    Unreachable {
        /// Who was asked.
        member: MemberName,
    },
    /// It takes no writes for now: its disk is full or failed, or its operator must look.
    #[error("{member} takes no writes for now")]
    WritesStopped {
        /// Who was asked.
        member: MemberName,
    },
    /// It hears nothing of the federation, or has no leader to pass an entry on to.
    #[error("{member} is cut off from the federation")]
    CutOff {
        /// Who was asked.
        member: MemberName,
    },
    /// Its log is shorter than what it was asked about.
    #[error("{member} is behind: its log is shorter than what was seen before")]
    Behind {
        /// Who was asked.
        member: MemberName,
    },
    /// It did not answer in time. A write may still have happened: send the same bytes again.
    #[error("{member} did not answer in time")]
    TooSlow {
        /// Who was asked.
        member: MemberName,
    },
    /// It has too much to do, or the caller has used up its quota.
    #[error("{member} takes no more requests for now")]
    Busy {
        /// Who was asked.
        member: MemberName,
        /// When to try again, if it says so.
        retry_after: Option<Duration>,
    },
    /// It does not admit the caller's key.
    #[error("{member} does not admit this key{}", reason_text(*.reason))]
    NotAdmitted {
        /// Who was asked.
        member: MemberName,
        /// Why, if it says so.
        reason: Option<Reason>,
    },
    /// It does not have what was asked for.
    #[error("{member} does not have what was asked for")]
    NotFound {
        /// Who was asked.
        member: MemberName,
    },
    /// It says that the request is malformed: client and node do not speak one version.
    #[error("{member} cannot read the request")]
    RequestRefused {
        /// Who was asked.
        member: MemberName,
    },
    /// It failed in itself.
    #[error("{member} failed ({code:?})")]
    Failed {
        /// Who was asked.
        member: MemberName,
        /// The gRPC code of the answer.
        code: Code,
    },
    /// What it answered cannot be read.
    #[error("the answer of {member}: {reason}")]
    Answer {
        /// Who was asked.
        member: MemberName,
        /// The field that is wrong.
        reason: WireError,
    },
}

/// Whether a node gave this reason for its status.
fn says(status: &Status, reason: &str) -> bool {
    status
        .get_details_error_info()
        .is_some_and(|told| told.reason == reason)
}

fn reason_text(reason: Option<Reason>) -> String {
    reason
        .map(|reason| format!(": {}", reason.english()))
        .unwrap_or_default()
}

impl Failure for CallError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Unreachable { .. }
            | Self::WritesStopped { .. }
            | Self::CutOff { .. }
            | Self::Behind { .. }
            | Self::TooSlow { .. }
            | Self::Busy { .. }
            | Self::Failed { .. } => FailureKind::Unavailable,
            Self::NotAdmitted { .. } | Self::NotFound { .. } => FailureKind::Refused,
            Self::RequestRefused { .. } | Self::Answer { .. } => FailureKind::Malformed,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } => {
                Some("is its address in the profile right, and its key the one in the roster file?")
            }
            Self::TooSlow { .. } => Some("try again: a repeated request is never counted twice"),
            Self::NotAdmitted { .. } => Some("a federation grants keys: `vitrail grant`"),
            _ => None,
        }
    }
}

impl CallError {
    /// What a status of a member's node means.
    pub(super) fn from_status(member: &MemberName, status: &Status) -> Self {
        let member = member.clone();
        match status.code() {
            Code::Unavailable if says(status, "WRITES_STOPPED") => Self::WritesStopped { member },
            Code::Unavailable if CUT_OFF.iter().any(|reason| says(status, reason)) => {
                Self::CutOff { member }
            }
            Code::Unavailable => Self::Unreachable { member },
            Code::DeadlineExceeded | Code::Cancelled => Self::TooSlow { member },
            Code::ResourceExhausted => Self::Busy {
                member,
                retry_after: retry_delay(status),
            },
            Code::PermissionDenied | Code::Unauthenticated => {
                let told = status.get_details_error_info();
                let reason = told.and_then(|told| Reason::from_code(&told.reason));
                Self::NotAdmitted { member, reason }
            }
            Code::NotFound => Self::NotFound { member },
            Code::OutOfRange => Self::Behind { member },
            Code::InvalidArgument | Code::FailedPrecondition => Self::RequestRefused { member },
            code @ (Code::Ok
            | Code::Unknown
            | Code::AlreadyExists
            | Code::Aborted
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss) => Self::Failed { member, code },
        }
    }
}

impl Attempted for CallError {
    fn verdict(&self) -> Verdict {
        match self {
            // A leader is elected within a second, and who lags by a batch has it in less.
            Self::Unreachable { .. } | Self::CutOff { .. } | Self::Behind { .. } => {
                Verdict::Failed(Some(Duration::ZERO))
            }
            Self::Busy { retry_after, .. } => Verdict::Failed(retry_after.or(Some(Duration::ZERO))),
            Self::WritesStopped { .. } | Self::TooSlow { .. } | Self::Failed { .. } => {
                Verdict::Failed(None)
            }
            Self::NotAdmitted { .. } | Self::NotFound { .. } => Verdict::Doubtful,
            Self::RequestRefused { .. } => Verdict::Final,
            Self::Answer { .. } => Verdict::Lied,
        }
    }
}

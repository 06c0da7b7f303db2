//! From what went wrong inside to what the caller is told: one table, without a catch-all arm.
//!
//! The three kinds stay apart: malformed (`INVALID_ARGUMENT`, with the field), refused
//! (`PERMISSION_DENIED`, with a reason of the closed list) and unavailable (`UNAVAILABLE`,
//! `RESOURCE_EXHAUSTED`, with how long to wait). Nothing of the request is quoted.

use std::collections::HashMap;
use std::time::Duration;

use proto::attestation::ShapeError;
use proto::entry::EntryError;
use proto::oprf::EvaluateError;
use proto::refusal::Reason;
use proto::wire::WireError;
use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::access::NotRecorded;
use crate::admission::AdmissionError;
use crate::coverage::QuoteError;
use crate::engine::{GateError, NotReady};
use crate::follow::NotIssued;
use crate::quota::QuotaError;
use crate::sequencer::{StopReason, Unavailable};
use crate::snapshot::ReadError;

/// The domain of our reasons in `google.rpc.ErrorInfo`.
pub const ERROR_DOMAIN: &str = "vitrail";
/// The reason of a node that was asked to append, does not lead, and does not pass on.
pub const NOT_LEADING: &str = "NOT_LEADING";
/// Longest deadline that a call may ask for: beyond it the caller has long asked again, and the
/// first call only keeps its place in the queue.
pub const DEADLINE_MAX: Duration = Duration::from_secs(60);
/// When to come back after a full queue: some batches later.
const RETRY_QUEUE_FULL: Duration = Duration::from_millis(200);
/// When to come back after writes were stopped: an operator has to act, or the disk to be freed.
const RETRY_STOPPED: Duration = Duration::from_secs(5);
/// An election takes about as long.
const RETRY_NOT_LEADING: Duration = Duration::from_millis(500);

/// Why a call is not answered.
#[derive(Debug, Error)]
pub enum CallError {
    /// The schema has no such method.
    #[error("there is no such method")]
    MethodUnknown,
    /// The connection carries no key, which no connection through TLS does.
    #[error("the connection has no client certificate")]
    NoPeer,
    /// The call has no deadline.
    #[error("a deadline is required: set grpc-timeout, at most 60 s")]
    DeadlineMissing,
    /// The deadline cannot be read, or is too far.
    #[error("grpc-timeout must be at most 60 s, as 1 to 8 digits and a unit out of HMSmun")]
    DeadlineUnfit,
    /// The key may not make this call.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// The role may not ask for this.
    #[error("{}", .0.english())]
    NotAllowed(Reason),
    /// The entry was signed by another key than the connection's.
    #[error("an entry is appended over its issuer's own connection")]
    NotTheIssuer,
    /// A field of the message cannot be read.
    #[error("{0}")]
    Malformed(#[from] WireError),
    /// The issuer's signature does not hold for this ledger.
    #[error("entry: {0}")]
    Entry(EntryError),
    /// The entry does not have the shape of its kind.
    #[error("entry: {0}")]
    Shape(#[from] ShapeError),
    /// The entry commits to a payload, and none came with it.
    #[error("payload is missing: the entry commits to one")]
    PayloadMissing,
    /// A payload came with an entry that commits to none.
    #[error("payload must be absent: the entry commits to none")]
    PayloadUnwanted,
    /// The payload is not the one that the entry commits to.
    #[error("payload is not the one that the entry commits to")]
    PayloadMismatch,
    /// The elements are not evaluated now.
    #[error(transparent)]
    Quota(#[from] QuotaError),
    /// The elements cannot be evaluated.
    #[error("blinded: {0}")]
    Evaluate(#[from] EvaluateError),
    /// The evaluation broke off.
    #[error("the evaluation broke off")]
    EvaluationLost,
    /// The node has not heard from the federation for too long.
    #[error("this node has not heard from the federation for too long to admit tills")]
    CutOff,
    /// The voting members have contradicted themselves.
    #[error("this node holds evidence against the federation's ledger and answers nothing")]
    Contradicted,
    /// The making of the answer broke off.
    #[error("the making of the answer broke off")]
    AnswerLost,
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// A message of another engine is not taken.
    #[error(transparent)]
    Engine(GateError),
    /// The append was not taken.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The look could not be recorded, and so is not answered.
    #[error(transparent)]
    NotRecorded(#[from] NotRecorded),
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// This node has no contracts to quote from.
    #[error("this member's node has no contracts and answers no quotes")]
    NotQuoting,
    /// No coverage could be made.
    #[error(transparent)]
    Quote(#[from] QuoteError),
    /// This member holds no share of the joint keys, as one that has just joined.
    #[error("this member holds no share of the joint keys: ask another one")]
    NoShare,
    /// The ledger has no roster of this epoch.
    #[error("the ledger has no roster of this epoch")]
    RosterUnknown,
    /// A roster is not taken now: too few of the members that would vote by it could cosign.
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// The log has no entry of this index.
    #[error("the log has no entry of this index yet")]
    EntryUnknown,
}

/// One row of the table.
struct Row {
    code: Code,
    reason: &'static str,
    field: Option<&'static str>,
    retry: Option<Duration>,
    french: &'static str,
}

impl Row {
    const fn malformed(field: &'static str) -> Self {
        Self {
            code: Code::InvalidArgument,
            reason: "MALFORMED",
            field: Some(field),
            retry: None,
            french: "La demande est mal formée ; le logiciel du poste doit être corrigé.",
        }
    }

    const fn refused(reason: Reason) -> Self {
        let (reason, french) = (reason.code(), reason.french());
        Self {
            code: Code::PermissionDenied,
            reason,
            field: None,
            retry: None,
            french,
        }
    }

    const fn of(code: Code, reason: &'static str, french: &'static str) -> Self {
        Self {
            code,
            reason,
            field: None,
            retry: None,
            french,
        }
    }

    const fn retry(self, after: Duration) -> Self {
        Self {
            retry: Some(after),
            ..self
        }
    }

    const fn of_deadline(reason: &'static str) -> Self {
        Self {
            reason,
            ..Self::malformed("grpc-timeout")
        }
    }

    const fn of_read(error: &ReadError) -> Self {
        match error {
            ReadError::Store(_) => Self::of(
                Code::Unavailable,
                "STORE_UNREADABLE",
                "Le registre ne peut pas être lu sur ce serveur ; un autre serveur peut répondre.",
            ),
            ReadError::Corrupt { .. } => Self::of(
                Code::DataLoss,
                "STORE_CORRUPT",
                "Le registre de ce serveur est endommagé ; un autre serveur peut répondre.",
            ),
            ReadError::BeyondEnd { .. } => Self::of(
                Code::OutOfRange,
                "BEYOND_END",
                "Le registre n'a pas encore cette longueur.",
            ),
        }
    }

    const fn exhausted(self, error: QuotaError) -> Self {
        Self {
            retry: error.retry_after(),
            ..self
        }
    }

    const fn of_quota(error: QuotaError) -> Self {
        match error {
            QuotaError::Key(_) => Self::of(
                Code::ResourceExhausted,
                "QUOTA_EXHAUSTED",
                "Le quota de ce poste est épuisé ; réessayez plus tard.",
            )
            .exhausted(error),
            QuotaError::Claim => Self::of(
                Code::ResourceExhausted,
                "CLAIM_QUOTA_EXHAUSTED",
                "Cette demande a déjà été vérifiée autant de fois que permis.",
            ),
            QuotaError::Node(_) => Self::of(
                Code::ResourceExhausted,
                "NODE_QUOTA_EXHAUSTED",
                "Ce serveur a atteint son quota du jour ; un autre serveur peut répondre.",
            )
            .exhausted(error),
            QuotaError::NotDurable => Self::of(
                Code::Unavailable,
                "QUOTA_NOT_DURABLE",
                "Ce serveur ne peut pas inscrire les quotas ; un autre serveur peut répondre.",
            ),
        }
    }

    const fn of_quote(error: &QuoteError) -> Self {
        match error {
            QuoteError::Read(error) => Self::of_read(error),
            QuoteError::NoCatalogue => Self::of(
                Code::FailedPrecondition,
                "CATALOGUE_MISSING",
                "Aucun catalogue LPP n'est en vigueur dans le registre.",
            ),
            QuoteError::Unavailable(error)
            | QuoteError::NotIssued(NotIssued::Unavailable(error)) => Self::of_unavailable(*error),
            QuoteError::NotIssued(NotIssued::Unproved | NotIssued::Refused(_))
            | QuoteError::Refused(_)
            | QuoteError::NoRandomness
            | QuoteError::Seal(_)
            | QuoteError::Entry(_)
            | QuoteError::BrokenOff => Self::of(
                Code::Unavailable,
                "NOT_QUOTED",
                "L'organisme ne peut pas établir la prise en charge en ce moment.",
            ),
        }
    }

    const fn of_not_recorded(error: NotRecorded) -> Self {
        match error {
            NotRecorded::NoIncidentKey => Self::of(
                Code::FailedPrecondition,
                "INCIDENT_KEY_MISSING",
                "La fédération n'a pas de clé d'incident : aucune consultation n'est possible.",
            ),
            NotRecorded::Busy => Self::of_unavailable(Unavailable::QueueFull),
            NotRecorded::Unavailable(error) => Self::of_unavailable(error),
            NotRecorded::Refused(_)
            | NotRecorded::Unproved
            | NotRecorded::NoRandomness
            | NotRecorded::Record(_)
            | NotRecorded::Seal(_)
            | NotRecorded::Entry(_)
            | NotRecorded::ShuttingDown => Self::of(
                Code::Unavailable,
                "NOT_RECORDED",
                "Ce serveur ne peut pas inscrire la consultation ; un autre serveur peut répondre.",
            ),
        }
    }

    const fn of_gate(error: &GateError) -> Self {
        match error {
            GateError::Malformed(error) => Self::malformed(error.field()),
            GateError::NotMe | GateError::Stopped => Self::of(
                Code::Unavailable,
                "ENGINE_GONE",
                "Le moteur auquel ce message est adressé ne répond plus ici.",
            ),
            GateError::NoEngine => Self::of(
                Code::FailedPrecondition,
                "NO_ENGINE",
                "Ce serveur suit le registre sans prendre part à son ordre.",
            ),
            GateError::NotItsSeat | GateError::NotAVoter => Self::of(
                Code::PermissionDenied,
                "NOT_ITS_SEAT",
                "Un membre ne parle que pour son propre siège.",
            ),
            GateError::Store(_) => Self::of(
                Code::Internal,
                "STORE",
                "Ce serveur ne peut pas lire ce qu'il a stocké.",
            ),
            GateError::Distrusted => Self::of(
                Code::PermissionDenied,
                "NOT_FOLLOWED",
                "Ce serveur ne suit plus ce membre, dont il a refusé un lot.",
            ),
            GateError::NoMandate | GateError::FarTerm => Self::of(
                Code::FailedPrecondition,
                "NO_MANDATE",
                "Un membre ne dirige qu'avec les voix signées d'une majorité.",
            ),
            GateError::Batch(_) | GateError::Membership => Self::of(
                Code::FailedPrecondition,
                "BATCH_REFUSED",
                "Ce serveur ne contresignerait pas ce lot.",
            ),
        }
    }

    const fn cut_off() -> Self {
        Self::of(
            Code::Unavailable,
            "CUT_OFF",
            "Ce serveur est coupé de la fédération ; un autre serveur peut répondre.",
        )
        .retry(RETRY_STOPPED)
    }

    const fn of_unavailable(error: Unavailable) -> Self {
        match error {
            Unavailable::QueueFull => Self::of(
                Code::ResourceExhausted,
                "QUEUE_FULL",
                "Trop de demandes sont en attente ; réessayez dans un instant.",
            )
            .retry(RETRY_QUEUE_FULL),
            Unavailable::Stopped(StopReason::NoWriter) => Self::cut_off(),
            Unavailable::Stopped(_) => Self::of(
                Code::Unavailable,
                "WRITES_STOPPED",
                "Ce serveur n'accepte pas d'écriture en ce moment.",
            )
            .retry(RETRY_STOPPED),
            Unavailable::NotLeading => Self::of(
                Code::Unavailable,
                NOT_LEADING,
                "Un autre serveur reçoit les écritures ; réessayez dans un instant.",
            )
            .retry(RETRY_NOT_LEADING),
        }
    }
}

impl Row {
    const NO_SHARE: Self = Self::of(
        Code::FailedPrecondition,
        "NO_SHARE",
        "Ce membre ne détient aucune part des clés communes ; adressez-vous à un autre.",
    );
    const NOT_READY: Self = Self::of(
        Code::FailedPrecondition,
        "MEMBERS_NOT_READY",
        "Trop peu des membres qui voteraient suivent déjà le registre ; réessayez.",
    )
    .retry(RETRY_NOT_LEADING);
    const ROSTER_UNKNOWN: Self = Self::of(
        Code::NotFound,
        "ROSTER_UNKNOWN",
        "Cette composition n'existe pas dans le registre.",
    );
    const ENTRY_UNKNOWN: Self = Self::of(
        Code::NotFound,
        "ENTRY_UNKNOWN",
        "Cette écriture n'existe pas.",
    );
}

impl CallError {
    const fn row(&self) -> Row {
        match self {
            Self::MethodUnknown => Row::of(
                Code::Unimplemented,
                "METHOD_UNKNOWN",
                "Cette opération n'existe pas.",
            ),
            Self::NoPeer => Row::of(
                Code::Unauthenticated,
                "CERTIFICATE_MISSING",
                "La connexion ne porte pas de certificat.",
            ),
            Self::DeadlineMissing => Row::of_deadline("DEADLINE_MISSING"),
            Self::DeadlineUnfit => Row::of_deadline("DEADLINE_UNFIT"),
            Self::Admission(AdmissionError::Refused(reason)) | Self::NotAllowed(reason) => {
                Row::refused(*reason)
            }
            Self::Admission(AdmissionError::Unreadable(error)) | Self::Read(error) => {
                Row::of_read(error)
            }
            Self::NotTheIssuer => Row::of(
                Code::PermissionDenied,
                "NOT_THE_ISSUER",
                "Une demande ne peut être déposée que par le poste qui l'a signée.",
            ),
            Self::Malformed(error) => Row::malformed(error.field()),
            Self::Engine(error) => Row::of_gate(error),
            Self::Entry(_) | Self::Shape(_) => Row::malformed("entry"),
            Self::PayloadMissing | Self::PayloadUnwanted | Self::PayloadMismatch => {
                Row::malformed("payload")
            }
            Self::Evaluate(_) => Row::malformed("blinded"),
            Self::CutOff => Row::cut_off(),
            Self::Contradicted => Row::of(
                Code::Unavailable,
                "LEDGER_CONTRADICTED",
                "Le registre de la fédération se contredit ; ce serveur ne répond plus.",
            )
            .retry(RETRY_STOPPED),
            Self::EvaluationLost | Self::AnswerLost | Self::NoRandomness => Row::of(
                Code::Internal,
                "INTERNAL",
                "Ce serveur a rencontré une erreur ; un autre serveur peut répondre.",
            ),
            Self::Unavailable(error) => Row::of_unavailable(*error),
            Self::Quota(error) => Row::of_quota(*error),
            Self::NotRecorded(error) => Row::of_not_recorded(*error),
            Self::Quote(error) => Row::of_quote(error),
            Self::NotQuoting => Row::of(
                Code::FailedPrecondition,
                "NOT_QUOTING",
                "Cet organisme n'établit pas de prise en charge sur demande.",
            ),
            Self::NoShare => Row::NO_SHARE,
            Self::NotReady(_) => Row::NOT_READY,
            Self::RosterUnknown => Row::ROSTER_UNKNOWN,
            Self::EntryUnknown => Row::ENTRY_UNKNOWN,
        }
    }
}

impl From<CallError> for Status {
    fn from(error: CallError) -> Self {
        let Row {
            code,
            reason,
            field,
            retry,
            french,
        } = error.row();
        let message = error.to_string();
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, ERROR_DOMAIN, HashMap::new());
        if let Some(field) = field {
            details.add_bad_request_violation(field, message.clone());
        }
        if retry.is_some() {
            details.set_retry_info(retry);
        }
        details.set_localized_message("fr-FR", french);
        Self::with_error_details(code, message, details)
    }
}

#[cfg(test)]
mod tests {
    use proto::ids::TreeSize;

    use super::*;

    fn status(error: CallError) -> (Status, ErrorDetails) {
        let status = Status::from(error);
        let details = status.get_error_details();
        (status, details)
    }

    #[test]
    fn a_malformed_field_is_named_with_its_limit() {
        let error = WireError::TooMany {
            field: "slot_keys",
            got: 40,
            max: 32,
        };
        let (status, details) = status(error.into());
        assert_eq!(status.code(), Code::InvalidArgument);
        let violation = &details.bad_request().unwrap().field_violations[0];
        assert_eq!(violation.field, "slot_keys");
        assert!(violation.description.contains("the limit is 32"));
    }

    #[test]
    fn a_refusal_carries_its_code_and_its_french_sentence() {
        for reason in Reason::ALL {
            let (status, details) = status(AdmissionError::Refused(*reason).into());
            assert_eq!(status.code(), Code::PermissionDenied);
            let info = details.error_info().unwrap();
            assert_eq!(
                (info.reason.as_str(), info.domain.as_str()),
                (reason.code(), ERROR_DOMAIN)
            );
            assert_eq!(
                details.localized_message().unwrap().message,
                reason.french()
            );
        }
    }

    #[test]
    fn who_should_come_back_is_told_when() {
        let (status_full, details) = status(Unavailable::QueueFull.into());
        assert_eq!(status_full.code(), Code::ResourceExhausted);
        assert_eq!(
            details.retry_info().unwrap().retry_delay,
            Some(RETRY_QUEUE_FULL)
        );
        let (stopped, details) = status(Unavailable::Stopped(StopReason::DiskFull).into());
        assert_eq!(stopped.code(), Code::Unavailable);
        assert_eq!(
            details.retry_info().unwrap().retry_delay,
            Some(RETRY_STOPPED)
        );
        assert!(stopped.message().contains("the disk is full"));
        let (cut_off, details) = status(Unavailable::Stopped(StopReason::NoWriter).into());
        assert_eq!(cut_off.code(), Code::Unavailable);
        assert_eq!(details.error_info().unwrap().reason, "CUT_OFF");
        assert!(
            cut_off
                .message()
                .contains("no voting member can be reached")
        );
    }

    #[test]
    fn a_read_error_tells_damage_from_absence() {
        let corrupt = status(ReadError::Corrupt { what: "tile" }.into());
        assert_eq!(corrupt.0.code(), Code::DataLoss);
        let beyond = ReadError::BeyondEnd {
            size: TreeSize::new(3),
            asked: 9,
        };
        assert_eq!(status(beyond.into()).0.code(), Code::OutOfRange);
    }

    #[test]
    fn every_status_has_a_reason_and_a_sentence() {
        for error in [
            CallError::MethodUnknown,
            CallError::NoPeer,
            CallError::DeadlineMissing,
            CallError::DeadlineUnfit,
            CallError::NotTheIssuer,
            CallError::PayloadMissing,
            CallError::PayloadUnwanted,
            CallError::PayloadMismatch,
            CallError::CutOff,
            CallError::Contradicted,
            CallError::EvaluationLost,
            CallError::AnswerLost,
            CallError::NoRandomness,
            CallError::EntryUnknown,
            CallError::NoShare,
            CallError::RosterUnknown,
            CallError::NotReady(NotReady::example()),
        ] {
            let (_, details) = status(error);
            let reason = &details.error_info().unwrap().reason;
            assert!(
                reason.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'),
                "{reason}"
            );
            let localized = details.localized_message().unwrap();
            assert_eq!(localized.locale, "fr-FR");
            assert!(localized.message.ends_with('.'));
        }
    }
}

//! Signing an entry, appending it, and verifying what comes back: the same for every role.

use proto::attestation::Attestation;
use proto::checkpoint::SignedCheckpoint;
use proto::entry::{Entry, EntryError};
use proto::ids::{MemberName, RequestId};
use proto::receipt::{Receipt, ReceiptError, ReceiptFile, RefusalReceipt};
use proto::refusal::Reason;
use proto::seal::{Salt, SealedPayload};
use proto::wire::AppendAnswer;
use thiserror::Error;

use crate::connection::{Attempted, CallError, Verdict};
use crate::contradiction::Contradiction;
use crate::failure::{Failure, FailureKind};
use crate::nodes::Manner;
use crate::session::Session;
use crate::system::{self, NoRandomness};

/// What became of an entry. Every proof in it has been verified.
#[derive(Debug, Clone)]
pub enum Issued {
    /// It is durable, in the log and cosigned: keep the receipt.
    Accepted(Box<Receipt>),
    /// A rule said no.
    Refused(Refused),
}

/// A refusal, with its proof where the reason has one.
#[derive(Debug, Clone)]
pub struct Refused {
    /// The rule.
    pub reason: Reason,
    /// That another entry has the slot; there for [`Reason::SlotReserved`], [`Reason::SlotHeld`] and
    /// [`Reason::EarlyRenewalTooSoon`].
    pub evidence: Option<Box<RefusalReceipt>>,
}

impl Issued {
    /// The file to keep, if there is a proof to keep.
    #[must_use]
    pub fn receipt_file(&self) -> Option<ReceiptFile> {
        match self {
            Self::Accepted(receipt) => Some(ReceiptFile::Accepted((**receipt).clone())),
            Self::Refused(refused) => {
                let evidence = refused.evidence.as_ref()?;
                Some(ReceiptFile::Refused((**evidence).clone()))
            }
        }
    }
}

/// Why it is not known what became of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IssueError {
    /// A request id takes fresh random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The entry breaks a limit of the format.
    #[error("the entry cannot be made: {0}")]
    Entry(#[from] EntryError),
    /// Nobody answered. The entry may still be appended: asking again with it is safe.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The proof that came back fails.
    #[error("{member} answered with a receipt that fails: {reason}")]
    Receipt {
        /// The member whose node answered.
        member: MemberName,
        /// The step that failed.
        reason: ReceiptError,
    },
    /// A slot is said to be taken, and no proof of it came.
    #[error("{member} refused for a taken slot without proof")]
    NoEvidence {
        /// The member whose node answered.
        member: MemberName,
    },
    /// The proof rests on a ledger that contradicts what was seen before, and members signed both.
    #[error(transparent)]
    Contradicted(Box<Contradiction>),
}

impl From<Contradiction> for IssueError {
    fn from(found: Contradiction) -> Self {
        Self::Contradicted(Box::new(found))
    }
}

impl Attempted for IssueError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Call(error) => error.verdict(),
            Self::Receipt { .. } | Self::NoEvidence { .. } => Verdict::Lied,
            Self::NoRandomness(_) | Self::Entry(_) | Self::Contradicted(_) => Verdict::Final,
        }
    }
}

impl Failure for IssueError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::NoRandomness(error) => error.kind(),
            Self::Entry(_) => FailureKind::Malformed,
            Self::Call(error) => error.kind(),
            Self::Receipt { .. } | Self::NoEvidence { .. } => FailureKind::Unavailable,
            Self::Contradicted(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Call(error) => error.hint(),
            Self::Receipt { .. } => Some("is the roster file the federation's newest?"),
            Self::Contradicted(error) => error.hint(),
            _ => None,
        }
    }
}

impl Session {
    /// Signs an attestation, appends it and verifies the receipt or the proof of the refusal.
    ///
    /// # Errors
    /// [`IssueError`]; a refusal is an answer.
    pub async fn issue(
        &self,
        attestation: &Attestation,
        payload: Option<(&SealedPayload, &Salt)>,
    ) -> Result<Issued, IssueError> {
        let entry = self.sign(attestation)?;
        self.append(&entry, payload).await
    }

    /// Signs an attestation as a request of this moment. Nobody is asked.
    ///
    /// # Errors
    /// [`IssueError::NoRandomness`] or [`IssueError::Entry`].
    pub fn sign(&self, attestation: &Attestation) -> Result<Entry, IssueError> {
        self.sign_as(system::request_id()?, attestation)
    }

    /// The same under a request id that was kept: with the same content it is the same entry.
    ///
    /// # Errors
    /// [`IssueError::Entry`].
    pub fn sign_as(&self, id: RequestId, attestation: &Attestation) -> Result<Entry, IssueError> {
        let header = attestation.header(self.public_key(), id);
        let signed = Entry::sign(&header, self.roster().origin(), self.secret())?;
        Ok(signed.into_entry())
    }

    /// Appends a signed entry and verifies the receipt or the proof of the refusal. With bytes
    /// that were sent before it gives the first answer again, for 48 hours, at whatever node: so
    /// it is sent to the next node when one does not answer.
    ///
    /// # Errors
    /// [`IssueError`]; a refusal is an answer.
    pub async fn append(
        &self,
        entry: &Entry,
        payload: Option<(&SealedPayload, &Salt)>,
    ) -> Result<Issued, IssueError> {
        let asked = self.ask(Manner::APPEND, |connection| async move {
            let answer = connection.append(entry, payload).await?;
            self.verify_answer(connection.member(), answer)
        });
        asked.await
    }

    fn verify_answer(
        &self,
        member: &MemberName,
        answer: AppendAnswer,
    ) -> Result<Issued, IssueError> {
        let fails = |reason| IssueError::Receipt {
            member: member.clone(),
            reason,
        };
        match answer {
            AppendAnswer::Accepted(receipt) => {
                receipt.verify(self.roster(), &mut |_| {}).map_err(fails)?;
                self.require_consistent(member, &receipt.checkpoint)?;
                Ok(Issued::Accepted(Box::new(receipt)))
            }
            AppendAnswer::Refused { reason, evidence } => {
                let needs_evidence = matches!(
                    reason,
                    Reason::SlotReserved | Reason::SlotHeld | Reason::EarlyRenewalTooSoon
                );
                if needs_evidence && evidence.is_none() {
                    let member = member.clone();
                    return Err(IssueError::NoEvidence { member });
                }
                if let Some(evidence) = &evidence {
                    evidence.verify(self.roster(), &mut |_| {}).map_err(fails)?;
                    self.require_consistent(member, &evidence.checkpoint)?;
                }
                Ok(Issued::Refused(Refused { reason, evidence }))
            }
        }
    }

    /// The checkpoint of a receipt that was verified does not contradict what was seen before. It
    /// may be older: what is in the log stays there.
    fn require_consistent(
        &self,
        member: &MemberName,
        checkpoint: &SignedCheckpoint,
    ) -> Result<(), IssueError> {
        let verified = self.verified().checkpoint(checkpoint, self.roster());
        let verified = verified.map_err(|_| IssueError::NoEvidence {
            member: member.clone(),
        })?;
        Ok(self.require_no_contradiction(member, &verified)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{Ledger, secret};
    use crate::session::SessionParts;

    fn session(ledger: &Ledger) -> Session {
        let parts = SessionParts {
            roster: ledger.roster.clone(),
            secret: secret("till"),
            home: None,
            addresses: std::collections::BTreeMap::new(),
            observer: None,
        };
        Session::open(parts).unwrap()
    }

    fn verify(session: &Session, answer: AppendAnswer) -> Result<Issued, IssueError> {
        session.verify_answer(&"amc".parse().unwrap(), answer)
    }

    #[tokio::test]
    async fn a_receipt_is_believed_once_every_step_has_passed() {
        let ledger = Ledger::furnished();
        let session = session(&ledger);
        let good = verify(&session, AppendAnswer::Accepted(ledger.receipt(4)));
        assert!(matches!(good, Ok(Issued::Accepted(_))));
        let mut elsewhere = ledger.receipt(4);
        elsewhere.proved.index = proto::ids::LeafIndex::new(3);
        let refused = verify(&session, AppendAnswer::Accepted(elsewhere));
        assert!(matches!(refused, Err(IssueError::Receipt { .. })));
        let mut alone = ledger.receipt(4);
        alone.checkpoint = ledger.cosigned_by(&["amc", "amo"]);
        let refused = verify(&session, AppendAnswer::Accepted(alone));
        assert!(matches!(refused, Err(IssueError::Receipt { .. })));
    }

    #[tokio::test]
    async fn a_slot_is_believed_to_be_taken_only_with_its_proof() {
        let ledger = Ledger::furnished();
        let session = session(&ledger);
        let answer = |evidence| AppendAnswer::Refused {
            reason: Reason::SlotReserved,
            evidence,
        };
        let good = verify(&session, answer(Some(Box::new(ledger.refusal()))));
        assert!(matches!(
            good,
            Ok(Issued::Refused(Refused {
                evidence: Some(_),
                ..
            }))
        ));
        let bare = verify(&session, answer(None));
        assert!(matches!(bare, Err(IssueError::NoEvidence { .. })));
        let mut wrong = ledger.refusal();
        wrong.key_position = 1;
        let wrong = verify(&session, answer(Some(Box::new(wrong))));
        assert!(matches!(wrong, Err(IssueError::Receipt { .. })));
        // The other reasons speak of the entry itself, which its issuer holds.
        let reason = Reason::ClockSkew;
        let other = verify(
            &session,
            AppendAnswer::Refused {
                reason,
                evidence: None,
            },
        );
        assert!(matches!(
            other,
            Ok(Issued::Refused(Refused { evidence: None, .. }))
        ));
    }
}

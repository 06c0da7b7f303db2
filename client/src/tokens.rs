//! Tokens: an identity is blinded here, evaluated by `t` members, verified and unblinded here.
//!
//! What leaves is a uniformly random element, which says nothing about the identity, and what
//! comes back is believed only with its proof against the member's public share in the roster.

use proto::identity::{Contract, Person};
use proto::ids::{MemberName, RequestId, SlotKey};
use proto::lpp::Slot;
use proto::oprf::{
    self, Blind, BlindError, BlindedElement, CombineError, ELEMENTS_MAX, JointPublicKey,
    OprfOutput, PartialEvaluation, PublicShare, ShareIndex, Threshold, VerifiedEvaluation,
    VerifyError,
};
use proto::roster::{MemberShare, OprfElements};
use proto::token::{ContractToken, PersonToken};
use proto::wire::v1::TokenKind;
use thiserror::Error;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::connection::{CallError, Connection};
use crate::failure::{Failure, FailureKind};
use crate::session::Session;
use crate::system::{self, NoRandomness};

/// Why no token could be made. No variant carries an identity.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenError {
    /// Blinding takes fresh random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The identity cannot be blinded.
    #[error("the identity cannot be blinded: {0}")]
    Blind(#[from] BlindError),
    /// The roster's elements are not usable.
    #[error("the roster has an element that cannot be used")]
    Roster,
    /// Too few members gave an answer that verifies.
    #[error("{got} of {want} evaluations needed; {}", list(.failures))]
    TooFew {
        /// Answers that verified.
        got: usize,
        /// Answers needed.
        want: Threshold,
        /// What came of the others.
        failures: Vec<MemberFailure>,
    },
    /// The answers verify one by one and do not belong together.
    #[error("evaluations: {0}")]
    Combine(#[from] CombineError),
}

/// Why one member's evaluation is not there.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MemberFailure {
    /// It could not be asked.
    #[error(transparent)]
    Call(#[from] CallError),
    /// No address of its node is known.
    #[error("no address is known of {member}")]
    NoAddress {
        /// The member.
        member: MemberName,
    },
    /// It answered, and the proof fails.
    #[error("{culprit} answered wrongly: {reason}")]
    Wrong {
        /// The member that is broken or cheats.
        culprit: MemberName,
        /// Which check failed.
        reason: VerifyError,
    },
}

fn list(failures: &[MemberFailure]) -> String {
    let failures: Vec<String> = failures.iter().map(ToString::to_string).collect();
    failures.join("; ")
}

impl Failure for TokenError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::NoRandomness(_) => FailureKind::Unavailable,
            Self::Blind(_) | Self::Roster | Self::Combine(_) => FailureKind::Malformed,
            Self::TooFew { failures, .. } => {
                // A key that nobody admits is refused; anything else may be better later.
                let refused = failures.iter().all(|failure| match failure {
                    MemberFailure::Call(error) => error.kind() == FailureKind::Refused,
                    MemberFailure::NoAddress { .. } | MemberFailure::Wrong { .. } => false,
                });
                if refused {
                    FailureKind::Refused
                } else {
                    FailureKind::Unavailable
                }
            }
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::TooFew { failures, .. } => failures.iter().find_map(|failure| match failure {
                MemberFailure::Call(error) => error.hint(),
                MemberFailure::NoAddress { .. } => {
                    Some("give it in the profile, under [addresses]")
                }
                MemberFailure::Wrong { .. } => {
                    Some("tell the federation: the member's share is broken, or it cheats")
                }
            }),
            _ => None,
        }
    }
}

impl Session {
    /// The pseudonym of a person, for the renewal slots.
    ///
    /// # Errors
    /// [`TokenError`], which names the members that failed or cheated.
    pub async fn person_token(&self, person: &Person) -> Result<PersonToken, TokenError> {
        let outputs = self
            .evaluate(TokenKind::Person, &[person.oprf_input()])
            .await?;
        outputs
            .first()
            .map(PersonToken::from_output)
            .ok_or(TokenError::Roster)
    }

    /// The slot keys of some slots of a person, in the order that an entry needs.
    ///
    /// # Errors
    /// [`TokenError`], which names the members that failed or cheated.
    pub async fn slot_keys(
        &self,
        person: &Person,
        slots: &[Slot],
    ) -> Result<Vec<SlotKey>, TokenError> {
        let token = self.person_token(person).await?;
        let mut keys: Vec<SlotKey> = slots.iter().map(|slot| token.slot_key(*slot)).collect();
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    /// The pseudonyms of contracts, in their order, for coverage and sealing.
    ///
    /// # Errors
    /// [`TokenError`], which names the members that failed or cheated.
    pub async fn contract_tokens(
        &self,
        contracts: &[Contract],
    ) -> Result<Vec<ContractToken>, TokenError> {
        let mut tokens = Vec::with_capacity(contracts.len());
        for batch in contracts.chunks(ELEMENTS_MAX) {
            let inputs: Vec<_> = batch.iter().map(Contract::oprf_input).collect();
            let outputs = self.evaluate(TokenKind::Contract, &inputs).await?;
            tokens.extend(outputs.iter().map(ContractToken::from_output));
        }
        Ok(tokens)
    }

    /// At most [`ELEMENTS_MAX`] inputs under one joint key.
    async fn evaluate(
        &self,
        kind: TokenKind,
        inputs: &[Zeroizing<Vec<u8>>],
    ) -> Result<Vec<OprfOutput>, TokenError> {
        let mut blinds: Vec<Blind> = Vec::with_capacity(inputs.len());
        let mut blinded = Vec::with_capacity(inputs.len());
        for input in inputs {
            let random = Zeroizing::new(system::random()?);
            let (blind, element) = oprf::blind(input, &random)?;
            blinds.push(blind);
            blinded.push(element);
        }
        let threshold =
            Threshold::new(self.roster().threshold().get()).ok_or(TokenError::Roster)?;
        let answers = self.gather(kind, &blinded, threshold).await?;
        let joint = JointPublicKey::from_bytes(of_kind(self.roster().joint(), kind))
            .map_err(|_| TokenError::Roster)?;
        let evaluated = oprf::combine(&joint, threshold, &answers)?;
        Ok(oprf::finalize(&blinds, &evaluated))
    }

    /// Asks `threshold` members at once, and one more for each that fails.
    async fn gather(
        &self,
        kind: TokenKind,
        blinded: &[BlindedElement],
        threshold: Threshold,
    ) -> Result<Vec<VerifiedEvaluation>, TokenError> {
        let want = usize::from(threshold.get());
        let mut shares = self.roster().shares().iter();
        let mut asked = JoinSet::new();
        let (mut answers, mut failures) = (Vec::new(), Vec::new());
        while answers.len() < want {
            while asked.len() + answers.len() < want {
                let Some(share) = shares.next() else { break };
                match self.connection(&share.member) {
                    Some(connection) => {
                        let ask = Ask::new(kind, share, connection, blinded)?;
                        asked.spawn(ask.answer());
                    }
                    None => failures.push(MemberFailure::NoAddress {
                        member: share.member.clone(),
                    }),
                }
            }
            match asked.join_next().await {
                Some(Ok(Ok(answer))) => answers.push(answer),
                Some(Ok(Err(failure))) => failures.push(failure),
                // The task itself never panics or is cancelled; were it so, it gave no answer.
                Some(Err(_)) => {}
                None => {
                    return Err(TokenError::TooFew {
                        got: answers.len(),
                        want: threshold,
                        failures,
                    });
                }
            }
        }
        Ok(answers)
    }
}

const fn of_kind(elements: &OprfElements, kind: TokenKind) -> &[u8; 32] {
    match kind {
        TokenKind::Contract => elements.contract.as_bytes(),
        TokenKind::Person | TokenKind::Unspecified => elements.person.as_bytes(),
    }
}

/// One request to one member, on its own so that several run at once.
struct Ask {
    kind: TokenKind,
    public: PublicShare,
    connection: Connection,
    blinded: Vec<BlindedElement>,
    id: RequestId,
}

impl Ask {
    fn new(
        kind: TokenKind,
        share: &MemberShare,
        connection: &Connection,
        blinded: &[BlindedElement],
    ) -> Result<Self, TokenError> {
        let index = ShareIndex::new(share.index.get()).ok_or(TokenError::Roster)?;
        let public = PublicShare::from_bytes(index, of_kind(&share.public, kind))
            .map_err(|_| TokenError::Roster)?;
        Ok(Self {
            kind,
            public,
            connection: connection.clone(),
            blinded: blinded.to_vec(),
            id: system::request_id()?,
        })
    }

    async fn answer(self) -> Result<VerifiedEvaluation, MemberFailure> {
        let answer = self
            .connection
            .evaluate(self.id, self.kind, &self.blinded)
            .await?;
        self.verify(answer)
    }

    fn verify(&self, answer: PartialEvaluation) -> Result<VerifiedEvaluation, MemberFailure> {
        let culprit = self.connection.member().clone();
        self.public
            .verify(&self.blinded, answer)
            .map_err(|reason| MemberFailure::Wrong { culprit, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{Ledger, joint, secret};
    use crate::session::SessionParts;

    /// What is asked of the one member that evaluates.
    fn ask() -> (Ask, Blind) {
        let session = Session::open(SessionParts {
            roster: Ledger::new().roster,
            secret: secret("till"),
            home: None,
            addresses: std::collections::BTreeMap::new(),
            observer: None,
        });
        let session = session.unwrap();
        let share = session.roster().shares().first().unwrap();
        let connection = session.connection(&share.member).unwrap();
        let (blind, element) = oprf::blind(b"input", &[5; 64]).unwrap();
        let ask = Ask::new(TokenKind::Person, share, connection, &[element]).unwrap();
        (ask, blind)
    }

    #[tokio::test]
    async fn an_answer_under_the_members_share_is_believed() {
        let (ask, blind) = ask();
        let share = joint(1).sole_share();
        let answer = share.evaluate(&ask.blinded, &[6; 64]).unwrap();
        let answer = ask.verify(answer).unwrap();
        let evaluated = oprf::combine(&joint(1).public(), Threshold::ONE, &[answer]).unwrap();
        assert_eq!(blind.finalize(&evaluated[0]).as_bytes().len(), 64);
    }

    #[tokio::test]
    async fn an_answer_under_another_share_names_its_culprit() {
        let (ask, _) = ask();
        let other = joint(2).sole_share();
        let answer = other.evaluate(&ask.blinded, &[6; 64]).unwrap();
        let failure = ask.verify(answer).unwrap_err();
        assert!(
            matches!(&failure, MemberFailure::Wrong { culprit, .. } if culprit.as_str() == "amo")
        );
        let failures = vec![failure];
        let error = TokenError::TooFew {
            got: 0,
            want: Threshold::ONE,
            failures,
        };
        assert!(
            error.to_string().contains("amo answered wrongly"),
            "{error}"
        );
        assert_eq!(error.kind(), FailureKind::Unavailable);
    }
}

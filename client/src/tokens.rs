//! Tokens: an identity is blinded here, evaluated by `t` members, verified and unblinded here.
//!
//! What leaves is a uniformly random element, which says nothing about the identity, and what
//! comes back is believed only with its proof against the member's public share in the roster.

mod gathering;

use proto::foreign_slots::TokenMaking;
use proto::identity::{Contract, Person};
use proto::ids::{LeafIndex, MemberName, SlotKey};
use proto::lpp::Slot;
use proto::oprf::{
    self, Blind, BlindError, CombineError, ELEMENTS_MAX, JointPublicKey, OprfOutput, Threshold,
    VerifiedEvaluation, VerifyError,
};
use proto::roster::OprfElements;
use proto::token::{ContractToken, PersonToken};
use proto::wire::v1::TokenKind;
use thiserror::Error;
use zeroize::Zeroizing;

use self::gathering::{Gathering, Lot, by_lot};
use crate::connection::CallError;
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
        self.person_token_by(by_lot(self)?, person).await
    }

    /// The pseudonyms of a person and of his contracts: the same members are asked for both, so
    /// that fewer connections are made.
    ///
    /// # Errors
    /// [`TokenError`], which names the members that failed or cheated.
    pub async fn tokens(
        &self,
        person: &Person,
        contracts: &[Contract],
    ) -> Result<(PersonToken, Vec<ContractToken>), TokenError> {
        let lot = by_lot(self)?;
        tokio::try_join!(
            self.person_token_by(lot.clone(), person),
            self.contract_tokens_by(&lot, contracts),
        )
    }

    /// The same for a payer, about one claim that rests on its coverage: it is on record, and a node
    /// answers only a few times for each claim. How it was made is kept, for evidence.
    ///
    /// # Errors
    /// [`TokenError`], which names the members that failed or cheated.
    pub async fn claimed_person_token(
        &self,
        person: &Person,
        claim: LeafIndex,
    ) -> Result<(PersonToken, TokenMaking), TokenError> {
        let input = [person.oprf_input()];
        let lot = by_lot(self)?;
        let evaluation = self
            .evaluate(lot, TokenKind::Person, Some(claim), &input)
            .await?;
        let blind = evaluation.blinds.first().ok_or(TokenError::Roster)?;
        let making = TokenMaking::keep(blind, &evaluation.answers);
        let output = evaluation.outputs.first().ok_or(TokenError::Roster)?;
        Ok((PersonToken::from_output(output), making))
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
        self.contract_tokens_by(&by_lot(self)?, contracts).await
    }

    async fn person_token_by(
        &self,
        lot: Lot<'_>,
        person: &Person,
    ) -> Result<PersonToken, TokenError> {
        let input = [person.oprf_input()];
        let evaluation = self.evaluate(lot, TokenKind::Person, None, &input).await?;
        let output = evaluation.outputs.first().ok_or(TokenError::Roster)?;
        Ok(PersonToken::from_output(output))
    }

    async fn contract_tokens_by(
        &self,
        lot: &Lot<'_>,
        contracts: &[Contract],
    ) -> Result<Vec<ContractToken>, TokenError> {
        let mut tokens = Vec::with_capacity(contracts.len());
        for batch in contracts.chunks(ELEMENTS_MAX) {
            let inputs: Vec<_> = batch.iter().map(Contract::oprf_input).collect();
            let evaluation = self
                .evaluate(lot.clone(), TokenKind::Contract, None, &inputs)
                .await?;
            tokens.extend(evaluation.outputs.iter().map(ContractToken::from_output));
        }
        Ok(tokens)
    }

    /// At most [`ELEMENTS_MAX`] inputs under one joint key.
    async fn evaluate(
        &self,
        lot: Lot<'_>,
        kind: TokenKind,
        claim: Option<LeafIndex>,
        inputs: &[Zeroizing<Vec<u8>>],
    ) -> Result<Evaluation, TokenError> {
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
        let gathering = Gathering::new(self, lot, kind, claim, &blinded, threshold);
        let answers = gathering.run().await?;
        let joint = JointPublicKey::from_bytes(of_kind(self.roster().joint(), kind))
            .map_err(|_| TokenError::Roster)?;
        let evaluated = oprf::combine(&joint, threshold, &answers)?;
        Ok(Evaluation {
            outputs: oprf::finalize(&blinds, &evaluated),
            blinds,
            answers,
        })
    }
}

/// What came of one evaluation, each output and blind at the place of its input. Blinds are wiped
/// with it: only who makes evidence keeps one.
struct Evaluation {
    outputs: Vec<OprfOutput>,
    blinds: Vec<Blind>,
    answers: Vec<VerifiedEvaluation>,
}

const fn of_kind(elements: &OprfElements, kind: TokenKind) -> &[u8; 32] {
    match kind {
        TokenKind::Contract => elements.contract.as_bytes(),
        TokenKind::Person | TokenKind::Unspecified => elements.person.as_bytes(),
    }
}

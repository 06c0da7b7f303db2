//! What a payer answers to one invoice.

use proto::attestation::{Attestation, ClaimTerms, Settlement, SettlementOutcome, SettlementTerms};
use proto::identity::Contract;
use proto::ids::{Cents, LeafIndex};
use proto::seal::{self, Salt, SealError};
use proto::signing::PublicKey;
use thiserror::Error;

use crate::failure::{Failure, FailureKind};
use crate::issue::{IssueError, Issued};
use crate::lookup::LookupError;
use crate::opened::OpenedEntry;
use crate::session::Session;
use crate::system::{self, NoRandomness};
use crate::tokens::TokenError;

/// Why it is not known what became of a settlement, or none could be made.
#[derive(Debug, Error)]
pub enum SettleError {
    /// The delivery could not be had.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The entry named is no delivery.
    #[error("entry {index} is no delivery")]
    NotADelivery {
        /// The entry.
        index: LeafIndex,
    },
    /// Nothing of the invoice is sealed for this contract, or its payload is erased.
    #[error("entry {index} has no part for this contract: give the amount")]
    NoPart {
        /// The entry.
        index: LeafIndex,
    },
    /// The token could not be made.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// A salt takes fresh random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The terms cannot be sealed.
    #[error("the settlement cannot be sealed: {0}")]
    Seal(#[from] SealError),
    /// It is not known what became of the settlement.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

impl Failure for SettleError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Lookup(error) => error.kind(),
            Self::NotADelivery { .. } | Self::NoPart { .. } | Self::Seal(_) => {
                FailureKind::Malformed
            }
            Self::Tokens(error) => error.kind(),
            Self::NoRandomness(error) => error.kind(),
            Self::Issue(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Lookup(error) => error.hint(),
            Self::Tokens(error) => error.hint(),
            Self::Issue(error) => error.hint(),
            _ => None,
        }
    }
}

/// A payer's answer, ready to be given.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What it answers.
    pub outcome: SettlementOutcome,
    /// What is paid or taken back; what the payer's own part of the invoice adds up to if left out.
    pub amount: Option<Cents>,
    /// What its bank statement calls the payment; may be empty.
    pub reference: String,
}

/// Answers to a delivery as the payer of a contract, and seals the amount for that contract.
///
/// # Errors
/// [`SettleError`]; a refusal is an answer.
pub async fn settle(
    session: &Session,
    contract: &Contract,
    delivery: LeafIndex,
    answer: &Answer,
) -> Result<Issued, SettleError> {
    let opened = session.open_entry(delivery).await?;
    let Attestation::Delivery(delivered) = &opened.says else {
        return Err(SettleError::NotADelivery { index: delivery });
    };
    let tokens = session
        .contract_tokens(std::slice::from_ref(contract))
        .await?;
    let no_part = SettleError::NoPart { index: delivery };
    let secret = match tokens.first() {
        Some(token) => token.sealing_secret(),
        None => return Err(no_part),
    };
    let amount = match (answer.amount, answer.outcome) {
        (Some(amount), _) => amount,
        (None, SettlementOutcome::Rejected(_)) => Cents::default(),
        (None, _) => invoiced(&opened.claim_terms(&secret).ok_or(no_part)?),
    };
    let terms = SettlementTerms {
        amount,
        reference: answer.reference.clone(),
    };
    let salt = Salt::from_bytes(system::random()?);
    let payload = seal::seal(&[(&secret, &terms.to_bytes())], &salt)?;
    let settlement = Settlement {
        claim: delivered.claim,
        invoice: delivered.handover.invoice(delivery),
        delivery,
        outcome: answer.outcome,
        under: former_key(session, &opened).await?,
        commitment: *payload.commitment(&salt).as_hash(),
    };
    let attestation = Attestation::Settlement(settlement);
    Ok(session.issue(&attestation, Some((&payload, &salt))).await?)
}

/// The key under which the own coverages of the claim were issued, if that is not the own one. Who
/// pays nothing of it names none, and the ledger says so.
async fn former_key(
    session: &Session,
    opened: &OpenedEntry,
) -> Result<Option<PublicKey>, LookupError> {
    let own_key = session.public_key();
    let payers: Vec<PublicKey> = opened.payers.iter().map(|one| one.payer).collect();
    if payers.contains(&own_key) {
        return Ok(None);
    }
    for payer in payers {
        if session.is_own_key(&payer).await? {
            return Ok(Some(payer));
        }
    }
    Ok(None)
}

/// What a payer's part of an invoice asks of it.
fn invoiced(terms: &ClaimTerms) -> Cents {
    let lines = terms.lines.iter();
    lines.fold(Cents::default(), |sum, line| sum.plus(line.amount))
}

//! A payer lets an auditor read its part of one entry: a coverage or settlement of its own, or a
//! claim it pays or its delivery.
//!
//! The payload comes from a node, which puts on record who asked. The contract is the one whose
//! part it is: found among those of the payer's own contracts file, or told by a card.

use proto::disclosure::{Disclosable, Disclosure, DisclosureError};
use proto::identity::{Contract, PayerNumber};
use proto::ids::LeafIndex;
use proto::seal::OpenError;
use proto::token::SealingSecret;
use thiserror::Error;

use crate::contracts::{ContractsFile, ContractsFileError};
use crate::failure::{Failure, FailureKind};
use crate::lookup::LookupError;
use crate::session::Session;
use crate::tokens::TokenError;

/// Why nothing was disclosed.
#[derive(Debug, Error)]
pub enum DiscloseError {
    /// The entry or its payload could not be had, or does not verify.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The payload was erased.
    #[error("the payload of entry {index} is erased: nobody can open it any more")]
    Erased {
        /// The entry.
        index: LeafIndex,
    },
    /// The own key is no payer's.
    #[error("the own key is not that of a payer of the roster")]
    NoPayer,
    /// The card has no contract with the own payer number.
    #[error("the card has no contract with this payer")]
    NoContract,
    /// No part of the payload is for any contract of the file.
    #[error("no part of entry {index} is for one of the {read} contracts of the file")]
    NotInFile {
        /// The entry.
        index: LeafIndex,
        /// How many contracts were tried.
        read: u64,
    },
    /// The contracts file cannot be read.
    #[error(transparent)]
    Contracts(#[from] ContractsFileError),
    /// The contract's token could not be made.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// The part does not open, or its terms cannot be read.
    #[error(transparent)]
    Disclosure(#[from] DisclosureError),
}

impl Failure for DiscloseError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Lookup(error) => error.kind(),
            Self::Erased { .. } | Self::NotInFile { .. } | Self::Disclosure(_) => {
                FailureKind::Refused
            }
            Self::NoPayer | Self::NoContract => FailureKind::Malformed,
            Self::Contracts(error) => error.kind(),
            Self::Tokens(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Lookup(error) => error.hint(),
            Self::NoPayer => Some("the payer of an entry discloses its own part, with its own key"),
            Self::NotInFile { .. } => {
                Some("the contract may have come after the import: name it with --card")
            }
            Self::Contracts(error) => error.hint(),
            Self::Tokens(error) => error.hint(),
            _ => None,
        }
    }
}

/// Fetches an entry with its payload, on record, and verifies it.
///
/// # Errors
/// [`DiscloseError::Lookup`] or [`DiscloseError::Erased`].
pub async fn fetch(session: &Session, index: LeafIndex) -> Result<Disclosable, DiscloseError> {
    let found = session.payload(index).await?;
    let (payload, salt) = found.payload.ok_or(DiscloseError::Erased { index })?;
    Ok(Disclosable {
        receipt: found.receipt,
        payload,
        salt,
    })
}

/// Discloses the part for one of the payer's own contracts, whichever it is: each is tried. The
/// file is read up to that contract, a line at a time.
///
/// # Errors
/// [`DiscloseError::NotInFile`] when no part is for one of them; the file or the part cannot be
/// read.
pub fn from_contracts(
    session: &Session,
    disclosable: Disclosable,
    contracts: ContractsFile,
) -> Result<Disclosure, DiscloseError> {
    let mut read = 0;
    for record in contracts {
        let secret = record?.token.sealing_secret();
        read += 1;
        let (payload, salt) = (&disclosable.payload, &disclosable.salt);
        if payload.part_key(&secret, salt).is_some() {
            return make(session, disclosable, &secret);
        }
    }
    let index = disclosable.receipt.proved.index;
    Err(DiscloseError::NotInFile { index, read })
}

/// Discloses the part for the one of these contracts that is with the own payer number.
///
/// # Errors
/// [`DiscloseError`], see its variants.
pub async fn from_identity(
    session: &Session,
    disclosable: Disclosable,
    contracts: &[Contract],
) -> Result<Disclosure, DiscloseError> {
    let payer = own_payer(session)?;
    let own = contracts.iter().find(|one| one.payer_number == *payer);
    let own = own.ok_or(DiscloseError::NoContract)?;
    let tokens = session.contract_tokens(std::slice::from_ref(own)).await?;
    let token = tokens.first().ok_or(DiscloseError::NoContract)?;
    make(session, disclosable, &token.sealing_secret())
}

/// The payer number of the own key.
///
/// # Errors
/// [`DiscloseError::NoPayer`] when it has none.
fn own_payer(session: &Session) -> Result<&PayerNumber, DiscloseError> {
    let member = session.own_member();
    member
        .and_then(|member| member.payer.as_ref())
        .ok_or(DiscloseError::NoPayer)
}

fn make(
    session: &Session,
    disclosable: Disclosable,
    secret: &SealingSecret,
) -> Result<Disclosure, DiscloseError> {
    own_payer(session)?;
    Ok(Disclosure::make(disclosable, secret, session.secret())?)
}

impl From<OpenError> for DiscloseError {
    fn from(error: OpenError) -> Self {
        Self::Disclosure(error.into())
    }
}

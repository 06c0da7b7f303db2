//! The payer: its private list of contracts becomes signed coverages in the ledger.

use std::sync::Arc;

use proto::attestation::{Attestation, Coverage, CoverageTerms};
use proto::benefit::Terms;
use proto::identity::{Contract, PayerNumber};
use proto::ids::LeafIndex;
use proto::seal::{self, Salt, SealError};
use proto::token::ContractToken;
use thiserror::Error;
use tokio::task::JoinSet;

use crate::coverage_file::CoverageRow;
use crate::failure::{Failure, FailureKind};
use crate::issue::{IssueError, Issued};
use crate::lookup::LookupError;
use crate::session::Session;
use crate::system::{self, NoRandomness};
use crate::tokens::TokenError;

/// How many coverages are on their way at once: they fill a node's batch, and leave room in its
/// queue for the tills.
pub const IN_FLIGHT: usize = 64;

/// A payer of the federation.
#[derive(Debug, Clone)]
pub struct Insurer {
    session: Session,
    payer_number: PayerNumber,
    catalogue: LeafIndex,
}

/// Why no payer can be set up.
#[derive(Debug, Error)]
pub enum InsurerError {
    /// The own key is not that of a member with a payer number.
    #[error("the key belongs to no member of the roster that pays")]
    NotAPayer,
    /// The catalogue entry could not be had.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The entry named is no catalogue.
    #[error("entry {index} is no catalogue")]
    NotACatalogue {
        /// The entry.
        index: LeafIndex,
    },
}

impl Failure for InsurerError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::NotAPayer | Self::NotACatalogue { .. } => FailureKind::Malformed,
            Self::Lookup(error) => error.kind(),
        }
    }
}

/// Why it is not known what became of one coverage.
#[derive(Debug, Error)]
pub enum CoverError {
    /// A salt takes fresh random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The terms cannot be sealed.
    #[error("the coverage cannot be sealed: {0}")]
    Seal(#[from] SealError),
    /// Nobody answered, or the answer fails.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

impl Failure for CoverError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::NoRandomness(error) => error.kind(),
            Self::Seal(_) => FailureKind::Malformed,
            Self::Issue(error) => error.kind(),
        }
    }
}

/// What became of one row.
#[derive(Debug)]
pub struct Covered {
    /// Position of the row among those given.
    pub position: usize,
    /// What became of it.
    pub outcome: Result<Issued, CoverError>,
}

impl Insurer {
    /// A payer whose coverages are computed with the catalogue that this entry names.
    ///
    /// # Errors
    /// [`InsurerError`], see its variants.
    pub async fn open(session: Session, catalogue: LeafIndex) -> Result<Self, InsurerError> {
        let own = session.own_member().and_then(|member| member.payer.clone());
        let payer_number = own.ok_or(InsurerError::NotAPayer)?;
        let entry = session.verified_entry(catalogue).await?;
        match Attestation::read(entry.header()) {
            Ok(Attestation::Catalogue(_)) => Ok(Self {
                session,
                payer_number,
                catalogue,
            }),
            _ => Err(InsurerError::NotACatalogue { index: catalogue }),
        }
    }

    /// Signs and appends one coverage for each row, several at once; `done` is called after each.
    ///
    /// A later coverage for the same contract and grouped code replaces an earlier one, so rows
    /// can be given again. The answer is in the order of the rows.
    ///
    /// # Errors
    /// [`TokenError`] when the tokens cannot be made: then nothing was appended. What becomes of
    /// each row stands in the answer.
    pub async fn cover(
        &self,
        rows: &[CoverageRow],
        done: &mut (dyn FnMut(&Covered) + Send),
    ) -> Result<Vec<Covered>, TokenError> {
        let contracts: Vec<Contract> = rows.iter().map(|row| self.contract(row)).collect();
        let tokens = self.session.contract_tokens(&contracts).await?;
        let this = Arc::new(self.clone());
        let mut waiting = rows.iter().cloned().zip(tokens).enumerate();
        let mut in_flight = JoinSet::new();
        let mut covered = Vec::with_capacity(rows.len());
        loop {
            while in_flight.len() < IN_FLIGHT {
                let Some((position, (row, token))) = waiting.next() else {
                    break;
                };
                let this = this.clone();
                in_flight.spawn(async move {
                    Covered {
                        position,
                        outcome: this.cover_one(&row, &token).await,
                    }
                });
            }
            match in_flight.join_next().await {
                Some(Ok(one)) => {
                    done(&one);
                    covered.push(one);
                }
                // The task neither panics nor is cancelled; a row without an answer is missing.
                Some(Err(_)) => {}
                None => break,
            }
        }
        covered.sort_by_key(|one| one.position);
        Ok(covered)
    }

    fn contract(&self, row: &CoverageRow) -> Contract {
        Contract {
            payer_number: self.payer_number.clone(),
            member_number: row.member_number.clone(),
            birth_date: row.birth_date.clone(),
            birth_rank: row.birth_rank.clone(),
        }
    }

    async fn cover_one(
        &self,
        row: &CoverageRow,
        token: &ContractToken,
    ) -> Result<Issued, CoverError> {
        let terms = CoverageTerms(Terms::cap(row.grouped_code, row.amount, row.renewal_months));
        let salt = Salt::from_bytes(system::random()?);
        let payload = seal::seal(&[(&token.sealing_secret(), &terms.to_bytes())], &salt)?;
        let coverage = Coverage {
            coverage: token.coverage_key(row.grouped_code),
            catalogue: self.catalogue,
            until: row.until,
            commitment: *payload.commitment(&salt).as_hash(),
        };
        let attestation = Attestation::Coverage(coverage);
        Ok(self
            .session
            .issue(&attestation, Some((&payload, &salt)))
            .await?)
    }
}

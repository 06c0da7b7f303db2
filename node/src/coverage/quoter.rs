//! From an opinion to coverages in the ledger: those that stand are given again, others are signed,
//! sealed and appended.

use std::array;
use std::sync::{Arc, PoisonError, RwLock};

use proto::attestation::{Attestation, Coverage, CoverageTerms, State, catalogue_index};
use proto::benefit::Terms;
use proto::entry::{Entry, EntryError, VerifiedEntry};
use proto::ids::{ContractKey, Finess, LeafIndex, RequestId, TreeSize};
use proto::lpp::GroupedCode;
use proto::receipt::Receipt;
use proto::refusal::Reason;
use proto::roster::Roster;
use proto::seal::{self, PayloadCommitment, Salt, SealError, SealedPayload};
use proto::signing::SecretKey;
use proto::token::ContractToken;
use proto::wire::quote::{CodeAnswer, QuoteAsked};
use thiserror::Error;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::JoinSet;

use super::{Book, Commitment, Opinion};
use crate::clock;
use crate::follow::{NotIssued, Upstream};
use crate::ledger::View as _;
use crate::sequencer::{Sequencer, Unavailable};
use crate::snapshot::{ReadError, Snapshot};

/// How long a coverage is valid at most: while its payer's node is down, tills go on with it.
pub const COVERAGE_VALID_DAYS: u32 = 60;
/// A coverage that stands is given again while it has as many days left, or as many as a new one
/// would have: so nobody who asks gets one that is about to run out, and few are appended.
pub const REUSE_DAYS_MIN: u32 = 30;
/// Contracts that are quoted at a time wait for each other when they share a place. Most do not.
const PLACES: usize = 256;

/// Why a payer's node has no answer.
#[derive(Debug, Error)]
pub enum QuoteError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No catalogue is in force, so that no coverage can name one.
    #[error("the ledger names no catalogue yet")]
    NoCatalogue,
    /// The coverage was not taken.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The coverage was not passed on.
    #[error(transparent)]
    NotIssued(#[from] NotIssued),
    /// A rule refused the coverage: this node's clock or membership is not as it must be.
    #[error("the coverage was refused: {}", .0.english())]
    Refused(Reason),
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// The terms cannot be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The entry cannot be signed.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The work was broken off.
    #[error("the making of the coverage broke off")]
    BrokenOff,
}

/// What makes coverages: the book, and the way to the ledger under this member's key.
#[derive(Debug)]
pub struct Quoter {
    book: RwLock<Arc<Book>>,
    sequencer: Sequencer,
    upstream: Upstream,
    secret: SecretKey,
    /// Two quotes of one contract follow each other: otherwise both would append, and what one
    /// till was told would be superseded by what the other was.
    places: [Arc<Mutex<()>>; PLACES],
}

impl Quoter {
    /// A quoter that issues with this member's key, here or where the leader is.
    #[must_use]
    pub fn new(book: Book, sequencer: Sequencer, upstream: Upstream, secret: SecretKey) -> Self {
        Self {
            book: RwLock::new(Arc::new(book)),
            sequencer,
            upstream,
            secret,
            places: array::from_fn(|_| Arc::default()),
        }
    }

    /// The roster in force.
    #[must_use]
    pub fn roster(&self) -> Arc<Roster> {
        self.sequencer.snapshot().roster().clone()
    }

    /// Takes another book from now on.
    pub fn replace(&self, book: Book) {
        *self.book.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(book);
    }

    /// What the payer thinks today of what is asked by a shop, whose FINESS number a federation has
    /// certified. Nothing is signed yet.
    #[must_use]
    pub fn opinion(&self, asked: &QuoteAsked, shop: Option<&Finess>) -> Opinion {
        let book = self.book.read();
        let book = book.unwrap_or_else(PoisonError::into_inner).clone();
        let today = clock::now().day();
        let mut opinion = book.opinion(&asked.contract, &asked.grouped_codes, today);
        if let Some(shop) = shop {
            opinion.networks = book.networks_of(&opinion, shop, today);
        }
        opinion
    }

    /// Makes an opinion binding: for each code the coverage of the ledger, or why there is none.
    ///
    /// # Errors
    /// [`QuoteError`]; some of the coverages may be in the ledger all the same.
    pub async fn bind(
        self: &Arc<Self>,
        contract: &ContractKey,
        opinion: &Opinion,
    ) -> Result<Vec<CodeAnswer>, QuoteError> {
        let Some(token) = &opinion.token else {
            return Ok(refused(opinion));
        };
        let place = usize::from(contract.as_bytes()[0]) % PLACES;
        let turn = self.places[place].clone().lock_owned().await;
        let snapshot = self.sequencer.snapshot();
        let (mut made, mut issuing) = (Vec::new(), JoinSet::new());
        for (position, (code, said)) in opinion.codes.iter().enumerate() {
            let commitment = match said {
                Ok(commitment) => commitment,
                Err(reason) => {
                    made.push((position, CodeAnswer::Refused(*reason)));
                    continue;
                }
            };
            let catalogue = catalogue_in_force(&snapshot)?;
            let code = *code;
            if let Some(answer) = self.standing(&snapshot, token, code, commitment, catalogue)? {
                made.push((position, answer));
                continue;
            }
            let (this, token, commitment) = (self.clone(), token.clone(), commitment.clone());
            issuing.spawn(async move {
                let issued = this.issue(&token, code, commitment, catalogue).await;
                (position, issued)
            });
        }
        while let Some(issued) = issuing.join_next().await {
            let (position, answer) = issued.map_err(|_| QuoteError::BrokenOff)?;
            made.push((position, answer?));
        }
        made.sort_unstable_by_key(|(position, _)| *position);
        let answers: Vec<CodeAnswer> = made.into_iter().map(|(_, answer)| answer).collect();
        self.pass_on(turn, &answers);
        Ok(answers)
    }

    /// The next quote of the contract waits until this node has what was appended at another.
    fn pass_on(&self, turn: OwnedMutexGuard<()>, answers: &[CodeAnswer]) {
        let index = answers.iter().filter_map(|answer| match answer {
            CodeAnswer::Covered { receipt, .. } => Some(receipt.proved.index.get()),
            CodeAnswer::Refused(_) => None,
        });
        let Some(newest) = index.max() else { return };
        let upstream = self.upstream.clone();
        tokio::spawn(async move {
            upstream
                .catch_up(TreeSize::new(newest.saturating_add(1)))
                .await;
            drop(turn);
        });
    }

    /// The coverage of the ledger, if it says what would be signed today.
    fn standing(
        &self,
        snapshot: &Snapshot,
        token: &ContractToken,
        code: GroupedCode,
        commitment: &Commitment,
        catalogue: LeafIndex,
    ) -> Result<Option<CodeAnswer>, QuoteError> {
        let answer = snapshot.coverage(&token.coverage_key(code))?;
        let (Some(proved), Some(payload)) = (answer.entry, answer.payload) else {
            return Ok(None);
        };
        let Ok(Attestation::Coverage(coverage)) = Attestation::read(proved.entry.header()) else {
            return Ok(None);
        };
        let least = commitment
            .until
            .min(clock::now().day().plus(REUSE_DAYS_MIN));
        let stands = proved.entry.header().issuer == self.secret.public()
            && coverage.catalogue == catalogue
            && (least..=commitment.until).contains(&coverage.until)
            && opened(token, &coverage, &payload).as_ref() == Some(&commitment.terms);
        let checkpoint = snapshot.checkpoint().clone();
        Ok(stands.then_some(CodeAnswer::Covered {
            receipt: Receipt { proved, checkpoint },
            payload,
        }))
    }

    /// Signs, seals and appends a coverage.
    async fn issue(
        &self,
        token: &ContractToken,
        code: GroupedCode,
        commitment: Commitment,
        catalogue: LeafIndex,
    ) -> Result<CodeAnswer, QuoteError> {
        let salt = Salt::from_bytes(random()?);
        let terms = CoverageTerms(commitment.terms).to_bytes();
        let sealed = seal::seal(&[(&token.sealing_secret(), &terms)], &salt)?;
        let attestation = Attestation::Coverage(Coverage {
            coverage: token.coverage_key(code),
            catalogue,
            until: commitment.until,
            commitment: *sealed.commitment(&salt).as_hash(),
        });
        let request_id = RequestId::new(clock::now(), random()?);
        let header = attestation.header(self.secret.public(), request_id);
        let snapshot = self.sequencer.snapshot();
        let entry = Entry::sign(&header, snapshot.roster().origin(), &self.secret)?;
        let payload = (sealed, salt);
        let receipt = self.append(entry, &payload).await?;
        Ok(CodeAnswer::Covered { receipt, payload })
    }

    async fn append(
        &self,
        entry: VerifiedEntry,
        payload: &(SealedPayload, Salt),
    ) -> Result<Receipt, QuoteError> {
        // From here the coverage is in the ledger, whatever happens to this process.
        Ok(self.upstream.issue(&entry, payload).await?)
    }
}

/// The answers when there is nothing to bind.
fn refused(opinion: &Opinion) -> Vec<CodeAnswer> {
    let codes = opinion.codes.iter();
    codes
        .map(|(_, said)| {
            let reason = said.as_ref().err().copied();
            CodeAnswer::Refused(reason.unwrap_or(Reason::ContractEnded))
        })
        .collect()
}

fn catalogue_in_force(snapshot: &Snapshot) -> Result<LeafIndex, QuoteError> {
    match snapshot.state(&catalogue_index())? {
        Some(State::Catalogue { by, .. }) => Ok(by),
        _ => Err(QuoteError::NoCatalogue),
    }
}

/// The terms that a coverage seals for the contract; `None` when they cannot be read.
fn opened(
    token: &ContractToken,
    coverage: &Coverage,
    (sealed, salt): &(SealedPayload, Salt),
) -> Option<Terms> {
    let commitment = PayloadCommitment::from_hash(coverage.commitment);
    let opened = sealed
        .open(&token.sealing_secret(), salt, &commitment)
        .ok()?;
    let CoverageTerms(terms) = CoverageTerms::from_bytes(opened.as_bytes()).ok()?;
    Some(terms)
}

fn random<const N: usize>() -> Result<[u8; N], QuoteError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| QuoteError::NoRandomness)?;
    Ok(bytes)
}

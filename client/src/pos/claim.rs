//! From a quote to a claim: slots, references, and for each payer its sealed part.

use proto::attestation::{Claim, ClaimLine, ClaimTerms, CodeOpening, EarlyFrom};
use proto::entry::REFERENCES_MAX;
use proto::ids::{LeafIndex, UnixMillis};
use proto::renewal::EarlyRenewal;
use proto::roster::Role;
use proto::seal::{self, LppCodeSalt, Salt, SealError, SealedPayload};
use proto::token::SealingSecret;
use thiserror::Error;
use zeroize::Zeroizing;

use super::quote::QuoteLine;
use super::{Quote, Renewal};
use crate::failure::{Failure, FailureKind};
use crate::issue::{IssueError, Issued};
use crate::system::{self, NoRandomness};

/// How long a claim reserves its slots: the usual time from a quote to the glasses, and the most
/// that the ledger admits.
pub const RESERVATION_DAYS: u32 = 60;

/// What became of a claim.
pub type ClaimOutcome = Issued;

/// Why a quote could not be claimed.
#[derive(Debug, Error)]
pub enum ClaimError {
    /// No payer pays anything of any line.
    #[error("no line of the quote is covered: there is nothing to claim")]
    NothingCovered,
    /// The lines rest on more coverages than an entry can name.
    #[error("the claim rests on {got} coverages, an entry names at most {}", REFERENCES_MAX - 1)]
    TooManyCoverages {
        /// How many.
        got: usize,
    },
    /// A salt takes fresh random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The terms cannot be sealed.
    #[error("the claim cannot be sealed: {0}")]
    Seal(#[from] SealError),
    /// It is not known what became of the claim.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

impl Failure for ClaimError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::NothingCovered => FailureKind::Refused,
            Self::TooManyCoverages { .. } | Self::Seal(_) => FailureKind::Malformed,
            Self::NoRandomness(error) => error.kind(),
            Self::Issue(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::TooManyCoverages { .. } => Some("claim the equipment in two parts"),
            Self::Issue(error) => error.hint(),
            _ => None,
        }
    }
}

/// A claim ready to be signed, with its payload. It names nobody, and may be signed again when a
/// signature has become too old: the salt makes its commitment its own.
#[derive(Debug, Clone)]
pub struct Draft {
    /// When the ledger was asked for what it rests on.
    pub made_at: UnixMillis,
    /// What will be signed.
    pub claim: Claim,
    /// Its payload.
    pub payload: SealedPayload,
    /// The payload's salt.
    pub salt: Salt,
}

impl Draft {
    pub(super) fn new(quote: &Quote, now: UnixMillis) -> Result<Self, ClaimError> {
        let lines: Vec<&QuoteLine> = quote.lines().iter().filter(|l| l.is_claimable()).collect();
        let catalogue = quote.catalogue.filter(|_| !lines.is_empty());
        let catalogue = catalogue.ok_or(ClaimError::NothingCovered)?;
        let coverages = coverages(&lines)?;
        let salt = Salt::from_bytes(system::random()?);
        let early = early_from(&lines);
        let condition = match early {
            None => EarlyRenewal::None,
            Some(_) => quote.early_renewal(),
        };
        let payload = seal_terms(quote, &lines, condition, &salt)?;
        let mut slots: Vec<_> = lines.iter().map(|line| line.slot_key).collect();
        slots.sort_unstable();
        let claim = Claim {
            slots,
            catalogue,
            coverages,
            until: now.day().plus(RESERVATION_DAYS),
            early,
            commitment: *payload.commitment(&salt).as_hash(),
        };
        Ok(Self {
            made_at: now,
            claim,
            payload,
            salt,
        })
    }
}

/// The months after which the attested condition opens every held slot of these lines. With none
/// held, and with one that it never opens, the ledger is told nothing: it refuses the latter with
/// its proof.
fn early_from(lines: &[&QuoteLine]) -> Option<EarlyFrom> {
    let mut longest = None;
    for line in lines {
        let (delivered, opens) = match line.renewal {
            Renewal::Free | Renewal::Reserved { .. } => continue,
            Renewal::Held { opens: None, .. } => return None,
            Renewal::Held {
                delivered,
                opens: Some(opens),
                ..
            }
            | Renewal::Early {
                delivered, opens, ..
            } => (delivered, opens),
        };
        let fits = |early: &EarlyFrom| early.opens_on(delivered) <= opens;
        longest = longest.max(EarlyFrom::ALL.into_iter().rfind(fits));
    }
    longest
}

/// The coverages that pay something, ascending, each once.
fn coverages(lines: &[&QuoteLine]) -> Result<Vec<LeafIndex>, ClaimError> {
    let payments = lines.iter().flat_map(|line| &line.payments);
    let mut coverages: Vec<LeafIndex> = payments.map(|payment| payment.coverage).collect();
    coverages.sort_unstable();
    coverages.dedup();
    let got = coverages.len();
    // The first reference of a claim is its catalogue.
    (got < REFERENCES_MAX)
        .then_some(coverages)
        .ok_or(ClaimError::TooManyCoverages { got })
}

/// One part for each payer that pays something. The individual codes are committed to under fresh
/// salts, and only the mandatory insurer's part opens them.
fn seal_terms(
    quote: &Quote,
    lines: &[&QuoteLine],
    condition: EarlyRenewal,
    salt: &Salt,
) -> Result<SealedPayload, ClaimError> {
    let openings = lines.iter().map(|line| {
        let salt = LppCodeSalt::from_bytes(system::random()?);
        Ok(CodeOpening {
            lpp_code: line.product.item.code,
            salt,
        })
    });
    let openings: Vec<CodeOpening> = openings.collect::<Result<_, NoRandomness>>()?;
    let mut parts: Vec<(&SealingSecret, Zeroizing<Vec<u8>>)> = Vec::new();
    for (position, payer) in quote.payers.iter().enumerate() {
        let pays = |line: &&QuoteLine| line.payments.iter().any(|p| p.payer_position == position);
        if lines.iter().any(pays) {
            let mut terms = terms_for(position, payer.role, lines, &openings);
            terms.early = condition;
            parts.push((&payer.sealing_secret, Zeroizing::new(terms.to_bytes())));
        }
    }
    let parts: Vec<_> = parts
        .iter()
        .map(|(secret, terms)| (*secret, terms.as_slice()))
        .collect();
    Ok(seal::seal(&parts, salt)?)
}

/// The lines that this payer pays something of.
fn terms_for(
    payer_position: usize,
    role: Role,
    lines: &[&QuoteLine],
    openings: &[CodeOpening],
) -> ClaimTerms {
    let paid = lines.iter().zip(openings).filter_map(|(line, opening)| {
        let payment = line
            .payments
            .iter()
            .find(|p| p.payer_position == payer_position)?;
        Some(ClaimLine {
            grouped_code: line.product.grouped_code,
            price: line.product.item.price,
            amount: payment.amount,
            code_commitment: opening.commitment(),
            opening: (role == Role::Amo).then(|| opening.clone()),
        })
    });
    ClaimTerms {
        early: EarlyRenewal::None,
        lines: paid.collect(),
    }
}

#[cfg(test)]
mod tests {
    use proto::refusal::Reason;
    use proto::seal::{OpenError, PayloadCommitment};

    use super::super::offer::example::offer;
    use super::super::product::example::TODAY;
    use super::super::question::example::payer;
    use super::super::quote::example::{lines, quote, sale};
    use super::*;

    /// A frame that both payers pay for, and two lenses that the complementary one pays for.
    fn quoted() -> Quote {
        let texts = ["2264861=95.00", "2263927/right=32.00", "2263927/left=32.00"];
        let payers = vec![payer(Role::Amo, 1), payer(Role::Amc, 2)];
        let offers = [
            offer(0, "M03", 3),
            offer(1, "M03", 5_000),
            offer(1, "V01", 3_200),
        ];
        quote(lines(sale(&texts), &offers, &payers), payers)
    }

    fn opened(draft: &Draft, seed: u8) -> Result<ClaimTerms, OpenError> {
        let secret = SealingSecret::from_bytes([seed; 32]);
        let commitment = PayloadCommitment::from_hash(draft.claim.commitment);
        let opened = draft.payload.open(&secret, &draft.salt, &commitment)?;
        Ok(ClaimTerms::from_bytes(opened.as_bytes()).unwrap())
    }

    #[test]
    fn a_claim_has_the_shape_that_the_ledger_asks_for() {
        let draft = Draft::new(&quoted(), TODAY.start()).unwrap();
        assert!(draft.claim.slots.is_sorted_by(|a, b| a < b));
        assert_eq!(draft.claim.slots.len(), 3);
        let coverages = [10, 11].map(LeafIndex::new);
        assert_eq!(draft.claim.coverages, coverages);
        assert_eq!(draft.claim.until, TODAY.plus(RESERVATION_DAYS));
    }

    #[test]
    fn each_payer_opens_the_lines_it_pays_for_and_nobody_else_any() {
        let draft = Draft::new(&quoted(), TODAY.start()).unwrap();
        let amo = opened(&draft, 1).unwrap();
        let amc = opened(&draft, 2).unwrap();
        assert_eq!((amo.lines.len(), amc.lines.len()), (1, 3));
        assert_eq!(opened(&draft, 3), Err(OpenError::NotForThisContract));
    }

    #[test]
    fn the_individual_code_opens_for_the_mandatory_insurer_alone() {
        let draft = Draft::new(&quoted(), TODAY.start()).unwrap();
        let amo = opened(&draft, 1).unwrap();
        let opening = amo.lines[0].opening.as_ref().unwrap();
        assert_eq!(opening.lpp_code.as_str(), "2264861");
        let amc = opened(&draft, 2).unwrap();
        assert!(amc.lines.iter().all(|line| line.opening.is_none()));
        assert!(!amc.to_bytes().windows(7).any(|bytes| bytes == b"2264861"));
        // Two lenses of one code must not be seen to be so.
        assert_ne!(amc.lines[1].code_commitment, amc.lines[2].code_commitment);
    }

    #[test]
    fn a_taken_line_is_claimed_and_an_uncovered_one_is_left_out() {
        let mut lines = quoted().lines().to_vec();
        lines[0].refusal = Some(Reason::SlotReserved.into());
        lines[1].payments.clear();
        lines[1].refusal = Some(Reason::NotCovered.into());
        let taken = quote(lines, quoted().payers);
        assert_eq!(
            Draft::new(&taken, TODAY.start()).unwrap().claim.slots.len(),
            2
        );
    }

    #[test]
    fn nothing_covered_is_nothing_to_claim() {
        let mut lines = quoted().lines().to_vec();
        lines.iter_mut().for_each(|line| line.payments.clear());
        let empty = quote(lines, quoted().payers);
        assert!(matches!(
            Draft::new(&empty, TODAY.start()),
            Err(ClaimError::NothingCovered)
        ));
    }
}

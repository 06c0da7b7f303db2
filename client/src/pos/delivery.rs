//! From a claim to its delivery: what is handed over, invoiced to each payer, until when it holds.

use proto::attestation::{Attestation, Claim, ClaimTerms, Delivery, Handover};
use proto::ids::{Day, LeafIndex, SlotKey};
use proto::lpp::{GroupedCode, Side, Slot};
use proto::renewal::{free_again_on, months_until_renewal};
use proto::seal::{self, Salt, SealError};
use proto::token::{PersonToken, SealingSecret};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{Insured, Pos};
use crate::failure::{Failure, FailureKind};
use crate::issue::{IssueError, Issued};
use crate::lookup::LookupError;
use crate::opened::OpenedEntry;
use crate::session::Session;
use crate::system::{self, NoRandomness};
use crate::tokens::TokenError;

/// What is handed over, and why.
#[derive(Debug, Clone, Default)]
pub struct HandingOver {
    /// The slots; all of the claim's if there are none.
    pub slots: Vec<Slot>,
    /// Whether it is the first time.
    pub cause: Cause,
    /// Months until the renewal date; those of the published rules if left out.
    pub months: Option<u16>,
}

/// Why something is handed over, or stated again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cause {
    /// For the first time.
    #[default]
    First,
    /// The invoice that this entry is the first delivery of is stated again.
    Correction(LeafIndex),
    /// Under the warranty of what this entry was the first delivery of.
    Warranty(LeafIndex),
}

/// Why nothing could be delivered.
#[derive(Debug, Error)]
pub enum DeliverError {
    /// The claim could not be had.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The entry named is no claim.
    #[error("entry {index} is no claim")]
    NotAClaim {
        /// The entry.
        index: LeafIndex,
    },
    /// The tokens could not be made.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// The claim is of another person, or has none of these slots.
    #[error("the claim has none of these slots for this person")]
    NoSlot,
    /// One of two lenses cannot be told from the other in what was claimed.
    #[error("both lenses of a claim are delivered together")]
    OneLens,
    /// No part of the claim opens with these contracts, or it was erased.
    #[error("nothing of the claim can be read with the contracts of this card")]
    NothingReadable,
    /// The slots do not renew on the same day.
    #[error("the slots have different renewal dates")]
    Clocks,
    /// A salt takes fresh random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The terms cannot be sealed.
    #[error("the delivery cannot be sealed: {0}")]
    Seal(#[from] SealError),
    /// It is not known what became of the delivery.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

impl Failure for DeliverError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Lookup(error) => error.kind(),
            Self::Tokens(error) => error.kind(),
            Self::NoRandomness(error) => error.kind(),
            Self::Issue(error) => error.kind(),
            Self::NotAClaim { .. }
            | Self::NoSlot
            | Self::OneLens
            | Self::NothingReadable
            | Self::Clocks
            | Self::Seal(_) => FailureKind::Malformed,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Lookup(error) => error.hint(),
            Self::Tokens(error) => error.hint(),
            Self::Issue(error) => error.hint(),
            Self::NoSlot | Self::NothingReadable => Some("is it the card that was claimed with?"),
            Self::Clocks => Some("deliver them one by one, with --slot, or give --months"),
            _ => None,
        }
    }
}

impl Pos {
    /// Hands over slots of an own claim and invoices them to its payers, by what was claimed.
    ///
    /// 1. The claim and its payload come from the home node, on record, and are verified.
    /// 2. The card's tokens tell the slots apart and open each payer's part.
    /// 3. The lines of these slots are sealed again, one part for each payer.
    ///
    /// # Errors
    /// [`DeliverError`]; a refusal is an answer.
    pub async fn deliver(
        &self,
        insured: &Insured,
        claim: LeafIndex,
        what: &HandingOver,
    ) -> Result<Issued, DeliverError> {
        deliver(self.session(), insured, claim, what).await
    }
}

/// The same with a session alone: a delivery needs no catalogue.
///
/// # Errors
/// [`DeliverError`]; a refusal is an answer.
pub async fn deliver(
    session: &Session,
    insured: &Insured,
    index: LeafIndex,
    what: &HandingOver,
) -> Result<Issued, DeliverError> {
    let opened = session.open_entry(index).await?;
    let Attestation::Claim(claim) = &opened.says else {
        return Err(DeliverError::NotAClaim { index });
    };
    let person = session.person_token(insured.person()).await?;
    let slots = chosen(claim, &person, &what.slots)?;
    let handover = handover(session, insured, what, &slots).await?;
    let tokens = session.contract_tokens(&insured.contracts()).await?;
    let secrets: Vec<SealingSecret> = tokens.iter().map(|token| token.sealing_secret()).collect();
    let parts = invoice(&opened, &secrets, &slots)?;
    let parts: Vec<_> = parts
        .iter()
        .map(|(secret, terms)| (*secret, terms.as_slice()))
        .collect();
    let salt = Salt::from_bytes(system::random()?);
    let payload = seal::seal(&parts, &salt)?;
    let mut keys: Vec<SlotKey> = slots.iter().map(|slot| person.slot_key(*slot)).collect();
    keys.sort_unstable();
    let delivery = Attestation::Delivery(Delivery {
        slots: keys,
        claim: index,
        handover,
        commitment: *payload.commitment(&salt).as_hash(),
    });
    Ok(session.issue(&delivery, Some((&payload, &salt))).await?)
}

/// The slots of the claim that are meant, by name.
fn chosen(claim: &Claim, person: &PersonToken, wanted: &[Slot]) -> Result<Vec<Slot>, DeliverError> {
    let of_claim = |slot: &Slot| claim.slots.contains(&person.slot_key(*slot));
    let claimed: Vec<Slot> = Slot::ALL.into_iter().filter(of_claim).collect();
    let is_wanted = |slot: &Slot| wanted.is_empty() || wanted.contains(slot);
    let chosen: Vec<Slot> = claimed.iter().copied().filter(is_wanted).collect();
    if chosen.is_empty() || !wanted.iter().all(|slot| claimed.contains(slot)) {
        return Err(DeliverError::NoSlot);
    }
    let lenses = [Slot::RightLens, Slot::LeftLens];
    let both = lenses.iter().all(|lens| claimed.contains(lens));
    let one = lenses.iter().filter(|lens| chosen.contains(lens)).count() == 1;
    if both && one {
        return Err(DeliverError::OneLens);
    }
    Ok(chosen)
}

async fn handover(
    session: &Session,
    insured: &Insured,
    what: &HandingOver,
    slots: &[Slot],
) -> Result<Handover, DeliverError> {
    let age_on = |day| insured.person().birth_date.completed_years(day);
    let until = |day: Day| -> Result<Day, DeliverError> {
        let months = |slot: &Slot| {
            what.months
                .unwrap_or(months_until_renewal(age_on(day), *slot))
        };
        let mut all = slots.iter().map(months);
        let first = all.next().ok_or(DeliverError::NoSlot)?;
        let same = all.all(|months| months == first);
        let free_again = free_again_on(day, first);
        same.then_some(Day::new(free_again.get().saturating_sub(1)))
            .ok_or(DeliverError::Clocks)
    };
    Ok(match what.cause {
        Cause::First => Handover::First {
            until: until(system::now().day())?,
        },
        Cause::Correction(invoice) => {
            let first = session.verified_entry(invoice).await?;
            let delivered_on = first.header().issued_at.day();
            Handover::Correction {
                invoice,
                delivered_on,
                until: until(delivered_on)?,
            }
        }
        Cause::Warranty(invoice) => Handover::Replacement { invoice },
    })
}

/// What is sealed for one contract, and under which secret.
type Part<'s> = (&'s SealingSecret, Zeroizing<Vec<u8>>);

/// For each contract with a part in the claim, the lines of these slots.
fn invoice<'s>(
    opened: &OpenedEntry,
    secrets: &'s [SealingSecret],
    slots: &[Slot],
) -> Result<Vec<Part<'s>>, DeliverError> {
    let mut parts = Vec::new();
    for secret in secrets {
        let Some(ClaimTerms { early, mut lines }) = opened.claim_terms(secret) else {
            continue;
        };
        lines.retain(|line| is_for(line.grouped_code, slots));
        if !lines.is_empty() {
            let terms = ClaimTerms { early, lines };
            parts.push((secret, Zeroizing::new(terms.to_bytes())));
        }
    }
    match parts.is_empty() {
        true => Err(DeliverError::NothingReadable),
        false => Ok(parts),
    }
}

/// Whether an item of this code can be in one of the slots.
fn is_for(code: GroupedCode, slots: &[Slot]) -> bool {
    let sides = [None, Some(Side::Right), Some(Side::Left)];
    let possible = sides.iter().filter_map(|side| code.slot(*side).ok());
    possible.into_iter().any(|slot| slots.contains(&slot))
}

//! From a claim to its delivery: what is handed over, invoiced to each payer, until when it holds.

use proto::attestation::lifecycle::PaymentEvent;
use proto::attestation::{Attestation, Claim, ClaimLine, ClaimTerms, Delivery, Handover};
use proto::benefit::{Terms, renewal_months};
use proto::ids::{Day, LeafIndex, SlotKey};
use proto::lpp::{GroupedCode, Side, Slot};
use proto::refusal::Reason;
use proto::renewal::EarlyRenewal;
use proto::seal::{self, Salt, SealError, SealedPayload};
use proto::token::{PersonToken, SealingSecret};
use thiserror::Error;
use zeroize::Zeroizing;

use super::correction::{CorrectionError, Corrections, Part};
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
    /// The slots; all of the claim's, or of the invoice that is corrected, if there are none.
    pub slots: Vec<Slot>,
    /// Whether it is the first time.
    pub cause: Cause,
    /// What is stated otherwise than it was claimed, or invoiced before.
    pub corrections: Corrections,
}

/// Why something is handed over, or stated again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cause {
    /// For the first time.
    #[default]
    First,
    /// The invoice that this delivery belongs to is stated again.
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
    /// The entry named is no delivery of the claim.
    #[error("entry {index} is no delivery of this claim")]
    NotOfClaim {
        /// The entry.
        index: LeafIndex,
    },
    /// The coverages behind the claim did not come with it.
    #[error("the node does not give the coverages that the claim rests on")]
    NoCoverages,
    /// What is stated otherwise may not be.
    #[error(transparent)]
    Correction(#[from] CorrectionError),
    /// Something is stated otherwise of what nobody pays.
    #[error("a replacement under warranty is not invoiced: nothing of it can be corrected")]
    NotInvoiced,
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
            Self::NoCoverages => FailureKind::Unavailable,
            Self::NotAClaim { .. }
            | Self::NotOfClaim { .. }
            | Self::Correction(_)
            | Self::NotInvoiced
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
            Self::NoCoverages => Some("ask another member's node"),
            Self::Correction(CorrectionError::AboveClaim { .. }) => {
                Some("release it, and claim again with the right prices")
            }
            Self::NoSlot | Self::NothingReadable => Some("is it the card that was claimed with?"),
            Self::Clocks => Some("deliver them one by one, with --slot"),
            _ => None,
        }
    }
}

impl Pos {
    /// Hands over slots of an own claim and invoices them to its payers, by what was claimed.
    ///
    /// 1. The claim, its payload and the coverages it rests on come from the home node, on record,
    ///    and are verified; of an invoice that is corrected the newest statement too.
    /// 2. The card's tokens tell the slots apart and open each payer's part and coverages.
    /// 3. The renewal date is what the coverages say at the person's age.
    /// 4. The lines of these slots, with what is corrected, are sealed again, one part for each payer.
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
    let Invoice {
        delivery,
        payload,
        salt,
    } = invoice(session, insured, index, what).await?;
    Ok(session.issue(&delivery, Some((&payload, &salt))).await?)
}

/// A delivery ready to be signed, with its payload.
#[derive(Debug, Clone)]
pub struct Invoice {
    /// What will be signed.
    pub delivery: Attestation,
    /// What each payer is asked for, sealed.
    pub payload: SealedPayload,
    /// The payload's salt.
    pub salt: Salt,
}

/// What such a delivery says, ready to be signed: for a till that keeps it until it knows what
/// became of it.
///
/// # Errors
/// [`DeliverError`].
pub async fn invoice(
    session: &Session,
    insured: &Insured,
    index: LeafIndex,
    what: &HandingOver,
) -> Result<Invoice, DeliverError> {
    if matches!(what.cause, Cause::Warranty(_)) && !what.corrections.is_empty() {
        return Err(DeliverError::NotInvoiced);
    }
    let opened = session.open_entry(index).await?;
    let Attestation::Claim(claim) = &opened.says else {
        return Err(DeliverError::NotAClaim { index });
    };
    let before = match what.cause {
        Cause::Correction(invoice) => Some(stated_last(session, invoice, index).await?),
        Cause::First | Cause::Warranty(_) => None,
    };
    let person = session.person_token(insured.person()).await?;
    let of_invoice = before
        .as_ref()
        .map(|before| before.delivery.slots.as_slice());
    let slots = chosen(claim, of_invoice, &person, &what.slots)?;
    let tokens = session.contract_tokens(&insured.contracts()).await?;
    let secrets: Vec<SealingSecret> = tokens.iter().map(|token| token.sealing_secret()).collect();
    let (early, mut parts) = parts(session, insured, &opened, before.as_ref(), &secrets, &slots)?;
    what.corrections.apply(&mut parts)?;
    let terms = opened.coverage_terms(&secrets);
    let clocks = Clocks {
        terms: terms.ok_or(DeliverError::NoCoverages)?,
        codes: codes(&parts),
        slots: &slots,
        insured,
    };
    let handover = handover(what.cause, before.as_ref(), &clocks)?;
    let salt = Salt::from_bytes(system::random()?);
    let payload = sealed(early, parts, &salt)?;
    let mut keys: Vec<SlotKey> = slots.iter().map(|slot| person.slot_key(*slot)).collect();
    keys.sort_unstable();
    let delivery = Attestation::Delivery(Delivery {
        slots: keys,
        claim: index,
        handover,
        commitment: *payload.commitment(&salt).as_hash(),
    });
    Ok(Invoice {
        delivery,
        payload,
        salt,
    })
}

/// An invoice as it was stated last.
struct Stated {
    invoice: LeafIndex,
    delivery: Delivery,
    /// The day of the first delivery.
    delivered_on: Day,
    opened: OpenedEntry,
}

/// The newest statement of the invoice that a delivery of this claim belongs to.
async fn stated_last(
    session: &Session,
    named: LeafIndex,
    claim: LeafIndex,
) -> Result<Stated, DeliverError> {
    let mut opened = session.open_entry(named).await?;
    let newest = opened.invoice_state.map(|state| state.delivery);
    if let Some(newest) = newest.filter(|newest| *newest != named) {
        opened = session.open_entry(newest).await?;
    }
    let not_of_claim = DeliverError::NotOfClaim { index: named };
    match (opened.says.clone(), opened.invoice) {
        (Attestation::Delivery(delivery), Some(invoice)) if delivery.claim == claim => Ok(Stated {
            invoice,
            delivered_on: delivery
                .handover
                .delivered_on(opened.entry.header().issued_at),
            delivery,
            opened,
        }),
        _ => Err(not_of_claim),
    }
}

/// The slots that are meant, by name: of the claim, and of the invoice if one is corrected.
fn chosen(
    claim: &Claim,
    of_invoice: Option<&[SlotKey]>,
    person: &PersonToken,
    wanted: &[Slot],
) -> Result<Vec<Slot>, DeliverError> {
    let keys = of_invoice.unwrap_or(&claim.slots);
    let is_there = |slot: &Slot| keys.contains(&person.slot_key(*slot));
    let there: Vec<Slot> = Slot::ALL.into_iter().filter(is_there).collect();
    let is_wanted = |slot: &Slot| wanted.is_empty() || wanted.contains(slot);
    let chosen: Vec<Slot> = there.iter().copied().filter(is_wanted).collect();
    if chosen.is_empty() || !wanted.iter().all(|slot| there.contains(slot)) {
        return Err(DeliverError::NoSlot);
    }
    let lenses = [Slot::RightLens, Slot::LeftLens];
    let both = lenses.iter().all(|lens| there.contains(lens));
    let one = lenses.iter().filter(|lens| chosen.contains(lens)).count() == 1;
    if both && one {
        return Err(DeliverError::OneLens);
    }
    Ok(chosen)
}

/// For each contract with a part in the claim, the lines of these slots: as they were claimed, and
/// as they were stated last.
fn parts<'s>(
    session: &Session,
    insured: &Insured,
    claim: &OpenedEntry,
    before: Option<&Stated>,
    secrets: &'s [SealingSecret],
    slots: &[Slot],
) -> Result<(EarlyRenewal, Vec<Part<'s>>), DeliverError> {
    let of_slots = |lines: Vec<ClaimLine>| -> Vec<ClaimLine> {
        let of_slots = |line: &ClaimLine| is_for(line.grouped_code, slots);
        lines.into_iter().filter(of_slots).collect()
    };
    let (mut attested, mut parts) = (EarlyRenewal::None, Vec::new());
    for (contract, secret) in insured.contracts().iter().zip(secrets) {
        let Some(ClaimTerms { early, lines }) = claim.claim_terms(secret) else {
            continue;
        };
        let claimed = of_slots(lines);
        if claimed.is_empty() {
            continue;
        }
        let stated = before.and_then(|before| before.opened.claim_terms(secret));
        let stated = stated.map(|terms| of_slots(terms.lines));
        let payer = session.roster().payer(&contract.payer_number);
        let answered = |before: &Stated| {
            let mut payers = before.opened.payers.iter();
            let standing = payers.find(|one| payer.is_some_and(|p| p.public_key == one.payer));
            let next = standing.map(|one| one.stage.next(PaymentEvent::Correct));
            next == Some(Err(Reason::AlreadySettled))
        };
        attested = early;
        parts.push(Part {
            payer: contract.payer_number.clone(),
            secret,
            stated: stated.unwrap_or_else(|| claimed.clone()),
            claimed,
            answered: before.is_some_and(answered),
        });
    }
    match parts.is_empty() {
        true => Err(DeliverError::NothingReadable),
        false => Ok((attested, parts)),
    }
}

/// The grouped codes that somebody pays something of.
fn codes(parts: &[Part<'_>]) -> Vec<GroupedCode> {
    let lines = parts.iter().flat_map(|part| &part.claimed);
    lines.map(|line| line.grouped_code).collect()
}

/// What the renewal date depends on.
struct Clocks<'a> {
    /// Of the coverages that the claim rests on.
    terms: Vec<Terms>,
    codes: Vec<GroupedCode>,
    slots: &'a [Slot],
    insured: &'a Insured,
}

impl Clocks<'_> {
    /// The last day of the hold of what was delivered on a day: one for all slots, or none.
    fn until(&self, delivered_on: Day) -> Result<Day, DeliverError> {
        let born = &self.insured.person().birth_date;
        let age = born.completed_years(delivered_on);
        let months = |slot: &Slot| {
            let codes = self.codes.iter();
            let of_slot = codes.filter(|code| is_for(**code, &[*slot]));
            let months = of_slot.map(|code| renewal_months(&self.terms, *code, *slot, age));
            months.max()
        };
        let mut all = self.slots.iter().filter_map(months);
        let first = all.next().ok_or(DeliverError::NoSlot)?;
        all.all(|months| months == first)
            .then(|| Handover::last_day_held(delivered_on, first))
            .ok_or(DeliverError::Clocks)
    }
}

fn handover(
    cause: Cause,
    before: Option<&Stated>,
    clocks: &Clocks<'_>,
) -> Result<Handover, DeliverError> {
    Ok(match (cause, before) {
        (Cause::Warranty(invoice), _) => Handover::Replacement { invoice },
        (_, Some(before)) => Handover::Correction {
            invoice: before.invoice,
            delivered_on: before.delivered_on,
            until: clocks.until(before.delivered_on)?,
        },
        (_, None) => Handover::First {
            until: clocks.until(system::now().day())?,
        },
    })
}

/// One part for each payer.
fn sealed(
    early: EarlyRenewal,
    parts: Vec<Part<'_>>,
    salt: &Salt,
) -> Result<SealedPayload, DeliverError> {
    let parts: Vec<_> = parts
        .into_iter()
        .map(|part| {
            let lines = part.stated;
            let terms = ClaimTerms { early, lines };
            (part.secret, Zeroizing::new(terms.to_bytes()))
        })
        .collect();
    let parts: Vec<_> = parts
        .iter()
        .map(|(secret, terms)| (*secret, terms.as_slice()))
        .collect();
    Ok(seal::seal(&parts, salt)?)
}

/// Whether an item of this code can be in one of the slots.
fn is_for(code: GroupedCode, slots: &[Slot]) -> bool {
    let sides = [None, Some(Side::Right), Some(Side::Left)];
    let possible = sides.iter().filter_map(|side| code.slot(*side).ok());
    possible.into_iter().any(|slot| slots.contains(&slot))
}

//! Opening an entry: what its payers and its till may have of it, on record like every look.

use proto::attestation::{
    Attestation, GrantState, Look, LookOutcome, invoice_index, settlement_index,
};
use proto::entry::{Entry, Header};
use proto::ids::{CoverageKey, LeafIndex, SlotKey};
use proto::refusal::Reason;
use proto::signing::PublicKey;
use proto::wire::claims::OwnEntry;
use proto::wire::open::{OpenAnswer, write_answer};
use proto::wire::v1;

use super::Services;
use super::status::CallError;
use crate::access::alarm::Reading;
use crate::clock;
use crate::snapshot::{ReadError, Snapshot};
use crate::tls::PeerKey;

/// What is asked for: a coverage, a claim, or an entry of the invoice that follows from a claim.
struct Asked {
    /// Who issued the coverage or the claim.
    issuer: PublicKey,
    /// The coverage, or what the claim reserves.
    slots: Vec<SlotKey>,
    coverage: Option<CoverageKey>,
    /// What the claim rests on; nothing for a coverage.
    rests_on: Vec<LeafIndex>,
    invoice: Option<LeafIndex>,
}

/// Finds out what to answer, and answers once it is on record that it was asked, with the slots of
/// the claim or the key of the coverage.
pub(super) async fn open(
    services: &Services,
    index: LeafIndex,
    peer: PeerKey,
) -> Result<v1::OpenResponse, CallError> {
    let snapshot = services.sequencer.snapshot();
    let asked = asked(&snapshot, index)?;
    let is_issuer = is_issuer(&snapshot, &asked, &peer.0)?;
    // Only a claim's till gets what it rests on: a payer has nothing to read in another's coverage.
    let behind = match asked.invoice {
        None if is_issuer => behind(&snapshot, &asked.rests_on)?,
        _ => Vec::new(),
    };
    let coverages = behind.iter().map(|(key, _)| *key).collect();
    let answer = match is_issuer || is_payer(&snapshot, &asked.rests_on, &peer.0)? {
        true => answer(&snapshot, index, &asked, behind).map_err(CallError::Read),
        false => Err(CallError::NotAllowed(Reason::NotEntitled)),
    };
    let outcome = match &answer {
        Ok(_) => LookOutcome::Answered,
        Err(CallError::NotAllowed(reason)) => LookOutcome::Refused(*reason),
        Err(_) => LookOutcome::Failed,
    };
    let look = Look {
        by: peer.0,
        at: clock::now(),
        outcome,
        slots: asked.slots,
        coverages: asked.coverage.map_or(coverages, |coverage| vec![coverage]),
    };
    services.recorder.record(look).await?;
    // From here the look is in the ledger, whatever happens to this process.
    services.watch(peer, Reading::Looked);
    Ok(write_answer(
        &answer?,
        snapshot.checkpoint_text().to_owned(),
    ))
}

fn asked(snapshot: &Snapshot, index: LeafIndex) -> Result<Asked, CallError> {
    let unfit = CallError::NotAllowed(Reason::ReferenceUnfit);
    let (claim, invoice) = match says(snapshot, index)? {
        (header, Attestation::Coverage(coverage)) => {
            return Ok(Asked {
                issuer: header.issuer,
                slots: Vec::new(),
                coverage: Some(coverage.coverage),
                rests_on: Vec::new(),
                invoice: None,
            });
        }
        (_, Attestation::Claim(_)) => (index, None),
        (_, Attestation::Delivery(delivery)) => {
            (delivery.claim, Some(delivery.handover.invoice(index)))
        }
        (_, Attestation::Settlement(settlement)) => (settlement.claim, Some(settlement.invoice)),
        _ => return Err(unfit),
    };
    match says(snapshot, claim)? {
        (header, Attestation::Claim(claim)) => Ok(Asked {
            issuer: header.issuer,
            slots: claim.slots,
            coverage: None,
            rests_on: claim.coverages,
            invoice,
        }),
        _ => Err(unfit),
    }
}

fn says(snapshot: &Snapshot, index: LeafIndex) -> Result<(Header, Attestation), CallError> {
    let entry = snapshot.entry(index)?.ok_or(CallError::EntryUnknown)?;
    let header = Entry::header(&entry).clone();
    let attestation = Attestation::read(&header)?;
    Ok((header, attestation))
}

/// Whether the key is the coverage's issuer's, whichever it had then, or that of the till that claimed,
/// with whatever session.
fn is_issuer(snapshot: &Snapshot, asked: &Asked, key: &PublicKey) -> Result<bool, ReadError> {
    let device = |key: &PublicKey| -> Result<Option<PublicKey>, ReadError> {
        Ok(match snapshot.grant(key)? {
            Some(GrantState::Session { device, .. }) => Some(device),
            _ => None,
        })
    };
    if snapshot.same_member(&asked.issuer, key)? {
        return Ok(true);
    }
    let own = device(key)?;
    Ok(own.is_some() && own == device(&asked.issuer)?)
}

/// The coverages that a claim rests on, each with its key; a later one may have replaced it since.
fn behind(
    snapshot: &Snapshot,
    coverages: &[LeafIndex],
) -> Result<Vec<(CoverageKey, OwnEntry)>, ReadError> {
    let gone = || ReadError::Corrupt { what: "entry" };
    let coverages = coverages.iter().map(|index| {
        let proved = snapshot.prove_entry(*index)?.ok_or_else(gone)?;
        let Ok(Attestation::Coverage(coverage)) = Attestation::read(proved.entry.header()) else {
            return Err(gone());
        };
        let payload = snapshot.record(&proved)?;
        Ok((coverage.coverage, OwnEntry { proved, payload }))
    });
    coverages.collect()
}

/// Whether one of these coverages is the caller's, under whichever of its keys.
fn is_payer(
    snapshot: &Snapshot,
    coverages: &[LeafIndex],
    key: &PublicKey,
) -> Result<bool, ReadError> {
    for payer in payers(snapshot, coverages)? {
        if snapshot.same_member(&payer, key)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The issuers of these coverages, each once.
fn payers(snapshot: &Snapshot, coverages: &[LeafIndex]) -> Result<Vec<PublicKey>, ReadError> {
    let mut payers = Vec::new();
    for coverage in coverages {
        if let Some(coverage) = snapshot.entry(*coverage)? {
            let payer = coverage.header().issuer;
            if !payers.contains(&payer) {
                payers.push(payer);
            }
        }
    }
    Ok(payers)
}

fn answer(
    snapshot: &Snapshot,
    index: LeafIndex,
    asked: &Asked,
    behind: Vec<(CoverageKey, OwnEntry)>,
) -> Result<OpenAnswer, ReadError> {
    let gone = ReadError::Corrupt { what: "entry" };
    let proved = snapshot.prove_entry(index)?.ok_or(gone)?;
    let mut settlements = Vec::new();
    if let Some(invoice) = asked.invoice {
        for payer in payers(snapshot, &asked.rests_on)? {
            let state = snapshot.proved_state(&settlement_index(invoice, &payer))?;
            settlements.push((payer, state));
        }
    }
    let invoice = asked.invoice.map(invoice_index);
    Ok(OpenAnswer {
        payload: snapshot.record(&proved)?,
        invoice: invoice
            .map(|index| snapshot.proved_state(&index))
            .transpose()?,
        settlements,
        coverages: behind.into_iter().map(|(_, coverage)| coverage).collect(),
        proved,
    })
}

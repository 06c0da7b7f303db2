//! `ClaimService`: what rests on a payer's coverages, for that payer, on record like every look.

use std::sync::Arc;

use proto::attestation::{Attestation, Claim, GrantState, Look, LookOutcome, Settlement};
use proto::entry::Entry;
use proto::ids::{CoverageKey, LeafIndex, UnixMillis};
use proto::receipt::EntryProof;
use proto::refusal::Reason;
use proto::signing::PublicKey;
use proto::wire::claims::{ClaimsAsked, ListedClaim, OwnEntry, read_request, write_page};
use proto::wire::v1;
use proto::wire::v1::claim_service_server::ClaimService;
use tokio::task::JoinSet;
use tonic::{Request, Response, Status, async_trait};

use super::access::{PAGE_ENTRIES_MAX, first_since};
use super::peer;
use super::status::CallError;
use crate::access::Recorder;
use crate::admission::Admission;
use crate::clock;
use crate::sequencer::Sequencer;
use crate::snapshot::{ReadError, Snapshot};

/// The service over one ledger. Each page is made from one snapshot.
#[derive(Debug)]
pub(super) struct Claims {
    pub(super) sequencer: Sequencer,
    pub(super) recorder: Recorder,
}

#[async_trait]
impl ClaimService for Claims {
    async fn list_claims(
        &self,
        request: Request<v1::ListClaimsRequest>,
    ) -> Result<Response<v1::ListClaimsResponse>, Status> {
        let payer = peer(&request)?;
        may_list(request.extensions().get::<Admission>().copied())?;
        let asked = read_request(request.get_ref()).map_err(CallError::Malformed)?;
        let snapshot = self.sequencer.snapshot();
        let of = snapshot.clone();
        let listed = tokio::task::spawn_blocking(move || list(&of, &asked, &payer)).await;
        let page = listed
            .map_err(|_| CallError::EvaluationLost)?
            .map_err(CallError::Read)?;
        self.record(page.looks).await?;
        // From here the looks are in the ledger, whatever happens to this process.
        let checkpoint = snapshot.checkpoint_text().to_owned();
        Ok(Response::new(write_page(
            &page.entries,
            page.next,
            checkpoint,
        )))
    }
}

impl Claims {
    /// Records all looks of a page; they share entries. A page with nothing on it hands nothing out
    /// and has no look.
    async fn record(&self, looks: Vec<Look>) -> Result<(), CallError> {
        let mut recorded = JoinSet::new();
        for look in looks {
            let recorder = self.recorder.clone();
            recorded.spawn(async move { recorder.record(look).await });
        }
        while let Some(look) = recorded.join_next().await {
            look.map_err(|_| CallError::AnswerLost)??;
        }
        Ok(())
    }
}

/// Nothing rests on a coverage of a member that pays nothing.
fn may_list(admission: Option<Admission>) -> Result<(), CallError> {
    match admission {
        Some(Admission::Member(role)) if role.pays() => Ok(()),
        _ => Err(CallError::NotAllowed(Reason::KindNotAllowed)),
    }
}

/// What is handed out, and the look of each entry of it.
struct Page {
    entries: Vec<ListedClaim>,
    looks: Vec<Look>,
    next: LeafIndex,
}

fn list(snapshot: &Snapshot, asked: &ClaimsAsked, payer: &PublicKey) -> Result<Page, ReadError> {
    let size = snapshot.size().get();
    let first = asked.first.get().max(first_since(snapshot, asked.since)?);
    let end = size.min(first.saturating_add(PAGE_ENTRIES_MAX));
    let (mut entries, mut looks) = (Vec::new(), Vec::new());
    let mut next = first.min(size);
    while next < end && entries.len() < asked.page_size {
        let index = LeafIndex::new(next);
        next += 1;
        let Some(entry) = snapshot.entry(index)? else {
            break;
        };
        if entry.header().issued_at < asked.since {
            continue;
        }
        let Some(own) = own(snapshot, index, &entry, payer)? else {
            continue;
        };
        looks.push(Look {
            by: *payer,
            at: clock::now(),
            outcome: LookOutcome::Answered,
            slots: own.claim.slots.clone(),
            coverages: own.coverages.iter().map(|own| own.key).collect(),
        });
        entries.push(listed(snapshot, index, &own)?);
    }
    Ok(Page {
        entries,
        looks,
        next: LeafIndex::new(next),
    })
}

/// An entry that is the payer's to read.
struct Own {
    claim: Claim,
    /// Its own coverages of the claim.
    coverages: Vec<OwnCoverage>,
    /// The delivery that it judges, if it is a settlement.
    delivery: Option<LeafIndex>,
    /// Who issued it, or the delivery.
    till: PublicKey,
}

/// What of a payer's is in an entry; `None` when nothing is.
fn own(
    snapshot: &Snapshot,
    index: LeafIndex,
    entry: &Entry,
    payer: &PublicKey,
) -> Result<Option<Own>, ReadError> {
    let issuer = entry.header().issuer;
    let (claim, delivery) = match Attestation::read(entry.header()) {
        Ok(Attestation::Claim(_)) => (index, None),
        Ok(Attestation::Delivery(delivery)) => (delivery.claim, None),
        Ok(Attestation::Release(release)) => (release.claim, None),
        Ok(Attestation::Settlement(Settlement {
            claim, delivery, ..
        })) if snapshot.same_member(&issuer, payer)? => (claim, Some(delivery)),
        _ => return Ok(None),
    };
    let corrupt = || ReadError::Corrupt { what: "entry" };
    let named = snapshot.entry(claim)?.ok_or_else(corrupt)?;
    let Ok(Attestation::Claim(claim)) = Attestation::read(named.header()) else {
        return Err(corrupt());
    };
    let coverages = own_coverages(snapshot, &claim, payer)?;
    if coverages.is_empty() {
        return Ok(None);
    }
    let till = match delivery {
        None => issuer,
        Some(delivery) => {
            let delivery = snapshot.entry(delivery)?.ok_or_else(corrupt)?;
            delivery.header().issuer
        }
    };
    Ok(Some(Own {
        claim,
        coverages,
        delivery,
        till,
    }))
}

fn listed(snapshot: &Snapshot, index: LeafIndex, own: &Own) -> Result<ListedClaim, ReadError> {
    let coverages = own.coverages.iter();
    let coverages = coverages.map(|own| with_payload(snapshot, own.index));
    Ok(ListedClaim {
        entry: with_payload(snapshot, index)?,
        coverages: coverages.collect::<Result<_, ReadError>>()?,
        delivery: own
            .delivery
            .map(|index| proved(snapshot, index))
            .transpose()?,
        grant: grant(snapshot, &own.till)?,
    })
}

fn with_payload(snapshot: &Snapshot, index: LeafIndex) -> Result<OwnEntry, ReadError> {
    let proved = proved(snapshot, index)?;
    let payload = match proved.entry.header().commitment {
        Some(_) => snapshot.record(&proved)?,
        None => None,
    };
    Ok(OwnEntry { proved, payload })
}

fn proved(snapshot: &Snapshot, index: LeafIndex) -> Result<EntryProof, ReadError> {
    let gone = ReadError::Corrupt { what: "entry" };
    snapshot.prove_entry(index)?.ok_or(gone)
}

/// The grant of a till; of a revoked one the map has only that it was revoked.
fn grant(snapshot: &Snapshot, till: &PublicKey) -> Result<Option<EntryProof>, ReadError> {
    match snapshot.grant(till)? {
        Some(
            GrantState::Active { by, .. }
            | GrantState::Device { by, .. }
            | GrantState::Session { by, .. },
        ) => proved(snapshot, by).map(Some),
        Some(GrantState::Revoked { .. }) | None => Ok(None),
    }
}

/// A claim, and when it was issued.
pub(super) fn claim(
    snapshot: &Arc<Snapshot>,
    index: LeafIndex,
) -> Result<(Claim, UnixMillis), CallError> {
    let entry = snapshot.entry(index)?.ok_or(CallError::EntryUnknown)?;
    let header = entry.header();
    match Attestation::read(header)? {
        Attestation::Claim(claim) => Ok((claim, header.issued_at)),
        _ => Err(CallError::NotAllowed(Reason::ReferenceUnfit)),
    }
}

/// A coverage that a claim rests on, of the payer that asks.
pub(super) struct OwnCoverage {
    pub(super) index: LeafIndex,
    pub(super) key: CoverageKey,
    /// The payer's key, or one that it had before.
    pub(super) issuer: PublicKey,
}

/// Those coverages of a claim that a payer issued, under whichever of its keys.
pub(super) fn own_coverages(
    snapshot: &Snapshot,
    claim: &Claim,
    payer: &PublicKey,
) -> Result<Vec<OwnCoverage>, ReadError> {
    let mut own = Vec::new();
    for index in &claim.coverages {
        let Some(entry) = snapshot.entry(*index)? else {
            continue;
        };
        let issuer = entry.header().issuer;
        if !snapshot.same_member(&issuer, payer)? {
            continue;
        }
        if let Ok(Attestation::Coverage(coverage)) = Attestation::read(entry.header()) {
            own.push(OwnCoverage {
                index: *index,
                key: coverage.coverage,
                issuer,
            });
        }
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    use proto::roster::Role;

    use super::*;

    #[test]
    fn payers_list_and_nobody_else() {
        for (admission, may) in [
            (Some(Admission::Member(Role::Amc)), true),
            (Some(Admission::Member(Role::Amo)), true),
            (Some(Admission::Member(Role::Federation)), false),
            (Some(Admission::Till), false),
            (Some(Admission::Device), false),
            (None, false),
        ] {
            assert_eq!(may_list(admission).is_ok(), may, "{admission:?}");
        }
    }
}

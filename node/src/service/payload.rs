//! `PayloadService`: one entry's payload and salt, for the members that it is meant for, on record.

use proto::attestation::{Attestation, Look, LookOutcome};
use proto::entry::{Entry, Kind};
use proto::ids::{CoverageKey, LeafIndex, SlotKey};
use proto::refusal::Reason;
use proto::signing::PublicKey;
use proto::wire::payload::{read_request, write_answer};
use proto::wire::v1;
use proto::wire::v1::payload_service_server::PayloadService;
use tonic::{Request, Response, Status, async_trait};

use super::peer;
use super::status::CallError;
use crate::access::Recorder;
use crate::clock;
use crate::sequencer::Sequencer;
use crate::snapshot::{ReadError, Snapshot};

/// The service over one ledger.
#[derive(Debug)]
pub(super) struct Payloads {
    pub(super) sequencer: Sequencer,
    pub(super) recorder: Recorder,
}

#[async_trait]
impl PayloadService for Payloads {
    async fn fetch_payload(
        &self,
        request: Request<v1::FetchPayloadRequest>,
    ) -> Result<Response<v1::FetchPayloadResponse>, Status> {
        let key = peer(&request)?;
        let index = read_request(request.get_ref());
        Ok(Response::new(self.payload(index, key).await?))
    }
}

impl Payloads {
    /// Finds out what to answer, and answers once it is on record who asked. What has no payload
    /// is not recorded: there is nothing to hand out.
    async fn payload(
        &self,
        index: LeafIndex,
        key: PublicKey,
    ) -> Result<v1::FetchPayloadResponse, CallError> {
        let snapshot = self.sequencer.snapshot();
        let entry = snapshot.entry(index)?.ok_or(CallError::EntryUnknown)?;
        let (slots, coverages) = touched(&entry)?;
        let answer = answer(&snapshot, &entry, index, &key);
        let outcome = match &answer {
            Ok(_) => LookOutcome::Answered,
            Err(CallError::NotAllowed(reason)) => LookOutcome::Refused(*reason),
            Err(_) => LookOutcome::Failed,
        };
        let look = Look {
            by: key,
            at: clock::now(),
            outcome,
            slots,
            coverages,
        };
        self.recorder.record(look).await?;
        // From here the look is in the ledger, whatever happens to this process.
        answer
    }
}

/// The slots or the coverage that the payload of an entry is about: what the record names.
fn touched(entry: &Entry) -> Result<(Vec<SlotKey>, Vec<CoverageKey>), CallError> {
    match Attestation::read(entry.header())? {
        Attestation::Coverage(coverage) => Ok((Vec::new(), vec![coverage.coverage])),
        Attestation::Claim(claim) => Ok((claim.slots, Vec::new())),
        // Access records have a service of their own; the other kinds have no payload.
        _ => Err(CallError::NotAllowed(Reason::ReferenceUnfit)),
    }
}

fn answer(
    snapshot: &Snapshot,
    entry: &Entry,
    index: LeafIndex,
    key: &PublicKey,
) -> Result<v1::FetchPayloadResponse, CallError> {
    if !may_read(snapshot, entry, key)? {
        return Err(CallError::NotAllowed(Reason::NotEntitled));
    }
    let proved = snapshot.prove_entry(index)?;
    let proved = proved.ok_or(CallError::EntryUnknown)?;
    let payload = snapshot.sealed_payload(&proved)?;
    let checkpoint = snapshot.checkpoint_text().to_owned();
    Ok(write_answer(&proved, payload.as_ref(), checkpoint))
}

/// The issuer of an entry may, and of a claim the payers whose coverages it rests on: those that
/// may release it too.
fn may_read(snapshot: &Snapshot, entry: &Entry, key: &PublicKey) -> Result<bool, ReadError> {
    let header = entry.header();
    if header.issuer == *key {
        return Ok(true);
    }
    if header.kind != Kind::Claim {
        return Ok(false);
    }
    // The first reference of a claim is its catalogue, the others are its coverages.
    for coverage in header.references.iter().skip(1) {
        let coverage = snapshot.entry(*coverage)?;
        if coverage.is_some_and(|coverage| coverage.header().issuer == *key) {
            return Ok(true);
        }
    }
    Ok(false)
}

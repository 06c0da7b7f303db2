//! `AccessService`: the sealed access records, for members that hold an incident key.

use std::sync::Arc;

use proto::attestation::CLOCK_SKEW_MS_MAX;
use proto::entry::Kind;
use proto::ids::{LeafIndex, UnixMillis};
use proto::refusal::Reason;
use proto::signing::PublicKey;
use proto::wire::access::{RecordAnswer, RecordsAsked, read_request, write_page};
use proto::wire::v1;
use proto::wire::v1::access_service_server::AccessService;
use tonic::{Request, Response, Status, async_trait};

use super::peer;
use super::status::CallError;
use crate::sequencer::Sequencer;
use crate::snapshot::{ReadError, Snapshot};

/// Most entries that are looked at for one page: about 20 ms of reading.
pub(super) const PAGE_ENTRIES_MAX: u64 = 4096;

/// The service over one ledger. Each page is made from one snapshot.
#[derive(Debug)]
pub(super) struct Access(pub(super) Sequencer);

#[async_trait]
impl AccessService for Access {
    async fn list_records(
        &self,
        request: Request<v1::ListRecordsRequest>,
    ) -> Result<Response<v1::ListRecordsResponse>, Status> {
        let key = peer(&request)?;
        let asked = read_request(request.get_ref()).map_err(CallError::Malformed)?;
        let snapshot = self.0.snapshot();
        may_read(&snapshot, &key)?;
        let listed = tokio::task::spawn_blocking(move || list(&snapshot, &asked)).await;
        let listed = listed.map_err(|_| CallError::EvaluationLost)?;
        Ok(Response::new(listed.map_err(CallError::Read)?))
    }
}

/// Who cannot open a record has no use for one.
fn may_read(snapshot: &Arc<Snapshot>, key: &PublicKey) -> Result<(), CallError> {
    let roster = snapshot.roster();
    let member = roster.member_by_key(key);
    let holds = member.is_some_and(|member| roster.incident_key(&member.name).is_some());
    holds
        .then_some(())
        .ok_or(CallError::NotAllowed(Reason::KindNotAllowed))
}

fn list(snapshot: &Snapshot, asked: &RecordsAsked) -> Result<v1::ListRecordsResponse, ReadError> {
    let size = snapshot.size().get();
    let first = asked.first.get().max(first_since(snapshot, asked.since)?);
    let end = size.min(first.saturating_add(PAGE_ENTRIES_MAX));
    let mut records = Vec::new();
    let mut next = first.min(size);
    while next < end && records.len() < asked.page_size {
        let index = LeafIndex::new(next);
        next += 1;
        let entry = snapshot.entry(index)?;
        let wanted = entry.is_some_and(|entry| {
            entry.header().kind == Kind::Access && entry.header().issued_at >= asked.since
        });
        if wanted && let Some(proved) = snapshot.prove_entry(index)? {
            let payload = snapshot.record(&proved)?;
            records.push(RecordAnswer { proved, payload });
        }
    }
    let checkpoint = snapshot.checkpoint_text().to_owned();
    Ok(write_page(&records, LeafIndex::new(next), checkpoint))
}

/// An index before which every entry was issued before `since`.
///
/// Batches are in the order of their moments, and an entry is issued within the clock skew of its
/// batch. So when one was issued more than twice that before `since`, all before it were issued
/// before `since` too.
pub(super) fn first_since(snapshot: &Snapshot, since: UnixMillis) -> Result<u64, ReadError> {
    let (mut first, mut end) = (0, snapshot.size().get());
    while first < end {
        let middle = first + (end - first) / 2;
        let entry = snapshot.entry(LeafIndex::new(middle))?;
        let issued_at = entry.map_or(u64::MAX, |entry| entry.header().issued_at.get());
        match issued_at.saturating_add(2 * CLOCK_SKEW_MS_MAX) < since.get() {
            true => first = middle + 1,
            false => end = middle,
        }
    }
    Ok(first)
}

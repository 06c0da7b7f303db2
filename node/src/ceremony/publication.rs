//! From the proposed roster to the entry that puts it in force.

use std::path::Path;
use std::time::Duration;

use proto::attestation::Attestation;
use proto::entry::Entry;
use proto::ids::{LeafIndex, MemberName, RequestId};
use proto::roster::{Address, Roster, SignedRoster};
use proto::signing::SecretKey;
use proto::wire::v1::ledger_service_client::LedgerServiceClient;
use proto::wire::{AppendAnswer, read, write};
use tonic::{Code, Request};

use super::CeremonyFailure;
use super::folder::{io_failure, read_bounded, write_whole};
use crate::clock;
use crate::peer::channel;

/// How long the node has to commit the entry.
const APPEND_DEADLINE: Duration = Duration::from_secs(30);

/// Reads a signed roster. Whether its signatures hold is not checked yet.
pub(super) fn read_roster(path: &Path) -> Result<SignedRoster, CeremonyFailure> {
    let text = read_bounded(path).map_err(|error| io_failure(path, &error))?;
    let text = text.ok_or_else(|| io_failure(path, &std::io::ErrorKind::NotFound.into()))?;
    SignedRoster::parse(text.as_bytes()).map_err(|error| CeremonyFailure::Roster {
        path: path.to_owned(),
        error: Box::new(error),
    })
}

/// Adds a member's signature to the proposed roster in this file, if it is not there, and writes
/// the file anew. What is signed must follow the roster in force, with new shares and nothing else
/// new.
///
/// # Errors
/// [`CeremonyFailure`]; the file is then as it was.
pub fn sign(
    path: &Path,
    in_force: &Roster,
    name: &MemberName,
    secret: &SecretKey,
) -> Result<SignedRoster, CeremonyFailure> {
    let proposed = read_roster(path)?;
    if !proposed.admitted().changes_shares_alone(in_force) {
        return Err(CeremonyFailure::MoreThanShares);
    }
    let signed = proposed.signed_by(name, secret)?;
    match signed.verify_successor(in_force) {
        // Others may sign after this one.
        Ok(_) | Err(proto::roster::SuccessionError::QuorumNotMet { .. }) => {}
        Err(error) => return Err(Box::new(error).into()),
    }
    write_whole(path, &signed.to_text()).map_err(|error| io_failure(path, &error))?;
    Ok(signed)
}

/// Appends the proposed roster to the ledger as an entry of this member, at this member's own
/// node, and verifies the receipt.
///
/// # Errors
/// [`CeremonyFailure`] when too few voting members signed, the node cannot be reached, or the
/// ledger refuses.
pub async fn publish(
    proposed: &SignedRoster,
    in_force: &Roster,
    name: &MemberName,
    secret: &SecretKey,
    node: &Address,
) -> Result<LeafIndex, CeremonyFailure> {
    proposed.verify_successor(in_force).map_err(Box::new)?;
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(|_| CeremonyFailure::NoRandomness)?;
    let attestation = Attestation::Roster(proposed.clone());
    let header = attestation.header(secret.public(), RequestId::new(clock::now(), random));
    let entry = Entry::sign(&header, in_force.origin(), secret)?;
    let channel = channel(secret.public(), node, secret).map_err(|_| CeremonyFailure::Tls)?;
    let mut request = Request::new(write::append(&entry, None));
    request.set_timeout(APPEND_DEADLINE);
    let failed = |code: Code| CeremonyFailure::NotAppended {
        member: name.clone(),
        code,
    };
    let answer = LedgerServiceClient::new(channel).append(request).await;
    let answer = answer.map_err(|status| failed(status.code()))?;
    let answer = read::append_answer(answer.into_inner(), &entry);
    match answer.map_err(|_| failed(Code::DataLoss))? {
        AppendAnswer::Refused { reason, .. } => Err(CeremonyFailure::Refused(reason)),
        AppendAnswer::Accepted(receipt) => receipt
            .verify(in_force, &mut |_| {})
            .map(|verified| verified.index)
            .map_err(|_| CeremonyFailure::Receipt),
    }
}

//! Evidence of foreign slots on the payer's own disk: one file a claim, for an auditor alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proto::attestation::SettlementOutcome;
use proto::foreign_slots::ForeignSlots;
use proto::ids::LeafIndex;
use proto::refusal::Reason;

use super::book::ClaimBook;
use super::settle_file::SettleRow;
use super::settling::{Settled, SettledLine};
use crate::files::{self, FileError};

/// Where the evidence about a claim is kept in a folder.
fn path(folder: &Path, claim: LeafIndex) -> PathBuf {
    folder.join(format!("claim-{claim}.foreign"))
}

/// Writes evidence down, mode 0600, whole or not at all, and says where. A claim that is checked
/// again has its file replaced: both say the same.
///
/// # Errors
/// [`FileError`]: nothing was written.
pub fn keep(folder: &Path, evidence: &ForeignSlots) -> Result<PathBuf, FileError> {
    files::create_folder(folder)?;
    let path = path(folder, evidence.claim());
    files::replace_secret(&path, evidence.to_text().as_bytes())?;
    Ok(path)
}

/// The files behind those lines that were rejected for foreign slot keys, by line, in this run or
/// an earlier one. A rejection that the line itself asked for has none.
#[must_use]
pub fn kept(
    folder: &Path,
    book: &ClaimBook,
    rows: &[(u64, SettleRow)],
    settled: &[SettledLine],
) -> BTreeMap<u64, PathBuf> {
    let rows: BTreeMap<u64, &SettleRow> = rows.iter().map(|(line, row)| (*line, row)).collect();
    let kept = settled.iter().filter_map(|one| {
        let Settled::Done {
            outcome: Some(SettlementOutcome::Rejected(Reason::ForeignSlotKey)),
            ..
        } = one.settled
        else {
            return None;
        };
        let claim = book.find(rows.get(&one.line)?.claim)?.index;
        let path = path(folder, claim);
        path.exists().then_some((one.line, path))
    });
    kept.collect()
}

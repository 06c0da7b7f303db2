//! Receipts as commands keep them: the folder they are written to, and the entry that one names.

use std::path::{Path, PathBuf};

use clap::Args;
use client::device;
use client::failure::{Failure, FailureKind};
use client::files::{self, FileError};
use client::issue::Issued;
use client::profile::{Profile, Settings};
use client::receipts::Receipts;
use proto::ids::LeafIndex;
use proto::receipt::{RECEIPT_BYTES_MAX, ReceiptError, ReceiptFile};
use thiserror::Error;

use super::report::IssueReport;
use super::{Failed, SettingsArgs};

/// Where receipts go.
#[derive(Args)]
pub(super) struct ReceiptsArgs {
    /// The folder that receipts are written to [default: receipts]
    #[arg(long, env = "VITRAIL_RECEIPTS", value_name = "DIR")]
    receipts: Option<PathBuf>,
}

/// Why a file does not name an entry.
#[derive(Debug, Error)]
enum ReceiptFileError {
    /// It is no receipt.
    #[error("receipt: {0}")]
    Malformed(#[from] ReceiptError),
    /// It proves a refusal.
    #[error("receipt: this file proves a refusal, nothing was entered in the ledger")]
    Refusal,
}

impl Failure for ReceiptFileError {
    fn kind(&self) -> FailureKind {
        FailureKind::Malformed
    }
}

/// The profile of a command that writes receipts, with the till's key renewed if it is due.
pub(super) async fn load(args: SettingsArgs, receipts: ReceiptsArgs) -> Result<Profile, Failed> {
    Ok(device::renewed(args.load(settings(receipts))?).await?)
}

/// The settings of a command that writes receipts.
pub(super) fn settings(receipts: ReceiptsArgs) -> Settings {
    Settings {
        receipts: receipts.receipts,
        ..Settings::default()
    }
}

/// The entry that a receipt is of. Its proof is not needed here: the ledger decides.
pub(super) fn named(path: &Path) -> Result<LeafIndex, Failed> {
    let text = files::read_text(path, RECEIPT_BYTES_MAX)?;
    match ReceiptFile::parse(&text).map_err(ReceiptFileError::from)? {
        ReceiptFile::Accepted(receipt) => Ok(receipt.proved.index),
        ReceiptFile::Refused(_) => Err(ReceiptFileError::Refusal.into()),
    }
}

/// Writes the receipt, or the proof of the refusal, before anything is printed.
pub(super) fn keep(
    profile: &Profile,
    kind: &'static str,
    issued: &Issued,
) -> Result<IssueReport, Failed> {
    let path = keep_file(profile, kind, issued)?;
    Ok(IssueReport::new(kind, issued, path))
}

/// Writes the receipt, or the proof of the refusal, if there is one: durable when it returns. The
/// same receipt has the same name.
pub(super) fn keep_file(
    profile: &Profile,
    kind: &'static str,
    issued: &Issued,
) -> Result<Option<PathBuf>, FileError> {
    Receipts::new(profile.receipts_folder()).keep(kind, issued)
}

//! `receipt verify`: offline, with the roster alone.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use client::files;
use client::profile;
use proto::receipt::{RECEIPT_BYTES_MAX, ReceiptError, ReceiptFile, VerifiedFile};
use proto::roster::Roster;

use super::Answer;
use super::report::{ReceiptReport, StepReport, VerifiedReport};

/// What can be done with a receipt.
#[derive(Subcommand)]
pub(super) enum ReceiptCommand {
    /// Verifies a receipt or a refusal offline, step by step; nobody is asked
    Verify(VerifyArgs),
}

/// Arguments of `receipt verify`.
#[derive(Args)]
pub(super) struct VerifyArgs {
    /// The receipt
    #[arg(value_name = "FILE")]
    receipt: PathBuf,
    /// The federation's signed roster
    #[arg(long, env = "VITRAIL_ROSTER", value_name = "FILE")]
    roster: PathBuf,
}

/// `vitrail receipt ...`
pub(super) fn run(command: &ReceiptCommand) -> Answer {
    let ReceiptCommand::Verify(args) = command;
    let roster = profile::read_roster(&args.roster)?;
    let bytes = files::read(&args.receipt, RECEIPT_BYTES_MAX)?;
    Ok(Box::new(verify(&bytes, &roster)))
}

fn verify(bytes: &[u8], roster: &Roster) -> ReceiptReport {
    let mut passed = Vec::new();
    // Bytes that are not text fail the first step: the format is text.
    let text = str::from_utf8(bytes);
    let not_text = ReceiptError::Line {
        line: 1,
        want: "UTF-8 text",
    };
    let verified = text.map_err(|_| not_text).and_then(|text| {
        let verified = ReceiptFile::verify(text, roster, &mut |step| passed.push(step));
        verified.map(|verified| (verified, ReceiptFile::parse(text).ok()))
    });
    let passed = passed.into_iter().map(StepReport::from).collect();
    match verified {
        Ok((verified, file)) => {
            let verified = Some(describe(&verified, file.as_ref()));
            ReceiptReport {
                valid: true,
                passed,
                failed_step: None,
                failure: None,
                verified,
            }
        }
        Err(error) => {
            let (step, failure) = (error.step().as_str(), error.to_string());
            // Most of these errors begin with their step, which is printed beside them.
            let bare = failure
                .strip_prefix(step)
                .and_then(|rest| rest.strip_prefix(": "));
            ReceiptReport {
                valid: false,
                passed,
                failed_step: Some(step),
                failure: Some(bare.unwrap_or(&failure).to_owned()),
                verified: None,
            }
        }
    }
}

fn describe(verified: &VerifiedFile, file: Option<&ReceiptFile>) -> VerifiedReport {
    let (checkpoint, title) = match verified {
        VerifiedFile::Accepted(receipt) => (&receipt.checkpoint, "receipt"),
        VerifiedFile::Refused(refusal) => (&refusal.checkpoint, "refusal"),
    };
    let leaf = file.map(|file| match file {
        ReceiptFile::Accepted(receipt) => receipt.proved.entry.leaf_hash(),
        ReceiptFile::Refused(refusal) => refusal.holder.entry.leaf_hash(),
    });
    let (kind, index, reason) = match (verified, file) {
        (VerifiedFile::Accepted(receipt), _) => (
            receipt.entry.header().kind.as_str(),
            receipt.index.get(),
            None,
        ),
        (VerifiedFile::Refused(refusal), Some(ReceiptFile::Refused(receipt))) => {
            let kind = receipt.holder.entry.header().kind.as_str();
            (kind, refusal.state.by.get(), Some(receipt.reason))
        }
        (VerifiedFile::Refused(refusal), _) => ("claim", refusal.state.by.get(), None),
    };
    VerifiedReport {
        title,
        kind,
        index,
        reason: reason.map(|reason| reason.code()),
        sentence: reason.map(|reason| reason.french()),
        leaf: leaf.map(|leaf| leaf.to_base64()),
        origin: checkpoint.origin().to_string(),
        size: checkpoint.size().get(),
        time: checkpoint.time().get(),
        cosigned_by: checkpoint.signers().map(ToString::to_string).collect(),
    }
}

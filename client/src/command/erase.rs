//! `erase`: the issuer of an entry has its payload and salt deleted.

use std::path::PathBuf;

use clap::Args;
use client::erasure;
use proto::ids::LeafIndex;

use super::keeping::{ReceiptsArgs, keep, load, named};
use super::{Answer, SettingsArgs};

/// Arguments of `erase`.
#[derive(Args)]
pub(super) struct EraseArgs {
    /// The receipt of the entry whose payload goes
    #[arg(
        value_name = "RECEIPT",
        required_unless_present = "entry",
        conflicts_with = "entry"
    )]
    receipt: Option<PathBuf>,
    /// The index of the entry, if its receipt is not at hand
    #[arg(long, value_name = "INDEX")]
    entry: Option<u64>,
    #[command(flatten)]
    receipts: ReceiptsArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// `vitrail erase`
pub(super) async fn erase(args: EraseArgs) -> Answer {
    let profile = load(args.settings, args.receipts).await?;
    let erased = match (&args.receipt, args.entry) {
        (Some(path), _) => named(path)?,
        (None, index) => LeafIndex::new(index.unwrap_or_default()),
    };
    let session = profile.open_session().await?;
    let issued = erasure::erase(&session, erased).await?;
    Ok(Box::new(keep(&profile, "erasure", &issued)?))
}

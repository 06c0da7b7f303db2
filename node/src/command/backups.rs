//! `vitrail-node backup | restore`: the ledger once more, and back in its place.

use std::path::{Path, PathBuf};

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::{Output, print};
use super::failure::CommandError;
use super::members::{MemberArgs, progress_bar};
use crate::backup::{Backup, BackupError, backup as back_up};
use crate::config::Config;
use crate::restore::{Restored, restore as put_back};

/// Arguments of `backup`.
#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// The folder of the backup; made when it is not there, continued when it is.
    #[arg(value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    node: MemberArgs,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// The folder of the backup.
    #[arg(value_name = "DIR")]
    from: PathBuf,
    #[command(flatten)]
    node: MemberArgs,
}

/// What `backup` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct BackupReport<'a> {
    folder: &'a Path,
    #[serde(flatten)]
    done: Backup,
}

/// What `restore` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RestoreReport<'a> {
    data: &'a Path,
    #[serde(flatten)]
    done: Restored,
}

pub(super) fn backup(args: BackupArgs, output: Output) -> Result<(), CommandError> {
    let config = Config::load(&args.node.dir, args.node.settings)?;
    let runtime = tokio::runtime::Runtime::new().map_err(|e| CommandError::Runtime(e.kind()))?;
    let bar = progress_bar();
    let done: Result<Backup, BackupError> = runtime.block_on(back_up(&config, &args.to, |size| {
        bar.set_position(size.get());
    }));
    bar.finish_and_clear();
    let done = done.map_err(Box::new)?;
    let text = format!(
        "backed up {}: {} entries, {} of them new, each checked, read back, and both roots \
         cosigned by a quorum\nfolder    {}\nlog root  {}\nmap root  {}\n",
        done.origin,
        done.entries,
        done.fetched,
        args.to.display(),
        done.log_root,
        done.map_root,
    );
    let folder = &args.to;
    print(output, &BackupReport { folder, done }, &text)
}

pub(super) fn restore(args: RestoreArgs, output: Output) -> Result<(), CommandError> {
    let config = Config::load(&args.node.dir, args.node.settings)?;
    let done = put_back(&config, &args.from).map_err(Box::new)?;
    let vouched = match done.vouched {
        true => "a quorum has cosigned both roots",
        false => "the newest of them are vouched for when the node has caught up",
    };
    let text = format!(
        "restored {}: {} entries, {vouched}\nstart the node: it asks the other members what it \
         had signed, catches up with them, and signs nothing before\ndata  {}\n",
        done.origin,
        done.entries,
        config.data.display(),
    );
    let data = &config.data;
    print(output, &RestoreReport { data, done }, &text)
}

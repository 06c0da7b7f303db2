//! `vitrail-node demo`: the main job, played; then the nodes stay up.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;

use clap::Args;

use super::answer::{Output, print};
use super::failure::CommandError;
use super::told_to_stop;
use crate::demo::{self, DemoError};

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// End when everything is played, instead of staying up.
    #[arg(long)]
    once: bool,
    /// Keep everything in this folder. Otherwise a temporary one is made; it is removed at the
    /// end, unless the demo breaks off or a program is to read the paths that `-o json` prints.
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub(super) fn demo(args: &DemoArgs, output: Output) -> Result<(), CommandError> {
    let failed = |error: io::Error| Box::new(DemoError::from(error));
    let runtime = tokio::runtime::Runtime::new().map_err(|e| CommandError::Runtime(e.kind()))?;
    if let Some(dir) = &args.dir {
        return runtime.block_on(until_told(dir, args.once, output));
    }
    let mut temporary = tempfile::tempdir().map_err(failed)?;
    let played = runtime.block_on(until_told(temporary.path(), args.once, output));
    temporary.disable_cleanup(played.is_err() || matches!(output, Output::Json));
    played
}

async fn until_told(dir: &Path, once: bool, output: Output) -> Result<(), CommandError> {
    let told = told_to_stop().map_err(|error| CommandError::Runtime(error.kind()))?;
    let mut told = pin!(told);
    // Told to stop in the middle, it drops what is played, and with it the nodes.
    let demo = tokio::select! {
        () = &mut told => return Ok(()),
        played = demo::play(dir, matches!(output, Output::Text)) => played.map_err(Box::new)?,
    };
    let mut text = "\nevery scene went as it must; the nodes are at\n".to_owned();
    for addresses in demo.report.nodes.values() {
        text.push_str(&format!("  http://{}/checkpoint\n", addresses.http));
    }
    let printed = print(output, &demo.report, &text);
    if printed.is_ok() && !once {
        told.await;
    }
    demo.end().await;
    printed
}

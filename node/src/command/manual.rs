//! `vitrail-node completion | manual`: what the command says of itself.

use std::io;
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;
use serde::Serialize;

use super::failure::CommandError;
use super::{Output, print};

/// Arguments of `completion`.
#[derive(Debug, Args)]
pub(super) struct CompletionArgs {
    /// The shell that completes.
    #[arg(value_enum)]
    shell: Shell,
}

/// Arguments of `manual`.
#[derive(Debug, Args)]
pub(super) struct ManualArgs {
    /// The folder to write the pages to; made when it is not there.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// What `manual` prints.
#[derive(Debug, Serialize)]
struct ManualReport {
    folder: PathBuf,
}

/// Prints a script for a shell, whatever the output.
pub(super) fn completion(args: &CompletionArgs, mut command: Command) {
    clap_complete::generate(args.shell, &mut command, "vitrail-node", &mut io::stdout());
}

/// Writes one page for the command and one for each command below it.
pub(super) fn manual(
    args: ManualArgs,
    command: Command,
    output: Output,
) -> Result<(), CommandError> {
    let written = std::fs::create_dir_all(&args.folder)
        .and_then(|()| clap_mangen::generate_to(command, &args.folder));
    written.map_err(|error| CommandError::Output(error.kind()))?;
    let text = format!("pages in {}\n", args.folder.display());
    let folder = args.folder;
    print(output, &ManualReport { folder }, &text)
}

//! `vitrail-node completion | manual`: what the command says of itself.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::{Output, print};
use super::failure::CommandError;

/// Programs of system administration (man(1)).
const SECTION: &str = "8";

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
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ManualReport {
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
        .and_then(|()| write_pages(command.disable_help_subcommand(true), &args.folder));
    written.map_err(|error| CommandError::Output(error.kind()))?;
    let text = format!("pages in {}\n", args.folder.display());
    let folder = args.folder;
    print(output, &ManualReport { folder }, &text)
}

fn write_pages(mut command: Command, folder: &Path) -> io::Result<()> {
    command.build();
    let shown = command
        .get_subcommands()
        .filter(|below| !below.is_hide_set());
    for below in shown.cloned() {
        write_pages(below, folder)?;
    }
    let page = Man::new(command).section(SECTION);
    page.generate_to(folder).map(|_| ())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::super::Cli;
    use super::*;

    #[test]
    fn every_command_has_a_page_of_its_section() {
        let folder = tempfile::tempdir().unwrap();
        write_pages(Cli::command().disable_help_subcommand(true), folder.path()).unwrap();
        for (page, title) in [
            ("vitrail-node.8", "vitrail-node 8"),
            ("vitrail-node-roster-sign.8", "vitrail-node-roster-sign 8"),
        ] {
            let text = std::fs::read_to_string(folder.path().join(page)).unwrap();
            assert!(text.contains(&format!(".TH {title}")), "{page}");
        }
        let pages = std::fs::read_dir(folder.path()).unwrap();
        let names = pages.map(|page| page.unwrap().file_name().into_string().unwrap());
        assert!(
            names
                .into_iter()
                .all(|name| name.ends_with(".8") && !name.contains("help"))
        );
    }
}

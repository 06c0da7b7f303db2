//! `completion`, `manual` and `schema`: what the command says of itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;
use client::failure::FailureKind;
use schemars::JsonSchema;
use serde::Serialize;

use super::report::{Report, to_json};
use super::{Answer, Failed};

/// Arguments of `completion`.
#[derive(Args)]
pub(super) struct CompletionArgs {
    /// The shell that completes
    #[arg(value_enum)]
    shell: Shell,
}

/// Arguments of `manual`.
#[derive(Args)]
pub(super) struct ManualArgs {
    /// The folder to write the pages to; it is made if it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// `vitrail completion SHELL`
pub(super) fn completion(args: &CompletionArgs, mut command: Command) -> Answer {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "vitrail", &mut script);
    Ok(Box::new(ScriptReport {
        script: String::from_utf8_lossy(&script).into_owned(),
    }))
}

/// `vitrail manual DIR`
pub(super) fn manual(args: &ManualArgs, command: Command) -> Answer {
    match write_pages(&args.folder, command) {
        Ok(pages) => Ok(Box::new(ManualReport {
            folder: args.folder.clone(),
            pages,
        })),
        Err(error) => Err(Failed {
            kind: FailureKind::Unavailable,
            message: format!(
                "{} cannot be written: {}",
                args.folder.display(),
                error.kind()
            ),
            hint: None,
        }),
    }
}

/// One page for the command and one for each command below it.
fn write_pages(folder: &Path, command: Command) -> io::Result<usize> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command, folder)?;
    Ok(fs::read_dir(folder)?.count())
}

/// What `completion` answers: a script for the shell, whatever the output.
struct ScriptReport {
    script: String,
}

impl Report for ScriptReport {
    fn text(&self) -> String {
        self.script.clone()
    }

    fn json(&self) -> String {
        self.text().trim_end().to_owned()
    }
}

/// What `manual` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ManualReport {
    folder: PathBuf,
    /// Pages in the folder.
    pages: usize,
}

impl Report for ManualReport {
    fn text(&self) -> String {
        let folder = self.folder.display();
        format!("{} pages in {folder}\n", self.pages)
    }

    fn json(&self) -> String {
        to_json(self)
    }
}

//! The command, run in a folder that has the roster of the example.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

use crate::example;

/// A folder with the roster.
pub fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let roster = example::roster().to_text();
    fs::write(folder.path().join("roster.txt"), roster).unwrap();
    folder
}

/// Runs the command in a folder: how it ended, and what it said.
pub fn vitrail(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("vitrail").unwrap();
    let command = command.current_dir(folder).env_clear();
    let command = command.env("VITRAIL_OUTPUT", "text").args(arguments);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}

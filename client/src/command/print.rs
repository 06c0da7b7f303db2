//! Printing: answers to stdout, what went wrong to stderr.

use std::io::{self, IsTerminal as _, Write as _};

use client::failure::FailureKind;
use serde_json::json;

use super::Failed;
use super::report::Report;

/// How answers are printed.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// One JSON object
    Json,
    /// A table, for `statements`
    Csv,
}

impl Format {
    /// What is printed when nothing else is asked for: a person at a terminal reads text, a program
    /// at the other end of a pipe reads JSON.
    pub(super) fn usual() -> Self {
        match io::stdout().is_terminal() {
            true => Self::Text,
            false => Self::Json,
        }
    }
}

/// Prints an answer.
pub(super) fn report(format: Format, is_verbose: bool, report: &dyn Report) {
    match format {
        Format::Text => line(report.text().trim_end()),
        Format::Json => line(&report.json()),
        Format::Csv => match report.csv() {
            Some(table) => line(table.trim_end()),
            None => error_lines("this answer is no table", Some("use -o json")),
        },
    }
    if is_verbose {
        detail_lines(&report.details());
    }
    warning_lines(&report.warnings());
    if let Some((message, hint)) = report.problem() {
        error_lines(&message, hint);
    }
}

/// Nobody may be listening any more: the exit code still says how it went.
fn line(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Prints why there is no answer.
pub(super) fn failed(format: Format, failed: &Failed) {
    if format == Format::Json {
        let kind = match failed.kind {
            FailureKind::Malformed => "malformed",
            FailureKind::Refused => "refused",
            FailureKind::Unavailable => "unavailable",
            FailureKind::Contradicted => "contradicted",
        };
        let Failed { message, hint, .. } = failed;
        let answer = json!({ "error": { "kind": kind, "message": message, "hint": hint } });
        line(&answer.to_string());
    }
    error_lines(&failed.message, failed.hint);
}

#[allow(
    clippy::print_stderr,
    reason = "stderr is where a command says how it got its answer"
)]
fn detail_lines(messages: &[String]) {
    for message in messages {
        eprintln!("{message}");
    }
}

#[allow(
    clippy::print_stderr,
    reason = "stderr is where a command says what to look at"
)]
fn warning_lines(messages: &[String]) {
    for message in messages {
        eprintln!("warning: {message}");
    }
}

#[allow(
    clippy::print_stderr,
    reason = "stderr is where a command says what went wrong"
)]
fn error_lines(message: &str, hint: Option<&str>) {
    eprintln!("error: {message}");
    if let Some(hint) = hint {
        eprintln!("hint: {hint}");
    }
}

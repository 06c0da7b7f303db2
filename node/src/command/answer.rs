//! What a command prints: its answer on standard output, what went wrong on standard error.

use std::io::{self, IsTerminal as _, Write as _};

use clap::ValueEnum;
use serde::Serialize;
use serde_json::json;

use super::failure::CommandError;

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// Lines for people.
    Text,
    /// One JSON object.
    Json,
}

impl Output {
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
pub(super) fn print<T: Serialize>(
    output: Output,
    report: &T,
    text: &str,
) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    let written = match output {
        Output::Text => out.write_all(text.as_bytes()),
        Output::Json => {
            // One line, so that a program that waits for it reads a line.
            let json = serde_json::to_string(report).map_err(io::Error::from);
            json.and_then(|json| writeln!(out, "{json}"))
        }
    };
    written
        .and_then(|()| out.flush())
        .map_err(|error| CommandError::Output(error.kind()))
}

/// Prints why there is no answer, or what is to be done about the answer that was printed.
pub(super) fn print_failure(output: Output, error: &CommandError) {
    if output == Output::Json && !error.is_answered() {
        let kind = match error.exit_code() {
            1 => "refused",
            _ => "unavailable",
        };
        let (message, hint) = (error.to_string(), error.hint());
        let answer = json!({ "error": { "kind": kind, "message": message, "hint": hint } });
        // Nobody may be listening any more: the exit code still says how it went.
        let _ = writeln!(io::stdout().lock(), "{answer}");
    }
    eprintln!("error: {error}");
    if let Some(hint) = error.hint() {
        eprintln!("hint: {hint}");
    }
}

//! `evidence verify`: who signed what no honest member signs, or which slots of a claim are not
//! those of a person, offline, with the roster alone.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use client::auditor::findings::EvidenceFacts;
use client::failure::FailureKind;
use client::files::{self, FileError};
use client::page;
use client::profile;
use proto::evidence::{EVIDENCE_BYTES_MAX, Evidence, EvidenceError, Verdict};
use proto::foreign_slots::{FOREIGN_SLOTS_BYTES_MAX, ForeignSlots, ForeignSlotsError};
use proto::roster::Roster;

use super::report::StepReport;
use super::report::evidence::{
    EvidenceReport, ForeignReport, ForeignSlotsReport, GivenReport, VerdictReport,
};
use super::{Answer, Failed};

/// What can be done with evidence.
#[derive(Subcommand)]
pub(super) enum EvidenceCommand {
    /// Verifies a file of evidence offline, step by step, and names who is guilty of what, or which
    /// slots of a claim are foreign
    Verify(VerifyArgs),
}

/// Arguments of `evidence verify`.
#[derive(Args)]
pub(super) struct VerifyArgs {
    /// The evidence
    #[arg(value_name = "FILE")]
    evidence: PathBuf,
    /// The federation's signed roster
    #[arg(long, env = "VITRAIL_ROSTER", value_name = "FILE")]
    roster: PathBuf,
    /// Writes a page for people: who signed what, with the states side by side
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// `vitrail evidence ...`
pub(super) fn run(command: &EvidenceCommand) -> Answer {
    let EvidenceCommand::Verify(args) = command;
    let roster = profile::read_roster(&args.roster)?;
    let longest = EVIDENCE_BYTES_MAX.max(FOREIGN_SLOTS_BYTES_MAX);
    let bytes = files::read(&args.evidence, longest)?;
    if bytes.starts_with(FOREIGN_SLOTS) {
        return match args.report {
            None => Ok(Box::new(verify_foreign_slots(&bytes, &roster))),
            // A page goes from hand to hand, and this file is about a person.
            Some(_) => Err(no_page()),
        };
    }
    if let Some(path) = &args.report {
        files::replace(path, page(&bytes, &roster, &args.evidence).as_bytes())?;
    }
    Ok(Box::new(verify(&bytes, &roster)))
}

fn no_page() -> Failed {
    Failed {
        kind: FailureKind::Malformed,
        message: "--report: evidence of foreign slots is about a person, and has no page"
            .to_owned(),
        hint: Some("leave --report out"),
    }
}

/// The page that says the same.
fn page(bytes: &[u8], roster: &Roster, file: &Path) -> String {
    let text = str::from_utf8(bytes).unwrap_or_default();
    let evidence = Evidence::parse(text);
    let verified = match &evidence {
        Ok(evidence) => evidence.verify(roster, &mut |_| {}),
        Err(error) => Err(error.clone()),
    };
    let failed = verified.as_ref().err().map(|error| {
        let takes_the_log = matches!(error, EvidenceError::NeedsTheLog { .. });
        (error.step(), takes_the_log)
    });
    let file = file.file_name().unwrap_or_default().to_string_lossy();
    let facts = EvidenceFacts::of(&file, evidence.as_ref().ok(), &verified, roster);
    page::evidence::page(&facts, roster.origin().as_str(), failed)
}

/// The first words of a file of evidence; a folder of a node's data has other files beside them.
const FIRST_WORDS: &[u8] = b"vitrail evidence ";

/// The first words of evidence that slots of a claim are foreign.
const FOREIGN_SLOTS: &[u8] = b"vitrail foreign slots ";

/// Files of evidence that somebody gave.
pub(super) struct Given(Vec<PathBuf>);

impl Given {
    /// These files, and what is evidence in these folders.
    ///
    /// # Errors
    /// A file or folder cannot be read.
    pub(super) fn find(paths: &[PathBuf]) -> Result<Self, FileError> {
        let mut given = Vec::new();
        for path in paths {
            if !path.is_dir() {
                drop(files::open(path)?);
                given.push(path.clone());
                continue;
            }
            for file in files::in_folder(path)? {
                if begins_as_evidence(&file)? {
                    given.push(file);
                }
            }
        }
        Ok(Self(given))
    }

    /// Verifies each under the first of these rosters under which it holds.
    ///
    /// # Errors
    /// A file cannot be read, or is longer than any evidence.
    pub(super) fn verify(
        self,
        in_force: &Roster,
        known: &Roster,
    ) -> Result<Vec<GivenReport>, FileError> {
        let given = self.0.into_iter().map(|file| {
            let bytes = files::read(&file, EVIDENCE_BYTES_MAX)?;
            let evidence = match verify(&bytes, in_force) {
                held if held.valid => held,
                // A key that it is about may have been replaced since.
                _ => verify(&bytes, known),
            };
            Ok(GivenReport { file, evidence })
        });
        given.collect()
    }
}

fn begins_as_evidence(file: &Path) -> Result<bool, FileError> {
    let mut begin = Vec::new();
    let read = files::open(file)?
        .take(FIRST_WORDS.len() as u64)
        .read_to_end(&mut begin);
    read.map_err(|error| files::io_error(file, &error))?;
    Ok(begin == FIRST_WORDS)
}

/// Verifies bytes, and says how each step went.
pub(super) fn verify(bytes: &[u8], roster: &Roster) -> EvidenceReport {
    let mut passed = Vec::new();
    // Bytes that are not text fail the first step: the format is text.
    let not_text = EvidenceError::Line {
        line: 1,
        want: "UTF-8 text",
    };
    let verified = str::from_utf8(bytes)
        .map_err(|_| not_text)
        .and_then(|text| Evidence::verify_text(text, roster, &mut |step| passed.push(step)));
    let passed = passed.into_iter().map(StepReport::from).collect();
    match verified {
        Ok(verdict) => EvidenceReport {
            valid: true,
            passed,
            failed_step: None,
            failure: None,
            verdict: Some(describe(&verdict)),
            takes_the_log: false,
        },
        Err(error) => EvidenceReport {
            valid: false,
            passed,
            failed_step: Some(error.step().as_str()),
            failure: Some(error.to_string()),
            verdict: None,
            takes_the_log: matches!(error, EvidenceError::NeedsTheLog { .. }),
        },
    }
}

/// Verifies evidence of foreign slots. What is said of it names nobody but the payer.
fn verify_foreign_slots(bytes: &[u8], roster: &Roster) -> ForeignSlotsReport {
    let mut passed = Vec::new();
    let not_text = ForeignSlotsError::Line {
        line: 1,
        want: "UTF-8 text",
    };
    let verified = str::from_utf8(bytes)
        .map_err(|_| not_text)
        .and_then(|text| ForeignSlots::verify(text, roster, &mut |step| passed.push(step)));
    let failed = verified.as_ref().err();
    ForeignSlotsReport {
        valid: verified.is_ok(),
        passed: passed.into_iter().map(StepReport::from).collect(),
        failed_step: failed.map(|error| error.step().as_str()),
        failure: failed.map(ToString::to_string),
        proved: verified.ok().map(|proved| ForeignReport {
            claim: proved.receipt.index.get(),
            payer: proved.by.to_string(),
            issuer: proved.receipt.entry.header().issuer.to_base64(),
            slots: proved.slots,
            foreign: proved.foreign,
        }),
    }
}

fn describe(verdict: &Verdict) -> VerdictReport {
    let offence = &verdict.offence;
    VerdictReport {
        offence: offence.as_str(),
        members: verdict.members.iter().map(ToString::to_string).collect(),
        certified: verdict.certified,
        what: offence.english(),
        sentence: offence.french(),
    }
}

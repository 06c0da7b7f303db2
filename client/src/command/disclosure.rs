//! `disclose` and `disclosure open`: a payer lets an auditor read its part of one entry.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use client::profile::{self, Settings};
use client::{disclosure, files};
use proto::disclosure::{DISCLOSURE_BYTES_MAX, Disclosed, Disclosure, DisclosureError, Step};
use proto::ids::LeafIndex;
use proto::roster::Roster;
use schemars::JsonSchema;
use serde::Serialize;

use super::incident::own_contracts;
use super::report::{Report, StepReport, to_json};
use super::terms::TermsReport;
use super::{Answer, SettingsArgs, card};

/// Arguments of `disclose`.
#[derive(Args)]
pub(super) struct DiscloseArgs {
    /// The index of the entry: a coverage or settlement of your own, or a claim that you pay or
    /// its delivery
    #[arg(value_name = "INDEX")]
    entry: u64,
    /// Your contracts, as `contracts import` wrote them: the one that the entry is for is found
    #[arg(
        long,
        env = "VITRAIL_CONTRACTS",
        value_name = "FILE",
        required_unless_present = "card",
        conflicts_with = "card"
    )]
    contracts: Option<PathBuf>,
    /// The card of the person, in place of the contracts file; - for stdin
    #[arg(long, value_name = "FILE")]
    card: Option<PathBuf>,
    /// The file to write, for the auditor alone to read
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// What can be done with a disclosure.
#[derive(Subcommand)]
pub(super) enum DisclosureCommand {
    /// Verifies a disclosure offline, step by step, and shows what it discloses
    Open(OpenArgs),
}

/// Arguments of `disclosure open`.
#[derive(Args)]
pub(super) struct OpenArgs {
    /// The disclosure
    #[arg(value_name = "FILE")]
    disclosure: PathBuf,
    /// The federation's signed roster
    #[arg(long, env = "VITRAIL_ROSTER", value_name = "FILE")]
    roster: PathBuf,
}

/// `vitrail disclose`
pub(super) async fn disclose(args: DiscloseArgs) -> Answer {
    let session = args
        .settings
        .load(Settings::default())?
        .open_session()
        .await?;
    let card = args.card.as_deref().map(card::read).transpose()?;
    let contracts = args.contracts.filter(|_| card.is_none());
    let contracts = contracts.map(|path| own_contracts(&path, &session));
    let contracts = contracts.transpose()?;
    let disclosable = disclosure::fetch(&session, LeafIndex::new(args.entry)).await?;
    let made = match (contracts, card) {
        (Some(contracts), _) => disclosure::from_contracts(&session, disclosable, contracts)?,
        (None, card) => {
            let contracts = card.map(|card| card.contracts()).unwrap_or_default();
            disclosure::from_identity(&session, disclosable, &contracts).await?
        }
    };
    files::create_secret(&args.out, made.to_text().as_bytes())?;
    Ok(Box::new(MadeReport {
        index: made.index().get(),
        out: args.out,
    }))
}

/// `vitrail disclosure ...`
pub(super) fn run(command: &DisclosureCommand) -> Answer {
    let DisclosureCommand::Open(args) = command;
    let roster = profile::read_roster(&args.roster)?;
    let bytes = files::read(&args.disclosure, DISCLOSURE_BYTES_MAX)?;
    Ok(Box::new(open(&bytes, &roster)))
}

fn open(bytes: &[u8], roster: &Roster) -> DisclosureReport {
    let mut passed = Vec::new();
    // Bytes that are not text fail the first step: the format is text.
    let not_text = DisclosureError::Line {
        line: 1,
        want: "UTF-8 text",
    };
    let opened = str::from_utf8(bytes)
        .map_err(|_| not_text)
        .and_then(|text| Disclosure::verify(text, roster, &mut |step| passed.push(step)));
    let report = DisclosureReport {
        valid: opened.is_ok(),
        passed: passed.into_iter().map(step).collect(),
        failed_step: None,
        failure: None,
        disclosed: None,
    };
    match opened {
        Ok(disclosed) => DisclosureReport {
            disclosed: Some(DisclosedReport::new(&disclosed)),
            ..report
        },
        Err(error) => {
            let (failed, failure) = (error.step().as_str(), error.to_string());
            // Most of these errors begin with their step, which is printed beside them.
            let bare = failure
                .strip_prefix(failed)
                .and_then(|rest| rest.strip_prefix(": "));
            DisclosureReport {
                failed_step: Some(failed),
                failure: Some(bare.unwrap_or(&failure).to_owned()),
                ..report
            }
        }
    }
}

fn step(step: Step) -> StepReport {
    StepReport {
        step: step.as_str(),
        sentence: step.sentence(),
    }
}

/// What `disclose` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct MadeReport {
    index: u64,
    out: PathBuf,
}

impl Report for MadeReport {
    fn text(&self) -> String {
        format!(
            "one part of entry {} disclosed\nwritten to {}\n",
            self.index,
            self.out.display()
        )
    }

    fn json(&self) -> String {
        to_json(self)
    }
}

/// What a disclosure shows once every step has passed.
#[derive(Debug, Serialize, JsonSchema)]
struct DisclosedReport {
    index: u64,
    size: u64,
    origin: String,
    disclosed_by: String,
    issuer: String,
    issued_at: String,
    part: usize,
    terms: TermsReport,
}

impl DisclosedReport {
    fn new(disclosed: &Disclosed) -> Self {
        let receipt = &disclosed.receipt;
        let header = receipt.entry.header();
        Self {
            index: receipt.index.get(),
            size: receipt.checkpoint.size().get(),
            origin: receipt.checkpoint.origin().to_string(),
            disclosed_by: disclosed.by.to_string(),
            issuer: header.issuer.to_base64(),
            issued_at: header.issued_at.to_iso(),
            part: disclosed.part,
            terms: TermsReport::new(&disclosed.terms),
        }
    }
}

/// What `disclosure open` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DisclosureReport {
    valid: bool,
    passed: Vec<StepReport>,
    failed_step: Option<&'static str>,
    failure: Option<String>,
    disclosed: Option<DisclosedReport>,
}

impl Report for DisclosureReport {
    fn text(&self) -> String {
        let mut text = String::new();
        for StepReport { step, sentence } in &self.passed {
            let _ = writeln!(text, "ok     {step:<10} {sentence}");
        }
        if let (Some(step), Some(failure)) = (self.failed_step, &self.failure) {
            let _ = writeln!(text, "FAILED {step:<10} {failure}");
        }
        if let Some(disclosed) = &self.disclosed {
            let DisclosedReport {
                index,
                size,
                origin,
                disclosed_by,
                issued_at,
                ..
            } = disclosed;
            let _ = writeln!(
                text,
                "entry {index} of {size}, of {issued_at}, ledger {origin}, disclosed by {disclosed_by}"
            );
            text.push_str(&disclosed.terms.text());
        }
        text
    }

    fn json(&self) -> String {
        to_json(self)
    }

    fn is_yes(&self) -> bool {
        self.valid
    }

    fn problem(&self) -> Option<(String, Option<&'static str>)> {
        let step = self.failed_step?;
        let message = format!("the disclosure is not valid: step {step} failed");
        Some((
            message,
            Some("do not rely on this file; ask whoever gave it for another copy"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use proto::attestation::{ClaimTerms, CodeOpening};
    use proto::disclosure::Terms;
    use proto::seal::LppCodeSalt;

    use super::*;

    fn terms() -> TermsReport {
        let opening = CodeOpening {
            lpp_code: "2264861".parse().unwrap(),
            salt: LppCodeSalt::from_bytes([4; 32]),
        };
        let commitment = opening.commitment();
        let head = [
            &[1, 1][..],
            b"M03",
            &12_000_u64.to_be_bytes(),
            &3_u64.to_be_bytes(),
        ];
        let opened = [&[1][..], b"2264861", &[4; 32]];
        let bytes = [
            head.concat(),
            commitment.as_hash().as_bytes().to_vec(),
            opened.concat(),
        ];
        TermsReport::new(&Terms::Claim(
            ClaimTerms::from_bytes(&bytes.concat()).unwrap(),
        ))
    }

    #[test]
    fn the_json_of_a_disclosure_is_these_bytes() {
        let report = DisclosureReport {
            valid: true,
            passed: vec![step(Step::Format)],
            failed_step: None,
            failure: None,
            disclosed: Some(DisclosedReport {
                index: 4,
                size: 9,
                origin: "vitrail.example/optique".to_owned(),
                disclosed_by: "cnam.example".to_owned(),
                issuer: "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=".to_owned(),
                issued_at: "2026-01-09T23:06:40Z".to_owned(),
                part: 0,
                terms: terms(),
            }),
        };
        assert_snapshot!(report.json(), @r#"{"valid":true,"passed":[{"step":"format","sentence":"the file is of the format, with nothing added or missing"}],"failed_step":null,"failure":null,"disclosed":{"index":4,"size":9,"origin":"vitrail.example/optique","disclosed_by":"cnam.example","issuer":"6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=","issued_at":"2026-01-09T23:06:40Z","part":0,"terms":{"claim":{"lines":[{"grouped_code":"M03","price_cents":12000,"amount_cents":3,"lpp_code":"2264861"}]}}}}"#);
        assert_snapshot!(report.text(), @r"
        ok     format     the file is of the format, with nothing added or missing
        entry 4 of 9, of 2026-01-09T23:06:40Z, ledger vitrail.example/optique, disclosed by cnam.example
        M03 2264861 price 120.00, paid 0.03
        ");
    }
}

//! `incident`: what a till's key looked at, and whose contracts of the own ones those were.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use client::contracts::{ContractsFile, ContractsFileError, Reference};
use client::failure::{Failure, FailureKind};
use client::files::FileError;
use client::incident::{self, AffectedContract, AffectedContracts, IncidentList};
use client::page;
use client::profile::Settings;
use client::session::Session;
use client::{files, incident::Touched};
use proto::attestation::LookOutcome;
use proto::contracts::ContractsError;
use proto::ids::UnixMillis;
use proto::incident::{INCIDENT_PURPOSE, IncidentKeyError, IncidentSecretKey};
use proto::signing::PublicKey;
use schemars::JsonSchema;
use serde::Serialize;
use thiserror::Error;
use zeroize::Zeroizing;

use super::cover::progress_bar;
use super::report::Report;
use super::sealed::{self, SealedError};
use super::{Answer, SettingsArgs};

/// Longest incident key file: sealed, title and key have some 250 bytes.
const KEY_FILE_BYTES_MAX: usize = 4096;

/// Arguments of `incident`.
#[derive(Args)]
pub(super) struct IncidentArgs {
    /// The till's public key
    #[arg(long, value_name = "BASE64", value_parser = PublicKey::from_base64)]
    till: PublicKey,
    /// From when on: 2026-01-10T08:30:00Z, or a day
    #[arg(long, value_name = "TIME")]
    since: UnixMillis,
    /// The member's incident key, a file of mode 0600
    #[arg(
        long,
        env = "VITRAIL_INCIDENT_KEY",
        value_name = "FILE",
        default_value = "incident.key"
    )]
    incident_key: PathBuf,
    /// File of the passphrase or credential that the incident key is sealed under; /dev/fd/N for a
    /// descriptor. Without it a passphrase is asked for at the terminal
    #[arg(long, env = "VITRAIL_SEAL_FILE", value_name = "FILE")]
    seal_file: Option<PathBuf>,
    /// The own contracts, as `contracts import` wrote them: names those that were looked at
    #[arg(long, env = "VITRAIL_CONTRACTS", value_name = "FILE")]
    contracts: Option<PathBuf>,
    /// Writes a page for people, for its owner alone: a timeline and the list
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Why the incident key cannot be used.
#[derive(Debug, Error)]
enum KeyFileError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("incident key file: {0}")]
    Sealed(#[from] SealedError),
    #[error("incident key file: {0}")]
    Key(#[from] IncidentKeyError),
}

impl Failure for KeyFileError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::File(error) => error.kind(),
            Self::Sealed(error) => error.kind(),
            Self::Key(_) => FailureKind::Malformed,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::File(FileError::Open { .. }) => Some("chmod 600 it"),
            Self::File(_) => Some("name it with --incident-key"),
            Self::Sealed(error) => error.hint(),
            Self::Key(_) => Some("`vitrail keygen --incident` makes one"),
        }
    }
}

/// `vitrail incident`
pub(super) async fn incident(args: IncidentArgs) -> Answer {
    let key = read_key(&args.incident_key, args.seal_file.as_deref())?;
    let session = args.settings.load(Settings::default())?.session(None)?;
    let open = |path: &PathBuf| own_contracts(path, &session);
    let contracts = args.contracts.as_ref().map(open).transpose()?;
    let bar = progress_bar(0);
    let mut show = |position, length| {
        bar.set_length(length);
        bar.set_position(position);
    };
    let listed = incident::list(&session, &key, &args.till, args.since, &mut show).await;
    bar.finish_and_clear();
    let list = listed?;
    let matching = |file| incident::affected_in_file(&list.touched, file);
    let affected = contracts.map(matching).transpose()?;
    if let Some(path) = &args.report {
        let page = page::incident::page(&page::incident::Incident {
            till: &args.till,
            since: args.since,
            list: &list,
            contracts: affected.as_ref(),
            roster: session.roster(),
        });
        files::replace_secret(path, page.as_bytes())?;
    }
    let report = IncidentReport::new(&args.till, args.since, &list);
    Ok(Box::new(match affected {
        Some(affected) => report.with_contracts(&affected, &list),
        None => report,
    }))
}

/// The contracts file, which must be of the session's own member: with another's, or with one of
/// another joint key, nothing would match and nobody would be told.
pub(super) fn own_contracts(
    path: &Path,
    session: &Session,
) -> Result<ContractsFile, ContractsFileError> {
    let file = ContractsFile::open(path)?;
    let payer = session.own_member().and_then(|own| own.payer.as_ref());
    let payer = payer.ok_or(ContractsError::Other { field: "payer" })?;
    file.header().check(session.roster(), payer)?;
    Ok(file)
}

fn read_key(path: &Path, seal_file: Option<&Path>) -> Result<IncidentSecretKey, KeyFileError> {
    let bytes = Zeroizing::new(files::read_secret(path, KEY_FILE_BYTES_MAX)?);
    let text = str::from_utf8(&bytes).map_err(|_| IncidentKeyError::File)?;
    let text = Zeroizing::new(text.to_owned());
    let secret = sealed::open(text, INCIDENT_PURPOSE, seal_file)?;
    Ok(IncidentSecretKey::parse(&secret)?)
}

/// One look.
#[derive(Debug, Serialize, JsonSchema)]
struct TouchedReport {
    at: String,
    /// `answered`, `failed`, or the code of the reason why it was refused.
    outcome: &'static str,
    entry: u64,
    node: String,
    slot_keys: Vec<String>,
    coverage_keys: Vec<String>,
}

impl TouchedReport {
    fn new(touched: &Touched) -> Self {
        let hex = |bytes: &[u8; 32]| {
            bytes
                .iter()
                .fold(String::with_capacity(64), |mut text, byte| {
                    // Writing into a String cannot fail.
                    let _ = write!(text, "{byte:02x}");
                    text
                })
        };
        Self {
            at: touched.at.to_iso(),
            outcome: match touched.outcome {
                LookOutcome::Answered => "answered",
                LookOutcome::Failed => "failed",
                LookOutcome::Refused(reason) => reason.code(),
            },
            entry: touched.entry.get(),
            node: touched.node.to_base64(),
            slot_keys: touched
                .slots
                .iter()
                .map(|key| hex(key.as_bytes()))
                .collect(),
            coverage_keys: touched
                .coverages
                .iter()
                .map(|key| hex(key.as_bytes()))
                .collect(),
        }
    }
}

/// One of the own contracts that was looked at.
#[derive(Debug, Serialize, JsonSchema)]
struct AffectedReport {
    /// Its line in the contracts file.
    line: u64,
    reference: Option<String>,
    /// Whether one of these looks was answered: a refused one learned nothing.
    answered: bool,
    /// Places in `looks`, from 0.
    looks: Vec<usize>,
}

impl AffectedReport {
    fn new(contract: &AffectedContract, list: &IncidentList) -> Self {
        let looks = contract.looks.iter();
        let mut outcomes = looks.filter_map(|place| Some(list.touched.get(*place)?.outcome));
        let reference = contract.reference.as_ref().map(Reference::as_str);
        Self {
            line: contract.line,
            reference: reference.map(str::to_owned),
            answered: outcomes.any(|outcome| outcome == LookOutcome::Answered),
            looks: contract.looks.clone(),
        }
    }

    fn text(&self) -> String {
        let reference = self.reference.as_deref().unwrap_or("-");
        let outcome = match self.answered {
            true => "answered",
            false => "not answered",
        };
        let looks = self.looks.iter().map(ToString::to_string);
        let looks: Vec<_> = looks.collect();
        format!(
            "contract {reference}  line {}  {outcome}  looks {}",
            self.line,
            looks.join(" ")
        )
    }
}

/// Which of the own contracts were looked at.
#[derive(Debug, Serialize, JsonSchema)]
struct ContractsReport {
    affected: Vec<AffectedReport>,
    /// Contracts in the file.
    read: u64,
}

impl ContractsReport {
    fn text(&self) -> String {
        let lines: String = self.affected.iter().map(|one| one.text() + "\n").collect();
        let answered = self.affected.iter().filter(|one| one.answered).count();
        format!(
            "{lines}{} of {} contracts were looked at, {answered} of them with an answer\n",
            self.affected.len(),
            self.read
        )
    }
}

/// What `incident` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct IncidentReport {
    till: String,
    since: String,
    looks: Vec<TouchedReport>,
    /// Access entries read, of all tills.
    entries: u64,
    /// Those of them whose record is erased.
    erased: u64,
    /// The size of the log that was read to its end.
    size: u64,
    /// Only if a contracts file was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    contracts: Option<ContractsReport>,
}

impl IncidentReport {
    fn new(till: &PublicKey, since: UnixMillis, list: &IncidentList) -> Self {
        Self {
            till: till.to_base64(),
            since: since.to_iso(),
            looks: list.touched.iter().map(TouchedReport::new).collect(),
            entries: list.entries,
            erased: list.erased,
            size: list.size.get(),
            contracts: None,
        }
    }

    fn with_contracts(self, affected: &AffectedContracts, list: &IncidentList) -> Self {
        let contracts = affected.contracts.iter();
        let contracts = contracts.map(|contract| AffectedReport::new(contract, list));
        Self {
            contracts: Some(ContractsReport {
                affected: contracts.collect(),
                read: affected.read,
            }),
            ..self
        }
    }
}

impl Report for IncidentReport {
    fn text(&self) -> String {
        let mut text = String::new();
        for (place, look) in self.looks.iter().enumerate() {
            let TouchedReport {
                at, outcome, entry, ..
            } = look;
            let _ = writeln!(text, "look {place}  {at}  {outcome}  entry {entry}");
            for key in &look.slot_keys {
                let _ = writeln!(text, "  slot      {key}");
            }
            for key in &look.coverage_keys {
                let _ = writeln!(text, "  coverage  {key}");
            }
        }
        let _ = writeln!(
            text,
            "{} looks of {} since {}; {} access entries verified, {} erased, log of {} entries",
            self.looks.len(),
            self.till,
            self.since,
            self.entries,
            self.erased,
            self.size
        );
        if let Some(contracts) = &self.contracts {
            text.push_str(&contracts.text());
        }
        text
    }

    fn json(&self) -> String {
        super::report::to_json(self)
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use proto::ids::{CoverageKey, LeafIndex, SlotKey, TreeSize};
    use proto::refusal::Reason;
    use proto::signing::SecretKey;

    use super::*;

    fn list() -> IncidentList {
        let touched = |outcome| Touched {
            entry: LeafIndex::new(9),
            node: SecretKey::from_seed(&[1; 32]).public(),
            at: UnixMillis::new(1_768_000_000_000),
            outcome,
            slots: vec![SlotKey::from_bytes([0x10; 32])],
            coverages: vec![CoverageKey::from_bytes([0x40; 32])],
        };
        IncidentList {
            touched: vec![touched(LookOutcome::Refused(Reason::GrantRevoked))],
            entries: 3,
            erased: 0,
            size: TreeSize::new(12),
        }
    }

    fn report(list: &IncidentList) -> IncidentReport {
        let till = SecretKey::from_seed(&[7; 32]).public();
        IncidentReport::new(&till, UnixMillis::new(0), list)
    }

    #[test]
    fn the_contracts_that_were_looked_at_follow_the_list() {
        let list = list();
        let contract = |line, reference: Option<&str>| AffectedContract {
            line,
            reference: reference.map(|text| text.parse().unwrap()),
            looks: vec![0],
        };
        let affected = AffectedContracts {
            contracts: vec![contract(7, Some("c/00017")), contract(8, None)],
            read: 40,
        };
        let report = report(&list).with_contracts(&affected, &list);
        let json = report.json();
        let (_, contracts) = json.split_once(r#""size":12,"#).unwrap();
        assert_snapshot!(contracts, @r#""contracts":{"affected":[{"line":7,"reference":"c/00017","answered":false,"looks":[0]},{"line":8,"reference":null,"answered":false,"looks":[0]}],"read":40}}"#);
        let text = report.text();
        let (_, contracts) = text.split_once("12 entries\n").unwrap();
        assert_snapshot!(contracts, @r"
        contract c/00017  line 7  not answered  looks 0
        contract -  line 8  not answered  looks 0
        2 of 40 contracts were looked at, 0 of them with an answer
        ");
    }

    #[test]
    fn the_json_of_a_list_is_these_bytes() {
        let report = report(&list());
        assert_snapshot!(report.json(), @r#"{"till":"6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=","since":"1970-01-01T00:00:00Z","looks":[{"at":"2026-01-09T23:06:40Z","outcome":"GRANT_REVOKED","entry":9,"node":"iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=","slot_keys":["1010101010101010101010101010101010101010101010101010101010101010"],"coverage_keys":["4040404040404040404040404040404040404040404040404040404040404040"]}],"entries":3,"erased":0,"size":12}"#);
    }
}

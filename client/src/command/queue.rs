//! `queue list`, `queue send`, `queue forget`: claims that wait on the till's disk.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use client::device;
use client::failure::{Failure as _, FailureKind};
use client::issue::Issued;
use client::pos::Draft;
use client::profile::{Profile, QUEUE_FOLDER};
use client::queue::{Queue, QueueError, Queued};
use client::session::Session;
use client::system;
use schemars::JsonSchema;
use serde::Serialize;

use super::keeping::{ReceiptsArgs, keep_file, settings};
use super::report::{IssueReport, Report, to_json};
use super::{Answer, Failed, SettingsArgs};

/// What a queued claim is worth until it is sent.
const NOT_RESERVED: &str = "the slots are not reserved before it is sent";

/// What can be done with the queue.
#[derive(Subcommand)]
pub(super) enum QueueCommand {
    /// Shows what waits, and what was refused
    List(QueueArgs),
    /// Sends what waits, the oldest first, each claim exactly once
    Send(SendArgs),
    /// Takes a refused claim out of the queue
    Forget(ForgetArgs),
}

/// Where the queue is.
#[derive(Args)]
pub(super) struct QueueArgs {
    /// The folder of the queue
    #[arg(
        long,
        env = "VITRAIL_QUEUE",
        value_name = "DIR",
        default_value = QUEUE_FOLDER
    )]
    queue: PathBuf,
}

/// Arguments of `queue send`.
#[derive(Args)]
pub(super) struct SendArgs {
    #[command(flatten)]
    queue: QueueArgs,
    #[command(flatten)]
    receipts: ReceiptsArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Arguments of `queue forget`.
#[derive(Args)]
pub(super) struct ForgetArgs {
    /// The claim, as `queue list` names it
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    queue: QueueArgs,
}

/// Runs one of the commands.
pub(super) async fn run(command: QueueCommand) -> Answer {
    match command {
        QueueCommand::List(args) => list(&args),
        QueueCommand::Send(args) => send(args).await,
        QueueCommand::Forget(args) => forget(&args),
    }
}

fn list(args: &QueueArgs) -> Answer {
    let claims = Queue::open(&args.queue)?.list()?;
    let claims = claims.iter().map(QueuedReport::new).collect();
    Ok(Box::new(ListReport { claims }))
}

fn forget(args: &ForgetArgs) -> Answer {
    let queue = Queue::open(&args.queue.queue)?;
    queue.forget(&args.name)?;
    list(&args.queue)
}

/// Goes on to the next claim after a refusal, and stops when nobody can be asked: the next one
/// would only wait as long for the same.
async fn send(args: SendArgs) -> Answer {
    let queue = Queue::open(&args.queue.queue)?;
    let profile = args.settings.load(settings(args.receipts))?;
    let (session, profile) = open(profile).await?;
    let mut report = SendReport::default();
    for queued in queue.list()? {
        let keep = |issued: &Issued| keep_file(&profile, "claim", issued);
        match queue.send(&session, &queued.name, keep).await {
            Ok(Some(sent)) => report.sent.push(SentReport {
                name: queued.name,
                claim: IssueReport::new("claim", &sent.issued, sent.proof).answered_in(&session),
            }),
            // Another program has sent it meanwhile, or it was refused before.
            Ok(None) => {}
            Err(error) if error.kind() == FailureKind::Contradicted => return Err(error.into()),
            Err(error) => {
                report.stopped = Some(Stopped::new(error.into()));
                break;
            }
        }
    }
    let left = queue.list()?;
    report.waiting = left.iter().filter(|one| one.refused.is_none()).count();
    Ok(Box::new(report))
}

/// A session with the till's key, renewed if it is due.
async fn open(profile: Profile) -> Result<(Session, Profile), Failed> {
    let profile = device::renewed(profile).await?;
    Ok((profile.open_session().await?, profile))
}

/// Queues a claim and sends it at once if that goes. Whatever happens after the first step, the
/// claim is in the queue, and the answer says so.
pub(super) async fn claim(
    folder: &Path,
    draft: Draft,
    profile: Profile,
) -> Result<IssueReport, Failed> {
    let queue = Queue::open(folder)?;
    let name = match queue.add(draft, system::now()) {
        // It was claimed before, and waits: then this is the time to send it.
        Err(QueueError::AlreadyQueued { name }) => name,
        added => added?,
    };
    // From here the claim is durable on this machine, whatever happens to this process.
    let sent = async {
        let (session, profile) = open(profile).await?;
        let keep = |issued: &Issued| keep_file(&profile, "claim", issued);
        let sent = queue.send(&session, &name, keep).await?;
        Ok::<_, Failed>((sent, session))
    };
    match sent.await {
        Ok((Some(sent), session)) => {
            let report = IssueReport::new("claim", &sent.issued, sent.proof);
            Ok(report.answered_in(&session))
        }
        Ok((None, _)) => Ok(IssueReport::queued(name, NOT_RESERVED.to_owned())),
        Err(failed) if failed.kind == FailureKind::Contradicted => Err(failed),
        Err(failed) => Ok(IssueReport::queued(
            name,
            format!("{NOT_RESERVED} ({})", failed.message),
        )),
    }
}

/// One claim of the queue.
#[derive(Debug, Serialize, JsonSchema)]
struct QueuedReport {
    name: String,
    queued_at: String,
    slots: usize,
    until: String,
    /// Whether it may be in the ledger already, its answer lost.
    attempted: bool,
    /// The code of the reason, once it is refused.
    refused: Option<&'static str>,
}

impl QueuedReport {
    fn new(queued: &Queued) -> Self {
        Self {
            name: queued.name.clone(),
            queued_at: queued.queued_at.to_iso(),
            slots: queued.draft.claim.slots.len(),
            until: queued.draft.claim.until.to_iso(),
            attempted: queued.attempt.is_some(),
            refused: queued.refused.map(|reason| reason.code()),
        }
    }
}

/// What `queue list` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ListReport {
    claims: Vec<QueuedReport>,
}

impl Report for ListReport {
    fn text(&self) -> String {
        let mut text = String::new();
        for claim in &self.claims {
            let state = match (claim.refused, claim.attempted) {
                (Some(code), _) => code,
                (None, true) => "sent, answer unknown",
                (None, false) => "waits",
            };
            let QueuedReport {
                name,
                queued_at,
                slots,
                until,
                ..
            } = claim;
            let _ = writeln!(
                text,
                "{name}  {queued_at}  {slots} slots until {until}  {state}"
            );
        }
        let waiting = self.claims.iter().filter(|one| one.refused.is_none());
        let _ = writeln!(text, "{} claims wait: {NOT_RESERVED}", waiting.count());
        text
    }

    fn json(&self) -> String {
        to_json(self)
    }
}

/// What became of one claim of the queue.
#[derive(Debug, Serialize, JsonSchema)]
struct SentReport {
    name: String,
    claim: IssueReport,
}

/// Why not everything was sent.
#[derive(Debug, Serialize, JsonSchema)]
struct Stopped {
    message: String,
    #[serde(skip)]
    hint: Option<&'static str>,
    #[serde(skip)]
    is_refusal: bool,
}

impl Stopped {
    fn new(failed: Failed) -> Self {
        Self {
            message: failed.message,
            hint: failed.hint,
            is_refusal: failed.kind == FailureKind::Refused,
        }
    }
}

/// What `queue send` answers.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct SendReport {
    sent: Vec<SentReport>,
    /// Claims that wait on.
    waiting: usize,
    /// Why they do.
    stopped: Option<Stopped>,
}

impl Report for SendReport {
    fn text(&self) -> String {
        let mut text = String::new();
        for SentReport { name, claim } in &self.sent {
            let _ = write!(text, "{name}  {}", claim.text());
        }
        let _ = writeln!(
            text,
            "{} claims sent, {} wait",
            self.sent.len(),
            self.waiting
        );
        text
    }

    fn json(&self) -> String {
        to_json(self)
    }

    fn is_yes(&self) -> bool {
        self.stopped.is_none() && self.sent.iter().all(|sent| sent.claim.accepted)
    }

    fn is_known(&self) -> bool {
        self.stopped
            .as_ref()
            .is_none_or(|stopped| stopped.is_refusal)
    }

    fn problem(&self) -> Option<(String, Option<&'static str>)> {
        let stopped = self.stopped.as_ref()?;
        Some((stopped.message.clone(), stopped.hint))
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn the_json_of_the_queue_is_these_bytes() {
        let list = ListReport {
            claims: vec![QueuedReport {
                name: "0011223344556677".to_owned(),
                queued_at: "2026-01-09T23:06:40Z".to_owned(),
                slots: 3,
                until: "2026-03-10".to_owned(),
                attempted: true,
                refused: None,
            }],
        };
        assert_snapshot!(list.json(), @r#"{"claims":[{"name":"0011223344556677","queued_at":"2026-01-09T23:06:40Z","slots":3,"until":"2026-03-10","attempted":true,"refused":null}]}"#);
        assert_snapshot!(list.text(), @r"
        0011223344556677  2026-01-09T23:06:40Z  3 slots until 2026-03-10  sent, answer unknown
        1 claims wait: the slots are not reserved before it is sent
        ");
    }

    #[test]
    fn a_queue_that_could_not_be_sent_is_neither_yes_nor_no() {
        let mut report = SendReport {
            waiting: 1,
            stopped: Some(Stopped {
                message: "cnam cannot be reached, or does not answer".to_owned(),
                hint: None,
                is_refusal: false,
            }),
            ..SendReport::default()
        };
        assert!(!report.is_yes() && !report.is_known());
        assert_snapshot!(report.json(), @r#"{"sent":[],"waiting":1,"stopped":{"message":"cnam cannot be reached, or does not answer"}}"#);
        report.stopped = None;
        assert!(report.is_yes() && report.is_known());
    }
}

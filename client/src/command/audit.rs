//! `audit`: the whole log, from its first entry.

use std::path::{Path, PathBuf};

use clap::Args;
use client::auditor::findings::{EvidenceFacts, FailureFacts, Findings};
use client::auditor::{Audit, AuditError, Auditor, Course, HttpSource, Progress};
use client::failure::{Failure as _, FailureKind};
use client::files::{self, FileError};
use client::page;
use client::profile::{Profile, ProfileError, Settings};
use client::system;
use proto::evidence::Evidence;
use proto::ids::Origin;
use proto::roster::Roster;

use super::cover::progress_bar;
use super::evidence::{Given, verify};
use super::report::AuditReport;
use super::report::evidence::{AuditFailedReport, EvidenceReport, GivenReport};
use super::{Answer, Failed, SettingsArgs};

/// The folder of evidence, here or in the folder of the report.
const EVIDENCE_FOLDER: &str = "evidence";

/// Arguments of `audit`.
#[derive(Args)]
pub(super) struct AuditArgs {
    /// Where a member serves its log [default: that of the node, from the roster]
    #[arg(long, env = "VITRAIL_HTTP", value_name = "URL")]
    http: Option<String>,
    /// The folder for evidence of what is wrong, without --report
    #[arg(long, value_name = "DIR", default_value = EVIDENCE_FOLDER)]
    evidence: PathBuf,
    /// Writes report.html and report.json into this folder, with evidence of what is wrong, and goes
    /// on from the last audit that was kept in it
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// A file of evidence that somebody gave, or a folder of them, which is verified and listed
    /// beside the audit; can be given several times
    #[arg(long = "given", value_name = "PATH")]
    given: Vec<PathBuf>,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// `vitrail audit`
pub(super) async fn audit(args: AuditArgs) -> Answer {
    let profile = args.settings.load(Settings {
        http: args.http,
        ..Settings::default()
    })?;
    let roster = profile.roster()?;
    // Before the log is read: that a file cannot be is better known at once.
    let given = Given::find(&args.given)?;
    let log = address(&profile, &roster)?;
    let source = HttpSource::new(&log)?;
    let mut view = profile.view()?;
    let folder = args.report.map(|path| ReportFolder { path, log });
    let kept = folder.as_ref().map(|folder| folder.kept(roster.origin()));
    let mut course = kept.transpose()?.unwrap_or_default();
    let mut auditor = Auditor::new(source, roster);
    if let Some(kept) = course.checkpoint() {
        auditor = auditor.having_kept(kept);
    }
    if let Some(seen) = view.follower().latest() {
        auditor = auditor.having_seen(seen);
    }
    let bar = progress_bar(0);
    let mut show = |progress: Progress| {
        bar.set_length(progress.total.get());
        bar.set_position(progress.verified.get());
    };
    let audited = auditor.go_on(&mut course, &mut show).await;
    bar.finish_and_clear();
    let audited = match audited {
        Ok(audited) => audited,
        Err(failed) => {
            let evidence = match &folder {
                Some(folder) => folder.evidence(),
                None => args.evidence,
            };
            let given = given.verify(auditor.roster(), auditor.roster())?;
            return found(&auditor, failed, &evidence, folder.as_ref(), &course, given).await;
        }
    };
    // The view first: what is kept must never be ahead of it.
    view.settle(&audited.roster, &audited.checkpoint)?;
    let written = folder.map(|folder| folder.passed(&course, auditor.roster()));
    let given = given.verify(&audited.roster, auditor.roster())?;
    Ok(Box::new(report(&audited, written.transpose()?, given)))
}

/// Where the reports of the audits of one ledger lie, and what the next one goes on from.
struct ReportFolder {
    path: PathBuf,
    /// Where the log is read.
    log: String,
}

impl ReportFolder {
    /// What the audit before has kept. The folder is made now: that it cannot be written to is
    /// better known before a long audit than after it.
    fn kept(&self, origin: &Origin) -> Result<Course, Failed> {
        files::create_folder(&self.path)?;
        let kept = Course::kept(&self.state(), origin)?;
        Ok(kept.unwrap_or_default())
    }

    fn state(&self) -> PathBuf {
        self.path.join("state")
    }

    fn evidence(&self) -> PathBuf {
        self.path.join(EVIDENCE_FOLDER)
    }

    /// Everything holds: keeps that, and writes both reports. Returns the page.
    fn passed(&self, course: &Course, given: &Roster) -> Result<PathBuf, Failed> {
        course.keep(&self.state())?;
        Ok(self.write(course, given, None)?)
    }

    /// Writes both reports. What was kept before stays when something does not hold.
    fn write(
        &self,
        course: &Course,
        given: &Roster,
        failure: Option<FailureFacts>,
    ) -> Result<PathBuf, FileError> {
        let findings = Findings::new(course, given, &self.log, system::now(), failure);
        let page = self.path.join("report.html");
        files::replace(
            &self.path.join("report.json"),
            findings.to_json().as_bytes(),
        )?;
        files::replace(&page, page::audit::page(&findings).as_bytes())?;
        Ok(page)
    }
}

/// What does not pass, with a file that shows others why if there can be one.
async fn found(
    auditor: &Auditor<HttpSource>,
    failed: AuditError,
    folder: &Path,
    report: Option<&ReportFolder>,
    course: &Course,
    given: Vec<GivenReport>,
) -> Answer {
    // An audit that could not be finished has found nothing.
    if failed.kind() != FailureKind::Refused {
        return Err(failed.into());
    }
    // That the log cannot be read again says less than why it does not pass.
    let evidence = auditor.evidence(&failed).await.ok().flatten();
    let shown = evidence.map(|evidence| show(&evidence, folder, auditor.roster()));
    let shown = shown.transpose()?;
    let facts = shown.as_ref().map(|shown| shown.facts.clone());
    let failure = FailureFacts::of(&failed, facts);
    let written = report.map(|report| report.write(course, auditor.roster(), Some(failure)));
    let written = written.transpose()?;
    let Some(Shown { file, evidence, .. }) = shown else {
        return Err(failed.into());
    };
    Ok(Box::new(AuditFailedReport {
        failure: failed.to_string(),
        file,
        evidence,
        report: written,
        given,
    }))
}

/// A file of evidence that was written.
struct Shown {
    file: PathBuf,
    evidence: EvidenceReport,
    facts: EvidenceFacts,
}

fn show(evidence: &Evidence, folder: &Path, roster: &Roster) -> Result<Shown, FileError> {
    let text = evidence.to_text();
    let hash = proto::merkle::leaf(text.as_bytes());
    let name = u64::from_be_bytes(*hash.as_bytes().first_chunk().unwrap_or(&[0; 8]));
    let name = format!("{}-{name:016x}.txt", evidence.kind());
    let file = folder.join(&name);
    files::create_folder(folder)?;
    files::replace(&file, text.as_bytes())?;
    let verified = evidence.verify(roster, &mut |_| {});
    let beside = format!("{EVIDENCE_FOLDER}/{name}");
    Ok(Shown {
        file,
        evidence: verify(text.as_bytes(), roster),
        facts: EvidenceFacts::of(&beside, Some(evidence), &verified, roster),
    })
}

/// The address that was set, or that of the node, or of the first member that has one.
fn address(profile: &Profile, roster: &Roster) -> Result<String, ProfileError> {
    let settings = profile.settings();
    if let Some(http) = &settings.http {
        return Ok(http.clone());
    }
    let is_node = |name: &str| settings.node.as_ref().is_none_or(|node| node == name);
    let mut members = roster
        .members()
        .iter()
        .filter(|member| is_node(member.name.as_str()));
    let address = members.find_map(|member| member.http.as_ref());
    let address = address.ok_or(ProfileError::Missing { name: "http" })?;
    Ok(format!("http://{}", address.as_str()))
}

fn report(audited: &Audit, written: Option<PathBuf>, given: Vec<GivenReport>) -> AuditReport {
    let checkpoint = &audited.checkpoint;
    AuditReport {
        origin: checkpoint.origin().to_string(),
        size: checkpoint.size().get(),
        log_root: checkpoint.log_root().to_base64(),
        map_root: checkpoint.map_root().to_base64(),
        epoch: audited.roster.epoch().get(),
        time: checkpoint.time().get(),
        cosigned_by: checkpoint.signers().map(ToString::to_string).collect(),
        counts: audited
            .counts
            .iter()
            .map(|(kind, count)| (kind.as_str(), *count))
            .collect(),
        map_size: audited.map_size,
        entry_bytes: audited.entry_bytes,
        report: written,
        given,
    }
}

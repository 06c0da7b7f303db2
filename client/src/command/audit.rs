//! `audit`: the whole log, from its first entry.

use std::path::{Path, PathBuf};

use clap::Args;
use client::auditor::{Audit, AuditError, Auditor, HttpSource, Progress};
use client::files;
use client::profile::{Profile, ProfileError, Settings};
use proto::roster::Roster;

use super::cover::progress_bar;
use super::evidence::verify;
use super::report::AuditReport;
use super::report::evidence::AuditFailedReport;
use super::{Answer, SettingsArgs};

/// Arguments of `audit`.
#[derive(Args)]
pub(super) struct AuditArgs {
    /// Where a member serves its log [default: that of the node, from the roster]
    #[arg(long, env = "VITRAIL_HTTP", value_name = "URL")]
    http: Option<String>,
    /// The folder for evidence of what is wrong
    #[arg(long, value_name = "DIR", default_value = "evidence")]
    evidence: PathBuf,
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
    let source = HttpSource::new(&address(&profile, &roster)?)?;
    let mut view = profile.view()?;
    let mut auditor = Auditor::new(source, roster);
    if let Some(seen) = view.follower().latest() {
        auditor = auditor.having_seen(seen);
    }
    let bar = progress_bar(0);
    let mut show = |progress: Progress| {
        bar.set_length(progress.total.get());
        bar.set_position(progress.verified.get());
    };
    let audited = auditor.audit(&mut show).await;
    bar.finish_and_clear();
    let audited = match audited {
        Ok(audited) => audited,
        Err(failed) => return found(&auditor, failed, &args.evidence).await,
    };
    view.settle(&audited.roster, &audited.checkpoint)?;
    Ok(Box::new(report(&audited)))
}

/// What does not pass, with a file that shows others why if there can be one.
async fn found(auditor: &Auditor<HttpSource>, failed: AuditError, folder: &Path) -> Answer {
    // That the log cannot be read again says less than why it does not pass.
    let Ok(Some(evidence)) = auditor.evidence(&failed).await else {
        return Err(failed.into());
    };
    let text = evidence.to_text();
    let hash = proto::merkle::leaf(text.as_bytes());
    let name = u64::from_be_bytes(*hash.as_bytes().first_chunk().unwrap_or(&[0; 8]));
    let file = folder.join(format!("{}-{name:016x}.txt", evidence.kind()));
    files::create_folder(folder)?;
    files::replace(&file, text.as_bytes())?;
    Ok(Box::new(AuditFailedReport {
        failure: failed.to_string(),
        file,
        evidence: verify(text.as_bytes(), auditor.roster()),
    }))
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

fn report(audited: &Audit) -> AuditReport {
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
    }
}

//! What an audit found, as facts: the report for programs (docs/audit-report.schema.json), and all that
//! the page for people shows.
//!
//! It has figures, public keys' names, roots and signatures' times. No slot key, coverage key,
//! commitment or entry is in it, so whoever may read the ledger may have it.

use std::collections::BTreeMap;

use proto::checkpoint::SignedCheckpoint;
use proto::entry::Kind;
use proto::evidence::{Evidence, EvidenceError, Extension, Verdict};
use proto::ids::{UnixMillis, UnixSeconds};
use proto::roster::Roster;
use serde::Serialize;

use super::check::Check;
use super::cosigning::percentile;
use super::{AuditError, Course};

/// The version of the report for programs. Fields may be added under it, none is taken away.
pub const REPORT_VERSION: u32 = 1;

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// Whether everything holds.
    pub holds: bool,
    /// When the report was made, by the auditor's clock.
    pub made_at: String,
    /// Where the log was read.
    pub log: String,
    /// The ledger's name.
    pub origin: String,
    /// The federation at the last entry that was verified.
    pub roster: RosterFacts,
    /// What a quorum cosigned and was verified last; with a failure, by the run before.
    pub checkpoint: Option<StateFacts>,
    /// Entries that were verified.
    pub verified: u64,
    /// How many bytes they have, each behind its length.
    pub entry_bytes: u64,
    /// How many slots, coverages, grants and others the map has.
    pub map_keys: usize,
    /// The runs that ended well, the newest last.
    pub runs: Vec<RunFacts>,
    /// Each check, in the order of an audit.
    pub checks: Vec<CheckFacts>,
    /// Entries by kind.
    pub kinds: BTreeMap<&'static str, u64>,
    /// Entries by kind and day, ascending; a day without an entry is not there.
    pub days: Vec<DayFacts>,
    /// What happened to claims.
    pub events: Vec<EventFacts>,
    /// How long members take to cosign.
    pub cosigning: CosigningFacts,
    /// What does not hold.
    pub failure: Option<FailureFacts>,
}

/// A federation's roster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RosterFacts {
    /// Its number.
    pub epoch: u64,
    /// Its hash, in base64.
    pub hash: String,
    /// How many members vote.
    pub voting: usize,
    /// How many of them make a quorum.
    pub quorum: usize,
}

/// A state of the ledger that members signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateFacts {
    /// How many entries its log has.
    pub size: u64,
    /// The root of the log, in base64.
    pub log_root: String,
    /// The root of the map, in base64.
    pub map_root: String,
    /// Who signed it, by name.
    pub signers: Vec<SignerFacts>,
}

/// Who signed, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignerFacts {
    /// The member's name.
    pub member: String,
    /// When, by its clock.
    pub at: String,
}

/// What one run verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunFacts {
    /// Entries that had been verified before.
    pub from: u64,
    /// Entries that were verified at its end.
    pub to: u64,
    /// The time of the checkpoint that it ended at.
    pub at: String,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckFacts {
    /// Its word.
    pub check: &'static str,
    /// How often it was made and held.
    pub count: u64,
    /// Whether it failed nowhere.
    pub holds: bool,
}

/// The entries of one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DayFacts {
    /// The day, in UTC.
    pub day: String,
    /// Entries by kind; a kind without an entry is not there.
    pub kinds: BTreeMap<&'static str, u64>,
}

/// How often something happened to a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventFacts {
    /// What.
    pub event: &'static str,
    /// Why, as a code of the closed list.
    pub reason: Option<&'static str>,
    /// How often.
    pub count: u64,
}

/// How long members take to cosign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CosigningFacts {
    /// Checkpoints that were looked at.
    pub sampled: u64,
    /// Checkpoints that had been cosigned again without a write, which say nothing.
    pub idle: u64,
    /// By name.
    pub members: Vec<MemberDelays>,
}

/// How long one member takes to cosign, in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberDelays {
    /// The member's name.
    pub member: String,
    /// Checkpoints of those looked at that it cosigned.
    pub samples: u64,
    /// Half of them came within this.
    pub median_s: u32,
    /// 99 of 100 came within this.
    pub p99_s: u32,
    /// How often each delay was seen, ascending.
    pub delays: Vec<DelayFacts>,
}

/// How often one delay was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DelayFacts {
    /// The delay, in whole seconds; the longest that is told apart stands for all above it too.
    pub seconds: u32,
    /// How often.
    pub count: u64,
}

/// What does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailureFacts {
    /// The check that failed; none when the log is another's, or empty.
    pub check: Option<&'static str>,
    /// What was found, in English.
    pub what: String,
    /// The entry, where it is one.
    pub entry: Option<u64>,
    /// What can be shown to others, if anything.
    pub evidence: Option<EvidenceFacts>,
}

/// A file of evidence, as it verifies with the roster alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EvidenceFacts {
    /// The file, beside the report.
    pub file: String,
    /// Whether it holds: it names members who signed what no honest member signs.
    pub holds: bool,
    /// Who signed what no honest member signs; nobody when it takes the log to tell.
    pub members: Vec<String>,
    /// What was done, in French; empty when it takes the log to tell.
    pub french: String,
    /// What was done, in English, or why that is not told by the file alone.
    pub english: String,
    /// The one or two states that members signed.
    pub states: Vec<StateFacts>,
}

impl StateFacts {
    /// A state with those whose signatures of it were checked.
    #[must_use]
    pub fn of(shown: &SignedCheckpoint, roster: &Roster) -> Self {
        let claimed = shown.claimed();
        let signers = shown.verify_signers(roster).unwrap_or_default();
        let mut signers: Vec<_> = signers
            .into_iter()
            .map(|(member, time)| SignerFacts {
                member: member.name.to_string(),
                at: iso(time),
            })
            .collect();
        signers.sort_by(|a, b| a.member.cmp(&b.member));
        Self {
            size: claimed.size.get(),
            log_root: claimed.log_root.to_base64(),
            map_root: claimed.map_root.to_base64(),
            signers,
        }
    }
}

impl EvidenceFacts {
    /// What a file of evidence shows, if it can be read, and how it verified.
    #[must_use]
    pub fn of(
        file: &str,
        evidence: Option<&Evidence>,
        verified: &Result<Verdict, EvidenceError>,
        roster: &Roster,
    ) -> Self {
        let states = evidence.map(states).unwrap_or_default().into_iter();
        let verdict = verified.as_ref().ok();
        let members = verdict.map(|verdict| &verdict.members[..]);
        Self {
            file: file.to_owned(),
            holds: verdict.is_some(),
            members: members
                .unwrap_or_default()
                .iter()
                .map(ToString::to_string)
                .collect(),
            french: verdict.map_or_else(String::new, |verdict| verdict.offence.french()),
            english: match verified {
                Ok(verdict) => verdict.offence.english(),
                Err(error) => error.to_string(),
            },
            states: states.map(|shown| StateFacts::of(shown, roster)).collect(),
        }
    }
}

/// The checkpoints that a file of evidence lays side by side; headers of batches are none.
fn states(evidence: &Evidence) -> Vec<&SignedCheckpoint> {
    match evidence {
        Evidence::Fork { first, second } => vec![first, second],
        Evidence::Rollback { larger, smaller } => vec![larger, smaller],
        Evidence::Rewritten {
            smaller, larger, ..
        } => vec![smaller, larger],
        Evidence::WrongMap { extension, .. } | Evidence::Rule { extension, .. } => {
            match extension {
                Extension::Founding(after) => vec![after],
                Extension::Checkpoints { before, after } => vec![before, after],
                Extension::Batch(_) => Vec::new(),
            }
        }
        Evidence::TwoHeaders { .. } | Evidence::BackDated { .. } => Vec::new(),
    }
}

impl FailureFacts {
    /// What an error says, with what can be shown of it.
    #[must_use]
    pub fn of(failed: &AuditError, evidence: Option<EvidenceFacts>) -> Self {
        Self {
            check: failed.check().map(Check::code),
            what: failed.to_string(),
            entry: match failed {
                AuditError::Entry { entry, .. } => Some(entry.get()),
                _ => None,
            },
            evidence,
        }
    }
}

impl Findings {
    /// What a course has come to: everything holds, or this does not.
    #[must_use]
    pub fn new(
        course: &Course,
        given: &Roster,
        log: &str,
        made_at: UnixMillis,
        failure: Option<FailureFacts>,
    ) -> Self {
        let roster = course.roster().unwrap_or(given);
        let shown = course.checkpoint();
        Self {
            version: REPORT_VERSION,
            holds: failure.is_none(),
            made_at: iso(made_at.seconds()),
            log: log.to_owned(),
            origin: given.origin().to_string(),
            roster: RosterFacts::of(roster),
            checkpoint: shown.map(|shown| StateFacts::of(shown, roster)),
            verified: course.counts().values().sum(),
            entry_bytes: course.entry_bytes(),
            map_keys: course.map_size(),
            runs: course.runs().iter().map(RunFacts::of).collect(),
            checks: checks(course, failure.as_ref()),
            kinds: course
                .counts()
                .iter()
                .map(|(kind, count)| (kind.as_str(), *count))
                .collect(),
            days: days(course),
            events: events(course),
            cosigning: CosigningFacts::of(course),
            failure,
        }
    }

    /// The report for programs: one JSON object, indented.
    #[must_use]
    pub fn to_json(&self) -> String {
        // A struct of strings and numbers always has one.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

impl RosterFacts {
    fn of(roster: &Roster) -> Self {
        Self {
            epoch: roster.epoch().get(),
            hash: roster.hash().to_base64(),
            voting: roster.voting_members().count(),
            quorum: roster.quorum(),
        }
    }
}

impl RunFacts {
    fn of(run: &super::Run) -> Self {
        Self {
            from: run.from.get(),
            to: run.to.get(),
            at: iso(run.time),
        }
    }
}

fn checks(course: &Course, failure: Option<&FailureFacts>) -> Vec<CheckFacts> {
    let failed = failure.and_then(|failure| failure.check);
    let checks = Check::ALL.iter().map(|check| CheckFacts {
        check: check.code(),
        count: course.checks().count(*check),
        holds: failed != Some(check.code()),
    });
    checks.collect()
}

fn days(course: &Course) -> Vec<DayFacts> {
    let days = course.statistics().days.iter();
    let days = days.map(|(day, counts)| {
        let kinds = Kind::ALL.iter().map(|kind| kind.as_str());
        let kinds = kinds.zip(counts.iter().copied());
        DayFacts {
            day: day.to_iso(),
            kinds: kinds.filter(|(_, count)| *count > 0).collect(),
        }
    });
    days.collect()
}

fn events(course: &Course) -> Vec<EventFacts> {
    let events = course.statistics().events.iter();
    let events = events.map(|(event, count)| EventFacts {
        event: event.code(),
        reason: event.reason().map(proto::refusal::Reason::code),
        count: *count,
    });
    events.collect()
}

impl CosigningFacts {
    fn of(course: &Course) -> Self {
        let cosigning = course.cosigning();
        let members = cosigning
            .delays
            .iter()
            .map(|(member, delays)| MemberDelays {
                member: member.to_string(),
                samples: delays.values().sum(),
                median_s: percentile(delays, 50).unwrap_or_default(),
                p99_s: percentile(delays, 99).unwrap_or_default(),
                delays: delays
                    .iter()
                    .map(|(seconds, count)| DelayFacts {
                        seconds: *seconds,
                        count: *count,
                    })
                    .collect(),
            });
        Self {
            sampled: cosigning.sampled,
            idle: cosigning.idle,
            members: members.collect(),
        }
    }
}

/// RFC 3339 in UTC, in whole seconds.
fn iso(time: UnixSeconds) -> String {
    UnixMillis::new(time.get().saturating_mul(1_000)).to_iso()
}

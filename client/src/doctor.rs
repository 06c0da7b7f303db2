//! Looking for what is wrong before somebody waits at the counter: files, clock, nodes, admission.
//!
//! Nothing is written to the ledger, and nobody's data is asked for.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use proto::checkpoint::VerifiedCheckpoint;
use proto::ids::{LeafIndex, MemberName};
use proto::lpp::Catalogue;
use proto::refusal::Reason;
use tokio::task::JoinSet;

use crate::connection::{CallError, Connection};
use crate::failure::Failure;
use crate::files;
use crate::lookup::LookupError;
use crate::profile::Profile;
use crate::queue::{Queue, QueueError};
use crate::session::Session;
use crate::system;

/// Longest wait for one node: somebody stands before the screen.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How a matter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// As it should be.
    Well,
    /// It works, and somebody should look.
    Remark,
    /// It does not work.
    Ill,
}

/// What was found of one matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, such as `roster` or `node cnam`.
    pub matter: String,
    /// How it stands.
    pub standing: Standing,
    /// What was found, in a sentence without a personal value or a secret.
    pub found: String,
    /// What may be done.
    pub hint: Option<&'static str>,
}

impl Finding {
    fn well(matter: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            matter: matter.into(),
            standing: Standing::Well,
            found: found.into(),
            hint: None,
        }
    }

    fn remark(matter: impl Into<String>, found: impl Into<String>, hint: &'static str) -> Self {
        Self {
            standing: Standing::Remark,
            hint: Some(hint),
            ..Self::well(matter, found)
        }
    }

    fn ill(matter: impl Into<String>, error: &impl Failure) -> Self {
        Self {
            standing: Standing::Ill,
            hint: error.hint(),
            ..Self::well(matter, error.to_string())
        }
    }
}

/// Looks at everything a profile leads to. Never fails: what cannot be had is a finding.
pub async fn examine(profile: &Profile, queue: &Path) -> Vec<Finding> {
    // First, so that what is said of the roster is said of the newest one.
    let session = profile.open_session().await;
    let catalogue = profile.catalogue();
    let mut findings = vec![roster(profile), key(profile), state(profile)];
    findings.push(match &catalogue {
        Ok(_) => Finding::well("catalogue", "it can be read"),
        Err(error) => Finding::ill("catalogue", error),
    });
    findings.push(waiting(queue));
    match session {
        Ok(session) => findings.extend(federation(&session, catalogue.ok().as_ref()).await),
        Err(error) => findings.push(Finding::ill("session", &error)),
    }
    findings
}

fn roster(profile: &Profile) -> Finding {
    match profile.roster() {
        Ok(roster) => Finding::well(
            "roster",
            format!(
                "epoch {}, {} members, {}",
                roster.epoch(),
                roster.members().len(),
                roster.origin()
            ),
        ),
        Err(error) => Finding::ill("roster", &error),
    }
}

/// A key that others can read is not one's own for long.
fn key(profile: &Profile) -> Finding {
    let settings = profile.settings();
    let path = settings.device_key.as_deref().unwrap_or(profile.key_file());
    if let Err(error) = Profile::secret_in(path) {
        return Finding::ill("key", &error);
    }
    let mode = fs::metadata(path).map_or(0, |data| data.permissions().mode());
    match mode & 0o077 {
        0 => Finding::well("key", "it can be read, by its owner alone"),
        _ => Finding::remark(
            "key",
            "other users of this machine can read it",
            "give it mode 0600; if others may have read it, have it revoked and make a new one",
        ),
    }
}

/// The state folder can be written to, and what it holds can be read.
fn state(profile: &Profile) -> Finding {
    let folder = profile.state_folder();
    let probe = folder.join("doctor.probe");
    let written = files::create_folder(folder)
        .and_then(|()| files::replace(&probe, b""))
        .and_then(|()| files::remove(&probe));
    if let Err(error) = written {
        return Finding::ill("state", &error);
    }
    match profile.view() {
        Ok(view) => match view.follower().latest() {
            Some(seen) => Finding::well("state", format!("{} entries seen so far", seen.size())),
            None => Finding::well("state", "nothing seen yet"),
        },
        Err(error) => Finding::ill("state", &error),
    }
}

fn waiting(folder: &Path) -> Finding {
    if !folder.exists() {
        return Finding::well("queue", "no claim waits");
    }
    let listed = || -> Result<_, QueueError> { Queue::open(folder)?.list() };
    match listed() {
        Ok(claims) if claims.is_empty() => Finding::well("queue", "no claim waits"),
        Ok(claims) => Finding::remark(
            "queue",
            format!("{} claims wait, or were refused", claims.len()),
            "`vitrail queue send` sends what waits, `vitrail queue list` shows it",
        ),
        Err(error) => Finding::ill("queue", &error),
    }
}

/// What one node answered.
struct Answered {
    member: MemberName,
    took: Duration,
    answer: Result<VerifiedCheckpoint, LookupError>,
}

/// Every node, how many of those that vote, the catalogue in force, and the own admission.
async fn federation(session: &Session, catalogue: Option<&Catalogue>) -> Vec<Finding> {
    let mut answered = ask_all(session).await;
    answered.sort_by(|a, b| a.member.cmp(&b.member));
    let mut findings: Vec<_> = answered.iter().map(node).collect();
    let reached: Vec<_> = answered.iter().filter(|one| one.answer.is_ok()).collect();
    findings.push(quorum(session, &reached));
    if let Some(one) = reached.iter().min_by_key(|one| one.took) {
        findings.push(in_force(session, catalogue).await);
        findings.push(admission(session, &one.member).await);
    }
    findings
}

async fn ask_all(session: &Session) -> Vec<Answered> {
    let mut asked = JoinSet::new();
    for member in session.roster().members() {
        if let Some(connection) = session.connection(&member.name) {
            let connection = connection.attempt(ANSWER_WITHIN);
            asked.spawn(async move {
                let started = Instant::now();
                let answer = connection.checkpoint().await;
                (connection.member().clone(), started.elapsed(), answer)
            });
        }
    }
    let answers = asked.join_all().await.into_iter();
    let verified = answers.map(|(member, took, answer)| Answered {
        answer: match answer {
            Ok(signed) => session.verify_checkpoint(&member, &signed),
            Err(error) => Err(error.into()),
        },
        member,
        took,
    });
    verified.collect()
}

fn node(one: &Answered) -> Finding {
    let matter = format!("node {}", one.member);
    match &one.answer {
        Ok(checkpoint) => {
            let now = system::now().seconds().get();
            Finding::well(
                matter,
                format!(
                    "answers in {} ms, {} entries, cosigned {} s ago",
                    one.took.as_millis(),
                    checkpoint.size(),
                    now.saturating_sub(checkpoint.time().get()),
                ),
            )
        }
        Err(error) => Finding::ill(matter, error),
    }
}

/// One node is enough to be served; a till wants to know before it is down to none.
fn quorum(session: &Session, reached: &[&Answered]) -> Finding {
    let roster = session.roster();
    let voting = roster.voting_members().count();
    let is_reached = |name: &MemberName| reached.iter().any(|one| one.member == *name);
    let well = roster
        .voting_members()
        .filter(|member| is_reached(&member.name))
        .count();
    let found = format!("{well} of {voting} members that vote are reached");
    match well {
        0 => Finding {
            standing: Standing::Ill,
            hint: Some("is the network there, and this machine's clock right?"),
            ..Finding::well("federation", found)
        },
        _ if well < voting => Finding::remark(
            "federation",
            found,
            "work goes on; whoever runs the others may want to know",
        ),
        _ => Finding::well("federation", found),
    }
}

async fn in_force(session: &Session, catalogue: Option<&Catalogue>) -> Finding {
    match (session.catalogue_in_force().await, catalogue) {
        (Err(error), _) => Finding::ill("catalogue in force", &error),
        (Ok(None), _) => Finding::remark(
            "catalogue in force",
            "the ledger names none",
            "the member that publishes it has not yet",
        ),
        (Ok(Some(named)), Some(own)) if named.notice.hash == own.hash() => {
            Finding::well("catalogue in force", "it is the own one")
        }
        (Ok(Some(_)), _) => Finding::remark(
            "catalogue in force",
            "it is not the own one",
            "`vitrail catalogue fetch` brings it",
        ),
    }
}

/// Entry 0 is a roster, which nobody opens: a node says so to those whom it lets in, and to others that
/// it does not know them. So nothing is looked at, and no look is recorded.
async fn admission(session: &Session, member: &MemberName) -> Finding {
    let asked = session
        .connection(member)
        .map(|connection: &Connection| connection.attempt(ANSWER_WITHIN));
    let Some(connection) = asked else {
        return Finding::remark("admission", "nobody could be asked", "try again");
    };
    match connection.open_entry(LeafIndex::new(0)).await {
        Ok(_)
        | Err(CallError::NotAdmitted {
            reason: Some(Reason::ReferenceUnfit),
            ..
        }) => Finding::well("admission", format!("{member} admits this key")),
        Err(error) => Finding::ill("admission", &error),
    }
}

//! A federation whose members all vote: founded by one, joined by the others, given votes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use client::session::Session;
use client::system;
use node::peer::Peer;
use proto::attestation::Attestation;
use proto::checkpoint::SignedCheckpoint;
use proto::entry::{Entry, VerifiedEntry};
use proto::ids::{MemberName, RequestId};
use proto::roster::{Member, MemberChange, Roster, SignedRoster};
use proto::signing::SecretKey;
use proto::wire::AppendAnswer;
use proto::wire::status::NodeStatus;
use tokio::task::block_in_place;

use crate::federation::cnam;
use crate::nodes::Nodes;

/// How often a node is asked again.
const POLL: Duration = Duration::from_millis(50);
/// How often the nodes are asked who leads.
const LEADER_POLL: Duration = Duration::from_millis(20);
/// How long members may take to agree on something, on however busy a machine.
const AGREED_MAX: Duration = Duration::from_secs(60);

/// Founds a federation of `count` members, and gives each a vote.
///
/// # Panics
/// When anything of it fails.
pub async fn all_voting(dir: &Path, count: u16, threshold: u16) -> Nodes {
    let mut nodes = Nodes::found(dir, count, threshold, &BTreeMap::new());
    give_votes(&mut nodes, &[]).await;
    nodes
}

/// Starts every node of a young federation with these flags, and gives each member a vote.
///
/// # Panics
/// When anything of it fails.
pub async fn give_votes(nodes: &mut Nodes, flags: &[&str]) {
    nodes.start_all(&[&["--learn"], flags].concat());
    let_vote(nodes).await;
}

/// Founds a federation of four members, and gives a vote to those named, the founder among them;
/// the nodes of the others never run.
///
/// # Panics
/// When anything of it fails.
pub async fn voting(dir: &Path, names: &[&str], flags: &[&str]) -> Nodes {
    let mut nodes = Nodes::found(dir, 4, 2, &BTreeMap::new());
    let flags = [&["--learn"], flags].concat();
    for name in names {
        nodes.start(&name.parse().unwrap(), &flags);
    }
    if names.len() > 1 {
        let_vote(&mut nodes).await;
    }
    nodes
}

/// A vote for each member whose node runs.
async fn let_vote(nodes: &mut Nodes) {
    let signed = with_votes(nodes);
    let roster = signed.verify_successor(&nodes.federation.roster).unwrap();
    let secret = nodes.keys[&cnam()].clone();
    let entry = sign(
        &Attestation::Roster(signed),
        &secret,
        &nodes.federation.roster,
    );
    let session = nodes.session("cnam", &secret);
    let taken = async {
        loop {
            // The leader waits until those that are to vote have caught up.
            match session.home().append(&entry, None).await {
                Ok(AppendAnswer::Accepted(_)) => return,
                Ok(AppendAnswer::Refused { reason, .. }) => panic!("refused: {}", reason.code()),
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    };
    let taken = tokio::time::timeout(AGREED_MAX, taken).await;
    taken.expect("the members are given their votes");
    seats_vote(&roster, &secret).await;
    nodes.federation.roster = roster;
}

/// Returns once each voting member's node knows that all of them vote in the ordering engine: before
/// that nobody can take over from who leads.
async fn seats_vote(roster: &Roster, secret: &SecretKey) {
    let want = roster.voting_members().count();
    for peer in Peer::voting(roster, secret).unwrap() {
        let all_vote = async {
            while peer.status().await.map_or(0, |it| voting_seats(&it)) < want {
                tokio::time::sleep(POLL).await;
            }
        };
        let voted = tokio::time::timeout(AGREED_MAX, all_vote).await;
        voted.expect("the members' nodes vote");
    }
}

fn voting_seats(status: &NodeStatus) -> usize {
    status.seats.iter().filter(|seat| seat.votes).count()
}

/// The same roster with a vote for every member whose node runs, signed by the founder.
fn with_votes(nodes: &Nodes) -> SignedRoster {
    let roster = &nodes.federation.roster;
    let runs = |it: &&Member| nodes.running.contains_key(&it.name) && !it.is_voting();
    let given = roster.members().iter().filter(runs);
    let given: Vec<_> = given
        .map(|it| MemberChange::Vote(it.name.clone()))
        .collect();
    let next = roster.after_changes(&given).unwrap();
    let line = next.sign(&cnam(), &nodes.keys[&cnam()]);
    SignedRoster::new(next, vec![line]).unwrap()
}

/// Signs an entry of this member.
///
/// # Panics
/// Never: what is signed here has the form of its kind.
#[must_use]
pub fn sign(attestation: &Attestation, secret: &SecretKey, roster: &Roster) -> VerifiedEntry {
    let id = RequestId::new(system::now(), system::random().unwrap());
    let header = attestation.header(secret.public(), id);
    Entry::sign(&header, roster.origin(), secret).unwrap()
}

/// The newest checkpoint of a member's node, as soon as it is of at least this size.
///
/// # Panics
/// When it does not come.
pub async fn reaches(session: &Session, size: u64) -> SignedCheckpoint {
    let reached = async {
        loop {
            if let Ok(checkpoint) = session.home().checkpoint().await
                && checkpoint.claimed().size.get() >= size
            {
                return checkpoint;
            }
            tokio::time::sleep(POLL).await;
        }
    };
    let reached = tokio::time::timeout(AGREED_MAX, reached).await;
    reached.expect("the node catches up")
}

/// The member whose node says that it takes writes itself, as soon as one of those that run does.
///
/// # Panics
/// When none does, or on a runtime of one thread.
pub async fn leader(nodes: &Nodes) -> MemberName {
    let writing = r#"vitrail_store_state{state="writing"}"#;
    let found = async {
        loop {
            let leads = block_in_place(|| {
                let mut running = nodes.running.iter();
                running.find(|(_, node)| node.metric(writing) == Some(1.0))
            });
            if let Some((name, _)) = leads {
                return name.clone();
            }
            tokio::time::sleep(LEADER_POLL).await;
        }
    };
    let found = tokio::time::timeout(AGREED_MAX, found).await;
    found.expect("one of the members leads")
}

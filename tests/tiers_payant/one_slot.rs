//! Ten thousand claims of one slot at once: one wins, and every other one is shown who did.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::session::Session;
use proto::ids::LeafIndex;
use proto::refusal::Reason;
use proto::roster::Roster;
use proto::signing::SecretKey;
use proto::wire::AppendAnswer;
use tempfile::TempDir;
use tests::binary::scratch_folder;
use tests::nodes::Nodes;
use tests::replicated::{all_voting, leader, reaches};
use tests::workload::{Ground, Prepared, fresh_slots};
use tests::world::World;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::{sleep, timeout};

const CLAIMS: usize = 10_000;
const TILLS: usize = 64;
/// Every so many claims, one is sent twice at once, as by a till that lost patience.
const RETRIED: usize = 8;
/// Pause before another node is asked: an election takes about a second.
const ELSEWHERE_PAUSE: Duration = Duration::from_millis(100);
/// The members of a federation in which each votes.
const MEMBERS: [&str; 4] = ["cnam", "alpha", "beta", "opticians"];
/// Tills there, each with a connection to every node.
const TILLS_OF_FOUR: usize = 16;
/// Claims through four nodes, unless the environment asks for more.
const CLAIMS_OF_FOUR: usize = 200;
const CLAIMS_ASKED: &str = "VITRAIL_TEST_ONE_SLOT_CLAIMS";
/// The leader is killed when one claim of so many is answered.
const ANSWERED_BEFORE_KILL: usize = 4;
/// Longest wait for an answer from any node, on however busy a machine.
const ANSWER_MAX: Duration = Duration::from_secs(300);

/// The verified answer: the index it got, or the index of the entry that has the slot.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Accepted(LeafIndex),
    Refused { holder: LeafIndex },
}

/// Asks one node after the other, the same one if there is no other, until there is an answer:
/// asking again with the same bytes is safe, whatever became of the first time.
async fn claim(sessions: Vec<Session>, claim: Arc<Prepared>, roster: Arc<Roster>) -> Outcome {
    let payload = Some((&claim.payload, &claim.salt));
    let asked = async {
        for session in sessions.iter().cycle() {
            if let Ok(answer) = session.home().append(&claim.entry, payload).await {
                return answer;
            }
            if sessions.len() > 1 {
                sleep(ELSEWHERE_PAUSE).await;
            }
        }
        panic!("a till without a node");
    };
    let answer = timeout(ANSWER_MAX, asked).await.expect("a node answers");
    verified(answer, &roster)
}

fn verified(answer: AppendAnswer, roster: &Roster) -> Outcome {
    match answer {
        AppendAnswer::Accepted(receipt) => {
            let verified = receipt
                .verify(roster, &mut |_| {})
                .expect("the receipt verifies");
            Outcome::Accepted(verified.index)
        }
        AppendAnswer::Refused { reason, evidence } => {
            assert_eq!(reason, Reason::SlotReserved);
            let evidence = evidence.expect("a refusal for a slot carries its proof");
            let shown = evidence
                .verify(roster, &mut |_| {})
                .expect("the proof verifies");
            assert_eq!(shown.state.by, evidence.holder.index);
            Outcome::Refused {
                holder: evidence.holder.index,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_thousand_claims_of_one_slot_one_is_accepted_and_the_rest_are_shown_it() {
    let world = World::new(TILLS).await;
    let sessions = world.sessions();
    let roster = Arc::new(world.federation.roster.clone());
    let contested = fresh_slots(1);
    let before = sessions[0]
        .home()
        .checkpoint()
        .await
        .unwrap()
        .claimed()
        .size;

    let mut in_flight = JoinSet::new();
    let mut accepted = BTreeSet::new();
    let mut holders = BTreeSet::new();
    let mut answers = 0;
    for place in 0..CLAIMS {
        let till = place % TILLS;
        let prepared = Arc::new(world.ground.claim(&world.tills[till], &contested));
        let copies = if place % RETRIED == 0 { 2 } else { 1 };
        for _ in 0..copies {
            let session = vec![sessions[till].clone()];
            in_flight.spawn(claim(session, prepared.clone(), roster.clone()));
        }
    }
    while let Some(outcome) = in_flight.join_next().await {
        answers += 1;
        match outcome.unwrap() {
            Outcome::Accepted(index) => accepted.insert(index),
            Outcome::Refused { holder } => holders.insert(holder),
        };
    }
    assert_eq!(answers, CLAIMS + CLAIMS.div_ceil(RETRIED));
    assert_eq!(accepted.len(), 1, "one claim is accepted: {accepted:?}");
    assert_eq!(holders, accepted, "every refusal names the one that was");
    let after = sessions[0]
        .home()
        .checkpoint()
        .await
        .unwrap()
        .claimed()
        .size;
    assert_eq!(after.get(), before.get() + 1, "the log grew by one entry");
}

/// What became of many claims of one slot.
#[derive(Default)]
struct Outcomes {
    answers: usize,
    accepted: BTreeSet<LeafIndex>,
    holders: BTreeSet<LeafIndex>,
}

impl Outcomes {
    fn add(&mut self, outcome: &Outcome) {
        self.answers += 1;
        match outcome {
            Outcome::Accepted(index) => self.accepted.insert(*index),
            Outcome::Refused { holder } => self.holders.insert(*holder),
        };
    }

    fn one_is_accepted(&self, claims: usize) {
        let Self {
            answers,
            accepted,
            holders,
        } = self;
        assert_eq!(*answers, claims);
        assert_eq!(accepted.len(), 1, "one claim is accepted: {accepted:?}");
        assert_eq!(holders, accepted, "every refusal names the one that was");
    }
}

/// Four members that vote, and tills with a connection to each node.
struct Four {
    nodes: Nodes,
    tills: Vec<SecretKey>,
    /// By till, then by member.
    sessions: Vec<Vec<Session>>,
    in_flight: JoinSet<Outcome>,
    /// The size of the log before.
    before: u64,
    _folder: TempDir,
}

impl Four {
    async fn new() -> (Self, Ground) {
        let folder = scratch_folder();
        let nodes = all_voting(folder.path(), 4, 2).await;
        let founder = nodes.node("cnam");
        let ground = Ground::lay(&nodes.federation, founder).await;
        let tills = nodes.federation.grant_tills(founder, TILLS_OF_FOUR).await;
        let of = |till| MEMBERS.map(|member| nodes.session(member, till)).to_vec();
        let sessions: Vec<Vec<_>> = tills.iter().map(of).collect();
        let laid = sessions[0][0].home().checkpoint().await.unwrap();
        let before = laid.claimed().size.get();
        for session in &sessions[0] {
            reaches(session, before).await;
        }
        let four = Self {
            nodes,
            tills,
            sessions,
            in_flight: JoinSet::new(),
            before,
            _folder: folder,
        };
        (four, ground)
    }

    /// Claims one slot so many times at once, each node first for a quarter of them.
    fn claim_at_once(&mut self, ground: &Ground, claims: usize) {
        let roster = Arc::new(self.nodes.federation.roster.clone());
        let contested = fresh_slots(1);
        for place in 0..claims {
            let till = place % TILLS_OF_FOUR;
            let prepared = Arc::new(ground.claim(&self.tills[till], &contested));
            let mut nodes = self.sessions[till].clone();
            nodes.rotate_left((place / TILLS_OF_FOUR) % MEMBERS.len());
            self.in_flight.spawn(claim(nodes, prepared, roster.clone()));
        }
    }

    async fn answers(&mut self, most: usize, outcomes: &mut Outcomes) {
        while outcomes.answers < most
            && let Some(outcome) = self.in_flight.join_next().await
        {
            outcomes.add(&outcome.unwrap());
        }
    }

    /// Each node has one entry more than before.
    async fn one_entry_more(&self) {
        for member in MEMBERS {
            let session = self.nodes.session(member, &self.tills[0]);
            let newest = reaches(&session, self.before + 1).await;
            newest.verify(&self.nodes.federation.roster).unwrap();
            assert_eq!(newest.claimed().size.get(), self.before + 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_claim_is_accepted_though_the_leader_is_killed_among_them() {
    let asked = std::env::var(CLAIMS_ASKED).ok();
    let claims = asked.map_or(CLAIMS_OF_FOUR, |claims| {
        claims.parse().expect("a number of claims")
    });
    let (mut four, ground) = Four::new().await;
    let (began, mut outcomes) = (Instant::now(), Outcomes::default());
    four.claim_at_once(&ground, claims);
    four.answers(claims / ANSWERED_BEFORE_KILL, &mut outcomes)
        .await;
    let killed = leader(&four.nodes).await;
    block_in_place(|| four.nodes.kill(killed.as_str()));
    let (killed_after, answered) = (began.elapsed(), outcomes.answers);
    four.answers(claims / 2, &mut outcomes).await;
    block_in_place(|| four.nodes.start(&killed, &[]));
    four.answers(claims, &mut outcomes).await;
    let all_after = began.elapsed();
    outcomes.one_is_accepted(claims);
    four.one_entry_more().await;
    println!(
        "{claims} claims of one slot through four nodes in {all_after:.1?}: {killed}, which led, \
         was killed after {killed_after:.1?} and {answered} answers; one was accepted, {} proofs \
         of refusal verified",
        claims - 1
    );
}

//! Members that are cut off, both ways or one way: the others go on, who is cut off says so and
//! writes nothing, nothing is given twice, and what heals goes on by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use client::connection::CallError;
use client::federation;
use client::session::Session;
use client::system;
use node::engine::EngineId;
use node::store::{Store, StoreOptions};
use proto::attestation::CLOCK_SKEW_MS_MAX;
use proto::checkpoint::SignedCheckpoint;
use proto::ids::{LeafIndex, MemberName, TreeSize};
use proto::refusal::Reason;
use proto::signing::SecretKey;
use proto::wire::AppendAnswer;
use tests::binary::scratch_folder;
use tests::contest::{Contest, Judged};
use tests::federation::{fresh_key, grant};
use tests::nodes::{Nodes, names};
use tests::partition::{Left, Wires};
use tests::replicated::{give_votes, leader, reaches};
use tests::workload::{Ground, Prepared, fresh_slots};
use tokio::task::{JoinSet, block_in_place};
use tokio::time::{sleep, timeout};

const MEMBERS: u16 = 4;
/// How long a cut lasts, unless the environment asks for longer: then the ways of being cut off
/// that leave one direction are gone through too.
const CUT: Duration = Duration::from_secs(4);
const CUT_ASKED: &str = "VITRAIL_TEST_CUT_SECONDS";
/// A node that has not heard of the federation for so long refuses tills, where that is looked at.
const FRESH_FOR_S: u64 = 6;
/// Pause between two grants: members are not refused, so that what they write keeps all fresh.
const GRANT_PAUSE: Duration = Duration::from_millis(500);
/// Longest wait for what must come, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(50);
/// By then nobody takes anything more that had not begun before a cut.
const SETTLED: Duration = Duration::from_secs(2);
/// Long enough for several elections.
const ELECTIONS: Duration = Duration::from_secs(3);

fn is_cut_asked() -> bool {
    std::env::var(CUT_ASKED).is_ok()
}

fn cut_time() -> Duration {
    let asked = std::env::var(CUT_ASKED).ok();
    asked.map_or(CUT, |seconds| {
        Duration::from_secs(seconds.parse().expect("a number of seconds"))
    })
}

/// Four members that vote, with a wire before each, and callers that fight for slots all the time.
struct World {
    wires: Wires,
    nodes: Nodes,
    ground: Ground,
    till: SecretKey,
    contest: Contest,
    fresh_for_s: Option<u64>,
    shown: Mutex<BTreeMap<TreeSize, String>>,
    _folder: tempfile::TempDir,
}

async fn append(session: &Session, claim: &Prepared) -> Result<AppendAnswer, CallError> {
    let payload = Some((&claim.payload, &claim.salt));
    session.home().append(&claim.entry, payload).await
}

/// Asks until there is an answer, and how long that takes.
async fn answered(session: Session, claim: Prepared) -> (AppendAnswer, Duration) {
    let began = Instant::now();
    let asked = async {
        loop {
            if let Ok(answer) = append(&session, &claim).await {
                return (answer, began.elapsed());
            }
            sleep(PAUSE).await;
        }
    };
    timeout(PATIENCE, asked).await.expect("there is an answer")
}

/// Whether what was claimed then is refused for its age by now, or may be soon.
fn is_too_old(began: Instant) -> bool {
    let margin = Duration::from_secs(20);
    began.elapsed() + margin > Duration::from_millis(CLOCK_SKEW_MS_MAX)
}

/// What a node shows now.
async fn newest(session: &Session) -> SignedCheckpoint {
    reaches(session, 0).await
}

/// Grants keys all the time, through whichever node takes it.
async fn grant_on(sessions: Vec<Session>) {
    for session in sessions.iter().cycle() {
        let granted = federation::grant(session, grant(&fresh_key()));
        let _ = timeout(ELECTIONS, granted).await;
        sleep(GRANT_PAUSE).await;
    }
}

fn accepted(answer: AppendAnswer) -> LeafIndex {
    match answer {
        AppendAnswer::Accepted(receipt) => receipt.proved.index,
        AppendAnswer::Refused { reason, .. } => panic!("refused: {}", reason.code()),
    }
}

fn holder(answer: AppendAnswer) -> LeafIndex {
    match answer {
        AppendAnswer::Accepted(_) => panic!("a slot is given twice"),
        AppendAnswer::Refused { evidence, .. } => evidence.unwrap().holder.index,
    }
}

impl World {
    /// `fresh_for_s` says after how long a node that hears nothing refuses tills, if that matters.
    async fn new(fresh_for_s: Option<u64>) -> Self {
        let fresh_for = fresh_for_s.map(|it| ["--fresh-for-s".to_owned(), it.to_string()]);
        let flags: Vec<_> = fresh_for.iter().flatten().map(String::as_str).collect();
        let folder = scratch_folder();
        let (wires, mut nodes) = Wires::found(folder.path(), MEMBERS, 2).await;
        give_votes(&mut nodes, &flags).await;
        let founder = nodes.node("cnam");
        let ground = Ground::lay(&nodes.federation, founder).await;
        let mut tills = nodes.federation.grant_tills(founder, 5).await;
        let till = tills.pop().unwrap();
        let laid = newest(&nodes.session("cnam", &till)).await;
        let size = laid.claimed().size.get();
        for member in nodes.keys.keys() {
            reaches(&nodes.session(member.as_str(), &till), size).await;
        }
        let contest = Contest::begin(&nodes, &ground, &tills);
        Self {
            wires,
            nodes,
            ground,
            till,
            contest,
            fresh_for_s,
            shown: Mutex::default(),
            _folder: folder,
        }
    }

    /// A till's way to one member's node alone.
    fn till_at(&self, member: &MemberName) -> Session {
        self.nodes.session(member.as_str(), &self.till)
    }

    /// A member's way to its own node, which is not refused for what the node has not heard.
    fn member_at(&self, member: &MemberName) -> Session {
        self.nodes
            .session(member.as_str(), &self.nodes.keys[member])
    }

    /// The ways of the optician federation to all nodes.
    fn opticians(&self) -> Vec<Session> {
        let key = &self.nodes.federation.opticians;
        let members = self.nodes.keys.keys();
        members
            .map(|it| self.nodes.session(it.as_str(), key))
            .collect()
    }

    fn claim(&self) -> Prepared {
        self.ground.claim(&self.till, &fresh_slots(1))
    }

    async fn follower(&self) -> MemberName {
        let leads = leader(&self.nodes).await;
        let follows = names(MEMBERS).into_iter().find(|name| *name != leads);
        follows.unwrap()
    }

    /// A fresh slot is claimed at each of these nodes; how long the slowest takes.
    async fn all_write(&self, members: impl Iterator<Item = &MemberName>) -> Duration {
        let mut writing = JoinSet::new();
        for member in members {
            writing.spawn(answered(self.till_at(member), self.claim()));
        }
        let mut slowest = Duration::ZERO;
        while let Some(written) = writing.join_next().await {
            let (answer, took) = written.unwrap();
            accepted(answer);
            slowest = slowest.max(took);
        }
        slowest
    }

    /// Cuts one off: it refuses, the others go on; healed, it is in use again, and one slot that was
    /// asked for on both sides was given once.
    async fn cut_off(&self, member: &MemberName, left: Left) {
        let (began, contested) = (Instant::now(), fresh_slots(1));
        self.wires.isolate(member, left);
        let here = self.ground.claim(&self.till, &contested);
        let refused = async {
            let error = append(&self.till_at(member), &here).await.unwrap_err();
            assert!(matches!(error, CallError::CutOff { .. }), "{error}");
            began.elapsed()
        };
        let others = names(MEMBERS);
        let others: Vec<_> = others.iter().filter(|it| *it != member).collect();
        let writing = self.all_write(others.iter().copied());
        let (refused_in, written_in) = tokio::join!(refused, writing);
        let there = self.ground.claim(&self.till, &contested);
        let (there, _) = answered(self.till_at(others[0]), there).await;
        self.stay_cut(member, left, began).await;

        self.wires.heal();
        let healed = Instant::now();
        let used_in = self.all_write(std::iter::once(member)).await;
        let caught_up_in = self.catch_up().await;
        // What was asked before is too old by now, if it has no place.
        let is_new = is_too_old(began);
        let here = match is_new {
            true => self.ground.claim(&self.till, &contested),
            false => here,
        };
        let (here, _) = answered(self.till_at(member), here).await;
        match there {
            AppendAnswer::Accepted(receipt) => assert_eq!(holder(here), receipt.proved.index),
            // Who is heard may have got in what it was told had failed; a new claim meets that too.
            refused @ AppendAnswer::Refused { .. } => assert_eq!(
                holder(refused),
                if is_new { holder(here) } else { accepted(here) }
            ),
        }
        println!(
            "{member} cut off, {left:?} left, for {:.1} s: refuses in {refused_in:.1?}, others \
             write in {written_in:.1?}; healed, in use in {used_in:.1?}, caught up in {caught_up_in:.1?}",
            (healed - began).as_secs_f64()
        );
    }

    /// Waits until the cut has lasted as long as it should. One that hears nothing shows what it
    /// had, with its age, and at last refuses tills.
    async fn stay_cut(&self, member: &MemberName, left: Left, began: Instant) {
        if let Some(fresh_for_s) = self.fresh_for_s.filter(|_| left == Left::Nothing) {
            let own = self.member_at(member);
            let shown = newest(&own).await;
            let refused = async {
                let before = self.tills_refused(member);
                while self.tills_refused(member) == before {
                    let error = append(&self.till_at(member), &self.claim()).await;
                    assert!(matches!(error, Err(CallError::CutOff { .. })), "{error:?}");
                }
            };
            timeout(PATIENCE, refused).await.expect("tills are refused");
            let still = newest(&own).await;
            assert_eq!(still.claimed(), shown.claimed(), "it writes nothing");
            let verified = still.verify(&self.nodes.federation.roster).unwrap();
            let age = system::now().seconds().get() - verified.time().get();
            assert!(age >= fresh_for_s, "{age} s");
        }
        sleep(cut_time().saturating_sub(began.elapsed())).await;
    }

    /// How often a member's node has refused a till because it is cut off.
    fn tills_refused(&self, member: &MemberName) -> Option<f64> {
        let node = self.nodes.node(member.as_str());
        block_in_place(|| node.metric("vitrail_cut_off_total"))
    }

    /// Returns once every node has what the leader has now, under the same roots.
    async fn catch_up(&self) -> Duration {
        let began = Instant::now();
        let leads = leader(&self.nodes).await;
        let newest = newest(&self.member_at(&leads)).await;
        for member in names(MEMBERS) {
            let size = newest.claimed().size.get();
            let reached = reaches(&self.member_at(&member), size).await;
            reached.verify(&self.nodes.federation.roster).unwrap();
            self.show(&reached);
        }
        began.elapsed()
    }

    /// No two nodes show other roots at one size.
    fn show(&self, checkpoint: &SignedCheckpoint) {
        let claimed = checkpoint.claimed();
        let mut shown = self.shown.lock().unwrap();
        let first = shown
            .entry(claimed.size)
            .or_insert_with(|| claimed.to_text());
        assert_eq!(*first, claimed.to_text(), "two checkpoints of one size");
    }

    /// Returns once all nodes have come to one state: nobody writes any more.
    async fn agree(&self) {
        let agreed = async {
            loop {
                let mut states = BTreeSet::new();
                for member in names(MEMBERS) {
                    let newest = newest(&self.member_at(&member)).await;
                    self.show(&newest);
                    states.insert(newest.claimed().to_text());
                }
                if states.len() == 1 {
                    return;
                }
                sleep(PAUSE).await;
            }
        };
        timeout(PATIENCE, agreed).await.expect("the nodes agree");
    }

    /// What callers were told can be true, and one that is cut off has not run ahead of the others
    /// with elections of its own.
    async fn end(mut self) {
        let Judged {
            calls,
            accepted,
            looks,
            ..
        } = self.contest.judge().await;
        self.agree().await;
        assert!(
            accepted > 0 && looks > 0,
            "nothing was done in {calls} calls"
        );
        println!(
            "{calls} calls about contested slots, {accepted} accepted: there is an order; {looks} \
             looks are as the log was at their sizes"
        );
        let follower = {
            let leads = leader(&self.nodes).await;
            names(MEMBERS).into_iter().find(|it| *it != leads).unwrap()
        };
        self.wires.isolate(&follower, Left::Nothing);
        sleep(ELECTIONS).await;
        let mut terms = Vec::new();
        for member in names(MEMBERS) {
            block_in_place(|| self.nodes.kill(member.as_str()));
            let data = self.nodes.folder(member.as_str()).join("data");
            let store = Store::open(&data, StoreOptions::default()).unwrap();
            let state = store.begin_engine(EngineId::new(0)).unwrap();
            terms.push((member, state.vote.unwrap().leader_id.term));
        }
        println!("terms: {terms:?}");
        let (own, others): (Vec<_>, Vec<_>) = terms.iter().partition(|(it, _)| *it == follower);
        let newest = others.iter().map(|(_, term)| term).max().unwrap();
        assert!(own[0].1 <= *newest, "{terms:?}");
    }
}

/// Four nodes at a time are enough for one machine.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn who_is_cut_off_says_so_and_the_others_go_on_whoever_led() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let world = World::new(Some(FRESH_FOR_S)).await;
    let granting = tokio::spawn(grant_on(world.opticians()));
    let lefts = [Left::Nothing, Left::Hearing, Left::BeingHeard];
    let count = if is_cut_asked() { lefts.len() } else { 1 };
    for left in lefts.into_iter().take(count) {
        let follower = world.follower().await;
        world.cut_off(&follower, left).await;
        let leads = leader(&world.nodes).await;
        world.cut_off(&leads, left).await;
    }
    granting.abort();
    let _ = granting.await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_halves_neither_writes_and_what_was_on_its_way_is_ordered_when_they_meet() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let world = World::new(None).await;
    let leads = leader(&world.nodes).await;
    let members = names(MEMBERS);
    let other = members.iter().find(|name| **name != leads).unwrap();
    let began = Instant::now();
    world.wires.split(&[leads.clone(), other.clone()]);
    let mut refusing = JoinSet::new();
    let mut claims = Vec::new();
    // The leader's is taken, and sent to its companion.
    for member in &members {
        let (session, claim) = (world.till_at(member), world.claim());
        claims.push((member, claim.clone()));
        refusing.spawn(async move {
            let error = append(&session, &claim).await.unwrap_err();
            assert!(matches!(error, CallError::CutOff { .. }), "{error}");
        });
    }
    while let Some(refused) = refusing.join_next().await {
        refused.unwrap();
    }
    let refused_in = began.elapsed();
    sleep(SETTLED).await;
    let mut shown = Vec::new();
    for member in &members {
        let checkpoint = newest(&world.member_at(member)).await;
        shown.push((member, checkpoint.claimed().size));
    }
    sleep(cut_time().saturating_sub(began.elapsed())).await;
    for (member, size) in shown {
        let still = newest(&world.member_at(member)).await;
        assert_eq!(still.claimed().size, size, "{member} has written alone");
    }

    world.wires.heal();
    let (lasted, mut places) = (began.elapsed(), BTreeSet::new());
    let used_in = world.all_write(members.iter()).await;
    for (member, claim) in claims {
        let (answer, _) = answered(world.till_at(member), claim).await;
        match answer {
            AppendAnswer::Refused { reason, .. } if is_too_old(began) => {
                assert_eq!(reason, Reason::ClockSkew);
            }
            answer => assert!(places.insert(accepted(answer)), "one place for one claim"),
        }
    }
    // What was only taken may be lost, and after a long cut is too old to be asked for again.
    assert!(
        is_too_old(began) || !places.is_empty(),
        "what the leader had taken has its place"
    );
    let caught_up_in = world.catch_up().await;
    println!(
        "two and two for {lasted:.1?}: both refuse in {refused_in:.1?}; healed, all write in \
         {used_in:.1?}, caught up in {caught_up_in:.1?}"
    );
    world.end().await;
}

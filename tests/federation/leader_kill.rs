//! `kill -9` of the leader under load: nothing that was acknowledged is lost, no node ever shows
//! other roots at one size, what callers were told of contested slots can be true, and the members
//! that are left write again within about a second.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use client::session::Session;
use proto::ids::{LeafIndex, MemberName, TreeSize};
use proto::receipt::Receipt;
use proto::roster::Roster;
use proto::signing::SecretKey;
use proto::wire::AppendAnswer;
use tests::binary::scratch_folder;
use tests::contest::{Contest, Judged};
use tests::nodes::Nodes;
use tests::replicated::{all_voting, leader, reaches};
use tests::workload::{Ground, Prepared, fresh_slots};
use tokio::task::{JoinSet, block_in_place};
use tokio::time::{sleep, timeout};

const MEMBERS: [&str; 4] = ["cnam", "alpha", "beta", "opticians"];
/// Rounds, unless the environment asks for more: each takes about ten seconds in debug.
const ROUNDS: u64 = 2;
const ROUNDS_ASKED: &str = "VITRAIL_TEST_LEADER_KILLS";
/// Tills that claim one after the other all the time.
const CALLERS: usize = 8;
/// Tills that find out after a kill when writes are back, one at each node that is left.
const PROBES: usize = 3;
/// Tills that fight for one slot after the other, each through all nodes.
const RIVALS: usize = 3;
/// Claims that are acknowledged in a round before its kill.
const CLAIMS_BEFORE_KILL: usize = 16;
/// Pause before the next node is asked.
const ELSEWHERE_PAUSE: Duration = Duration::from_millis(20);
/// How often each node is asked for its checkpoint.
const WATCH_PAUSE: Duration = Duration::from_millis(25);
/// How often one look may be on record: it is asked again four times while its node does not answer.
const RECORDS_OF_A_LOOK: u64 = 5;
/// Longest wait for an answer from any node, on however busy a machine.
const ANSWER_MAX: Duration = Duration::from_secs(120);

/// What the tills of a run share.
struct Load {
    roster: Roster,
    ground: Ground,
    tills: Vec<SecretKey>,
    rivals: Vec<SecretKey>,
    /// By till, then by member.
    sessions: Vec<Vec<Session>>,
    acknowledged: Mutex<Vec<Receipt>>,
    asked_again: AtomicUsize,
    over: AtomicBool,
    /// What was shown at a size, by whichever node.
    shown: Mutex<BTreeMap<TreeSize, String>>,
}

impl Load {
    async fn new(nodes: &Nodes) -> Self {
        let founder = nodes.node("cnam");
        let ground = Ground::lay(&nodes.federation, founder).await;
        let count = CALLERS + PROBES + RIVALS;
        let mut tills = nodes.federation.grant_tills(founder, count).await;
        let rivals = tills.split_off(CALLERS + PROBES);
        let of = |till| MEMBERS.map(|member| nodes.session(member, till)).to_vec();
        Self {
            roster: nodes.federation.roster.clone(),
            ground,
            sessions: tills.iter().map(of).collect(),
            tills,
            rivals,
            acknowledged: Mutex::default(),
            asked_again: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            shown: Mutex::default(),
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn acknowledged(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// The newest place that was acknowledged.
    fn newest(&self) -> LeafIndex {
        let acknowledged = self.acknowledged.lock().unwrap();
        let places = acknowledged.iter().map(|receipt| receipt.proved.index);
        places.max().unwrap()
    }

    fn claim(&self, till: usize) -> Prepared {
        self.ground.claim(&self.tills[till], &fresh_slots(1))
    }

    /// Asks one member's node after the other with the same bytes, until one answers.
    async fn receipt(&self, till: usize, claim: &Prepared, member: &mut usize) -> (Receipt, bool) {
        let mut is_repeated = false;
        let payload = Some((&claim.payload, &claim.salt));
        let asked = async {
            loop {
                let session = &self.sessions[till][*member % MEMBERS.len()];
                *member += 1;
                match session.home().append(&claim.entry, payload).await {
                    Ok(AppendAnswer::Accepted(receipt)) => return receipt,
                    Ok(AppendAnswer::Refused { reason, .. }) => {
                        panic!("refused: {}", reason.code())
                    }
                    Err(_) => is_repeated = true,
                }
                sleep(ELSEWHERE_PAUSE).await;
            }
        };
        let receipt = timeout(ANSWER_MAX, asked).await.expect("a node answers");
        (receipt, is_repeated)
    }

    /// Claims fresh slots until it is over, each at the next node. A claim that had gone
    /// unanswered is asked for once more: it has one place.
    async fn claim_on(self: Arc<Self>, till: usize) {
        let mut member = till;
        while !self.is_over() {
            let claim = self.claim(till);
            let (receipt, is_repeated) = self.receipt(till, &claim, &mut member).await;
            if is_repeated {
                self.asked_again.fetch_add(1, Ordering::Relaxed);
                let (again, _) = self.receipt(till, &claim, &mut member).await;
                assert_eq!(again.proved.index, receipt.proved.index, "one request");
            }
            self.acknowledged.lock().unwrap().push(receipt);
        }
    }

    /// Asks one node for its checkpoint all the time: a quorum vouches for each, it never shrinks
    /// while the node lives on the same disk, and no other node shows other roots at its size.
    async fn watch(self: Arc<Self>, session: Session) {
        let mut last = TreeSize::new(0);
        while !self.is_over() {
            if let Ok(checkpoint) = session.home().checkpoint().await {
                let (size, text) = (checkpoint.claimed().size, checkpoint.claimed().to_text());
                assert!(size >= last, "a node went back from {last} to {size}");
                if size > last {
                    checkpoint.verify(&self.roster).unwrap();
                }
                last = size;
                self.show(size, &text);
            }
            sleep(WATCH_PAUSE).await;
        }
    }

    fn show(&self, size: TreeSize, text: &str) {
        let mut shown = self.shown.lock().unwrap();
        let first = shown.entry(size).or_insert_with(|| text.to_owned());
        assert_eq!(*first, text, "two checkpoints of one size");
    }

    /// Returns once so many more claims were acknowledged.
    async fn goes_on(&self, more: usize) {
        let wanted = self.acknowledged() + more;
        let reached = async {
            while self.acknowledged() < wanted {
                sleep(ELSEWHERE_PAUSE).await;
            }
        };
        timeout(ANSWER_MAX, reached).await.expect("there is load");
    }
}

/// Kills the leader's node; how long it takes until a claim that is sent then is answered at the first
/// and at the last of the nodes that are left.
async fn kill_leader(nodes: &mut Nodes, load: &Arc<Load>) -> (MemberName, [Duration; 2]) {
    let killed = leader(nodes).await;
    let left = (0..MEMBERS.len()).filter(|place| MEMBERS[*place] != killed.as_str());
    let left: Vec<usize> = left.collect();
    let mut claims = Vec::new();
    for (probe, member) in left.into_iter().enumerate() {
        let till = CALLERS + probe;
        // The connection is there before: what is measured is the federation.
        let session = load.sessions[till][member].clone();
        session.home().checkpoint().await.unwrap();
        claims.push((session, load.claim(till)));
    }
    let since = Instant::now();
    block_in_place(|| nodes.kill(killed.as_str()));
    let mut probes = JoinSet::new();
    for (session, claim) in claims {
        probes.spawn(write(load.clone(), session, claim, since));
    }
    let mut times = Vec::new();
    while let Some(took) = probes.join_next().await {
        times.push(took.unwrap());
    }
    let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    (killed, [*first, *last])
}

async fn write(load: Arc<Load>, session: Session, claim: Prepared, since: Instant) -> Duration {
    let payload = Some((&claim.payload, &claim.salt));
    loop {
        match session.home().append(&claim.entry, payload).await {
            Ok(AppendAnswer::Accepted(receipt)) => {
                let took = since.elapsed();
                load.acknowledged.lock().unwrap().push(receipt);
                return took;
            }
            Ok(AppendAnswer::Refused { reason, .. }) => panic!("refused: {}", reason.code()),
            Err(_) => assert!(since.elapsed() < ANSWER_MAX, "writes do not come back"),
        }
    }
}

/// Each receipt verifies, has a place of its own, and every node has its entry at that place,
/// under one and the same root. What rivals were told has its place too, and nothing else has one.
async fn nothing_is_lost(nodes: &Nodes, load: &Load, laid: TreeSize, contest: Judged) {
    let acknowledged = load.acknowledged.lock().unwrap().clone();
    let mut places = BTreeSet::new();
    for receipt in &acknowledged {
        let index = receipt.verify(&load.roster, &mut |_| {}).unwrap().index;
        assert!(places.insert(index), "two entries have one place");
        let signed = receipt.checkpoint.claimed();
        load.show(signed.size, &signed.to_text());
    }
    // Of what was not answered, some may be there, or come late.
    let told = laid.get() + (acknowledged.len() + contest.accepted) as u64;
    let recorded = contest.looked as u64 * RECORDS_OF_A_LOOK;
    let at_most = told + contest.unanswered as u64 + recorded;
    for member in MEMBERS {
        let session = nodes.session(member, &load.tills[0]);
        let newest = reaches(&session, told).await;
        let verified = newest.verify(&load.roster).unwrap();
        let size = newest.claimed().size.get();
        assert!(size <= at_most, "{size} entries, {at_most} were asked for");
        load.show(newest.claimed().size, &newest.claimed().to_text());
        for receipt in &acknowledged {
            let (held, _) = session.home().entry(receipt.proved.index).await.unwrap();
            held.verify_inclusion(&verified).unwrap();
            let (held, acknowledged) = (&held.entry, &receipt.proved.entry);
            assert_eq!(held.leaf_hash(), acknowledged.leaf_hash(), "at {member}");
        }
    }
}

fn median(times: &[[Duration; 2]], place: usize) -> Duration {
    let mut times: Vec<_> = times.iter().map(|pair| pair[place]).collect();
    times.sort_unstable();
    times[times.len() / 2]
}

async fn kill_the_leader(rounds: u64) {
    let folder = scratch_folder();
    let mut nodes = all_voting(folder.path(), 4, 2).await;
    let load = Arc::new(Load::new(&nodes).await);
    let key = load.tills[0].clone();
    let laid = nodes.session("cnam", &key).home().checkpoint().await;
    let laid = laid.unwrap().claimed().size;
    for member in MEMBERS {
        reaches(&nodes.session(member, &key), laid.get()).await;
    }
    let mut running = JoinSet::new();
    for till in 0..CALLERS {
        running.spawn(load.clone().claim_on(till));
    }
    for member in MEMBERS {
        running.spawn(load.clone().watch(nodes.session(member, &key)));
    }
    let mut contest = Contest::begin(&nodes, &load.ground, &load.rivals);
    let mut times = Vec::new();
    for round in 0..rounds {
        load.goes_on(CLAIMS_BEFORE_KILL).await;
        // Another moment of a batch each time.
        sleep(Duration::from_millis((37 * round) % 200)).await;
        let (killed, took) = kill_leader(&mut nodes, &load).await;
        println!("round {round}: {killed} killed, writes back at one node and at all in {took:?}");
        times.push(took);
        block_in_place(|| nodes.start(&killed, &[]));
        let newest = load.newest().get() + 1;
        reaches(&nodes.session(killed.as_str(), &key), newest).await;
    }
    load.over.store(true, Ordering::Relaxed);
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
    let contest = contest.judge().await;
    nothing_is_lost(&nodes, &load, laid, contest).await;
    assert!(contest.accepted > 0, "{contest:?}");
    println!("contested slots: {contest:?}: there is an order");
    println!(
        "{} claims acknowledged in {rounds} rounds, {} of them asked again; median until writes \
         are back {:?} at one node, {:?} at all",
        load.acknowledged(),
        load.asked_again.load(Ordering::Relaxed),
        median(&times, 0),
        median(&times, 1),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_with_the_leader() {
    let asked = std::env::var(ROUNDS_ASKED).ok();
    let asked = asked.map(|rounds| rounds.parse().expect("a number of rounds"));
    kill_the_leader(asked.unwrap_or(ROUNDS)).await;
}

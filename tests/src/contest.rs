//! Callers at every node that claim and release the same slot all the time, and note what they
//! asked and what they were told: the history that [`crate::linear`] judges.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use client::lookup::Found;
use client::session::Session;
use proto::attestation::{Attestation, Release};
use proto::entry::VerifiedEntry;
use proto::hash::Hash;
use proto::ids::{LeafIndex, SlotKey};
use proto::roster::Roster;
use proto::seal::{Salt, SealedPayload};
use proto::signing::SecretKey;
use proto::wire::AppendAnswer;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::linear::{self, Asked, Call, CallId, Told};
use crate::looks::{self, Change, Look};
use crate::nodes::Nodes;
use crate::replicated::sign;
use crate::workload::{Ground, fresh_slots};

/// For how long one slot is fought for: then the next one, so that a history stays small, and a
/// claim whose answer was lost holds up nobody for long.
const ROUND: Duration = Duration::from_secs(2);
/// How long a caller waits for a node before it asks the next, and how many it asks.
const ANSWER_MAX: Duration = Duration::from_millis(2_500);
const NODES_ASKED: usize = 3;
/// Pause of a caller between two calls.
const PAUSE: Duration = Duration::from_millis(150);

/// One slot, and what was said about it.
struct Round {
    slot: SlotKey,
    calls: Vec<Call>,
    /// The calls by what they had to say.
    ids: BTreeMap<Hash, CallId>,
    /// Where what was accepted stands.
    places: BTreeMap<CallId, LeafIndex>,
    looks: Vec<Look>,
}

impl Round {
    fn new() -> Self {
        Self {
            slot: fresh_slots(1)[0],
            calls: Vec::new(),
            ids: BTreeMap::new(),
            places: BTreeMap::new(),
            looks: Vec::new(),
        }
    }

    /// All that may have changed the slot: what was refused has not.
    fn changes(&self) -> Vec<Change> {
        let calls = self.calls.iter().enumerate();
        let calls = calls.filter(|(_, call)| !matches!(call.told, Told::Refused(_)));
        let change = |(id, call): (CallId, &Call)| Change {
            id,
            at: call.at,
            asked: call.asked,
            place: self.places.get(&id).map(|place| place.get()),
        };
        calls.map(change).collect()
    }

    /// # Panics
    /// When what was told or shown cannot be true.
    fn judge(&self) {
        if let Err(violation) = linear::check(&self.calls) {
            panic!("{violation:?} of {:#?}", self.calls);
        }
        let changes = self.changes();
        for look in &self.looks {
            if let Err(unfit) = looks::check(look, &changes) {
                panic!("{unfit:?}: {look:?} of {changes:#?}");
            }
        }
    }
}

/// A contest that goes on until it is [judged](Self::judge).
pub struct Contest {
    shared: Arc<Shared>,
    callers: JoinSet<()>,
}

struct Shared {
    ground: Ground,
    roster: Roster,
    began: Instant,
    over: AtomicBool,
    looked: AtomicUsize,
    rounds: Mutex<Vec<Round>>,
}

/// One caller: a till with a connection to every node.
struct Caller {
    till: SecretKey,
    sessions: Vec<Session>,
    /// The node that is asked first.
    next: usize,
    shared: Arc<Shared>,
}

/// What became of a contest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// How many calls there were.
    pub calls: usize,
    /// How many of them were accepted: so many entries.
    pub accepted: usize,
    /// How many were not answered: as many entries more, at most.
    pub unanswered: usize,
    /// How many looks were answered, each as the log was at its size.
    pub looks: usize,
    /// How many were asked for.
    pub looked: usize,
}

type Payload<'a> = Option<(&'a SealedPayload, &'a Salt)>;

impl Contest {
    /// Begins one, with a caller for each till, which asks its own node first.
    #[must_use]
    pub fn begin(nodes: &Nodes, ground: &Ground, tills: &[SecretKey]) -> Self {
        let shared = Arc::new(Shared {
            ground: ground.clone(),
            roster: nodes.federation.roster.clone(),
            began: Instant::now(),
            over: AtomicBool::new(false),
            looked: AtomicUsize::new(0),
            rounds: Mutex::default(),
        });
        let mut callers = JoinSet::new();
        for (place, till) in tills.iter().enumerate() {
            let members = nodes.keys.keys();
            let caller = Caller {
                till: till.clone(),
                sessions: members.map(|it| nodes.session(it.as_str(), till)).collect(),
                next: place,
                shared: shared.clone(),
            };
            callers.spawn(caller.call_on());
        }
        Self { shared, callers }
    }

    /// Ends it.
    ///
    /// # Panics
    /// When what callers were told cannot be true.
    pub async fn judge(&mut self) -> Judged {
        self.shared.over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.callers.join_next().await {
            ended.unwrap();
        }
        let rounds = self.shared.rounds.lock().unwrap();
        rounds.iter().for_each(Round::judge);
        let calls = || rounds.iter().flat_map(|round| &round.calls);
        let told = |what| calls().filter(|call| call.told == what).count();
        Judged {
            calls: calls().count(),
            accepted: told(Told::Accepted),
            unanswered: told(Told::Nothing),
            looks: rounds.iter().map(|round| round.looks.len()).sum(),
            looked: self.shared.looked.load(Ordering::Relaxed),
        }
    }
}

impl Shared {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap()
    }

    /// The slot of this moment.
    fn slot(&self) -> (usize, SlotKey) {
        let place = self.began.elapsed().as_millis() / ROUND.as_millis();
        let place = usize::try_from(place).unwrap();
        let mut rounds = self.rounds.lock().unwrap();
        while rounds.len() <= place {
            rounds.push(Round::new());
        }
        (place, rounds[place].slot)
    }

    /// Notes a call before it is made.
    fn note(&self, round: usize, asked: Asked, entry: &VerifiedEntry) -> CallId {
        let round = &mut self.rounds.lock().unwrap()[round];
        let id = round.calls.len();
        round.ids.insert(entry.leaf_hash(), id);
        round.calls.push(Call {
            at: self.now(),
            answered_at: u64::MAX,
            asked,
            told: Told::Nothing,
        });
        id
    }

    /// Notes what was told; the place of what was accepted.
    fn told(&self, round: usize, id: CallId, answer: Option<AppendAnswer>) -> Option<LeafIndex> {
        let answered_at = self.now();
        let round = &mut self.rounds.lock().unwrap()[round];
        let mut place = None;
        let told = match answer? {
            AppendAnswer::Accepted(receipt) => {
                let verified = receipt.verify(&self.roster, &mut |_| {}).unwrap();
                place = Some(verified.index);
                round.places.insert(id, verified.index);
                Told::Accepted
            }
            AppendAnswer::Refused { evidence, .. } => {
                let holder = evidence.map(|evidence| {
                    evidence.verify(&self.roster, &mut |_| {}).unwrap();
                    round.ids[&evidence.holder.entry.leaf_hash()]
                });
                Told::Refused(holder)
            }
        };
        let call = &mut round.calls[id];
        (call.told, call.answered_at) = (told, answered_at);
        place
    }
}

impl Shared {
    /// Notes what a look has shown; its proofs were verified.
    fn shown(&self, round: usize, found: &Found) {
        let answered_at = self.now();
        let round = &mut self.rounds.lock().unwrap()[round];
        let holder = found.slots[0].as_ref().map(|it| {
            let id = round.ids[&it.holder.entry.leaf_hash()];
            (id, it.state.by.get())
        });
        round.looks.push(Look {
            answered_at,
            size: found.checkpoint.size().get(),
            holder,
        });
    }
}

impl Caller {
    async fn call_on(mut self) {
        while !self.shared.over.load(Ordering::Relaxed) {
            let (round, slot) = self.shared.slot();
            let claim = self.shared.ground.claim(&self.till, &[slot]);
            let id = self.shared.note(round, Asked::Claim, &claim.entry);
            let payload = Some((&claim.payload, &claim.salt));
            let answer = self.ask(&claim.entry, payload).await;
            let claimed = self.shared.told(round, id, answer);
            self.look(round, slot).await;
            if let Some(place) = claimed {
                self.release(round, slot, id, place).await;
            }
            sleep(PAUSE).await;
        }
    }

    /// Looks the slot up at the node that is asked first, which need not answer.
    async fn look(&self, round: usize, slot: SlotKey) {
        self.shared.looked.fetch_add(1, Ordering::Relaxed);
        let session = &self.sessions[self.next % self.sessions.len()];
        let found = timeout(ANSWER_MAX, session.lookup(&[slot], &[])).await;
        if let Ok(Ok(found)) = found {
            self.shared.shown(round, &found);
        }
    }

    async fn release(&mut self, round: usize, slot: SlotKey, claimed: CallId, claim: LeafIndex) {
        let release = Attestation::Release(Release {
            slots: vec![slot],
            claim,
            invoice: None,
        });
        let entry = sign(&release, &self.till, &self.shared.roster);
        let id = self.shared.note(round, Asked::Release(claimed), &entry);
        let answer = self.ask(&entry, None).await;
        self.shared.told(round, id, answer);
    }

    /// Asks one node after the other with the same bytes; the one that answers is asked first
    /// again. Whoever gives no answer may have done it all the same.
    async fn ask(&mut self, entry: &VerifiedEntry, payload: Payload<'_>) -> Option<AppendAnswer> {
        for _ in 0..NODES_ASKED {
            let session = &self.sessions[self.next % self.sessions.len()];
            let answer = timeout(ANSWER_MAX, session.home().append(entry, payload)).await;
            if let Ok(Ok(answer)) = answer {
                return Some(answer);
            }
            self.next += 1;
            sleep(PAUSE).await;
        }
        None
    }
}

//! Who writes in a simulation: the founder's office first, and tills that claim slots.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use proto::attestation::{Attestation, CatalogueNotice, Claim, Coverage, Grant, GrantClass};
use proto::entry::{Entry, VerifiedEntry};
use proto::hash::Hash;
use proto::ids::{CoverageKey, LeafIndex, RequestId, SlotKey, UnixMillis};
use proto::receipt::Receipt;
use proto::roster::Roster;
use proto::seal::{Salt, SealedPayload, seal};
use proto::token::SealingSecret;
use proto::wire::v1::ledger_service_client::LedgerServiceClient;
use proto::wire::{AppendAnswer, read, write};
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Request};

use super::federation::{MEMBERS, PORT, address, voting_roster};
use super::machine;
use super::watch::Watch;
use crate::clock;
use crate::example::{origin, secret};
use crate::peer;

/// The tills, and whose keys they hold.
pub(super) const TILLS: [&str; 2] = ["till", "other-till"];
/// Slots that the tills claim: few, so that they want the same.
const SLOTS: u64 = 40;
/// How long a till waits for an answer before it asks another node.
const ANSWER_MAX: Duration = Duration::from_secs(4);
/// Longest pause of a till between two claims, and before it asks another node.
const CLAIM_PAUSE_MS: u64 = 400;
const RETRY_PAUSE_MS: u64 = 150;
/// Where the founding put the catalogue and the coverage.
const CATALOGUE: LeafIndex = LeafIndex::new(1);
const COVERAGE: LeafIndex = LeafIndex::new(4);

/// What the hosts of a simulation share.
pub(super) struct World {
    pub(super) watch: RefCell<Watch>,
    /// Whether the faults are over, so that each till makes its last claim.
    pub(super) is_healed: Cell<bool>,
}

/// One who writes: its key, and its ways to the nodes.
struct Writer {
    who: &'static str,
    nodes: Vec<LedgerServiceClient<Channel>>,
    roster: Roster,
    world: Rc<World>,
    random: u64,
}

impl Writer {
    fn new(who: &'static str, world: Rc<World>, seed: u64) -> Self {
        let open = |(place, member): (usize, &&str)| {
            let address = format!("{}:{PORT}", address(place)).parse().unwrap();
            let key = secret(member).public();
            LedgerServiceClient::new(peer::channel(key, &address, &secret(who)).unwrap())
        };
        Self {
            who,
            nodes: MEMBERS.iter().enumerate().map(open).collect(),
            roster: voting_roster().admitted().clone(),
            world,
            random: seed,
        }
    }

    fn draw(&mut self, below: u64) -> u64 {
        machine::next(&mut self.random) % below
    }

    fn sign(&mut self, attestation: &Attestation) -> VerifiedEntry {
        let mut random = [0; 10];
        random[..8].copy_from_slice(&machine::next(&mut self.random).to_be_bytes());
        let id = RequestId::new(clock::now(), random);
        let header = attestation.header(secret(self.who).public(), id);
        Entry::sign(&header, &origin(), &secret(self.who)).unwrap()
    }

    /// Asks one node; `None` when it gives no answer that is final.
    async fn ask(
        &mut self,
        node: usize,
        entry: &VerifiedEntry,
        payload: Option<&(SealedPayload, Salt)>,
    ) -> Option<AppendAnswer> {
        let payload = payload.map(|(sealed, salt)| (sealed, salt));
        let mut request = Request::new(write::append(entry, payload));
        request.set_timeout(ANSWER_MAX);
        let answered = timeout(ANSWER_MAX, self.nodes[node].append(request)).await;
        let code = match answered {
            Ok(Ok(answer)) => return read::append_answer(answer.into_inner(), entry).ok(),
            Ok(Err(status)) => status.code(),
            Err(_) => Code::DeadlineExceeded,
        };
        let (who, asked) = (self.who, MEMBERS[node]);
        self.tell(format_args!("{who} gets {code:?} from {asked}"));
        None
    }

    fn tell(&self, what: std::fmt::Arguments<'_>) {
        let mut watch = self.world.watch.borrow_mut();
        let now = watch.now;
        watch.trace.tell(now, what);
    }

    /// Asks one node after the other with the same bytes until there is an answer; where the entry
    /// is, if it was accepted.
    async fn append(
        &mut self,
        first: usize,
        attestation: &Attestation,
        payload: Option<&(SealedPayload, Salt)>,
    ) -> Option<LeafIndex> {
        let entry = self.sign(attestation);
        let mut node = first;
        let answer = loop {
            if let Some(answer) = self.ask(node, &entry, payload).await {
                break answer;
            }
            let pause = self.draw(RETRY_PAUSE_MS);
            sleep(Duration::from_millis(pause)).await;
            node = (node + 1) % MEMBERS.len();
        };
        match answer {
            AppendAnswer::Accepted(receipt) => Some(self.accepted(&receipt, &entry)),
            AppendAnswer::Refused { reason, .. } => {
                let who = self.who;
                self.tell(format_args!("{who} is refused: {}", reason.code()));
                None
            }
        }
    }

    fn accepted(&self, receipt: &Receipt, entry: &VerifiedEntry) -> LeafIndex {
        let index = receipt.proved.index;
        let size = receipt.checkpoint.claimed().size;
        // The founder alone vouches for what it answers until the others have votes.
        if size.get() > COVERAGE.get() + 1 {
            receipt.verify(&self.roster, &mut |_| ()).unwrap();
        }
        let who = self.who;
        self.tell(format_args!("{who} gets {index} in {size}"));
        let mut watch = self.world.watch.borrow_mut();
        watch.acknowledged(index, entry.leaf_hash());
        index
    }
}

fn payload() -> (SealedPayload, Salt) {
    let secret = SealingSecret::from_bytes([4; 32]);
    let salt = Salt::from_bytes([6; 32]);
    (seal(&[(&secret, b"payload")], &salt).unwrap(), salt)
}

fn commitment() -> Hash {
    let (sealed, salt) = payload();
    *sealed.commitment(&salt).as_hash()
}

/// Lays the ground of every simulation: a catalogue, two tills, a coverage, and votes for all.
pub(super) async fn lay(world: Rc<World>) -> turmoil::Result {
    let today = clock::now().day();
    let notice = CatalogueNotice {
        hash: Hash::from_bytes([9; 32]),
        valid_from: today,
    };
    let mut founder = Writer::new(MEMBERS[0], world.clone(), 1);
    let catalogue = founder
        .append(0, &Attestation::Catalogue(notice), None)
        .await;
    assert_eq!(catalogue, Some(CATALOGUE));
    let mut opticians = Writer::new("opticians", world.clone(), 2);
    for till in TILLS {
        let grant = Grant {
            till: secret(till).public(),
            finess: "750000001".parse().unwrap(),
            expires_at: UnixMillis::new(clock::now().get() + 86_400_000),
            hourly_quota: 20,
            daily_quota: 60,
            class: GrantClass::Till,
        };
        opticians
            .append(0, &Attestation::Grant(grant), None)
            .await
            .unwrap();
    }
    let coverage = Attestation::Coverage(Coverage {
        coverage: CoverageKey::from_bytes([7; 32]),
        catalogue: CATALOGUE,
        until: today.plus(30),
        commitment: commitment(),
    });
    let mut insurer = Writer::new("amc", world, 3);
    let coverage = insurer.append(0, &coverage, Some(&payload())).await;
    assert_eq!(coverage, Some(COVERAGE));
    let votes = Attestation::Roster(voting_roster());
    founder.append(0, &votes, None).await.unwrap();
    Ok(())
}

fn claim(slots: &[u64]) -> Attestation {
    let key = |slot: &u64| {
        let mut key = [0; 32];
        key[24..].copy_from_slice(&slot.to_be_bytes());
        SlotKey::from_bytes(key)
    };
    Attestation::Claim(Claim {
        slots: slots.iter().map(key).collect(),
        catalogue: CATALOGUE,
        coverages: vec![COVERAGE],
        until: clock::now().day().plus(60),
        commitment: commitment(),
        early: None,
    })
}

/// A till: claims of one or two slots until the faults are over, and then one that must be taken.
pub(super) async fn till(place: usize, world: Rc<World>, seed: u64) -> turmoil::Result {
    let mut till = Writer::new(TILLS[place], world.clone(), seed);
    while !world.is_healed.get() {
        let slot = till.draw(SLOTS);
        let (one, two) = ([slot], [slot, slot + 1]);
        let claim = claim(if till.draw(3) == 0 { &two } else { &one });
        let node = usize::try_from(till.draw(MEMBERS.len() as u64)).unwrap();
        till.append(node, &claim, Some(&payload())).await;
        let pause = till.draw(CLAIM_PAUSE_MS);
        sleep(Duration::from_millis(pause)).await;
    }
    let last = claim(&[2 * SLOTS + place as u64]);
    let taken = till.append(place, &last, Some(&payload())).await;
    taken
        .map(|_| ())
        .ok_or_else(|| "the last claim is refused".into())
}

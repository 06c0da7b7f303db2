//! Leaders that lie, among members that do not: all of them in one process, each with its own
//! store, under the rules of the real sequencer. The engine is played by the test, which gives
//! each side what the liar wants it to have, and in the order that it wants.

use std::collections::BTreeMap;

use bytes::Bytes;
use proto::attestation::{Attestation, CatalogueNotice, Claim, Coverage, Grant, GrantClass};
use proto::batch::{SignedHeader, content_hash};
use proto::checkpoint::{Checkpoint, SignedCheckpoint};
use proto::entry::VerifiedEntry;
use proto::hash::Hash;
use proto::ids::{CoverageKey, LeafIndex, MemberName, UnixMillis};
use proto::roster::{Epoch, Member, Role, Roster, SignedRoster, Standing};
use proto::seal::seal;
use proto::token::SealingSecret;
use proto::wire::batch::record_bytes;
use proto::wire::replication::{PAGE_ENTRIES_MAX, Page};
use tempfile::TempDir;

use super::checking::Chain;
use super::steps::{commit_batch, grow, grow_from};
use super::tests::{claim, sign};
use super::*;
use crate::clock;
use crate::engine::EngineId;
use crate::example::{origin, roster_parts, secret};
use crate::ledger::{Batch, decide, genesis};
use crate::store::{Store, StoreOptions};
use crate::witness::Witness;

mod alone;
mod sides;

fn name(text: &str) -> MemberName {
    text.parse().unwrap()
}

/// A federation of so many members, all of whom vote.
fn roster(voting: usize) -> SignedRoster {
    let mut parts = roster_parts(Epoch::default(), None);
    for place in parts.members.len()..voting {
        let text = format!("payer-{place}");
        parts.members.push(Member {
            name: name(&text),
            role: Role::Amc,
            payer: Some(format!("7600000{place}").parse().unwrap()),
            standing: Standing::Voting,
            public_key: secret(&text).public(),
            grpc: None,
            http: None,
        });
    }
    for member in &mut parts.members {
        member.standing = Standing::Voting;
    }
    let roster = Roster::new(parts).unwrap();
    let members = roster.members().iter();
    let lines = members.map(|it| roster.sign(&it.name, &secret(it.name.as_str())));
    let lines = lines.collect();
    SignedRoster::new(roster, lines).unwrap()
}

/// One member's node, without its engine.
struct Node {
    sequencer: Sequencer,
    store: Store,
    _dir: TempDir,
}

/// Members and their ledgers. Those that lie have a node too, and use it to see what is there.
struct World {
    roster: Roster,
    nodes: BTreeMap<MemberName, Node>,
    liars: Vec<MemberName>,
}

/// An entry with its payload.
type Sealed = (VerifiedEntry, Option<(SealedPayload, Salt)>);

/// A batch as its leader made it.
#[derive(Clone)]
struct Made {
    record: Bytes,
    header: SignedHeader,
}

impl Made {
    fn checkpoint(&self) -> Checkpoint {
        self.header.claimed().checkpoint(&origin())
    }
}

/// What a leader says of its batch. An honest one says what is so.
#[derive(Clone, Copy, Default)]
struct Lies {
    at: Option<UnixMillis>,
    map_root: Option<Hash>,
    log_root: Option<Hash>,
}

fn dated(at: Option<UnixMillis>) -> Lies {
    Lies {
        at,
        ..Lies::default()
    }
}

impl World {
    /// `voting` members with the same ledger: a catalogue, a grant, a coverage.
    async fn new(voting: usize) -> Self {
        Self::laid(voting, None).await
    }

    /// The same, with a first batch that is dated so, under a leader of the term after it.
    async fn laid(voting: usize, at: Option<UnixMillis>) -> Self {
        let signed = roster(voting);
        let roster = signed.verify_genesis().unwrap();
        let first = sign("cnam", &Attestation::Roster(signed));
        let names: Vec<_> = roster.members().iter().map(|it| it.name.clone()).collect();
        let begin = |name: &MemberName| (name.clone(), Node::begin(name, &roster, &first));
        let mut world = Self {
            nodes: names.iter().map(begin).collect(),
            // The CNAM is honest, so that there is a leader to go on with.
            liars: names.iter().rev().take((voting - 1) / 3).cloned().collect(),
            roster,
        };
        world.recall().await;
        world.lay(at).await;
        world
    }

    /// Each hears from the others that it has signed nothing that it does not know of.
    async fn recall(&self) {
        for (own, node) in &self.nodes {
            for other in self.nodes.keys().filter(|it| *it != own) {
                node.sequencer.recalled(other.clone(), Vec::new()).await;
            }
        }
    }

    /// A catalogue and a till in the ledger, by an honest leader.
    async fn lay(&mut self, at: Option<UnixMillis>) {
        let everybody: Vec<_> = self.nodes.keys().cloned().collect();
        let entries = ground();
        let made = self.made(&name("cnam"), &entries, 1, dated(at));
        self.order_led_in(&made, &everybody, 2).await;
        self.meet(&everybody).await;
        for node in self.nodes.values() {
            assert_eq!(*node.checkpoint(), made.checkpoint());
        }
    }

    fn honest(&self) -> Vec<MemberName> {
        let honest = self.nodes.keys().filter(|it| !self.liars.contains(it));
        honest.cloned().collect()
    }

    /// A batch over what the leader's node has published.
    fn made(&self, by: &MemberName, entries: &[Sealed], term: u64, lies: Lies) -> Made {
        let node = &self.nodes[by];
        let before = node.sequencer.snapshot();
        let last = node.store.last_header().unwrap();
        let chain = last.map_or_else(Chain::default, |it| Chain::after(it.claimed()));
        let at = lies.at.unwrap_or_else(|| chain.at.max(clock::now()));
        let batch = Batch {
            at,
            entries: entries.iter().map(|(entry, _)| entry.clone()).collect(),
        };
        let (commit, _) = decide(&*before, &batch).unwrap();
        let grown = grow(&before, &commit, &node.store).unwrap();
        let content = content_hash(entries.iter().map(|(entry, _)| &**entry));
        let mut header = chain.next(term, at, content, &grown);
        header.map_root = lies.map_root.unwrap_or(header.map_root);
        header.log_root = lies.log_root.unwrap_or(header.log_root);
        let header = header.sign(&origin(), &secret(by.as_str()));
        let record = carry(&header, by, entries, before.checkpoint_text());
        Made { record, header }
    }

    /// What each of these members thinks of a batch.
    async fn asked(&self, made: &Made, of: &MemberName, term: u64) -> Result<Opinion, BatchFault> {
        self.asked_led_in(made, of, term, term).await
    }

    /// The same, from a leader of a later term.
    async fn asked_led_in(
        &self,
        made: &Made,
        of: &MemberName,
        term: u64,
        led_in: u64,
    ) -> Result<Opinion, BatchFault> {
        let sequencer = &self.nodes[of].sequencer;
        sequencer
            .check(made.record.clone(), term, led_in)
            .await
            .unwrap()
    }

    /// Each of these members finds a batch sound and has it ordered: they cosign.
    async fn order(&self, made: &Made, members: &[MemberName]) {
        let term = made.header.claimed().term;
        self.order_led_in(made, members, term).await;
    }

    async fn order_led_in(&self, made: &Made, members: &[MemberName], led_in: u64) {
        let term = made.header.claimed().term;
        for member in members {
            let opinion = self.asked_led_in(made, member, term, led_in).await;
            assert_eq!(opinion.unwrap(), Opinion::Sound);
            self.ordered(made, member);
            let mut own = self.nodes[member].sequencer.own_cosignature();
            let wanted = made.checkpoint();
            let is_it = |it: &Option<SignedCheckpoint>| {
                it.as_ref().is_some_and(|it| *it.claimed() == wanted)
            };
            own.wait_for(is_it).await.unwrap();
        }
    }

    /// The engine of a member hands a batch over; whether it is certified is seen later.
    fn ordered(&self, made: &Made, member: &MemberName) {
        let (sequencer, record) = (self.nodes[member].sequencer.clone(), made.record.clone());
        tokio::spawn(async move { sequencer.ordered(record, engine::Applied::default()).await });
    }

    /// All these members have each other's newest cosignatures.
    async fn meet(&self, members: &[MemberName]) {
        for from in members {
            let own = self.nodes[from]
                .sequencer
                .own_cosignature()
                .borrow()
                .clone();
            for to in members.iter().filter(|to| *to != from) {
                let sequencer = &self.nodes[to].sequencer;
                sequencer.cosigned_by_others(own.clone().unwrap()).await;
            }
        }
        self.settle(members).await;
    }

    /// Cosignatures of the liars, who sign whatever there is, reach these members.
    async fn liars_sign(&self, checkpoint: &Checkpoint, to: &[MemberName]) {
        let signed = self.cosigned_by_liars(checkpoint);
        for to in to {
            let sequencer = &self.nodes[to].sequencer;
            sequencer.cosigned_by_others(signed.clone()).await;
        }
        self.settle(to).await;
    }

    fn cosigned_by_liars(&self, checkpoint: &Checkpoint) -> SignedCheckpoint {
        let now = clock::now().seconds();
        let lines = self.liars.iter();
        let lines = lines.map(|it| checkpoint.cosign(it, &secret(it.as_str()), now));
        SignedCheckpoint::new(checkpoint.clone(), lines.collect()).unwrap()
    }

    /// Returns once these members have dealt with what they were told: they do it in order.
    async fn settle(&self, members: &[MemberName]) {
        for member in members {
            let sequencer = &self.nodes[member].sequencer;
            let malformed = sequencer.check(Bytes::from_static(b"?"), 0, 0).await;
            assert!(malformed.unwrap().is_err());
        }
    }

    /// What a member has from this place on.
    fn page(&self, of: &MemberName, from: TreeSize) -> Page {
        let theirs = self.nodes[of].sequencer.snapshot();
        theirs.page(from, PAGE_ENTRIES_MAX).unwrap()
    }

    /// A member gets a page of what another one has.
    async fn paged(&self, of: &MemberName, from: TreeSize, to: &MemberName) -> Taken {
        let (page, now) = (self.page(of, from), clock::now().seconds());
        let sequencer = &self.nodes[to].sequencer;
        sequencer.page(from, page, now).await.unwrap()
    }

    /// An honest member brings another one up by pages.
    async fn brings(&self, from: &MemberName, to: &MemberName) {
        let held = self.nodes[to].sequencer.snapshot().size();
        let taken = self.paged(from, held, to).await;
        assert_eq!(taken.outcome.unwrap(), Applied::Certified);
    }
}

impl Node {
    /// A node whose ledger has the first roster alone, cosigned by everybody.
    fn begin(name: &MemberName, roster: &Roster, first: &VerifiedEntry) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        assert!(store.recover().unwrap().is_none());
        let commit = genesis(first).unwrap();
        let (edge, crown) = (Default::default(), Default::default());
        let begun = commit.roster.clone().unwrap();
        let grown = grow_from(edge, &crown, begun, &commit, &store).unwrap();
        let (checkpoint, now) = (grown.checkpoint(&origin()), clock::now().seconds());
        let lines = roster.members().iter();
        let lines = lines.map(|it| checkpoint.cosign(&it.name, &secret(it.name.as_str()), now));
        let cosigned = SignedCheckpoint::new(checkpoint.clone(), lines.collect()).unwrap();
        let index = LeafIndex::new(0);
        commit_batch(&store, index, &commit, &grown, &[], &cosigned, None).unwrap();
        let state = store.begin_engine(EngineId::new(1)).unwrap();
        let witness = Witness::new(name.clone(), secret(name.as_str()));
        let sequencer = open(&store, witness, state.lock, Box::new(|_| ())).unwrap();
        Self {
            sequencer,
            store,
            _dir: dir,
        }
    }

    /// What is published.
    fn checkpoint(&self) -> Box<Checkpoint> {
        Box::new(self.sequencer.snapshot().checkpoint().claimed().clone())
    }

    /// What this member has signed last.
    fn signed(&self) -> SignedCheckpoint {
        let own = self.sequencer.own_cosignature();
        own.borrow().clone().unwrap()
    }
}

fn carry(header: &SignedHeader, by: &MemberName, entries: &[Sealed], before: &str) -> Bytes {
    let entries = entries
        .iter()
        .map(|(entry, payload)| (&**entry, payload.as_ref()));
    record_bytes(header, by, entries, before).into()
}

/// A payload of one part; what it says does not matter here.
fn payload() -> (SealedPayload, Salt) {
    let (secret, salt) = (
        SealingSecret::from_bytes([4; 32]),
        Salt::from_bytes([6; 32]),
    );
    (seal(&[(&secret, b"payload")], &salt).unwrap(), salt)
}

fn commitment() -> Hash {
    let (sealed, salt) = payload();
    *sealed.commitment(&salt).as_hash()
}

/// What the entries of these tests rest on; the coverage gets index 3.
fn ground() -> Vec<Sealed> {
    let today = clock::now().day();
    let notice = CatalogueNotice {
        hash: Hash::from_bytes([9; 32]),
        valid_from: today,
    };
    let grant = Grant {
        till: secret("till").public(),
        finess: "750000001".parse().unwrap(),
        expires_at: UnixMillis::new(clock::now().get() + 86_400_000),
        hourly_quota: 20,
        daily_quota: 60,
        class: GrantClass::Till,
    };
    vec![
        (sign("cnam", &Attestation::Catalogue(notice)), None),
        (sign("opticians", &Attestation::Grant(grant)), None),
        covered(7),
    ]
}

/// A coverage of the insurer under a key.
fn covered(key: u8) -> Sealed {
    let coverage = Coverage {
        coverage: CoverageKey::from_bytes([key; 32]),
        catalogue: LeafIndex::new(1),
        until: clock::now().day().plus(30),
        commitment: commitment(),
    };
    (
        sign("amc", &Attestation::Coverage(coverage)),
        Some(payload()),
    )
}

/// The claim of a slot by the till.
fn claimed(slot: u64) -> Sealed {
    let Attestation::Claim(claim) = claim(slot, LeafIndex::new(3)) else {
        panic!("a claim")
    };
    let claim = Claim {
        commitment: commitment(),
        ..claim
    };
    (sign("till", &Attestation::Claim(claim)), Some(payload()))
}

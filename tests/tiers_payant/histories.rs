//! Random histories of claims, decided by the node's rules and played again by the auditor's: what
//! the node admitted the auditor admits, with the same states; what it refused the auditor refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::num::NonZeroU16;
use std::sync::Arc;

use client::auditor::{Audit, AuditError, Auditor, EntryFailure};
use node::ledger::{Answered, Batch, Commit, Outcome, RequestKey, View, decide, genesis};
use proto::attestation::{
    Attestation, CatalogueNotice, Claim, Coverage, Delivery, EarlyFrom, Erasure, Grant, GrantClass,
    Handover, Release, Settlement, SettlementOutcome, State,
};
use proto::entry::{Entry, VerifiedEntry};
use proto::hash::Hash;
use proto::ids::{CoverageKey, Day, LeafIndex, Origin, RequestId, SlotKey, TreeSize, UnixMillis};
use proto::map::MapIndex;
use proto::oprf::JointSecret;
use proto::refusal::Reason;
use proto::roster::{
    Element, Epoch, Member, MemberChange, MemberShare, OprfElements, Role, Roster, RosterParts,
    SignedRoster, Standing,
};
use proto::signing::SecretKey;
use tests::memory_log::MemoryLog;

/// How many histories: with them every rule of the life of a claim refuses something.
const HISTORIES: u64 = 60;
/// Attempts in each; the log stays within one bundle.
const ATTEMPTS: usize = 24;
/// The middle of a day, so that no entry can have been decided on another one.
const START: u64 = 1_767_960_000_000;
const DAY_MS: u64 = 86_400_000;
const TILLS: [&str; 2] = ["till", "other-till"];
const PAYERS: [&str; 3] = ["cnam", "amc", "other-amc"];
/// The keys that the second payer takes, one after the other.
const AMC_KEYS: [&str; 4] = ["amc", "amc-2", "amc-3", "amc-4"];

fn secret(name: &str) -> SecretKey {
    let mut seed = [7; 32];
    seed[..name.len()].copy_from_slice(name.as_bytes());
    SecretKey::from_seed(&seed)
}

fn origin() -> Origin {
    "vitrail.test/optique".parse().unwrap()
}

/// One voting member, two other payers and a federation.
fn first_roster() -> SignedRoster {
    let joint = JointSecret::derive(&[1; 32], b"histories").unwrap();
    let element = Element::from_bytes(joint.public().to_bytes()).unwrap();
    let elements = OprfElements {
        person: element,
        contract: element,
    };
    let members = [
        ("amc", Role::Amc, Some("75000001")),
        ("cnam", Role::Amo, Some("01")),
        ("opticians", Role::Federation, None),
        ("other-amc", Role::Amc, Some("75000002")),
    ];
    let members = members.map(|(name, role, payer)| Member {
        name: name.parse().unwrap(),
        role,
        payer: payer.map(|payer| payer.parse().unwrap()),
        standing: match role {
            Role::Amo => Standing::Voting,
            Role::Amc | Role::Federation => Standing::Following,
        },
        public_key: secret(name).public(),
        grpc: None,
        http: None,
    });
    let roster = Roster::new(RosterParts {
        origin: origin(),
        epoch: Epoch::default(),
        previous: None,
        threshold: NonZeroU16::MIN,
        joint: elements,
        ceremony: None,
        members: members.to_vec(),
        shares: vec![MemberShare {
            member: "cnam".parse().unwrap(),
            index: NonZeroU16::MIN,
            public: elements,
        }],
        incident_keys: Vec::new(),
    });
    let roster = roster.unwrap();
    let line = roster.sign(&"cnam".parse().unwrap(), &secret("cnam"));
    SignedRoster::new(roster, vec![line]).unwrap()
}

/// SplitMix64: the same seed, the same history.
struct Lot(u64);

impl Lot {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// The node's view of a ledger in plain maps.
struct Ledger {
    roster: Arc<Roster>,
    entries: Vec<Arc<Entry>>,
    map: BTreeMap<MapIndex, State>,
    answers: BTreeMap<RequestKey, Answered>,
    now: u64,
    requests: u16,
}

impl View for Ledger {
    type Error = Infallible;

    fn size(&self) -> TreeSize {
        TreeSize::new(self.entries.len() as u64)
    }

    fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    fn state(&self, index: &MapIndex) -> Result<Option<State>, Infallible> {
        Ok(self.map.get(index).copied())
    }

    fn entry(&self, index: LeafIndex) -> Result<Option<Arc<Entry>>, Infallible> {
        let place = usize::try_from(index.get()).unwrap();
        Ok(self.entries.get(place).cloned())
    }

    fn answered(&self, request: &RequestKey) -> Result<Option<Answered>, Infallible> {
        Ok(self.answers.get(request).copied())
    }
}

/// A state for each place, or that it goes.
fn change(
    map: &mut BTreeMap<MapIndex, State>,
    changes: impl IntoIterator<Item = (MapIndex, Option<State>)>,
) {
    for (index, state) in changes {
        match state {
            Some(state) => map.insert(index, state),
            None => map.remove(&index),
        };
    }
}

impl Ledger {
    /// Roster (0), catalogue (1) and two granted tills.
    fn founded() -> Self {
        let roster = first_roster();
        let mut ledger = Self {
            roster: Arc::new(roster.verify_genesis().unwrap()),
            entries: Vec::new(),
            map: BTreeMap::new(),
            answers: BTreeMap::new(),
            now: START,
            requests: 0,
        };
        let entry = ledger.sign("cnam", &Attestation::Roster(roster));
        ledger.take(genesis(&entry).unwrap());
        let catalogue = Attestation::Catalogue(CatalogueNotice {
            hash: Hash::from_bytes([9; 32]),
            valid_from: ledger.today(),
        });
        assert!(ledger.say("cnam", &catalogue).is_ok());
        ledger.grant_tills();
        ledger
    }

    fn today(&self) -> Day {
        UnixMillis::new(self.now).day()
    }

    fn sign(&mut self, by: &str, says: &Attestation) -> VerifiedEntry {
        self.requests += 1;
        let mut random = [0; 10];
        random[..2].copy_from_slice(&self.requests.to_be_bytes());
        let id = RequestId::new(UnixMillis::new(self.now), random);
        let header = says.header(secret(by).public(), id);
        Entry::sign(&header, &origin(), &secret(by)).unwrap()
    }

    fn take(&mut self, commit: Commit) {
        let entries = commit.entries.iter();
        self.entries
            .extend(entries.map(|entry| entry.shared().clone()));
        change(&mut self.map, commit.map);
        self.roster = commit.roster.unwrap_or_else(|| self.roster.clone());
        self.answers.extend(commit.answers);
    }

    /// What the node's rules say.
    fn say(&mut self, by: &str, says: &Attestation) -> Result<LeafIndex, (VerifiedEntry, Reason)> {
        let entry = self.sign(by, says);
        let batch = Batch {
            at: UnixMillis::new(self.now),
            entries: vec![entry.clone()],
        };
        let Ok((commit, verdicts)) = decide(self, &batch);
        self.take(commit);
        match verdicts[0].outcome {
            Outcome::Appended(index) => Ok(index),
            Outcome::Refused(refusal) => Err((entry, refusal.reason)),
        }
    }

    /// Tills whose grant has run out get another one.
    fn grant_tills(&mut self) {
        for till in TILLS {
            let grant = Attestation::Grant(Grant {
                till: secret(till).public(),
                finess: "750000001".parse().unwrap(),
                expires_at: UnixMillis::new(self.now + 100 * DAY_MS),
                hourly_quota: 20,
                daily_quota: 60,
                class: GrantClass::Till,
            });
            let _ = self.say("opticians", &grant);
        }
    }

    /// What the auditor's rules say of this log, or of it with one more entry behind it.
    async fn audit(&self, more: Option<&VerifiedEntry>) -> Result<Audit, AuditError> {
        let (mut entries, mut map) = (self.entries.clone(), self.map.clone());
        if let Some(entry) = more {
            let leaf = LeafIndex::new(entries.len() as u64);
            let says = Attestation::read(entry.header()).unwrap();
            let effects = says.effects_on(&map, leaf, &entry.header().issuer);
            change(&mut map, effects);
            entries.push(entry.shared().clone());
        }
        let at = UnixMillis::new(self.now).seconds();
        let log = MemoryLog::new(&origin(), &entries, &map, &secret("cnam"), at);
        let auditor = Auditor::new(log, Roster::clone(&self.roster));
        auditor.audit(&mut |_| {}).await
    }
}

/// What is remembered of a claim to try something with it.
#[derive(Clone)]
struct Life {
    till: &'static str,
    slots: Vec<SlotKey>,
    claim: LeafIndex,
    /// First and newest delivery, and the day of the first.
    invoices: Vec<(LeafIndex, LeafIndex, Day)>,
    /// The second payer's key when it was claimed.
    amc: &'static str,
}

/// A history in the making.
struct History {
    ledger: Ledger,
    lot: Lot,
    lives: Vec<Life>,
    coverages: Vec<LeafIndex>,
    /// How often the second payer has taken a new key.
    rotations: usize,
}

/// What is tried, by whom, and where it is remembered when it is admitted.
struct Attempt {
    by: &'static str,
    says: Attestation,
    life: Option<usize>,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut history = Self {
            ledger: Ledger::founded(),
            lot: Lot(seed),
            lives: Vec::new(),
            coverages: Vec::new(),
            rotations: 0,
        };
        history.cover();
        history
    }

    /// Each payer covers anew; what was covered before is superseded.
    fn cover(&mut self) {
        self.coverages.clear();
        for (payer, key) in PAYERS.iter().zip(1..) {
            let coverage = Attestation::Coverage(Coverage {
                coverage: CoverageKey::from_bytes([key; 32]),
                catalogue: LeafIndex::new(1),
                until: self.ledger.today().plus(90),
                commitment: Hash::from_bytes([1; 32]),
            });
            let by = match *payer {
                "amc" => self.amc(),
                other => other,
            };
            let index = self.ledger.say(by, &coverage);
            self.coverages.push(index.map_err(|(_, why)| why).unwrap());
        }
    }

    /// The key of the second payer now.
    fn amc(&self) -> &'static str {
        AMC_KEYS[self.rotations]
    }

    /// The second payer takes another key, if it has one left.
    fn rotate(&mut self) {
        if self.rotations + 1 == AMC_KEYS.len() {
            return;
        }
        self.rotations += 1;
        let change = MemberChange::Rotate {
            member: "amc".parse().unwrap(),
            public_key: secret(self.amc()).public(),
        };
        let next = self.ledger.roster.after_changes(&[change]).unwrap();
        let line = next.sign(&"cnam".parse().unwrap(), &secret("cnam"));
        let signed = SignedRoster::new(next, vec![line]).unwrap();
        let put = self.ledger.say("cnam", &Attestation::Roster(signed));
        put.map_err(|(_, why)| why).unwrap();
    }

    /// One attempt; time passes in between.
    fn attempt(&mut self) -> Attempt {
        if self.lot.below(10) == 0 {
            let days = self.lot.one(&[1, 30, 61, 95, 200]);
            self.ledger.now += days * DAY_MS;
            self.ledger.grant_tills();
            if self.lot.below(3) == 0 {
                self.rotate();
            }
            if self.lot.below(4) > 0 {
                self.cover();
            }
        }
        let life = self.lives.len().checked_sub(1 + self.lot.below(2));
        let what = self.lot.below(18);
        match life {
            Some(life) if what >= 3 => self.later(life, what),
            _ => self.claim(),
        }
    }

    fn slots(&mut self) -> Vec<SlotKey> {
        let choices: [&[u8]; 5] = [&[1], &[2], &[1, 2], &[2, 3], &[3]];
        let chosen = self.lot.one(&choices).iter();
        chosen
            .map(|slot| SlotKey::from_bytes([*slot; 32]))
            .collect()
    }

    fn claim(&mut self) -> Attempt {
        let early = [None, Some(EarlyFrom::AtOnce), Some(EarlyFrom::SixMonths)];
        let most = 1 + self.lot.below(2);
        Attempt {
            by: self.lot.one(&TILLS),
            says: Attestation::Claim(Claim {
                slots: self.slots(),
                catalogue: LeafIndex::new(1),
                coverages: self.coverages.iter().copied().take(most).collect(),
                until: self.ledger.today().plus(self.lot.one(&[0, 30, 60, 61])),
                early: self.lot.one(&early),
                commitment: Hash::from_bytes([2; 32]),
            }),
            life: None,
        }
    }

    /// Something about a claim that is there; one in eight is by somebody else.
    fn later(&mut self, place: usize, what: usize) -> Attempt {
        let life = self.lives[place].clone();
        let today = self.ledger.today();
        let mut slots = life.slots.clone();
        if self.lot.below(4) == 0 {
            slots = self.slots();
        } else if self.lot.below(3) == 0 {
            slots.truncate(1);
        }
        let invoice = life.invoices.last().copied();
        // Where nothing was delivered the claim stands for it: not of the kind that is needed.
        let (first, newest, on) = invoice.unwrap_or((life.claim, life.claim, today));
        let until = today.plus(self.lot.one(&[0, 300, 700, 733]));
        let hand_over = |handover| {
            Attestation::Delivery(Delivery {
                slots: slots.clone(),
                claim: life.claim,
                handover,
                commitment: Hash::from_bytes([3; 32]),
            })
        };
        let give_back = |invoice| {
            Attestation::Release(Release {
                slots: slots.clone(),
                claim: life.claim,
                invoice,
            })
        };
        let says = match what {
            3..=5 => hand_over(Handover::First { until }),
            6 | 7 => hand_over(Handover::Correction {
                invoice: first,
                delivered_on: self.lot.one(&[on, on, on, on.plus(1)]),
                until: on.plus(self.lot.one(&[0, 300, 732, 733])),
            }),
            8 => hand_over(Handover::Replacement { invoice: first }),
            9 => give_back(None),
            10 => give_back(Some(first)),
            11 => Attestation::Erasure(Erasure {
                erased: self.lot.one(&self.coverages),
            }),
            _ => return self.settlement(place, first, newest),
        };
        let by = match says {
            Attestation::Erasure(_) => self.lot.one(&["cnam", self.amc(), "till"]),
            _ if self.lot.below(8) == 0 => self.lot.one(&["till", "other-till", self.amc()]),
            _ => life.till,
        };
        let life = Some(place);
        Attempt { by, says, life }
    }

    fn settlement(&mut self, place: usize, invoice: LeafIndex, newest: LeafIndex) -> Attempt {
        let life = self.lives[place].clone();
        // The second pays for every other claim, the third for none.
        let by = self.lot.one(&["cnam", self.amc(), self.amc(), "other-amc"]);
        let former = (by == self.amc() && life.amc != by).then_some(life.amc);
        let others = [
            former,
            former,
            former,
            None,
            Some(life.amc),
            Some(AMC_KEYS[0]),
        ];
        let under = self.lot.one(&others);
        let outcome = self.lot.one(&[
            SettlementOutcome::Paid,
            SettlementOutcome::Paid,
            SettlementOutcome::Rejected(Reason::InvoiceUnfit),
            SettlementOutcome::Rejected(Reason::ContractEnded),
            SettlementOutcome::Recovered(Reason::RenewalDateWrong),
            SettlementOutcome::Recovered(Reason::ForeignSlotKey),
        ]);
        let says = Attestation::Settlement(Settlement {
            claim: life.claim,
            invoice,
            delivery: self.lot.one(&[newest, newest, newest, invoice]),
            outcome,
            under: under.map(|key| secret(key).public()),
            commitment: Hash::from_bytes([4; 32]),
        });
        let life = Some(place);
        Attempt { by, says, life }
    }

    /// What was admitted can be gone on with.
    fn remember(&mut self, attempt: Attempt, index: LeafIndex) {
        match (attempt.says, attempt.life) {
            (Attestation::Claim(claim), _) => self.lives.push(Life {
                till: attempt.by,
                slots: claim.slots,
                claim: index,
                invoices: Vec::new(),
                amc: AMC_KEYS[self.rotations],
            }),
            (Attestation::Delivery(delivery), Some(place)) => {
                let today = self.ledger.today();
                let invoices = &mut self.lives[place].invoices;
                match delivery.handover {
                    Handover::First { .. } => invoices.push((index, index, today)),
                    Handover::Correction { .. } => invoices.last_mut().unwrap().1 = index,
                    Handover::Replacement { .. } => {}
                }
            }
            _ => {}
        }
    }
}

/// What was met in all histories.
#[derive(Default)]
struct Met {
    /// What was admitted.
    admitted: BTreeSet<&'static str>,
    /// Why something was refused, by code.
    refused: BTreeSet<&'static str>,
}

/// The word for what is tried.
fn word(says: &Attestation) -> &'static str {
    match says {
        Attestation::Claim(claim) if claim.early.is_some() => "early claim",
        Attestation::Claim(_) => "claim",
        Attestation::Delivery(delivery) => match delivery.handover {
            Handover::First { .. } => "first",
            Handover::Correction { .. } => "correction",
            Handover::Replacement { .. } => "replacement",
        },
        Attestation::Release(release) if release.invoice.is_some() => "return",
        Attestation::Release(_) => "release",
        Attestation::Settlement(settlement) => match settlement.under {
            None => settlement.outcome.as_str(),
            Some(_) => "settled under a former key",
        },
        Attestation::Erasure(_) => "erasure",
        _ => "other",
    }
}

/// Plays one history, and notes what it meets.
async fn play(seed: u64, met: &mut Met) {
    let mut history = History::new(seed);
    for step in 0..ATTEMPTS {
        let attempt = history.attempt();
        let said = history.ledger.say(attempt.by, &attempt.says);
        match said {
            Ok(index) => {
                met.admitted.insert(word(&attempt.says));
                history.remember(attempt, index);
            }
            Err((entry, reason)) => {
                let forced = history.ledger.audit(Some(&entry)).await;
                let failure = EntryFailure::Rule(reason);
                let entry = LeafIndex::new(history.ledger.entries.len() as u64);
                let expected = AuditError::Entry { entry, failure };
                let says = &attempt.says;
                let found = forced.map(|_| "admitted");
                assert_eq!(found, Err(expected), "seed {seed}, step {step}: {says:?}");
                met.refused.insert(reason.code());
            }
        }
    }
    // The checkpoint has the roots of the node's log and map: the auditor's are the same.
    let ledger = &history.ledger;
    let audit = ledger.audit(None).await;
    let audit = audit.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    assert_eq!(audit.checkpoint.size(), ledger.size());
    assert_eq!(audit.map_size, ledger.map.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_auditor_admits_what_the_node_admits_and_refuses_what_it_refuses() {
    let mut met = Met::default();
    for seed in 0..HISTORIES {
        play(seed, &mut met).await;
    }
    // Histories that meet no rule judge none.
    let Met { admitted, refused } = met;
    let all = "claim correction early claim erasure first paid recovered rejected release \
               replacement return settled under a former key";
    let words: Vec<&str> = admitted.iter().copied().collect();
    assert_eq!(words.join(" "), all);
    for reason in [
        Reason::KindNotAllowed,
        Reason::ReferenceUnfit,
        Reason::CoverageExpired,
        Reason::DateOutOfRange,
        Reason::SlotReserved,
        Reason::SlotHeld,
        Reason::SlotNotHeld,
        Reason::NotEntitled,
        Reason::EarlyRenewalTooSoon,
        Reason::ReservationEnded,
        Reason::AlreadyDelivered,
        Reason::NotDelivered,
        Reason::AlreadySettled,
        Reason::NotPaid,
    ] {
        assert!(refused.contains(reason.code()), "{reason:?} of {refused:?}");
    }
}

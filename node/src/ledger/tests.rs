//! Every rule once, over a ledger kept in plain maps.

use std::collections::BTreeMap;
use std::convert::Infallible;

use proto::attestation::{
    Access, CLOCK_SKEW_MS_MAX, CatalogueNotice, Claim, Coverage, Erasure, Grant, GrantClass,
    RESERVATION_DAYS_MAX, Release, Revocation, slot_index,
};
use proto::ids::{CoverageKey, Day, SlotKey};
use proto::refusal::TakenSlot;
use proto::roster::Epoch;

use super::*;
use crate::example::{first_roster, origin, roster_parts, secret, signed};

mod histories;
mod lifecycle;
mod rotation;
mod sessions;

const START: u64 = 1_768_000_000_000;
const DAY_MS: u64 = 86_400_000;

/// A ledger in plain maps, with a clock that tests move.
struct Ledger {
    roster: Arc<Roster>,
    entries: Vec<Arc<Entry>>,
    map: BTreeMap<MapIndex, State>,
    answers: BTreeMap<RequestKey, Answered>,
    now: u64,
    requests: u8,
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
        Ok(self
            .entries
            .get(usize::try_from(index.get()).unwrap())
            .cloned())
    }

    fn answered(&self, request: &RequestKey) -> Result<Option<Answered>, Infallible> {
        Ok(self.answers.get(request).copied())
    }
}

impl Ledger {
    /// A ledger with its roster (entry 0), a catalogue (1) and two granted tills (2 and 3).
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
        let commit = genesis(&entry).unwrap();
        ledger.take(commit);
        ledger.must("cnam", &catalogue(ledger.today()));
        ledger.must("opticians", &ledger.grant("till"));
        ledger.must("opticians", &ledger.grant("other-till"));
        ledger
    }

    fn today(&self) -> Day {
        UnixMillis::new(self.now).day()
    }

    fn sign(&mut self, by: &str, attestation: &Attestation) -> VerifiedEntry {
        self.requests = self.requests.wrapping_add(1);
        let id = RequestId::new(UnixMillis::new(self.now), [self.requests; 10]);
        let header = attestation.header(secret(by).public(), id);
        Entry::sign(&header, &origin(), &secret(by)).unwrap()
    }

    fn take(&mut self, commit: Commit) {
        self.entries
            .extend(commit.entries.iter().map(|entry| entry.shared().clone()));
        for (index, state) in commit.map {
            match state {
                Some(state) => self.map.insert(index, state),
                None => self.map.remove(&index),
            };
        }
        self.answers.extend(commit.answers);
        self.roster = commit.roster.unwrap_or_else(|| self.roster.clone());
    }

    fn decide(&mut self, entries: Vec<VerifiedEntry>) -> Vec<Verdict> {
        let batch = Batch {
            at: UnixMillis::new(self.now),
            entries,
        };
        let (commit, verdicts) = decide(self, &batch).unwrap();
        self.take(commit);
        verdicts
    }

    fn say(&mut self, by: &str, attestation: &Attestation) -> Outcome {
        let entry = self.sign(by, attestation);
        self.decide(vec![entry])[0].outcome
    }

    fn must(&mut self, by: &str, attestation: &Attestation) -> LeafIndex {
        match self.say(by, attestation) {
            Outcome::Appended(leaf) => leaf,
            Outcome::Refused(refusal) => panic!("{refusal:?}"),
        }
    }

    fn refusal(&mut self, by: &str, attestation: &Attestation) -> Reason {
        match self.say(by, attestation) {
            Outcome::Appended(leaf) => panic!("appended at {leaf}"),
            Outcome::Refused(refusal) => refusal.reason,
        }
    }

    fn grant(&self, till: &str) -> Attestation {
        Attestation::Grant(Grant {
            till: secret(till).public(),
            finess: "750000001".parse().unwrap(),
            expires_at: UnixMillis::new(self.now + 30 * DAY_MS),
            hourly_quota: 20,
            daily_quota: 60,
            class: GrantClass::Till,
        })
    }

    fn coverage(&self, contract: u8) -> Attestation {
        Attestation::Coverage(Coverage {
            coverage: CoverageKey::from_bytes([contract; 32]),
            catalogue: LeafIndex::new(1),
            until: self.today().plus(90),
            commitment: Hash::from_bytes([1; 32]),
        })
    }

    fn claim(&self, slots: &[u8], coverage: LeafIndex) -> Attestation {
        Attestation::Claim(Claim {
            slots: slots
                .iter()
                .map(|slot| SlotKey::from_bytes([*slot; 32]))
                .collect(),
            catalogue: LeafIndex::new(1),
            coverages: vec![coverage],
            until: self.today().plus(60),
            commitment: Hash::from_bytes([2; 32]),
            early: None,
        })
    }

    fn slot(&self, slot: u8) -> Option<State> {
        self.map
            .get(&slot_index(&SlotKey::from_bytes([slot; 32])))
            .copied()
    }
}

fn catalogue(valid_from: Day) -> Attestation {
    Attestation::Catalogue(CatalogueNotice {
        hash: Hash::from_bytes([9; 32]),
        valid_from,
    })
}

fn release(claim: LeafIndex, slots: &[u8]) -> Attestation {
    let slots = slots
        .iter()
        .map(|slot| SlotKey::from_bytes([*slot; 32]))
        .collect();
    Attestation::Release(Release {
        slots,
        claim,
        invoice: None,
    })
}

#[test]
fn a_claim_takes_all_its_slots_and_a_second_shop_none() {
    let mut ledger = Ledger::founded();
    let coverage = ledger.must("amc", &ledger.coverage(1));
    let first = ledger.must("till", &ledger.claim(&[1, 2], coverage));
    let second = ledger.say("other-till", &ledger.claim(&[2, 3], coverage));
    let taken = Some(TakenSlot {
        key_position: 0,
        holder: first,
    });
    let refusal = Refusal {
        reason: Reason::SlotReserved,
        taken,
    };
    assert_eq!(second, Outcome::Refused(refusal));
    assert_eq!(
        ledger.slot(3),
        None,
        "a refused claim leaves no slot behind"
    );
}

#[test]
fn two_claims_of_one_slot_in_one_batch_leave_one() {
    let mut ledger = Ledger::founded();
    let coverage = ledger.must("amc", &ledger.coverage(1));
    let claims =
        ["till", "other-till"].map(|till| ledger.sign(till, &ledger.claim(&[1], coverage)));
    let verdicts = ledger.decide(claims.to_vec());
    assert!(matches!(verdicts[0].outcome, Outcome::Appended(_)));
    assert!(matches!(
        verdicts[1].outcome,
        Outcome::Refused(Refusal {
            reason: Reason::SlotReserved,
            ..
        })
    ));
}

#[test]
fn the_same_bytes_again_get_the_first_answer_again() {
    let mut ledger = Ledger::founded();
    let coverage = ledger.must("amc", &ledger.coverage(1));
    let claim = ledger.sign("till", &ledger.claim(&[1], coverage));
    let verdicts = ledger.decide(vec![claim.clone(), claim.clone()]);
    assert_eq!(verdicts[0].outcome, verdicts[1].outcome);
    assert!(verdicts[1].repeated);
    ledger.now += 3 * DAY_MS;
    let later = ledger.decide(vec![claim])[0];
    assert_eq!((later.outcome, later.repeated), (verdicts[0].outcome, true));
    assert_eq!(ledger.size().get(), 6);
}

#[test]
fn a_refused_request_stays_refused_when_it_is_asked_again() {
    let mut ledger = Ledger::founded();
    let coverage = ledger.must("amc", &ledger.coverage(1));
    let first = ledger.must("till", &ledger.claim(&[1], coverage));
    let second = ledger.sign("other-till", &ledger.claim(&[1], coverage));
    let refused = ledger.decide(vec![second.clone()])[0];
    ledger.must("till", &release(first, &[1]));
    let again = ledger.decide(vec![second])[0];
    assert_eq!((again.outcome, again.repeated), (refused.outcome, true));
}

#[test]
fn one_request_id_for_other_bytes_is_refused() {
    let mut ledger = Ledger::founded();
    let coverage = ledger.must("amc", &ledger.coverage(1));
    let one = ledger.sign("till", &ledger.claim(&[1], coverage));
    ledger.requests -= 1;
    let other = ledger.sign("till", &ledger.claim(&[2], coverage));
    let verdicts = ledger.decide(vec![one, other]);
    assert_eq!(
        verdicts[1].outcome,
        Outcome::Refused(Reason::RequestReused.into())
    );
}

#[test]
fn nobody_can_use_up_anothers_request_id() {
    let mut ledger = Ledger::founded();
    let coverage = ledger.must("amc", &ledger.coverage(1));
    let one = ledger.sign("till", &ledger.claim(&[1], coverage));
    ledger.requests -= 1;
    let other = ledger.sign("other-till", &ledger.claim(&[2], coverage));
    assert!(
        ledger
            .decide(vec![one, other])
            .iter()
            .all(|v| matches!(v.outcome, Outcome::Appended(_)))
    );
}

#[test]
fn each_kind_has_its_issuers() {
    let mut ledger = Ledger::founded();
    let coverage = ledger.coverage(1);
    assert_eq!(ledger.refusal("stranger", &coverage), Reason::IssuerUnknown);
    assert_eq!(ledger.refusal("till", &coverage), Reason::KindNotAllowed);
    assert_eq!(
        ledger.refusal("opticians", &coverage),
        Reason::KindNotAllowed
    );
    let grant = ledger.grant("new-till");
    assert_eq!(ledger.refusal("amc", &grant), Reason::KindNotAllowed);
    let notice = catalogue(ledger.today());
    assert_eq!(ledger.refusal("amc", &notice), Reason::KindNotAllowed);
    let coverage = ledger.must("cnam", &coverage);
    let claim = ledger.claim(&[1], coverage);
    assert_eq!(ledger.refusal("amc", &claim), Reason::KindNotAllowed);
}

#[test]
fn a_grant_ends_at_its_moment_or_at_its_revocation() {
    let mut ledger = Ledger::founded();
    let revocation = Attestation::Revocation(Revocation {
        till: secret("till").public(),
    });
    let grant = ledger.grant("till");
    assert_eq!(ledger.refusal("opticians", &grant), Reason::AlreadyGranted);
    ledger.must("opticians", &revocation);
    let coverage = ledger.must("amc", &ledger.coverage(1));
    let claim = ledger.claim(&[1], coverage);
    assert_eq!(ledger.refusal("till", &claim), Reason::GrantRevoked);
    assert_eq!(ledger.refusal("opticians", &grant), Reason::GrantRevoked);
    assert_eq!(
        ledger.refusal("opticians", &revocation),
        Reason::GrantRevoked
    );
    ledger.now += 31 * DAY_MS;
    let claim = ledger.claim(&[1], coverage);
    assert_eq!(ledger.refusal("other-till", &claim), Reason::GrantExpired);
}

#[test]
fn a_revocation_counts_from_its_place_in_the_batch_on() {
    let mut ledger = Ledger::founded();
    let coverage = ledger.must("amc", &ledger.coverage(1));
    let revocation = Attestation::Revocation(Revocation {
        till: secret("till").public(),
    });
    let before = ledger.sign("till", &ledger.claim(&[1], coverage));
    let revocation = ledger.sign("opticians", &revocation);
    let after = ledger.sign("till", &ledger.claim(&[2], coverage));
    let verdicts = ledger.decide(vec![before, revocation, after]);
    assert!(matches!(verdicts[0].outcome, Outcome::Appended(_)));
    assert_eq!(
        verdicts[2].outcome,
        Outcome::Refused(Reason::GrantRevoked.into())
    );
}

#[test]
fn references_must_exist_and_fit() {
    let mut ledger = Ledger::founded();
    let claim = ledger.claim(&[1], LeafIndex::new(99));
    assert_eq!(ledger.refusal("till", &claim), Reason::ReferenceUnknown);
    let claim = ledger.claim(&[1], LeafIndex::new(2));
    assert_eq!(ledger.refusal("till", &claim), Reason::ReferenceUnfit);
    let old = ledger.must("amc", &ledger.coverage(1));
    let newer = ledger.must("amc", &ledger.coverage(1));
    let claim = ledger.claim(&[1], old);
    assert_eq!(ledger.refusal("till", &claim), Reason::CoverageSuperseded);
    let claim = ledger.claim(&[1], newer);
    ledger.must("cnam", &catalogue(ledger.today()));
    assert_eq!(ledger.refusal("till", &claim), Reason::CatalogueOutdated);
}

#[test]
fn no_payer_replaces_the_coverage_of_another_member() {
    let mut ledger = Ledger::founded();
    let coverage = ledger.coverage(1);
    ledger.must("amc", &coverage);
    assert_eq!(ledger.refusal("other-amc", &coverage), Reason::NotEntitled);
    ledger.must("amc", &coverage);
}

#[test]
fn a_coverage_that_has_run_out_carries_no_claim() {
    let mut ledger = Ledger::founded();
    let mut coverage = ledger.coverage(1);
    if let Attestation::Coverage(coverage) = &mut coverage {
        coverage.until = ledger.today().plus(5);
    }
    let coverage = ledger.must("amc", &coverage);
    ledger.now += 5 * DAY_MS;
    ledger.must("till", &ledger.claim(&[1], coverage));
    ledger.now += DAY_MS;
    let claim = ledger.claim(&[2], coverage);
    assert_eq!(ledger.refusal("till", &claim), Reason::CoverageExpired);
}

#[test]
fn clocks_may_be_two_minutes_apart_and_no_more() {
    let mut ledger = Ledger::founded();
    let coverage = ledger.must("amc", &ledger.coverage(1));
    let on_time = ledger.sign("till", &ledger.claim(&[1], coverage));
    let late = ledger.sign("till", &ledger.claim(&[2], coverage));
    ledger.now += CLOCK_SKEW_MS_MAX;
    assert!(matches!(
        ledger.decide(vec![on_time])[0].outcome,
        Outcome::Appended(_)
    ));
    ledger.now += 1;
    let outcome = ledger.decide(vec![late])[0].outcome;
    assert_eq!(outcome, Outcome::Refused(Reason::ClockSkew.into()));
}

#[test]
fn dates_have_their_limits() {
    let mut ledger = Ledger::founded();
    let coverage = ledger.must("amc", &ledger.coverage(1));
    for (days, fits) in [
        (0, true),
        (RESERVATION_DAYS_MAX, true),
        (RESERVATION_DAYS_MAX + 1, false),
    ] {
        let mut claim = ledger.claim(&[u8::try_from(days).unwrap()], coverage);
        if let Attestation::Claim(claim) = &mut claim {
            claim.until = ledger.today().plus(days);
        }
        assert_eq!(
            matches!(ledger.say("till", &claim), Outcome::Appended(_)),
            fits,
            "{days}"
        );
    }
    let tomorrow = catalogue(ledger.today().plus(1));
    assert_eq!(ledger.refusal("cnam", &tomorrow), Reason::DateOutOfRange);
}

#[test]
fn a_reservation_that_has_run_out_frees_the_slot() {
    let mut ledger = Ledger::founded();
    let coverage = ledger.must("amc", &ledger.coverage(1));
    let mut claim = ledger.claim(&[1], coverage);
    if let Attestation::Claim(claim) = &mut claim {
        claim.until = ledger.today().plus(2);
    }
    ledger.must("till", &claim);
    ledger.now += 2 * DAY_MS;
    let claim = ledger.claim(&[1], coverage);
    assert_eq!(ledger.refusal("other-till", &claim), Reason::SlotReserved);
    ledger.now += DAY_MS;
    let claim = ledger.claim(&[1], coverage);
    ledger.must("other-till", &claim);
}

#[test]
fn a_release_by_the_till_or_the_payer_leaves_the_map_as_it_was() {
    for by in ["till", "amc"] {
        let mut ledger = Ledger::founded();
        let coverage = ledger.must("amc", &ledger.coverage(1));
        let map = ledger.map.clone();
        let claim = ledger.must("till", &ledger.claim(&[1, 2], coverage));
        ledger.must(by, &release(claim, &[1, 2]));
        assert_eq!(ledger.map, map, "{by}");
        assert_eq!(
            ledger.refusal(by, &release(claim, &[1])),
            Reason::SlotNotHeld
        );
    }
}

#[test]
fn a_release_by_anybody_else_is_refused() {
    let mut ledger = Ledger::founded();
    let coverage = ledger.must("amc", &ledger.coverage(1));
    let claim = ledger.must("till", &ledger.claim(&[1], coverage));
    for by in ["other-till", "other-amc", "cnam"] {
        assert_eq!(
            ledger.refusal(by, &release(claim, &[1])),
            Reason::NotEntitled,
            "{by}"
        );
    }
    assert_eq!(
        ledger.refusal("till", &release(coverage, &[1])),
        Reason::ReferenceUnfit
    );
    assert_eq!(
        ledger.refusal("till", &release(claim, &[2])),
        Reason::SlotNotHeld
    );
}

#[test]
fn only_its_issuer_erases_a_payload() {
    let mut ledger = Ledger::founded();
    let coverage = ledger.must("amc", &ledger.coverage(1));
    let erasure = Attestation::Erasure(Erasure { erased: coverage });
    assert_eq!(ledger.refusal("cnam", &erasure), Reason::NotEntitled);
    ledger.must("amc", &erasure);
    let nothing = Attestation::Erasure(Erasure {
        erased: LeafIndex::new(1),
    });
    assert_eq!(ledger.refusal("cnam", &nothing), Reason::ReferenceUnfit);
}

#[test]
fn a_member_records_looks_and_takes_none_back() {
    let mut ledger = Ledger::founded();
    let commitment = Hash::from_bytes([6; 32]);
    let access = Attestation::Access(Access { commitment });
    assert_eq!(ledger.refusal("till", &access), Reason::KindNotAllowed);
    let erased = ledger.must("cnam", &access);
    let erasure = Attestation::Erasure(Erasure { erased });
    assert_eq!(ledger.refusal("cnam", &erasure), Reason::ReferenceUnfit);
    let late = ledger.sign("cnam", &access);
    ledger.now += CLOCK_SKEW_MS_MAX + 1;
    let refused = Outcome::Refused(Reason::ClockSkew.into());
    assert_eq!(ledger.decide(vec![late])[0].outcome, refused);
}

#[test]
fn a_roster_follows_the_one_in_force_or_is_refused() {
    let mut ledger = Ledger::founded();
    let first = ledger.roster.clone();
    let mut parts = roster_parts(Epoch::new(1), Some(&first));
    parts
        .members
        .retain(|member| member.name.as_str() != "other-amc");
    let successor = Roster::new(parts).unwrap();
    let by_nobody = Attestation::Roster(signed(successor.clone(), "amc"));
    assert_eq!(ledger.refusal("cnam", &by_nobody), Reason::RosterUnfit);
    let by_quorum = Attestation::Roster(signed(successor, "cnam"));
    ledger.must("cnam", &by_quorum);
    assert_eq!(ledger.roster.epoch(), Epoch::new(1));
    let coverage = ledger.coverage(1);
    assert_eq!(
        ledger.refusal("other-amc", &coverage),
        Reason::IssuerUnknown
    );
    assert_eq!(ledger.refusal("cnam", &by_quorum), Reason::RosterUnfit);
}

/// The ledger that comes out when the entries of another are taken over, so many at a time.
fn replayed(of: &Ledger, at_a_time: usize) -> Result<Ledger, ReplayError<Infallible>> {
    let mut ledger = Ledger {
        entries: Vec::new(),
        map: BTreeMap::new(),
        answers: BTreeMap::new(),
        ..Ledger::founded()
    };
    let verified = |entry: &Arc<Entry>| (**entry).clone().verify(&origin()).unwrap();
    ledger.take(genesis(&verified(&of.entries[0])).unwrap());
    for part in of.entries[1..].chunks(at_a_time) {
        let part: Vec<_> = part.iter().map(verified).collect();
        let commit = replay(&ledger, &part)?;
        ledger.take(commit);
    }
    Ok(ledger)
}

#[test]
fn what_was_decided_at_midnight_is_admitted_again() {
    let mut ledger = Ledger::founded();
    let midnight = ledger.today().plus(1).start().get();
    // Signed on the day before, decided on the day from which the catalogue is valid.
    ledger.now = midnight - 50_000;
    let tomorrow = ledger.sign("cnam", &catalogue(ledger.today().plus(1)));
    ledger.now = midnight + 50_000;
    ledger.decide(vec![tomorrow]);
    assert_eq!(replayed(&ledger, 1).unwrap().map, ledger.map);
}

#[test]
fn an_entry_that_no_moment_admits_is_named_with_its_rule() {
    let mut ledger = Ledger::founded();
    let coverage = ledger.must("amc", &ledger.coverage(1));
    ledger.must("till", &ledger.claim(&[1], coverage));
    let double = ledger.claim(&[1], coverage);
    let double = ledger.sign("other-till", &double);
    let index = LeafIndex::new(ledger.entries.len() as u64);
    let refused = replay(&ledger, std::slice::from_ref(&double));
    let reason = Reason::SlotReserved;
    assert_eq!(
        refused.map(|_| ()),
        Err(ReplayError::NotAdmitted { index, reason })
    );
    let twice = ledger.sign("till", &ledger.claim(&[2], coverage));
    let twice = replay(&ledger, &[twice.clone(), twice]).map(|_| ());
    let (index, reason) = (LeafIndex::new(index.get() + 1), Reason::RequestReused);
    assert_eq!(twice, Err(ReplayError::NotAdmitted { index, reason }));
}

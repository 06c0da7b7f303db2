//! A member takes a new key, and keeps what is its own under the old one.

use proto::attestation::{Handover, Settlement, SettlementOutcome, settlement_index};
use proto::roster::MemberChange;

use super::lifecycle::{handed, settled};
use super::*;

const PAID: SettlementOutcome = SettlementOutcome::Paid;

impl Ledger {
    /// Lets a member take the key of this name.
    pub(super) fn rotate(&mut self, member: &str, to: &str) {
        self.change(&MemberChange::Rotate {
            member: member.parse().unwrap(),
            public_key: secret(to).public(),
        });
    }

    fn change(&mut self, change: &MemberChange) {
        let next = self.roster.after_changes(std::slice::from_ref(change));
        let next = signed(next.unwrap(), "cnam");
        self.must("cnam", &Attestation::Roster(next));
    }

    /// Entry for entry, an auditor or a following member comes to the same map.
    fn must_replay(&self) {
        assert_eq!(replayed(self, 2).unwrap().map, self.map);
    }

    /// A delivered claim on coverages of both payers: the claim and its first delivery.
    fn delivered(&mut self) -> (LeafIndex, LeafIndex) {
        let claim = self.claimed();
        let delivery = self.deliver(claim, &[1, 2]);
        (claim, self.must("till", &delivery))
    }
}

/// An answer on coverages that were issued under this other key.
pub(super) fn settled_under(
    key: &str,
    claim: LeafIndex,
    invoice: LeafIndex,
    delivery: LeafIndex,
    outcome: SettlementOutcome,
) -> Attestation {
    match settled(claim, invoice, delivery, outcome) {
        Attestation::Settlement(settlement) => Attestation::Settlement(Settlement {
            under: Some(secret(key).public()),
            ..settlement
        }),
        other => other,
    }
}

fn paid_under(key: &str, claim: LeafIndex, invoice: LeafIndex) -> Attestation {
    settled_under(key, claim, invoice, invoice, PAID)
}

#[test]
fn a_member_settles_under_its_new_key_what_rests_on_its_old_one_and_once_only() {
    let mut ledger = Ledger::founded();
    let (claim, invoice) = ledger.delivered();
    ledger.rotate("amc", "amc-new");
    let plain = settled(claim, invoice, invoice, PAID);
    let under = paid_under("amc", claim, invoice);
    assert_eq!(ledger.refusal("amc", &plain), Reason::IssuerUnknown);
    assert_eq!(ledger.refusal("amc-new", &plain), Reason::NotEntitled);
    let by = ledger.must("amc-new", &under);
    let place = settlement_index(invoice, &secret("amc").public());
    let state = ledger.map.get(&place).map(State::by);
    assert_eq!(
        state,
        Some(by),
        "the payment is kept under the coverages' key"
    );
    assert_eq!(ledger.refusal("amc-new", &under), Reason::AlreadySettled);
    ledger.rotate("amc", "amc-newest");
    assert_eq!(ledger.refusal("amc-newest", &under), Reason::AlreadySettled);
    ledger.must_replay();
}

#[test]
fn what_was_paid_under_the_old_key_is_not_paid_again_under_the_new_one() {
    let mut ledger = Ledger::founded();
    let (claim, invoice) = ledger.delivered();
    ledger.must("amc", &settled(claim, invoice, invoice, PAID));
    ledger.rotate("amc", "amc-new");
    let again = paid_under("amc", claim, invoice);
    assert_eq!(ledger.refusal("amc-new", &again), Reason::AlreadySettled);
    let recovered = SettlementOutcome::Recovered(Reason::InvoiceUnfit);
    let recovered = settled_under("amc", claim, invoice, invoice, recovered);
    ledger.must("amc-new", &recovered);
    ledger.must_replay();
}

#[test]
fn nobody_settles_under_a_key_that_was_never_its_own() {
    let mut ledger = Ledger::founded();
    let (claim, invoice) = ledger.delivered();
    let of_amc = paid_under("amc", claim, invoice);
    // While it is in force, and after.
    assert_eq!(ledger.refusal("cnam", &of_amc), Reason::NotEntitled);
    ledger.rotate("amc", "amc-new");
    for other in ["cnam", "other-amc"] {
        assert_eq!(ledger.refusal(other, &of_amc), Reason::NotEntitled);
    }
    // An own key under which nothing of the claim was covered, the own key, and nobody's.
    let of_new = paid_under("amc-new", claim, invoice);
    assert_eq!(ledger.refusal("amc-new", &of_new), Reason::ReferenceUnfit);
    let of_cnam = paid_under("cnam", claim, invoice);
    assert_eq!(ledger.refusal("cnam", &of_cnam), Reason::ReferenceUnfit);
    let of_stranger = paid_under("stranger", claim, invoice);
    assert_eq!(ledger.refusal("amc-new", &of_stranger), Reason::NotEntitled);
    ledger.must("amc-new", &of_amc);
}

#[test]
fn a_correction_finds_the_answer_that_was_given_under_a_new_key() {
    let mut ledger = Ledger::founded();
    let (claim, invoice) = ledger.delivered();
    ledger.must("cnam", &settled(claim, invoice, invoice, PAID));
    ledger.rotate("amc", "amc-new");
    let correction = handed(
        claim,
        &[1, 2],
        Handover::Correction {
            invoice,
            delivered_on: ledger.today(),
            until: ledger.today().plus(700),
        },
    );
    assert_eq!(
        ledger.refusal("till", &correction),
        Reason::AlreadyDelivered
    );
    let unfit = SettlementOutcome::Rejected(Reason::InvoiceUnfit);
    let unfit = settled_under("amc", claim, invoice, invoice, unfit);
    ledger.must("amc-new", &unfit);
    ledger.must("till", &correction);
    ledger.must_replay();
}

#[test]
fn a_payer_releases_under_its_new_key_and_nobody_else_does() {
    let mut ledger = Ledger::founded();
    let coverage = ledger.must("amc", &ledger.coverage(1));
    let claim = ledger.must("till", &ledger.claim(&[1], coverage));
    ledger.rotate("amc", "amc-new");
    let free = release(claim, &[1]);
    assert_eq!(ledger.refusal("other-amc", &free), Reason::NotEntitled);
    assert_eq!(ledger.refusal("amc", &free), Reason::IssuerUnknown);
    ledger.must("amc-new", &free);
    ledger.must_replay();
}

#[test]
fn a_member_erases_what_it_issued_under_an_old_key_and_nobody_else_does() {
    let mut ledger = Ledger::founded();
    let coverage = ledger.must("amc", &ledger.coverage(1));
    ledger.rotate("amc", "amc-new");
    let erasure = Attestation::Erasure(Erasure { erased: coverage });
    for other in ["cnam", "other-amc", "till"] {
        assert_eq!(ledger.refusal(other, &erasure), Reason::NotEntitled);
    }
    ledger.rotate("amc", "amc-newest");
    ledger.must("amc-newest", &erasure);
    ledger.must_replay();
}

#[test]
fn a_federation_revokes_what_it_granted_under_an_old_key() {
    let mut ledger = Ledger::founded();
    ledger.rotate("opticians", "opticians-new");
    let revocation = Attestation::Revocation(Revocation {
        till: secret("till").public(),
    });
    ledger.must("opticians-new", &revocation);
    let coverage = ledger.must("amc", &ledger.coverage(1));
    let claim = ledger.claim(&[1], coverage);
    assert_eq!(ledger.refusal("till", &claim), Reason::GrantRevoked);
    ledger.must_replay();
}

#[test]
fn a_coverage_of_an_old_key_carries_no_claim_and_its_member_alone_replaces_it() {
    let mut ledger = Ledger::founded();
    let coverage = ledger.coverage(1);
    let old = ledger.must("amc", &coverage);
    ledger.rotate("amc", "amc-new");
    let claim = ledger.claim(&[1], old);
    assert_eq!(ledger.refusal("till", &claim), Reason::ReferenceUnfit);
    assert_eq!(ledger.refusal("other-amc", &coverage), Reason::NotEntitled);
    let new = ledger.must("amc-new", &coverage);
    ledger.must("till", &ledger.claim(&[1], new));
    ledger.must_replay();
}

#[test]
fn what_a_member_that_left_had_covered_anybody_may_cover() {
    let mut ledger = Ledger::founded();
    let coverage = ledger.coverage(1);
    ledger.must("amc", &coverage);
    ledger.rotate("amc", "amc-new");
    ledger.change(&MemberChange::Leave("amc".parse().unwrap()));
    ledger.must("other-amc", &coverage);
    ledger.must_replay();
}

#[test]
fn a_key_that_another_member_takes_over_is_that_members() {
    let mut ledger = Ledger::founded();
    let coverage = ledger.must("amc", &ledger.coverage(1));
    ledger.rotate("amc", "amc-new");
    ledger.rotate("other-amc", "amc");
    let erasure = Attestation::Erasure(Erasure { erased: coverage });
    assert_eq!(ledger.refusal("amc-new", &erasure), Reason::NotEntitled);
    ledger.must("amc", &erasure);
    ledger.must_replay();
}

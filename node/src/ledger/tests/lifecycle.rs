//! Deliveries, settlements, returns and early renewals, rule by rule.

use proto::attestation::{
    Delivery, EarlyFrom, HOLD_DAYS_MAX, Handover, Settlement, SettlementOutcome,
};
use proto::refusal::TakenSlot;

use super::*;

/// Two days less than two years after the start: no grant of the tests runs that long.
const HOLD_DAYS: u32 = 700;

impl Ledger {
    pub(super) fn deliver(&self, claim: LeafIndex, slots: &[u8]) -> Attestation {
        let until = self.today().plus(HOLD_DAYS);
        handed(claim, slots, Handover::First { until })
    }

    /// Lets days pass; a grant that has run out meanwhile is renewed.
    pub(super) fn pass(&mut self, days: u32) {
        self.now += u64::from(days) * DAY_MS;
        for till in ["till", "other-till"] {
            let grant = self.grant(till);
            self.say("opticians", &grant);
        }
    }

    /// A claim of slots 1 and 2 on coverages of both payers: the claim and its coverages.
    pub(super) fn claimed(&mut self) -> LeafIndex {
        let amc = self.must("amc", &self.coverage(1));
        let cnam = self.must("cnam", &self.coverage(2));
        let Attestation::Claim(mut claim) = self.claim(&[1, 2], amc) else {
            panic!("a claim");
        };
        claim.coverages = vec![amc, cnam];
        self.must("till", &Attestation::Claim(claim))
    }
}

pub(super) fn handed(claim: LeafIndex, slots: &[u8], handover: Handover) -> Attestation {
    Attestation::Delivery(Delivery {
        slots: keys(slots),
        claim,
        handover,
        commitment: Hash::from_bytes([3; 32]),
    })
}

fn keys(slots: &[u8]) -> Vec<SlotKey> {
    let keys = slots.iter().map(|slot| SlotKey::from_bytes([*slot; 32]));
    keys.collect()
}

pub(super) fn returned(claim: LeafIndex, invoice: LeafIndex, slots: &[u8]) -> Attestation {
    Attestation::Release(Release {
        slots: keys(slots),
        claim,
        invoice: Some(invoice),
    })
}

pub(super) fn settled(
    claim: LeafIndex,
    invoice: LeafIndex,
    delivery: LeafIndex,
    outcome: SettlementOutcome,
) -> Attestation {
    Attestation::Settlement(Settlement {
        claim,
        invoice,
        delivery,
        outcome,
        under: None,
        commitment: Hash::from_bytes([4; 32]),
    })
}

const PAID: SettlementOutcome = SettlementOutcome::Paid;
const UNFIT: SettlementOutcome = SettlementOutcome::Rejected(Reason::InvoiceUnfit);
const ENDED: SettlementOutcome = SettlementOutcome::Rejected(Reason::ContractEnded);

#[test]
fn a_claim_is_delivered_in_parts_and_each_is_paid_by_two_payers() {
    let mut ledger = Ledger::founded();
    let claim = ledger.claimed();
    let first = ledger.must("till", &ledger.deliver(claim, &[1]));
    let again = ledger.deliver(claim, &[1]);
    assert_eq!(ledger.refusal("till", &again), Reason::AlreadyDelivered);
    let second = ledger.must("till", &ledger.deliver(claim, &[2]));
    for invoice in [first, second] {
        for payer in ["amc", "cnam"] {
            let paid = settled(claim, invoice, invoice, PAID);
            ledger.must(payer, &paid);
            assert_eq!(ledger.refusal(payer, &paid), Reason::AlreadySettled);
        }
        let by_stranger = settled(claim, invoice, invoice, PAID);
        assert_eq!(
            ledger.refusal("other-amc", &by_stranger),
            Reason::NotEntitled
        );
    }
    assert_eq!(replayed(&ledger, 3).unwrap().map, ledger.map);
}

#[test]
fn only_the_till_that_claimed_delivers_and_only_what_the_claim_has() {
    let mut ledger = Ledger::founded();
    let claim = ledger.claimed();
    let all = ledger.deliver(claim, &[1, 2]);
    assert_eq!(ledger.refusal("other-till", &all), Reason::NotEntitled);
    assert_eq!(ledger.refusal("amc", &all), Reason::KindNotAllowed);
    let more = ledger.deliver(claim, &[1, 3]);
    assert_eq!(ledger.refusal("till", &more), Reason::SlotNotHeld);
    let no_claim = ledger.deliver(LeafIndex::new(1), &[1]);
    assert_eq!(ledger.refusal("till", &no_claim), Reason::ReferenceUnfit);
    ledger.must("till", &release(claim, &[1]));
    assert_eq!(ledger.refusal("till", &all), Reason::SlotNotHeld);
}

#[test]
fn a_reservation_that_has_run_out_is_not_delivered_and_its_slot_is_free() {
    let mut ledger = Ledger::founded();
    let claim = ledger.claimed();
    ledger.pass(60);
    let late = ledger.deliver(claim, &[1]);
    ledger.now += DAY_MS;
    let later = ledger.deliver(claim, &[1]);
    assert_eq!(ledger.refusal("till", &later), Reason::ReservationEnded);
    let coverage = ledger.must("amc", &ledger.coverage(1));
    ledger.must("other-till", &ledger.claim(&[1], coverage));
    ledger.now -= DAY_MS;
    let Attestation::Delivery(late) = late else {
        panic!("a delivery");
    };
    let two = Attestation::Delivery(Delivery {
        slots: keys(&[2]),
        ..late
    });
    ledger.must("till", &two);
}

#[test]
fn a_hold_is_two_years_and_a_day_at_most() {
    let mut ledger = Ledger::founded();
    let claim = ledger.claimed();
    let today = ledger.today();
    let until = |days| {
        let until = Day::new(today.get() + days);
        handed(claim, &[1], Handover::First { until })
    };
    let past = Handover::First {
        until: Day::new(today.get() - 1),
    };
    let past = handed(claim, &[1], past);
    assert_eq!(ledger.refusal("till", &past), Reason::DateOutOfRange);
    let far = until(HOLD_DAYS_MAX + 1);
    assert_eq!(ledger.refusal("till", &far), Reason::DateOutOfRange);
    ledger.must("till", &until(HOLD_DAYS_MAX));
}

#[test]
fn a_correctable_reject_is_corrected_and_paid_and_a_final_one_is_not() {
    let mut ledger = Ledger::founded();
    let claim = ledger.claimed();
    let invoice = ledger.must("till", &ledger.deliver(claim, &[1, 2]));
    let correction = handed(
        claim,
        &[1, 2],
        Handover::Correction {
            invoice,
            delivered_on: ledger.today(),
            until: ledger.today().plus(365),
        },
    );
    assert_eq!(
        ledger.refusal("till", &correction),
        Reason::AlreadyDelivered
    );
    ledger.must("cnam", &settled(claim, invoice, invoice, PAID));
    ledger.must("amc", &settled(claim, invoice, invoice, UNFIT));
    let paid = settled(claim, invoice, invoice, PAID);
    assert_eq!(ledger.refusal("amc", &paid), Reason::AlreadySettled);
    ledger.now += 5 * DAY_MS;
    let corrected = ledger.must("till", &correction);
    let old = settled(claim, invoice, invoice, PAID);
    assert_eq!(ledger.refusal("amc", &old), Reason::ReferenceUnfit);
    let new = settled(claim, invoice, corrected, PAID);
    assert_eq!(ledger.refusal("cnam", &new), Reason::AlreadySettled);
    ledger.must("amc", &settled(claim, invoice, corrected, ENDED));
    assert_eq!(ledger.refusal("amc", &new), Reason::AlreadySettled);
    assert_eq!(ledger.refusal("till", &correction), Reason::AlreadySettled);
    assert_eq!(replayed(&ledger, 2).unwrap().map, ledger.map);
}

#[test]
fn a_correction_keeps_the_day_of_the_first_delivery() {
    let mut ledger = Ledger::founded();
    let claim = ledger.claimed();
    let delivered_on = ledger.today();
    let invoice = ledger.must("till", &ledger.deliver(claim, &[1]));
    ledger.must("amc", &settled(claim, invoice, invoice, UNFIT));
    ledger.now += 5 * DAY_MS;
    let correct = |delivered_on: Day, until: Day| {
        let correction = Handover::Correction {
            invoice,
            delivered_on,
            until,
        };
        handed(claim, &[1], correction)
    };
    let restarted = correct(ledger.today(), ledger.today().plus(365));
    assert_eq!(ledger.refusal("till", &restarted), Reason::DateOutOfRange);
    let far = correct(delivered_on, delivered_on.plus(HOLD_DAYS_MAX + 1));
    assert_eq!(ledger.refusal("till", &far), Reason::DateOutOfRange);
    let longest = delivered_on.plus(HOLD_DAYS_MAX);
    ledger.must("till", &correct(delivered_on, longest));
}

#[test]
fn a_payment_is_recovered_once_and_only_after_it() {
    let mut ledger = Ledger::founded();
    let claim = ledger.claimed();
    let invoice = ledger.must("till", &ledger.deliver(claim, &[1, 2]));
    let recovered = SettlementOutcome::Recovered(Reason::ForeignSlotKey);
    let recovered = settled(claim, invoice, invoice, recovered);
    assert_eq!(ledger.refusal("amc", &recovered), Reason::NotPaid);
    ledger.must("amc", &settled(claim, invoice, invoice, PAID));
    assert_eq!(ledger.refusal("cnam", &recovered), Reason::NotPaid);
    ledger.must("amc", &recovered);
    assert_eq!(ledger.refusal("amc", &recovered), Reason::NotPaid);
}

#[test]
fn what_comes_back_frees_its_slots_paid_or_not_and_is_then_recovered() {
    let mut ledger = Ledger::founded();
    let claim = ledger.claimed();
    let invoice = ledger.must("till", &ledger.deliver(claim, &[1, 2]));
    let plain = release(claim, &[1]);
    assert_eq!(ledger.refusal("till", &plain), Reason::AlreadyDelivered);
    ledger.must("amc", &settled(claim, invoice, invoice, PAID));
    let back = returned(claim, invoice, &[1, 2]);
    assert_eq!(ledger.refusal("other-till", &back), Reason::NotEntitled);
    ledger.must("till", &back);
    assert_eq!((ledger.slot(1), ledger.slot(2)), (None, None));
    assert_eq!(ledger.refusal("till", &back), Reason::SlotNotHeld);
    let paid = settled(claim, invoice, invoice, PAID);
    assert_eq!(ledger.refusal("cnam", &paid), Reason::NotDelivered);
    let recovered = SettlementOutcome::Recovered(Reason::InvoiceUnfit);
    ledger.must("amc", &settled(claim, invoice, invoice, recovered));
    let coverage = ledger.must("amc", &ledger.coverage(3));
    ledger.must("other-till", &ledger.claim(&[1], coverage));
}

#[test]
fn what_is_kept_of_a_partial_return_is_invoiced_again() {
    let mut ledger = Ledger::founded();
    let claim = ledger.claimed();
    let invoice = ledger.must("till", &ledger.deliver(claim, &[1, 2]));
    ledger.must("amc", &returned(claim, invoice, &[1]));
    let correct = |slots: &[u8], today: Day| {
        let correction = Handover::Correction {
            invoice,
            delivered_on: today,
            until: today.plus(365),
        };
        handed(claim, slots, correction)
    };
    let today = ledger.today();
    assert_eq!(
        ledger.refusal("till", &correct(&[1, 2], today)),
        Reason::SlotNotHeld
    );
    let corrected = ledger.must("till", &correct(&[2], today));
    ledger.must("amc", &settled(claim, invoice, corrected, PAID));
}

#[test]
fn a_replacement_under_warranty_starts_no_clock_and_is_not_paid() {
    let mut ledger = Ledger::founded();
    let claim = ledger.claimed();
    let invoice = ledger.must("till", &ledger.deliver(claim, &[1, 2]));
    let before = ledger.map.clone();
    ledger.now += 20 * DAY_MS;
    let replaced = handed(claim, &[1], Handover::Replacement { invoice });
    let replaced = ledger.must("till", &replaced);
    assert_eq!(ledger.map, before);
    let paid = settled(claim, invoice, replaced, PAID);
    assert_eq!(ledger.refusal("amc", &paid), Reason::ReferenceUnfit);
    let no_first = handed(claim, &[1], Handover::Replacement { invoice: replaced });
    assert_eq!(ledger.refusal("till", &no_first), Reason::ReferenceUnfit);
}

#[test]
fn slots_of_one_invoice_are_not_corrected_under_another() {
    let mut ledger = Ledger::founded();
    let claim = ledger.claimed();
    let one = ledger.must("till", &ledger.deliver(claim, &[1]));
    let other = ledger.must("till", &ledger.deliver(claim, &[2]));
    ledger.must("amc", &settled(claim, one, one, UNFIT));
    let today = ledger.today();
    let correction = Handover::Correction {
        invoice: one,
        delivered_on: today,
        until: today.plus(365),
    };
    let crossed = handed(claim, &[2], correction);
    assert_eq!(ledger.refusal("till", &crossed), Reason::SlotNotHeld);
    let crossed = returned(claim, other, &[1]);
    assert_eq!(ledger.refusal("till", &crossed), Reason::SlotNotHeld);
    let crossed = settled(claim, one, other, PAID);
    assert_eq!(ledger.refusal("amc", &crossed), Reason::ReferenceUnfit);
}

/// A claim of a slot with an attested condition.
fn early(ledger: &Ledger, slot: u8, coverage: LeafIndex, early: Option<EarlyFrom>) -> Attestation {
    let Attestation::Claim(claim) = ledger.claim(&[slot], coverage) else {
        panic!("a claim");
    };
    Attestation::Claim(Claim { early, ..claim })
}

#[test]
fn a_held_slot_is_taken_early_only_after_the_months_of_the_condition() {
    let mut ledger = Ledger::founded();
    let claim = ledger.claimed();
    let delivery = ledger.must("till", &ledger.deliver(claim, &[1, 2]));
    let held = ledger.slot(1);
    let refusal = |reason| {
        Outcome::Refused(Refusal {
            reason,
            taken: Some(TakenSlot {
                key_position: 0,
                holder: delivery,
            }),
        })
    };
    ledger.pass(150);
    let coverage = ledger.must("amc", &ledger.coverage(7));
    let six = Some(EarlyFrom::SixMonths);
    let too_soon = ledger.say("other-till", &early(&ledger, 1, coverage, six));
    assert_eq!(too_soon, refusal(Reason::EarlyRenewalTooSoon));
    let plain = ledger.say("other-till", &early(&ledger, 1, coverage, None));
    assert_eq!(plain, refusal(Reason::SlotHeld));
    ledger.pass(40);
    let coverage = ledger.must("amc", &ledger.coverage(7));
    let taken = ledger.must("other-till", &early(&ledger, 1, coverage, six));
    let again = ledger.refusal(
        "till",
        &early(&ledger, 1, coverage, Some(EarlyFrom::AtOnce)),
    );
    assert_eq!(again, Reason::SlotReserved);
    ledger.must("other-till", &release(taken, &[1]));
    assert_eq!(
        ledger.slot(1),
        held,
        "a cancelled early renewal restores the hold"
    );
}

#[test]
fn a_hold_counts_again_when_an_early_claim_over_it_runs_out() {
    let mut ledger = Ledger::founded();
    let claim = ledger.claimed();
    let delivery = ledger.must("till", &ledger.deliver(claim, &[1, 2]));
    let coverage = ledger.must("amc", &ledger.coverage(7));
    let at_once = Some(EarlyFrom::AtOnce);
    ledger.must("other-till", &early(&ledger, 1, coverage, at_once));
    ledger.pass(61);
    let coverage = ledger.must("amc", &ledger.coverage(7));
    let plain = early(&ledger, 1, coverage, None);
    let Outcome::Refused(refusal) = ledger.say("other-till", &plain) else {
        panic!("the slot is held");
    };
    assert_eq!(refusal.reason, Reason::SlotHeld);
    assert_eq!(refusal.taken.unwrap().holder, delivery);
    ledger.must("other-till", &early(&ledger, 1, coverage, at_once));
}

#[test]
fn another_insurer_is_refused_inside_the_hold_and_accepted_after_it() {
    let mut ledger = Ledger::founded();
    let claim = ledger.claimed();
    let delivery = ledger.must("till", &ledger.deliver(claim, &[1, 2]));
    ledger.pass(HOLD_DAYS);
    let notice = ledger.coverage(9);
    let coverage = ledger.must("other-amc", &notice);
    let Outcome::Refused(refusal) = ledger.say("other-till", &ledger.claim(&[1], coverage)) else {
        panic!("the slot is held");
    };
    assert_eq!(refusal.reason, Reason::SlotHeld);
    assert_eq!(refusal.taken.unwrap().holder, delivery);
    ledger.now += DAY_MS;
    let after = ledger.claim(&[1], coverage);
    ledger.must("other-till", &after);
    assert_eq!(replayed(&ledger, 5).unwrap().map, ledger.map);
}

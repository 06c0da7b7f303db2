//! Every stage and every event, against a table that a person can read.

use std::collections::BTreeSet;

use super::*;
use crate::attestation::Hold;

/// One line for each stage, one column for each event: what becomes of a slot, or why not.
const SLOTS: &str = "
                deliver            correct        replace        release            return
    reserved    delivered          NOT_DELIVERED  NOT_DELIVERED  gone               NOT_DELIVERED
    expired     RESERVATION_ENDED  NOT_DELIVERED  NOT_DELIVERED  gone               NOT_DELIVERED
    delivered   ALREADY_DELIVERED  delivered      delivered      ALREADY_DELIVERED  gone
    gone        SLOT_NOT_HELD      SLOT_NOT_HELD  SLOT_NOT_HELD  SLOT_NOT_HELD      SLOT_NOT_HELD
";

/// The same for the payment of one payer. A name with ~ can be corrected, one with ! is final.
const PAYMENTS: &str = "
                correct            return         pay              reject~          reject!          recover~       recover!
    undelivered NOT_DELIVERED      NOT_DELIVERED  NOT_DELIVERED    NOT_DELIVERED    NOT_DELIVERED    NOT_DELIVERED  NOT_DELIVERED
    due         ALREADY_DELIVERED  withdrawn      paid             rejected~        rejected!        NOT_PAID       NOT_PAID
    withdrawn   due                withdrawn      NOT_DELIVERED    NOT_DELIVERED    NOT_DELIVERED    NOT_PAID       NOT_PAID
    paid        ALREADY_SETTLED    paid           ALREADY_SETTLED  ALREADY_SETTLED  ALREADY_SETTLED  recovered~     recovered!
    rejected~   due                rejected~      ALREADY_SETTLED  ALREADY_SETTLED  ALREADY_SETTLED  NOT_PAID       NOT_PAID
    rejected!   ALREADY_SETTLED    rejected!      ALREADY_SETTLED  ALREADY_SETTLED  ALREADY_SETTLED  NOT_PAID       NOT_PAID
    recovered~  due                recovered~     ALREADY_SETTLED  ALREADY_SETTLED  ALREADY_SETTLED  NOT_PAID       NOT_PAID
    recovered!  ALREADY_SETTLED    recovered!     ALREADY_SETTLED  ALREADY_SETTLED  ALREADY_SETTLED  NOT_PAID       NOT_PAID
";

const fn slot_stage(stage: SlotStage) -> &'static str {
    match stage {
        SlotStage::Reserved => "reserved",
        SlotStage::Expired => "expired",
        SlotStage::Delivered => "delivered",
        SlotStage::Gone => "gone",
    }
}

fn slot_event(name: &str) -> SlotEvent {
    match name {
        "deliver" => SlotEvent::Deliver,
        "correct" => SlotEvent::Correct,
        "replace" => SlotEvent::Replace,
        "release" => SlotEvent::Release,
        "return" => SlotEvent::Return,
        other => panic!("no event {other}"),
    }
}

const fn payment_stage(stage: PaymentStage) -> &'static str {
    match stage {
        PaymentStage::NotDelivered => "undelivered",
        PaymentStage::Due => "due",
        PaymentStage::Withdrawn => "withdrawn",
        PaymentStage::Paid => "paid",
        PaymentStage::Rejected { correctable: true } => "rejected~",
        PaymentStage::Rejected { correctable: false } => "rejected!",
        PaymentStage::Recovered { correctable: true } => "recovered~",
        PaymentStage::Recovered { correctable: false } => "recovered!",
    }
}

fn payment_event(name: &str) -> PaymentEvent {
    let correctable = name.ends_with('~');
    match name.trim_end_matches(['~', '!']) {
        "correct" => PaymentEvent::Correct,
        "return" => PaymentEvent::Return,
        "pay" => PaymentEvent::Pay,
        "reject" => PaymentEvent::Reject { correctable },
        "recover" => PaymentEvent::Recover { correctable },
        other => panic!("no event {other}"),
    }
}

/// Compares a table with a machine: all stages must have a line, and every pair its outcome.
fn compare(table: &str, stages: &[&str], next: impl Fn(&str, &str) -> String) {
    let mut lines = table.lines().filter(|line| !line.trim().is_empty());
    let events: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    let mut met = BTreeSet::new();
    for line in lines {
        let mut cells = line.split_whitespace();
        let stage = cells.next().unwrap();
        let outcomes: Vec<&str> = cells.collect();
        assert_eq!(outcomes.len(), events.len(), "{stage}");
        for (event, outcome) in events.iter().zip(outcomes) {
            assert_eq!(next(stage, event), outcome, "{stage} + {event}");
        }
        met.insert(stage);
    }
    assert_eq!(met, stages.iter().copied().collect());
}

fn said<S>(next: Result<S, Reason>, name: impl Fn(S) -> &'static str) -> String {
    next.map_or_else(Reason::code, name).to_owned()
}

#[test]
fn every_slot_stage_and_event_is_as_the_table_has_it() {
    let stages = SlotStage::ALL.map(slot_stage);
    compare(SLOTS, &stages, |stage, event| {
        let stage = SlotStage::ALL.into_iter().find(|s| slot_stage(*s) == stage);
        said(stage.unwrap().next(slot_event(event)), slot_stage)
    });
}

#[test]
fn every_payment_stage_and_event_is_as_the_table_has_it() {
    let stages = PaymentStage::ALL.map(payment_stage);
    compare(PAYMENTS, &stages, |stage, event| {
        let mut all = PaymentStage::ALL.into_iter();
        let stage = all.find(|s| payment_stage(*s) == stage);
        said(stage.unwrap().next(payment_event(event)), payment_stage)
    });
}

#[test]
fn the_stage_of_a_slot_is_read_from_the_map_and_the_day() {
    let (claim, other, delivery) = (LeafIndex::new(4), LeafIndex::new(5), LeafIndex::new(6));
    let today = Day::new(100);
    let stage = |status, until, by| {
        let state = SlotState {
            status,
            until: Day::new(until),
            by,
            beneath: None,
        };
        SlotStage::of(Some(state), claim, by == delivery, today)
    };
    use SlotStatus::{Held, Reserved};
    assert_eq!(stage(Reserved, 100, claim), SlotStage::Reserved);
    assert_eq!(stage(Reserved, 99, claim), SlotStage::Expired);
    assert_eq!(stage(Reserved, 100, other), SlotStage::Gone);
    assert_eq!(stage(Held, 100, delivery), SlotStage::Delivered);
    assert_eq!(stage(Held, 99, delivery), SlotStage::Delivered);
    assert_eq!(stage(Held, 100, other), SlotStage::Gone);
    let free = SlotStage::of(None, claim, true, today);
    assert_eq!(free, SlotStage::Gone);
    let expired_over_a_hold = SlotState {
        status: Reserved,
        until: Day::new(99),
        by: claim,
        beneath: Some(Hold {
            until: Day::new(500),
            by: other,
        }),
    };
    let stage = SlotStage::of(Some(expired_over_a_hold), claim, false, today);
    assert_eq!(stage, SlotStage::Expired);
}

/// A slow reference: the map's states after each event of a history, and the stage that the
/// machine reached on the way there.
#[test]
fn the_stage_read_from_the_map_is_the_one_that_the_machine_reached() {
    let reasons = [Reason::InvoiceUnfit, Reason::ContractEnded];
    let events = |at: u64| {
        let mut events = vec![
            ("correct", None),
            ("return", None),
            ("other corrects", None),
        ];
        events.push(("settle", Some(SettlementOutcome::Paid)));
        for reason in reasons {
            events.push(("settle", Some(SettlementOutcome::Rejected(reason))));
            events.push(("settle", Some(SettlementOutcome::Recovered(reason))));
        }
        (events, LeafIndex::new(at))
    };
    let first = InvoiceState {
        delivery: LeafIndex::new(1),
        returned_by: None,
    };
    let mut front = vec![(first, None, PaymentStage::Due)];
    let mut met = BTreeSet::from([PaymentStage::NotDelivered]);
    for depth in 2..7 {
        let mut next = Vec::new();
        for (invoice, settlement, stage) in front {
            assert_eq!(PaymentStage::of(Some(invoice), settlement), stage);
            met.insert(stage);
            let (events, leaf) = events(depth);
            for (name, outcome) in events {
                let standing = InvoiceState {
                    delivery: leaf,
                    returned_by: None,
                };
                let reached = match (name, outcome) {
                    ("correct", _) => {
                        let reached = stage.next(PaymentEvent::Correct);
                        reached.map(|stage| (standing, settlement, stage))
                    }
                    ("other corrects", _) => Ok((standing, settlement, stage.restated())),
                    ("return", _) => stage.next(PaymentEvent::Return).map(|stage| {
                        let returned = InvoiceState {
                            returned_by: Some(leaf),
                            ..invoice
                        };
                        (returned, settlement, stage)
                    }),
                    (_, outcome) => {
                        let outcome = outcome.unwrap();
                        let state = SettlementState {
                            outcome,
                            delivery: invoice.delivery,
                            by: leaf,
                        };
                        let reached = stage.next(PaymentEvent::of(outcome));
                        reached.map(|stage| (invoice, Some(state), stage))
                    }
                };
                next.extend(reached);
            }
        }
        front = next;
    }
    assert_eq!(met.len(), PaymentStage::ALL.len());
}

#[test]
fn the_whole_claim_has_one_word() {
    use PaymentStage::{Due, NotDelivered, Paid, Withdrawn};
    use SlotStage::{Delivered, Expired, Gone, Reserved};
    let rejected = |correctable| PaymentStage::Rejected { correctable };
    let table: &[(&[SlotStage], &[PaymentStage], &str)] = &[
        (&[Reserved, Reserved], &[NotDelivered], "reserved"),
        (&[Reserved, Gone], &[], "reserved"),
        (&[Expired, Gone], &[], "expired"),
        (&[Gone, Gone], &[], "released"),
        (&[Delivered, Reserved], &[Due, Due], "partly delivered"),
        (&[Delivered, Delivered], &[Due, Paid], "delivered"),
        (&[Delivered, Expired], &[Due], "delivered"),
        (&[Delivered], &[rejected(true), Due], "to correct"),
        (&[Delivered], &[rejected(false), Due], "delivered"),
        (&[Delivered], &[rejected(false), Paid], "rejected"),
        (&[Delivered], &[Paid, Paid], "paid"),
        (&[Delivered, Gone], &[Withdrawn, Withdrawn], "to correct"),
        (&[Gone], &[Withdrawn, Withdrawn], "returned"),
        (&[Gone], &[Withdrawn, Paid], "to recover"),
    ];
    for (slots, payments, word) in table {
        let state = ClaimState::of(slots, payments);
        assert_eq!(state.as_str(), *word, "{slots:?} {payments:?}");
    }
}

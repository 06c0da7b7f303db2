use proto::benefit::{Limits, NetworkRule, Percent, Period, RenewalMonths, Rule};

use super::super::offer::example::{offer, offer_of};
use super::super::product::example::TODAY;
use super::super::question::example::payer;
use super::super::{CheckError, Occasion};
use super::example::{lines, quote, sale, sale_on};
use super::*;

fn payers_of_two() -> Vec<Payer> {
    vec![payer(Role::Amo, 1), payer(Role::Amc, 2)]
}

fn quoted(item: &str, offers: &[Offer]) -> QuoteLine {
    lines(sale(&[item]), offers, &payers_of_two()).remove(0)
}

fn reason(line: &QuoteLine) -> Option<Reason> {
    line.refusal.map(|refusal| refusal.reason)
}

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

#[test]
fn the_mandatory_insurer_pays_first_and_nobody_more_than_is_left() {
    let line = quoted(
        "2264861=95.00",
        &[offer(1, "M03", 10_000), offer(0, "M03", 3)],
    );
    assert_eq!(line.paid_by(Role::Amo), Cents::new(3));
    assert_eq!(line.paid_by(Role::Amc), Cents::new(9_497));
    assert_eq!(line.rest(), Cents::new(0));
    let line = quoted(
        "2264861=120.00",
        &[offer(0, "M03", 3), offer(1, "M03", 10_000)],
    );
    assert_eq!(line.rest(), Cents::new(1_997));
}

#[test]
fn a_payer_with_nothing_left_to_pay_is_not_in_the_claim() {
    let line = quoted(
        "2264861=95.00",
        &[offer(0, "M03", 9_500), offer(1, "M03", 10_000)],
    );
    assert_eq!(line.payments().len(), 1);
}

#[test]
fn a_coverage_of_another_grouped_code_pays_nothing() {
    let line = quoted("2264861=95.00", &[offer(0, "M01", 3_000)]);
    assert_eq!(reason(&line), Some(Reason::NotCovered));
    assert_eq!(line.rest(), Cents::new(9_500));
    assert!(!line.is_claimable());
}

#[test]
fn above_the_highest_price_nothing_is_paid() {
    let line = quoted("2222124=30.01", &[offer(0, "M01", 3_000)]);
    assert_eq!(reason(&line), Some(Reason::AbovePriceLimit));
    assert_eq!(line.paid_by(Role::Amo), Cents::new(0));
    assert_eq!(line.rest(), Cents::new(3_001));
    assert!(!line.is_claimable());
    let line = quoted("2222124=30.00", &[offer(0, "M01", 3_000)]);
    assert_eq!(line.refusal, None);
}

#[test]
fn a_childs_frame_is_not_paid_for_an_adult() {
    let line = quoted("2276870=30.00", &[offer(0, "M04", 3_000)]);
    assert_eq!(reason(&line), Some(Reason::NotForThisAge));
}

/// A responsible contract's terms for a class B frame.
fn responsible(rule: Rule) -> Terms {
    Terms {
        rights: Period {
            from: day("2026-01-01"),
            to: day("2026-12-31"),
        },
        limits: Some(Limits::RESPONSIBLE),
        renewal: RenewalMonths::PUBLISHED,
        rule,
        ..Terms::cap("M03".parse().unwrap(), Cents::new(0), 24)
    }
}

#[test]
fn amounts_dates_and_months_come_from_the_terms() {
    let rate = Terms {
        rule: Rule::mandatory(Percent::new(60).unwrap()),
        ..responsible(Rule::Nothing)
    };
    let full = responsible(Rule::Full {
        limit: Some(Cents::new(50_000)),
    });
    let offers = [offer_of(0, rate), offer_of(1, full)];
    let line = quoted("2264861=140.00", &offers);
    // The base of the frame is 0.05, of which 60 per cent; the frame is paid up to 100 euros.
    let amounts: Vec<u64> = line.payments().iter().map(|p| p.amount.get()).collect();
    assert_eq!(amounts, [3, 9_997]);
    assert_eq!(line.rest(), Cents::new(4_000));
    assert_eq!(line.payments()[1].renewal_months, 24);
    // The coverage runs until day 20800, the rights end before.
    assert_eq!(line.payments()[1].valid_until, day("2026-12-13"));
    let totals = quote(vec![line], payers_of_two());
    assert_eq!(totals.valid_until(), Some(day("2026-12-13")));
    let by_payer: Vec<u64> = totals
        .payer_totals()
        .iter()
        .map(|t| t.amount.get())
        .collect();
    assert_eq!(by_payer, [3, 9_997]);
}

#[test]
fn a_payer_that_does_not_pay_says_why() {
    let ended = Terms {
        rights: Period {
            from: day("2025-01-01"),
            to: day("2025-12-31"),
        },
        ..responsible(Rule::COPAYMENT)
    };
    let line = quoted(
        "2264861=95.00",
        &[offer(0, "M03", 3), offer_of(1, ended.clone())],
    );
    assert_eq!(line.refusal, None);
    let reasons: Vec<Reason> = line.unpaid.iter().map(|unpaid| unpaid.reason).collect();
    assert_eq!(reasons, [Reason::ContractEnded]);
    let line = quoted("2264861=95.00", &[offer_of(1, ended)]);
    assert_eq!(reason(&line), Some(Reason::ContractEnded));
    assert!(line.unpaid.is_empty());
}

#[test]
fn a_network_pays_where_the_shop_is_in_it() {
    let name: NetworkName = "Optique-Plus".parse().unwrap();
    let most = Cents::new(9_000);
    let counting = benefit::Counting::Alone;
    let rule = Rule::Cap { most, counting };
    let network = Some(NetworkRule {
        name: name.clone(),
        rule,
    });
    let terms = Terms {
        network,
        ..responsible(Rule::Nothing)
    };
    let offers = [offer_of(1, terms)];
    let outside = quoted("2264861=95.00", &offers);
    assert_eq!(reason(&outside), Some(Reason::OutsideNetwork));
    let occasion = Occasion {
        networks: vec![name],
        ..Occasion::default()
    };
    let sale = sale_on(&["2264861=95.00"], &occasion);
    let inside = lines(sale, &offers, &payers_of_two()).remove(0);
    assert_eq!(inside.paid_by(Role::Amc), most);
}

#[test]
fn a_prescription_is_judged_by_the_age_at_its_date() {
    let on = |date: &str| {
        let occasion = Occasion {
            prescription: Some(day(date)),
            ..Occasion::default()
        };
        let sale = sale_on(&["2264861=95.00"], &occasion);
        let until = sale.prescription_until();
        let line = lines(sale, &[offer(0, "M03", 3)], &payers_of_two()).remove(0);
        (reason(&line), until.unwrap().to_iso())
    };
    // Day 20500 is 2026-02-16; the person was born on 1995-10-12.
    assert_eq!(on("2021-02-17"), (None, "2026-02-16".to_owned()));
    let expired = Some(Reason::PrescriptionExpired);
    assert_eq!(on("2021-02-16"), (expired, "2026-02-15".to_owned()));
    let ahead = Occasion {
        prescription: Some(TODAY.plus(1)),
        ..Occasion::default()
    };
    let refused = Sale::new(
        &super::super::product::example::catalogue(),
        &super::super::insured::example::insured(),
        &["2264861=95.00".parse().unwrap()],
        &ahead,
        TODAY,
    );
    assert!(matches!(refused, Err(CheckError::PrescriptionAhead)));
}

/// The clock of a frame that was delivered a year before the day of the tests.
fn clock(status: SlotStatus, condition: EarlyRenewal, today: &str) -> Renewal {
    let offers = [offer(0, "M03", 3)];
    let payers = payers_of_two();
    let committed = Committed {
        payers: &payers,
        offers: offers.iter().collect(),
        age: 30,
    };
    let state = SlotState {
        status,
        until: day("2027-02-15"),
        by: LeafIndex::new(5),
        beneath: None,
    };
    let delivered = day("2025-02-16");
    committed.renewal(Slot::Frame, state, delivered, condition, day(today))
}

#[test]
fn a_held_slot_opens_early_on_the_day_of_its_condition() {
    let benefit = ItemBenefit {
        price: Cents::new(1),
        shares: Vec::new(),
        refusal: None,
    };
    let judged = |status, condition, today| {
        let clock = clock(status, condition, today);
        let refusal = refusal(&benefit, clock, condition);
        (clock.as_str(), refusal.map(|refusal| refusal.reason))
    };
    let held = SlotStatus::Held;
    let change = EarlyRenewal::SightChange;
    let soon = Some(Reason::EarlyRenewalTooSoon);
    assert_eq!(judged(held, change, "2026-02-15"), ("held", soon));
    assert_eq!(judged(held, change, "2026-02-16"), ("early", None));
    let nothing = EarlyRenewal::None;
    let taken = Some(Reason::SlotHeld);
    assert_eq!(judged(held, nothing, "2026-02-16"), ("held", taken));
    let not_open = Some(Reason::EarlyRenewalNotOpen);
    let child = EarlyRenewal::Child;
    assert_eq!(judged(held, child, "2026-02-16"), ("held", not_open));
    let reserved = Some(Reason::SlotReserved);
    let judged = judged(SlotStatus::Reserved, change, "2026-02-16");
    assert_eq!(judged, ("reserved", reserved));
}

//! The tables of `tests/cases`: who pays what, and when an item is paid for again.
//!
//! Their values were worked out by hand; the tables are for people who do not read programs. Each
//! case is also put to a second, slower reckoning that shares no code with the first.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole file is a test, its functions included"
)]

#[path = "benefit_cases/slow.rs"]
mod slow;
#[path = "benefit_cases/table.rs"]
mod table;

use std::collections::BTreeSet;

use proptest::prelude::*;
use proto::benefit::{
    Item, NetworkName, Period, Plan, ProductClass, Situation, Terms, class_of, compute,
};
use proto::identity::BirthDate;
use proto::ids::{Cents, Day};
use proto::lpp::{GroupedCode, Side};
use proto::refusal::Reason;
use proto::renewal::{self, EarlyRenewal, Prescription};

use table::{Case, Plans};

/// Fewest cases that both tables have together.
const CASES_MIN: usize = 120;

/// The terms of each payer's contract, which runs as long as its plan.
fn terms(plans: &Plans, payers: &[String]) -> Vec<Vec<Terms>> {
    let of = |name: &String| match name.as_str() {
        "" => Vec::new(),
        name => plans[name].all_terms(Period::ALWAYS).collect(),
    };
    payers.iter().map(of).collect()
}

fn borrowed(terms: &[Vec<Terms>]) -> Vec<Vec<&Terms>> {
    terms.iter().map(|terms| terms.iter().collect()).collect()
}

fn situation<'a>(case: &Case, networks: &'a [NetworkName]) -> Situation<'a> {
    let prescription = case.prescription.map(|date| Prescription {
        date,
        age: case.born.completed_years(date),
    });
    Situation {
        today: case.today,
        age: case.born.completed_years(case.today),
        networks,
        prescription,
    }
}

#[test]
fn every_case_of_the_table_comes_out_as_worked_out_by_hand() {
    let plans = table::plans();
    let cases = table::cases();
    for case in &cases {
        let terms = terms(&plans, &case.payers);
        let situation = situation(case, &case.networks);
        let benefit = compute(&case.items, &borrowed(&terms), &situation);
        let paid = [0, 1, 2].map(|payer| benefit.paid_by(payer));
        let what = format!("case {}: {}", case.number, case.shows);
        assert_eq!(paid, case.paid, "{what}: who pays");
        assert_eq!(benefit.rest(), case.rest, "{what}: rest to pay");
        let refusals = benefit.items.iter().map(|item| item.refusal);
        assert_eq!(
            refusals.collect::<Vec<_>>(),
            case.refusals,
            "{what}: reasons"
        );
        let price = case
            .items
            .iter()
            .fold(Cents::default(), |sum, item| sum.plus(item.price));
        let parts = paid.into_iter().fold(benefit.rest(), Cents::plus);
        assert_eq!(parts, price, "{what}: parts and price");
    }
}

#[test]
fn the_slow_reckoning_agrees_with_every_case() {
    let plans = table::plans();
    for case in table::cases() {
        let terms = terms(&plans, &case.payers);
        let situation = situation(&case, &case.networks);
        let fast = compute(&case.items, &borrowed(&terms), &situation);
        let slow = slow::compute(&case.items, &terms, &situation);
        for (place, (fast, slow)) in fast.items.iter().zip(&slow).enumerate() {
            let fast: Vec<u64> = fast.shares.iter().map(|share| share.amount.get()).collect();
            assert_eq!(&fast, slow, "case {}, item {place}", case.number);
        }
    }
}

#[test]
fn cases_are_numbered_distinct_and_more_than_enough() {
    let (cases, renewals) = (table::cases(), table::renewals());
    assert!(cases.len() + renewals.len() >= CASES_MIN && cases.len() >= CASES_MIN);
    for (place, case) in cases.iter().enumerate() {
        assert_eq!(case.number, place + 1);
    }
    let asked: BTreeSet<String> = cases.iter().map(|case| case.question.clone()).collect();
    assert_eq!(asked.len(), cases.len(), "two cases ask the same");
    let shown: BTreeSet<&str> = cases.iter().map(|case| case.shows.as_str()).collect();
    assert_eq!(shown.len(), cases.len(), "two cases show the same");
}

#[test]
fn every_renewal_of_the_table_comes_out_as_worked_out_by_hand() {
    for (place, case) in table::renewals().iter().enumerate() {
        assert_eq!(case.number, place + 1);
        let what = format!("renewal {}: {}", case.number, case.shows);
        assert_eq!(renewed(case), case.answer, "{what}");
    }
}

fn renewed(case: &table::RenewalCase) -> String {
    let Some(delivered) = case.delivered else {
        return "P1".to_owned();
    };
    let age_then = case.born.completed_years(delivered);
    let months = renewal::months_until_renewal(age_then, case.slot);
    if renewal::is_old_enough(Some(delivered), months, case.today) {
        return "P1".to_owned();
    }
    let age = case.born.completed_years(case.today);
    let judged = renewal::judge_early(case.condition, case.slot, age, delivered, case.today);
    let attested = renewal::is_attested(case.condition, case.slot, age, delivered, case.today);
    assert_eq!(attested, judged.is_ok());
    judged.map_or_else(|reason| reason.code().to_owned(), |()| "P2".to_owned())
}

/// A plain day, person and place.
const TODAY: Day = Day::new(20_619); // 2026-06-15

fn adult() -> Situation<'static> {
    Situation {
        today: TODAY,
        age: 40,
        networks: &[],
        prescription: None,
    }
}

fn item(code: GroupedCode, side: Option<Side>, price: u64, base: u64, limit: Option<u64>) -> Item {
    Item {
        grouped_code: code,
        slot: code.slot(side).unwrap(),
        price: Cents::new(price),
        base: Some(Cents::new(base)),
        price_limit: limit.map(Cents::new),
        age_max: None,
    }
}

/// Any item of any grouped code; of class A with a price limit.
fn any_item() -> impl Strategy<Value = Item> {
    let codes: Vec<GroupedCode> = GroupedCode::all().collect();
    let code = (0..codes.len()).prop_map(move |place| codes[place]);
    (code, any::<bool>(), 0u64..60_000, 0u64..4_000, 0u64..40_000).prop_map(
        |(code, right, price, base, limit)| {
            let side = code
                .is_lens()
                .then_some(if right { Side::Right } else { Side::Left });
            let class_a = class_of(code) == Some(ProductClass::A);
            item(code, side, price, base, class_a.then_some(limit))
        },
    )
}

/// Items for different slots, as a sale has them.
fn any_sale() -> impl Strategy<Value = Vec<Item>> {
    prop::collection::vec(any_item(), 1..9).prop_map(|items| {
        let mut slots = BTreeSet::new();
        items
            .into_iter()
            .filter(|item| slots.insert(item.slot))
            .collect()
    })
}

fn any_payers() -> impl Strategy<Value = Vec<Vec<Terms>>> {
    let plans = table::plans();
    let names: Vec<String> = plans.keys().cloned().collect();
    prop::collection::vec(0..names.len(), 0..4).prop_map(move |places| {
        let names: Vec<String> = places.iter().map(|place| names[*place].clone()).collect();
        terms(&plans, &names)
    })
}

fn total(items: &[Item], payers: &[Vec<Terms>]) -> Cents {
    let benefit = compute(items, &borrowed(payers), &adult());
    let paid = benefit.items.iter().map(|item| item.paid());
    paid.fold(Cents::default(), Cents::plus)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn parts_add_up_to_the_price_and_nobody_pays_more_than_is_left(
        items in any_sale(), payers in any_payers(),
    ) {
        let benefit = compute(&items, &borrowed(&payers), &adult());
        for (item, line) in items.iter().zip(&benefit.items) {
            prop_assert!(line.paid() <= item.price);
            prop_assert_eq!(line.paid().plus(line.rest()), item.price);
            prop_assert_eq!(line.shares.len(), payers.len());
            prop_assert_eq!(line.refusal.is_some(), line.paid() == Cents::default());
        }
    }

    #[test]
    fn the_slow_reckoning_agrees(items in any_sale(), payers in any_payers()) {
        let fast = compute(&items, &borrowed(&payers), &adult());
        let slow = slow::compute(&items, &payers, &adult());
        for (fast, slow) in fast.items.iter().zip(&slow) {
            let fast: Vec<u64> = fast.shares.iter().map(|share| share.amount.get()).collect();
            prop_assert_eq!(&fast, slow);
        }
    }

    #[test]
    fn the_order_of_the_items_changes_nothing(items in any_sale(), payers in any_payers()) {
        let benefit = compute(&items, &borrowed(&payers), &adult());
        let turned: Vec<Item> = items.iter().rev().copied().collect();
        let mut turned = compute(&turned, &borrowed(&payers), &adult());
        turned.items.reverse();
        prop_assert_eq!(benefit, turned);
    }

    #[test]
    fn a_higher_price_is_never_paid_less_as_long_as_its_limit_allows_it(
        items in any_sale(), payers in any_payers(), place in 0usize..8, more in 0u64..20_000,
    ) {
        // A full cover with a limit of its own stops there by design.
        let stops = |terms: &Terms| matches!(
            terms.rule, proto::benefit::Rule::Full { limit: Some(_) }
        );
        prop_assume!(!payers.iter().flatten().any(stops));
        let place = place % items.len();
        let mut dearer = items.clone();
        dearer[place].price = dearer[place].price.plus(Cents::new(more));
        let limit = dearer[place].price_limit;
        prop_assume!(limit.is_none_or(|limit| dearer[place].price <= limit));
        prop_assert!(total(&items, &payers) <= total(&dearer, &payers));
    }

    #[test]
    fn one_more_payer_never_leaves_more_to_pay(
        items in any_sale(), payers in any_payers(), last in any_payers(),
    ) {
        let more: Vec<Vec<Terms>> = payers.iter().chain(last.first()).cloned().collect();
        prop_assert!(total(&items, &payers) <= total(&items, &more));
    }

    #[test]
    fn class_a_within_its_price_limits_leaves_nothing_to_pay_under_a_responsible_contract(
        prices in prop::collection::vec((1u64..=10_000, 0u64..=10_000, 0u64..5_000), 9),
        amo in 0usize..3, amc in 0usize..5, right in any::<bool>(),
    ) {
        let plans = table::plans();
        let amo = ["AMO-60", "AMO-90", "AMO-100"][amo];
        let amc = ["RESP-MIN", "RESP-PLAFOND", "RESP-MOYEN", "RESP-RESEAU", "C2S"][amc];
        let payers = terms(&plans, &[amo.to_owned(), amc.to_owned()]);
        let class_a = GroupedCode::all().filter(|code| class_of(*code) == Some(ProductClass::A));
        for (code, (price, above, base)) in class_a.zip(prices) {
            let side = code.is_lens().then_some(if right { Side::Right } else { Side::Left });
            let sold = [item(code, side, price, base, Some(price + above))];
            let benefit = compute(&sold, &borrowed(&payers), &adult());
            prop_assert_eq!(benefit.rest(), Cents::default(), "{}", code);
            prop_assert_eq!(benefit.items[0].refusal, None);
        }
    }
}

#[test]
fn a_whole_class_a_pair_leaves_nothing_to_pay_in_the_table_either() {
    let plans = table::plans();
    let mut seen = 0;
    for case in table::cases() {
        let responsible = |name: &String| {
            plans.get(name).map(Plan::kind) == Some(proto::benefit::PlanKind::Responsible)
        };
        let class_a = |item: &Item| {
            let within = item.price_limit.is_some_and(|limit| item.price <= limit);
            class_of(item.grouped_code) == Some(ProductClass::A) && within
        };
        let runs = case.payers.iter().any(responsible)
            && case.refusals.iter().all(Option::is_none)
            && case.items.iter().all(class_a);
        if runs {
            assert_eq!(case.rest, Cents::default(), "case {}", case.number);
            seen += 1;
        }
    }
    assert!(seen >= 20, "{seen}");
}

//! The same question, answered cent by cent: what is paid is handed out one cent at a time.
//!
//! Rates are taken in tenths of a thousandth of a euro, limits are looked at before each cent, and
//! nothing is ever cut: a share grows as long as everything allows it.

use proto::benefit::{Counting, Item, Limits, Rule, Situation, Terms};
use proto::lpp::Slot;

/// The amount of each payer for each item.
pub(super) fn compute(items: &[Item], payers: &[Vec<Terms>], at: &Situation<'_>) -> Vec<Vec<u64>> {
    let mut paid: Vec<Vec<u64>> = items.iter().map(|_| Vec::new()).collect();
    for terms in payers {
        let own = payer(items, terms, &paid, at);
        for (paid, own) in paid.iter_mut().zip(own) {
            paid.push(own);
        }
    }
    paid
}

fn is_refused(item: &Item, at: &Situation<'_>) -> bool {
    let dear = item.price_limit.is_some_and(|limit| limit < item.price);
    let old = item.age_max.is_some_and(|most| most < at.age);
    let expired = at
        .prescription
        .is_some_and(|it| !it.is_valid(item.slot, at.today));
    dear || old || expired
}

/// What the rule asks of the payer, at most what is left.
fn wish(item: &Item, terms: &Terms, earlier: u64, at: &Situation<'_>) -> u64 {
    let here = terms
        .network
        .as_ref()
        .filter(|network| at.networks.contains(&network.name));
    let left = item.price.get() - earlier;
    let with = |counting, amount: u64| match counting {
        Counting::Alone => amount,
        Counting::WithEarlier => amount.saturating_sub(earlier),
    };
    let wish = match here.map_or(terms.rule, |network| network.rule) {
        Rule::Nothing => 0,
        Rule::Full { limit } => {
            let limits: Vec<u64> = limit
                .iter()
                .chain(&item.price_limit)
                .map(|l| l.get())
                .collect();
            let within = limits.iter().all(|limit| item.price.get() <= *limit);
            if within && !limits.is_empty() {
                left
            } else {
                0
            }
        }
        Rule::Rate {
            percent,
            counting,
            plus,
        } => {
            let base = item.base.map_or(0, |base| base.get()).min(item.price.get());
            let mut hundredths = base * u64::from(percent.get());
            let mut cents = 0;
            while hundredths >= 100 {
                hundredths -= 100;
                cents += 1;
            }
            with(counting, cents + u64::from(hundredths >= 50) + plus.get())
        }
        Rule::Cap { most, counting } => with(counting, most.get()),
    };
    wish.min(left)
}

fn payer(items: &[Item], terms: &[Terms], paid: &[Vec<u64>], at: &Situation<'_>) -> Vec<u64> {
    let earlier: Vec<u64> = paid.iter().map(|paid| paid.iter().sum()).collect();
    let of = |item: &Item| {
        let mut own = terms
            .iter()
            .filter(|terms| terms.grouped_code == item.grouped_code);
        own.find(|_| !is_refused(item, at))
            .filter(|terms| terms.rights.contains(at.today))
    };
    let mut own = vec![0; items.len()];
    for (place, item) in items.iter().enumerate() {
        own[place] = of(item).map_or(0, |terms| wish(item, terms, earlier[place], at));
    }
    let counted: Vec<(Slot, usize)> = (0..items.len())
        .filter(|place| of(&items[*place]).is_some() && is_counted(&items[*place]))
        .map(|place| (items[place].slot, place))
        .collect();
    let limits = counted
        .iter()
        .find_map(|(_, place)| of(&items[*place])?.limits);
    if let Some(limits) = limits {
        keep(&limits, items, &earlier, &mut own, &counted);
    }
    own
}

fn is_counted(item: &Item) -> bool {
    let code = item.grouped_code.as_str();
    ["M03", "M04"].contains(&code) || code.starts_with("VU") || code.starts_with("VM")
}

/// Hands the shares out again, frame first, one cent at a time, as the limits allow it.
fn keep(
    limits: &Limits,
    items: &[Item],
    earlier: &[u64],
    own: &mut [u64],
    counted: &[(Slot, usize)],
) {
    let place_of = |slot| {
        counted
            .iter()
            .find(|(known, _)| *known == slot)
            .map(|(_, at)| *at)
    };
    let order = [Slot::Frame, Slot::RightLens, Slot::LeftLens];
    let span = limits.spans[bracket(items)];
    let mut total: u64 = counted.iter().map(|(_, place)| earlier[*place]).sum();
    let mut given = vec![0; items.len()];
    let frame_has_room = |slot, place: usize, given: u64| {
        slot != Slot::Frame || earlier[place] + given < limits.frame_most.get()
    };
    for slot in order {
        let Some(place) = place_of(slot) else {
            continue;
        };
        while given[place] < own[place]
            && total < span.most.get()
            && frame_has_room(slot, place, given[place])
        {
            given[place] += 1;
            total += 1;
        }
    }
    let whole = order.iter().all(|slot| place_of(*slot).is_some());
    for slot in [Slot::RightLens, Slot::LeftLens, Slot::Frame] {
        let Some(place) = place_of(slot).filter(|_| whole) else {
            continue;
        };
        while total < span.least.get()
            && earlier[place] + given[place] < items[place].price.get()
            && frame_has_room(slot, place, given[place])
        {
            given[place] += 1;
            total += 1;
        }
    }
    for (_, place) in counted {
        own[*place] = given[*place];
    }
}

/// 0 for a to 5 for f, by the grades of the two lenses.
fn bracket(items: &[Item]) -> usize {
    let grade = |item: &Item| {
        let code = item.grouped_code.as_str();
        match (code.get(..2)?, code.get(2..)?) {
            ("V0", "1") | ("VU", "1" | "2" | "3") => Some(1),
            ("V0", "2" | "3") | ("VU", _) | ("VM", "1" | "2" | "3") => Some(2),
            ("V0", "4") | ("VM", _) => Some(3),
            _ => None,
        }
    };
    let grades: Vec<u8> = items.iter().filter_map(grade).collect();
    let first = grades.first().copied().unwrap_or(1);
    let second = grades.get(1).copied().unwrap_or(first);
    match (first.min(second), first.max(second)) {
        (1, 1) => 0,
        (1, 2) => 1,
        (2, 2) => 2,
        (1, 3) => 3,
        (2, 3) => 4,
        _ => 5,
    }
}

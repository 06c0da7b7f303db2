//! Reading the tables of `tests/cases`.

use std::collections::BTreeMap;
use std::fs;

use super::*;
use proto::benefit::{
    Counting, Limits, NetworkRule, Percent, PlanDraft, PlanKind, PlanRule, RenewalMonths, Rule,
};
use proto::lpp::Slot;

pub(super) type Plans = BTreeMap<String, Plan>;

/// One line of `benefit.csv`.
pub(super) struct Case {
    pub(super) number: usize,
    pub(super) shows: String,
    /// Everything that it asks, as written.
    pub(super) question: String,
    pub(super) born: BirthDate,
    pub(super) today: Day,
    pub(super) prescription: Option<Day>,
    pub(super) networks: Vec<NetworkName>,
    pub(super) payers: Vec<String>,
    pub(super) items: Vec<Item>,
    pub(super) paid: [Cents; 3],
    pub(super) rest: Cents,
    pub(super) refusals: Vec<Option<Reason>>,
}

/// One line of `renewal.csv`.
pub(super) struct RenewalCase {
    pub(super) number: usize,
    pub(super) shows: String,
    pub(super) born: BirthDate,
    pub(super) slot: Slot,
    pub(super) delivered: Option<Day>,
    pub(super) condition: EarlyRenewal,
    pub(super) today: Day,
    pub(super) answer: String,
}

/// The rows of a table under its head, without remarks.
fn rows(name: &str) -> Vec<Vec<String>> {
    let path = format!("{}/../tests/cases/{name}.csv", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).unwrap();
    let rows = text.lines().filter(|line| !line.starts_with('#')).skip(1);
    rows.map(|row| row.split(';').map(str::to_owned).collect())
        .collect()
}

fn born(text: &str) -> BirthDate {
    text.replace('-', "").parse().unwrap()
}

fn cents(text: &str) -> Cents {
    text.parse().unwrap()
}

fn optional<T>(text: &str, read: impl Fn(&str) -> T) -> Option<T> {
    (!text.is_empty()).then(|| read(text))
}

pub(super) fn renewals() -> Vec<RenewalCase> {
    let read = |row: Vec<String>| RenewalCase {
        number: row[0].parse().unwrap(),
        shows: row[1].clone(),
        born: born(&row[2]),
        slot: row[3].parse().unwrap(),
        delivered: optional(&row[4], |day| day.parse().unwrap()),
        condition: row[5].parse().unwrap(),
        today: row[6].parse().unwrap(),
        answer: row[7].clone(),
    };
    rows("renewal").into_iter().map(read).collect()
}

/// Code, grouped code, base, price limit and last age of each product.
fn catalogue() -> BTreeMap<String, Vec<String>> {
    let products = rows("catalogue").into_iter();
    products.map(|row| (row[0].clone(), row)).collect()
}

pub(super) fn cases() -> Vec<Case> {
    let catalogue = catalogue();
    rows("benefit")
        .iter()
        .map(|row| case(row, &catalogue))
        .collect()
}

fn case(row: &[String], catalogue: &BTreeMap<String, Vec<String>>) -> Case {
    let sold: Vec<(&str, Item)> = row[9]
        .split(" + ")
        .map(|text| sold(text, catalogue))
        .collect();
    let reason_of = |place: &str| {
        let reasons = row[14].split(" + ");
        let mut own = reasons.filter_map(|reason| reason.strip_prefix(place)?.strip_prefix(' '));
        own.next().map(|code| Reason::from_code(code).unwrap())
    };
    let refusals: Vec<Option<Reason>> = sold.iter().map(|(place, _)| reason_of(place)).collect();
    let named = if row[14].is_empty() {
        0
    } else {
        row[14].split(" + ").count()
    };
    assert_eq!(
        refusals.iter().flatten().count(),
        named,
        "case {}: places",
        row[0]
    );
    Case {
        number: row[0].parse().unwrap(),
        shows: row[1].clone(),
        question: row[2..10].join(";"),
        born: born(&row[2]),
        today: row[3].parse().unwrap(),
        prescription: optional(&row[4], |day| day.parse().unwrap()),
        networks: row[5]
            .split_whitespace()
            .map(|name| name.parse().unwrap())
            .collect(),
        payers: row[6..9].to_vec(),
        items: sold.into_iter().map(|(_, item)| item).collect(),
        paid: [cents(&row[10]), cents(&row[11]), cents(&row[12])],
        rest: cents(&row[13]),
        refusals,
    }
}

/// `place, grouped code, LPP code, price`; the place may be two words.
fn sold<'a>(text: &'a str, catalogue: &BTreeMap<String, Vec<String>>) -> (&'a str, Item) {
    let mut words = text.rsplitn(4, ' ');
    let [price, code, grouped, place] = [(); 4].map(|()| words.next().unwrap());
    let code: proto::lpp::LppCode = code.parse().unwrap();
    let product = &catalogue[code.as_str()];
    assert_eq!(product[1], grouped, "{text}");
    let grouped: GroupedCode = grouped.parse().unwrap();
    let side = match place {
        "verre droit" => Some(Side::Right),
        "verre gauche" => Some(Side::Left),
        _ => None,
    };
    let item = Item {
        grouped_code: grouped,
        slot: grouped.slot(side).unwrap(),
        price: cents(price),
        base: optional(&product[2], cents),
        price_limit: optional(&product[3], cents),
        age_max: optional(&product[4], |age| age.parse().unwrap()),
    };
    (place, item)
}

/// The plans, each of which keeps the rules of its kind.
pub(super) fn plans() -> Plans {
    let mut drafts: BTreeMap<String, PlanDraft> = BTreeMap::new();
    for row in rows("plans") {
        match drafts.get_mut(&row[0]) {
            None => {
                drafts.insert(row[0].clone(), draft(&row));
            }
            Some(draft) => {
                for code in codes(&row[5]) {
                    draft.rules.insert(code, plan_rule(&row));
                }
            }
        }
    }
    let checked = |(name, draft)| (name, Plan::new(draft).unwrap());
    drafts.into_iter().map(checked).collect()
}

fn draft(row: &[String]) -> PlanDraft {
    PlanDraft {
        name: row[0].parse().unwrap(),
        kind: match row[1].as_str() {
            "obligatoire" => PlanKind::Mandatory,
            "responsable" => PlanKind::Responsible,
            "solidaire" => PlanKind::Solidarity,
            "libre" => PlanKind::Free,
            other => panic!("{other}: no kind of plan"),
        },
        valid: Period {
            from: row[2].parse().unwrap(),
            to: row[3].parse().unwrap(),
        },
        rules: BTreeMap::new(),
        limits: optional(&row[4], |_| Limits::RESPONSIBLE),
        renewal: RenewalMonths::PUBLISHED,
    }
}

fn plan_rule(row: &[String]) -> PlanRule {
    PlanRule {
        rule: rule(&row[6]),
        network: optional(&row[7], |name| NetworkRule {
            name: name.parse().unwrap(),
            rule: rule(&row[8]),
        }),
    }
}

fn codes(text: &str) -> Vec<GroupedCode> {
    let group = |word: &str| match word {
        "classe-A" => "M01 M02 MS1 S01 SV2 V01 V02 V03 V04".to_owned(),
        "montures-B" => "M03 M04".to_owned(),
        "simples-B" => "VU1 VU2 VU3".to_owned(),
        "complexes-B" => "VU4 VU5 VU6 VU7 VM1 VM2 VM3".to_owned(),
        "très-complexes-B" => "VM4 VM5 VM6 VM7".to_owned(),
        "suppléments-B" => "MS2 SV1".to_owned(),
        "tous" => {
            let all: Vec<&str> = GroupedCode::all().map(|code| code.as_str()).collect();
            all.join(" ")
        }
        code => code.to_owned(),
    };
    let words: Vec<String> = text.split_whitespace().map(group).collect();
    let words = words.iter().flat_map(|codes| codes.split_whitespace());
    words.map(|code| code.parse().unwrap()).collect()
}

fn rule(text: &str) -> Rule {
    let words: Vec<&str> = text.split_whitespace().collect();
    let rate = |percent: &str, counting, plus| Rule::Rate {
        percent: Percent::new(percent.parse().unwrap()).unwrap(),
        counting,
        plus,
    };
    match words[..] {
        ["rien"] => Rule::Nothing,
        ["intégral"] => Rule::Full { limit: None },
        ["intégral", "jusqu'à", most] => Rule::Full {
            limit: Some(cents(most)),
        },
        [percent, "%"] => rate(percent, Counting::Alone, Cents::default()),
        [percent, "%", "avec"] => rate(percent, Counting::WithEarlier, Cents::default()),
        [percent, "%", "avec", "+", plus] => rate(percent, Counting::WithEarlier, cents(plus)),
        ["forfait", most] => Rule::Cap {
            most: cents(most),
            counting: Counting::Alone,
        },
        ["forfait", most, "avec"] => Rule::Cap {
            most: cents(most),
            counting: Counting::WithEarlier,
        },
        _ => panic!("{text}: no rule"),
    }
}

//! Plans as a table say what they say in sections, and are refused as strictly.

use std::fs;
use std::path::Path;

use proto::lpp::GroupedCode;

use super::*;

const TABLE: &str = include_str!("../../../../deploy/plans.csv");

fn table(text: &str) -> Result<Plans, PlansError> {
    Plans::parse(text, PlansForm::Csv)
}

/// The same files, but for the plans, which are this table.
fn with_table(dir: &Path, text: &str, records: &[ContractRecord]) -> Sources {
    let plans = dir.join("plans.CSV");
    fs::write(&plans, text).unwrap();
    let sources = files(dir, "", records);
    Sources { plans, ..sources }
}

#[test]
fn the_example_plans_are_the_same_in_both_forms() {
    let sections = Plans::parse(PLANS, PlansForm::Toml).unwrap();
    assert_eq!(table(TABLE).unwrap(), sections);
    let from_a_spreadsheet = format!("\u{feff}{}", TABLE.replace('\n', "\r\n"));
    assert_eq!(table(&from_a_spreadsheet).unwrap(), sections);
    let quoted = TABLE.replace(";all;", ";\"all\";");
    assert_eq!(table(&quoted).unwrap(), sections);
    let other = TABLE.replacen("110 %", "111 %", 1);
    assert_ne!(table(&other).unwrap(), sections);
}

#[test]
fn a_table_of_plans_is_quoted_from_as_the_sections_are() {
    let names = ["ESSENTIEL", "CONFORT", "C2S", "RENFORT"];
    let records: Vec<ContractRecord> = (1..)
        .zip(names)
        .map(|(token, plan)| record(token, plan, "2026-01-01", "2027-12-31"))
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let from_table = load(&with_table(dir.path(), TABLE, &records)).unwrap();
    let from_sections = book(PLANS, &records);
    let codes: Vec<GroupedCode> = GroupedCode::all().collect();
    let mut covered = 0;
    for token in 1..=4 {
        let contract = ContractToken::from_bytes([token; 32]).contract_key();
        for on in ["2026-01-01", "2027-06-01", "2028-01-01"] {
            let said = from_table.opinion(&contract, &codes, day(on)).codes;
            let want = from_sections.opinion(&contract, &codes, day(on)).codes;
            covered += said.iter().filter(|(_, said)| said.is_ok()).count();
            assert_eq!(said, want, "{on}");
        }
    }
    // Three plans name all 32 codes, the fourth 16 of them, on two of the three days.
    assert_eq!(covered, 2 * (3 * 32 + 16));
}

#[test]
fn a_changed_table_is_read_again_and_a_wrong_one_is_not() {
    let records = [record(1, "ESSENTIEL", "2026-01-01", "2027-12-31")];
    let dir = tempfile::tempdir().unwrap();
    let sources = with_table(dir.path(), TABLE, &records);
    let payer = "75000001".parse().unwrap();
    let (_, mut watched) = Watched::open(sources.clone(), &roster(), payer).unwrap();
    assert!(watched.read_changed(&roster()).unwrap().is_none());
    let rule = |book: &Book| {
        let asked = asked(1, &["VU1"]);
        let mut opinion = book.opinion(&asked.contract, &asked.grouped_codes, day("2026-06-01"));
        opinion.codes.remove(0).1.unwrap().terms.rule
    };
    fs::write(&sources.plans, TABLE.replace("100 % with", "125 % with")).unwrap();
    let refused = watched.read_changed(&roster()).unwrap_err().to_string();
    assert!(
        refused.contains("plans.CSV: line 14: plan C2S: "),
        "{refused}"
    );
    fs::write(&sources.plans, TABLE.replacen("100 %", "1000 %", 1)).unwrap();
    let changed = watched.read_changed(&roster()).unwrap().unwrap();
    assert_eq!(
        rule(&changed),
        Rule::Rate {
            percent: Percent::new(1000).unwrap(),
            counting: Counting::WithEarlier,
            plus: Cents::default(),
        }
    );
}

/// What stands in the example, what is written in the first place of it, and what the error says.
const WRONG_CELLS: &str = "\
plan;kind;from|plan;from;kind|the first line must be plan;kind;from;
class-a;full;;|class-a;full;|line: 5
class-a;full;;|class-c;full;;|line 5: plan ESSENTIEL: codes must be
class-a;full;;|;full;;|line 5: plan ESSENTIEL: codes must be
class-a;full;;|class-a;fully;;|line 5: plan ESSENTIEL: pays must be
60.00;RESEAU-1;90.00|60.00;;90.00|line 10: plan CONFORT: network name must be
60.00;RESEAU-1;90.00|60.00;RESEAU-1;|line 10: plan CONFORT: network pays must be
responsible;2026|social;2026|line 4: plan ESSENTIEL: kind must be mandatory,
ESSENTIEL;|ESSEN TIEL;|line 4: plan 1: name:
2026-12-31;law|2027-12-31;law|line 5: to must be as in line 4
law;90.00|;90.00|line 8: plan CONFORT: limits must be `law`
law;90.00;;;200|law;90.00;;;201|line 9: c must be as in line 8
24;12;6|24;;6|line 16: plan RENFORT: child_months must be a number of months";

/// The same, written in every place.
const WRONG_COLUMNS: &str = "\
law;90.00|law;90.0|line 8: plan CONFORT: limits frame_most must be
law;90.00|law;101.00|line 8: plan CONFORT: limits: a responsible
200.00 to 600.00|200.00|line 8: plan CONFORT: c must be as `200.00 to 600.00`
200.00 to 600.00|200.00 to 600|line 8: plan CONFORT: limits c must be
200.00 to 600.00|200.00 to 701.00|line 8: plan CONFORT: limits c: a responsible
2026-12-31|2026-13-31|line 4: plan ESSENTIEL: to must be YYYY-MM-DD
2026-12-31|2027-01-31|line 6: plan ESSENTIEL: two of this name run on 2027-01-01";

#[test]
fn a_wrong_row_is_named_with_its_line_and_field() {
    for (cases, places) in [(WRONG_CELLS, 1), (WRONG_COLUMNS, usize::MAX)] {
        for case in cases.lines() {
            let [from, to, said] = case.split('|').collect::<Vec<_>>()[..] else {
                panic!("{case}");
            };
            assert!(TABLE.contains(from), "{from}");
            let error = table(&TABLE.replacen(from, to, places));
            let error = error.unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
    let header = TABLE.lines().nth(2).unwrap();
    assert!(matches!(table(header), Err(PlansError::Count { got: 0 })));
    assert!(matches!(table(""), Err(PlansError::Columns)));
}

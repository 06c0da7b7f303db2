//! Tests of the catalogue and its canonical text.

use std::num::NonZeroU8;

use proptest::prelude::*;

use super::super::{GroupedCode, GroupedCodeError, LppCode, LppCodeError};
use super::*;
use crate::ids::Cents;

const TEXT: &str = "vitrail-catalogue/v1\n\
    version;LPP-577\n\
    valid-from;2020-07-01\n\
    code;grouped;label;base;plv;age-max;end\n\
    2201814;V01;OPTIQUE, VERRE UNIFOCAL CLASSE A, SPHERE] -4,00 A -6,00];;;;\n\
    2222124;M01;OPTIQUE, MONTURE ADULTE DE CLASSE A;;30.00;;\n\
    2276870;M04;OPTIQUE, MONTURE ENFANT DE CLASSE B;0.05;;15;2031-01-01\n";

fn catalogue() -> Catalogue {
    Catalogue::from_bytes(TEXT.as_bytes()).unwrap()
}

fn refused(from: &str, to: &str) -> CatalogueError {
    assert!(TEXT.contains(from), "{from}");
    Catalogue::from_bytes(TEXT.replacen(from, to, 1).as_bytes()).unwrap_err()
}

/// The pairs of version 2, after products of [`TEXT`].
const PAIRS: &str = "code;incompatible-with\n\
    2201814;2222124\n\
    2222124;2276870\n\
    code;compatible-with\n\
    2201814;2276870\n";

fn text_with(pairs: &str) -> String {
    TEXT.replacen("/v1", "/v2", 1) + pairs
}

fn with_pairs(pairs: &str) -> Result<Catalogue, CatalogueError> {
    Catalogue::from_bytes(text_with(pairs).as_bytes())
}

fn code(text: &str) -> LppCode {
    text.parse().unwrap()
}

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

#[test]
fn the_documented_text_reads_and_prints_back() {
    assert_eq!(catalogue().to_text(), TEXT);
    assert_eq!(catalogue().version().as_str(), "LPP-577");
    assert_eq!(catalogue().valid_from(), day("2020-07-01"));
    assert_eq!(catalogue().lines().len(), 3);
}

#[test]
fn the_order_in_which_products_are_given_does_not_matter() {
    let mut lines = catalogue().lines().to_vec();
    lines.reverse();
    let shuffled = Catalogue::new(catalogue().header, lines).unwrap();
    assert_eq!(shuffled.hash(), catalogue().hash());
}

#[test]
fn any_change_changes_the_hash() {
    let other = TEXT.replace("30.00", "30.01");
    let other = Catalogue::from_bytes(other.as_bytes()).unwrap();
    assert_ne!(other.hash(), catalogue().hash());
}

#[test]
fn a_code_is_found_until_the_day_it_ends() {
    let catalogue = catalogue();
    let child = code("2276870");
    let last_day = catalogue.lookup(child, day("2030-12-31")).unwrap();
    assert_eq!(last_day.grouped_code.as_str(), "M04");
    let since = day("2031-01-01");
    for on in ["2031-01-01", "2040-05-05"] {
        let refusal = catalogue.lookup(child, day(on));
        assert_eq!(refusal, Err(LppRefusal::Expired { since }), "{on}");
    }
    let unknown = catalogue.lookup(code("2264861"), since);
    assert_eq!(unknown, Err(LppRefusal::Unknown));
    for line in catalogue.lines() {
        assert_eq!(catalogue.lookup(line.code, Day::new(0)), Ok(line));
    }
}

#[test]
fn an_age_limit_is_the_last_age_that_is_covered() {
    let catalogue = catalogue();
    let child = catalogue.lookup(code("2276870"), Day::new(0)).unwrap();
    assert!(child.is_for_age(0) && child.is_for_age(15) && !child.is_for_age(16));
    let adult = catalogue.lookup(code("2222124"), Day::new(0)).unwrap();
    assert!(adult.is_for_age(0) && adult.is_for_age(120));
}

#[test]
fn a_changed_header_is_refused_with_its_line() {
    for (from, to, line) in [
        ("/v1\n", "/v3\n", 1),
        ("/v1\n", "/v1 \n", 1),
        ("version;", "Version;", 2),
        ("LPP-577", "", 2),
        ("LPP-577", "LPP 577", 2),
        ("2020-07-01", "2020-7-1", 3),
        ("age-max", "age", 4),
        (";end\n", ";end;\n", 4),
    ] {
        assert_eq!(refused(from, to), CatalogueError::Header { line }, "{to}");
    }
}

#[test]
fn a_value_with_a_second_spelling_is_refused_with_its_line() {
    use LineError::{AgeMax, Amount, End, Fields, NotCanonical};
    for (from, to, line, reason) in [
        ("30.00;;", "30.00;", 6, Fields),
        ("30.00", "30", 6, NotCanonical),
        ("30.00", "30,00", 6, NotCanonical),
        ("30.00", "030.00", 6, NotCanonical),
        ("30.00", "-30.00", 6, Amount),
        ("30.00", "30.001", 6, Amount),
        (";15;", ";015;", 7, NotCanonical),
        (";15;", ";+15;", 7, NotCanonical),
        (";15;", ";0;", 7, AgeMax),
        (";15;", ";256;", 7, AgeMax),
        ("2031-01-01", "2031-02-30", 7, End),
        ("2031-01-01", "2031-01-01;", 7, End),
        ("2031-01-01", "2031-01-01\r", 7, End),
        (
            "2222124",
            "2222125",
            6,
            LineError::Code(LppCodeError::CheckDigit),
        ),
        (
            "M01",
            "M09",
            6,
            LineError::GroupedCode(GroupedCodeError::Unknown),
        ),
        (
            "OPTIQUE, MONTURE ADULTE DE CLASSE A",
            "",
            6,
            LineError::Label(LabelError::Length),
        ),
        (
            "MONTURE ADULTE",
            "MONTURE\tADULTE",
            6,
            LineError::Label(LabelError::Character),
        ),
    ] {
        let expected = CatalogueError::Line { line, reason };
        assert_eq!(refused(from, to), expected, "{to}");
    }
}

#[test]
fn products_out_of_order_or_twice_are_refused() {
    assert_eq!(
        refused("2201814", "2264861"),
        CatalogueError::NotSorted { line: 6 }
    );
    assert_eq!(
        refused("2201814", "2222124"),
        CatalogueError::NotSorted { line: 6 }
    );
    let mut lines = catalogue().lines().to_vec();
    lines.push(lines[1].clone());
    let code = lines[1].code;
    assert_eq!(
        Catalogue::new(catalogue().header, lines),
        Err(CatalogueError::DuplicateCode { code })
    );
}

#[test]
fn pairs_are_read_and_print_back_and_are_found_in_either_order() {
    let read = with_pairs(PAIRS).unwrap();
    assert_eq!(read.to_text(), text_with(PAIRS));
    let [lens, adult, child] = ["2201814", "2222124", "2276870"].map(code);
    for (one, other, incompatible) in [
        (lens, adult, true),
        (adult, lens, true),
        (child, adult, true),
        (lens, child, false),
        (adult, adult, false),
        (adult, code("2264861"), false),
    ] {
        assert_eq!(read.incompatible(one, other), incompatible, "{one} {other}");
    }
    assert!(read.compatible_pairs().contains(child, lens));
    assert!(!read.compatible_pairs().contains(child, adult));
    assert_eq!(read.lines(), catalogue().lines());
    let none = CodePairs::default();
    let without = read.with_pairs(none.clone(), none).unwrap();
    assert_eq!((without.to_text().as_str(), without), (TEXT, catalogue()));
}

#[test]
fn the_hashes_of_both_versions_do_not_change() {
    let hash = |catalogue: Catalogue| hex::encode(catalogue.hash().as_bytes());
    assert_eq!(
        hash(catalogue()),
        "03b1d06dce0ed2d12cc406edd851d207187470965627e548282737b3b098111b"
    );
    assert_eq!(
        hash(with_pairs(PAIRS).unwrap()),
        "ff864fa3fe33ca35f64d90e4181eb326f3a4e31f0c2961dd9b9811414c50bf82"
    );
}

#[test]
fn sections_of_pairs_have_one_form() {
    use CatalogueError::{NoPair, NotSorted, Pair, SectionMissing};
    let refused = |from: &str, to: &str| {
        assert!(PAIRS.contains(from), "{from}");
        with_pairs(&PAIRS.replacen(from, to, 1)).unwrap_err()
    };
    let missing = |section| SectionMissing { section };
    assert_eq!(with_pairs(""), Err(missing("code;incompatible-with")));
    assert_eq!(
        refused("code;compatible-with\n", ""),
        missing("code;compatible-with")
    );
    let empty = with_pairs("code;incompatible-with\ncode;compatible-with\n");
    assert_eq!(empty, Err(NoPair));
    for (from, to, line) in [
        ("2201814;2222124", "2222124;2201814", 9),
        ("2201814;2222124", "2201814;2201814", 9),
        ("2201814;2222124", "2201814;2222125", 9),
        ("2201814;2222124", "2201814;2222124;", 9),
        ("2201814;2222124", "2201814; 2222124", 9),
        ("2201814;2222124", "", 9),
        ("2201814;2276870", "2201814", 12),
        ("2201814;2276870", "code;compatible-with", 12),
    ] {
        assert_eq!(refused(from, to), Pair { line }, "{to}");
    }
    let twice = refused("2222124;2276870", "2201814;2222124");
    assert_eq!(twice, NotSorted { line: 10 });
    let code = code("2264861");
    let unknown = refused("2222124;2276870", "2222124;2264861");
    assert_eq!(unknown, CatalogueError::PairUnknown { code });
    // A catalogue of version 1 has no such sections.
    let old = Catalogue::from_bytes(format!("{TEXT}{PAIRS}").as_bytes());
    assert!(matches!(old, Err(CatalogueError::Line { line: 8, .. })));
}

#[test]
fn more_pairs_than_the_limit_are_refused() {
    let codes: Vec<LppCode> = (0..450)
        .filter_map(|n| (0..10).find_map(|check| format!("{n:06}{check}").parse().ok()))
        .collect();
    let line = |code: &LppCode| CatalogueLine {
        code: *code,
        ..catalogue().lines()[0].clone()
    };
    let products = codes.iter().map(line).collect();
    let many = Catalogue::new(catalogue().header, products).unwrap();
    let pairs = codes.iter().flat_map(|one| {
        let others = codes.iter().filter(move |other| one < *other);
        others.filter_map(|other| CodePair::new(*one, *other))
    });
    let pairs: Vec<CodePair> = pairs.take(CODE_PAIRS_MAX + 1).collect();
    let set = |count: usize| pairs[..count].iter().copied().collect::<CodePairs>();
    let refused = many
        .clone()
        .with_pairs(CodePairs::default(), set(CODE_PAIRS_MAX + 1));
    assert_eq!(refused, Err(CatalogueError::TooManyPairs));
    let full = many.with_pairs(set(CODE_PAIRS_MAX), set(1)).unwrap();
    let text = full.to_text();
    assert_eq!(Catalogue::from_bytes(text.as_bytes()), Ok(full));
    let one_more = format!("{}\ncode;compatible-with", pairs[CODE_PAIRS_MAX]);
    let beyond = text.replacen("code;compatible-with", &one_more, 1);
    let refused = Catalogue::from_bytes(beyond.as_bytes());
    assert_eq!(refused, Err(CatalogueError::TooManyPairs));
}

#[test]
fn a_cut_text_is_refused() {
    let from_bytes = |text: &str| Catalogue::from_bytes(text.as_bytes());
    let cut = TEXT.strip_suffix('\n').unwrap();
    assert_eq!(from_bytes(cut), Err(CatalogueError::Unterminated));
    let fields = CatalogueError::Line {
        line: 8,
        reason: LineError::Fields,
    };
    assert_eq!(from_bytes(&format!("{TEXT}\n")), Err(fields));
    for end in 0..TEXT.len() {
        // A cut between two products is another catalogue, of another hash.
        if let Ok(shorter) = from_bytes(&TEXT[..end]) {
            assert_ne!(shorter.hash(), catalogue().hash());
        }
    }
    assert_eq!(
        Catalogue::from_bytes(&[0xff, b'\n']),
        Err(CatalogueError::NotUtf8)
    );
}

#[test]
fn limits_hold_and_a_full_catalogue_fits_them() {
    let mut lines = Vec::new();
    for number in 0..CATALOGUE_LINES_MAX + 1 {
        let line = (0..10).find_map(|check| {
            let text = format!("{:06}{check}", number);
            text.parse::<LppCode>().ok()
        });
        lines.push(CatalogueLine {
            code: line.unwrap(),
            grouped_code: "VM6".parse().unwrap(),
            label: "\u{1f453}".repeat(LABEL_CHARS_MAX).parse().unwrap(),
            base: Some(CATALOGUE_AMOUNT_MAX),
            plv: Some(CATALOGUE_AMOUNT_MAX),
            age_max: NonZeroU8::new(255),
            end: Some(Day::MAX),
        });
    }
    let header = catalogue().header;
    let too_many = Catalogue::new(header.clone(), lines.clone());
    assert_eq!(too_many, Err(CatalogueError::TooManyLines));
    lines.pop();
    let full = Catalogue::new(header, lines).unwrap();
    let text = full.to_text();
    assert!(text.len() <= CATALOGUE_BYTES_MAX);
    assert_eq!(Catalogue::from_bytes(text.as_bytes()), Ok(full));
    let endless = vec![b'\n'; CATALOGUE_BYTES_MAX + 1];
    assert_eq!(
        Catalogue::from_bytes(&endless),
        Err(CatalogueError::TooManyBytes)
    );
}

#[test]
fn a_value_that_could_not_be_written_is_refused() {
    let with = |change: fn(&mut CatalogueLine)| {
        let mut lines = catalogue().lines().to_vec();
        change(&mut lines[0]);
        Catalogue::new(catalogue().header, lines)
    };
    for change in [
        (|line| line.base = Some(CATALOGUE_AMOUNT_MAX.plus(Cents::new(1))))
            as fn(&mut CatalogueLine),
        |line| line.plv = Some(Cents::new(u64::MAX)),
        |line| line.end = Some(Day::new(Day::MAX.get() + 1)),
    ] {
        assert_eq!(with(change), Err(CatalogueError::OutOfRange));
    }
    assert!(with(|line| line.end = Some(Day::MAX)).is_ok());
    let header = CatalogueHeader {
        valid_from: Day::new(u32::MAX),
        ..catalogue().header
    };
    let late = Catalogue::new(header, Vec::new());
    assert_eq!(late, Err(CatalogueError::OutOfRange));
}

fn any_line() -> impl Strategy<Value = CatalogueLine> {
    let amount = || proptest::option::of((0..=CATALOGUE_AMOUNT_MAX.get()).prop_map(Cents::new));
    let grouped: Vec<GroupedCode> = GroupedCode::all().collect();
    (
        "[0-9]{7}".prop_filter_map("check digit", |text| text.parse().ok()),
        proptest::sample::select(grouped),
        "\\PC{1,60}".prop_filter_map("label", |text| text.parse().ok()),
        amount(),
        amount(),
        any::<Option<u8>>().prop_map(|age| age.and_then(NonZeroU8::new)),
        proptest::option::of((0..=Day::MAX.get()).prop_map(Day::new)),
    )
        .prop_map(
            |(code, grouped_code, label, base, plv, age_max, end)| CatalogueLine {
                code,
                grouped_code,
                label,
                base,
                plv,
                age_max,
                end,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_catalogue_prints_and_reads_back(lines in proptest::collection::vec(any_line(), 0..6)) {
        if let Ok(built) = Catalogue::new(catalogue().header, lines) {
            prop_assert_eq!(Catalogue::from_bytes(built.to_text().as_bytes()), Ok(built));
        }
    }

    #[test]
    fn a_catalogue_with_pairs_prints_and_reads_back(
        lines in proptest::collection::vec(any_line(), 0..6),
        pairs in proptest::collection::vec((0..6usize, 0..6usize, any::<bool>()), 0..12),
    ) {
        let Ok(built) = Catalogue::new(catalogue().header, lines) else { return Ok(()) };
        let code = |place: usize| built.lines().get(place).map(|line| line.code);
        let section = |wanted: bool| -> CodePairs {
            let of_it = pairs.iter().filter(|(.., section)| *section == wanted);
            of_it.filter_map(|(a, b, _)| CodePair::new(code(*a)?, code(*b)?)).collect()
        };
        let (incompatible, compatible) = (section(true), section(false));
        let built = built.clone().with_pairs(incompatible, compatible).unwrap();
        prop_assert_eq!(Catalogue::from_bytes(built.to_text().as_bytes()), Ok(built));
    }

    #[test]
    fn what_is_read_prints_the_same_bytes(place in any::<usize>(), byte in any::<u8>()) {
        let mut bytes = text_with(PAIRS).into_bytes();
        let place = place % bytes.len();
        bytes[place] = byte;
        if let Ok(read) = Catalogue::from_bytes(&bytes) {
            prop_assert_eq!(read.to_text().into_bytes(), bytes);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Catalogue::from_bytes(&bytes);
    }
}

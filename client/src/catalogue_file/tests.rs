//! Tests of the import, over tables written here and over the public lists.

mod places;

use std::collections::BTreeMap;
use std::num::NonZeroU8;

use proptest::prelude::*;
use proto::ids::{Cents, Day};
use proto::lpp::{GroupedCode, Side};

use super::*;

fn header(valid_from: &str) -> CatalogueHeader {
    CatalogueHeader {
        version: "TEST-1".parse().unwrap(),
        valid_from: valid_from.parse().unwrap(),
    }
}

fn csv(text: &str) -> Import {
    read_csv(text.as_bytes(), header("2020-07-01")).unwrap()
}

fn codes(import: &Import) -> Vec<String> {
    let lines = import.catalogue.lines();
    lines.iter().map(|line| line.code.to_string()).collect()
}

fn reasons(import: &Import) -> Vec<(u64, SkipReason)> {
    let skipped = import.skipped.iter();
    skipped
        .map(|skipped| (skipped.line, skipped.reason))
        .collect()
}

const CSV: &str = "\
    lpp_code,label,classe,code_regroupement,base_remboursement_eur,plv_eur,age_max_0_is_none,end_date\n\
    2264861,\"OPTIQUE, MONTURE ADULTE DE CLASSE B\",B,M03,0.05,,0,\n\
    2222124,\"OPTIQUE, MONTURE ADULTE DE CLASSE A\",A,M01,,30.00,0,01JAN2031:00:00:00\n\
    2276870,\"OPTIQUE, MONTURE ENFANT DE CLASSE B\",B,,0.05,,15,\n";

#[test]
fn a_csv_is_read_by_the_names_of_its_columns() {
    let import = csv(CSV);
    assert_eq!(codes(&import), ["2222124", "2264861", "2276870"]);
    assert_eq!(import.skipped, []);
    let [class_a, class_b, child] = import.catalogue.lines() else {
        panic!("three lines");
    };
    assert_eq!((class_a.base, class_a.plv), (None, Some(Cents::new(3000))));
    assert_eq!(class_a.end, "2031-01-01".parse().ok());
    assert_eq!((class_b.base, class_b.plv), (Some(Cents::new(5)), None));
    assert_eq!(child.grouped_code.as_str(), "M04");
    assert_eq!(child.age_max, NonZeroU8::new(15));
}

#[test]
fn a_french_export_gives_the_same_catalogue() {
    let french = "\u{feff}DATE_FIN;TARIF;AGE_MAX;PUREGLEMEN;NAT_PREST;NOM_COURT;CODE_TIPS\r\n\
        ;0,05;0;0;M03;OPTIQUE, MONTURE ADULTE DE CLASSE B;2264861\r\n\
        20310101;0,00;0;30;M01;OPTIQUE, MONTURE ADULTE DE CLASSE A;2222124\r\n\
        ;,05;15;;;OPTIQUE, MONTURE ENFANT DE CLASSE B;2276870\r\n";
    assert_eq!(csv(french), csv(CSV));
}

#[test]
fn latin_1_is_read_where_the_text_is_not_utf_8() {
    let bytes = b"code;label;code_regroupement\n2264861;LUNETTES CIN\xc9MA;M03\n";
    let import = read_csv(bytes, header("2020-07-01")).unwrap();
    assert_eq!(
        import.catalogue.lines()[0].label.as_str(),
        "LUNETTES CINÉMA"
    );
}

#[test]
fn bad_records_are_reported_with_their_line_and_the_others_imported() {
    let import = csv(
        "code,label,code_regroupement,tarif,plv_eur,age_max,end_date\n\
        2264862,x,M03,,,,\n\
        226486,x,M03,,,,\n\
        2264861,x,M03,,,\n\
        2264861,x,,,,,\n\
        2264861,x,DVO,,,,\n\
        2264861,\"x;y\",M03,,,,\n\
        2264861,,M03,,,,\n\
        2264861,x,M03,-1,,,\n\
        2264861,x,M03,,1.005,,\n\
        2264861,x,M03,,,16 ans,\n\
        2264861,x,M03,,,,01/01/2020\n\
        2264861,kept,M03,,,,\n\
        2264861,later,M03,,,,\n\
        2222124,\"two\nlines\",M01,,,,\n\
        2222124,kept,M01,,,,\n",
    );
    assert_eq!(codes(&import), ["2222124", "2264861"]);
    let labels = import.catalogue.lines().iter().map(|l| l.label.as_str());
    assert!(labels.eq(["kept", "kept"]));
    let expected = [
        (2, SkipReason::Code(LppCodeError::CheckDigit)),
        (3, SkipReason::Code(LppCodeError::Digits)),
        (4, SkipReason::Shape),
        (5, SkipReason::GroupedCodeMissing),
        (6, SkipReason::GroupedCode(GroupedCodeError::Unknown)),
        (7, SkipReason::Label(LabelError::Character)),
        (8, SkipReason::Label(LabelError::Length)),
        (9, SkipReason::Base),
        (10, SkipReason::Plv),
        (11, SkipReason::AgeMax),
        (12, SkipReason::Date),
        (14, SkipReason::DuplicateCode),
        (15, SkipReason::Label(LabelError::Character)),
    ];
    assert_eq!(reasons(&import), expected);
}

#[test]
fn lines_are_counted_the_same_after_cr_lf() {
    let unix = "code,label,nat_prest\n2264861,\"a\nb\",M03\n2222124,x,DVO\n\n2222124,x,M01\n1,x,\n";
    let expected = [
        (2, SkipReason::Label(LabelError::Character)),
        (4, SkipReason::GroupedCode(GroupedCodeError::Unknown)),
        (7, SkipReason::Code(LppCodeError::Digits)),
    ];
    assert_eq!(reasons(&csv(unix)), expected);
    assert_eq!(reasons(&csv(&unix.replace('\n', "\r\n"))), expected);
}

#[test]
fn a_csv_without_its_columns_is_refused() {
    let error = |text: &str| read_csv(text.as_bytes(), header("2020-07-01")).unwrap_err();
    let missing = |name| CatalogueFileError::MissingColumn { name };
    assert_eq!(error(""), missing("lpp_code"));
    assert_eq!(error("label\nx\n"), missing("lpp_code"));
    assert_eq!(error("code\n2264861\n"), missing("label"));
    let name = "lpp_code";
    let twice = CatalogueFileError::DuplicateColumn { name };
    assert_eq!(error("code,label,CODE_TIPS\n"), twice);
}

#[test]
fn a_csv_beyond_the_limits_is_refused() {
    let bytes = vec![b'\n'; FILE_BYTES_MAX + 1];
    let error = read_csv(&bytes, header("2020-07-01")).unwrap_err();
    assert_eq!(error, CatalogueFileError::TooManyBytes);
    let many = format!("code,label\n{}", "1,x\n".repeat(FILE_RECORDS_MAX + 1));
    let error = read_csv(many.as_bytes(), header("2020-07-01")).unwrap_err();
    assert_eq!(error, CatalogueFileError::TooManyRecords);
}

/// The columns of the CNAM's tables that matter, and two that must not be taken for them.
fn fiche(records: &[(char, &[&str])]) -> Vec<u8> {
    let columns = [
        ("CODE_TIPS", 'C', 7),
        ("NOM_COURT", 'C', 80),
        ("RMO1", 'C', 3),
        ("DATE_FIN", 'D', 8),
        ("AGE_MAX", 'N', 3),
        ("TYPE_PREST", 'C', 1),
    ];
    dbf::tests::table(&columns, records)
}

fn histo(records: &[(char, &[&str])]) -> Vec<u8> {
    let columns = [
        ("CODE_TIPS", 'C', 7),
        ("DEBUTVALID", 'D', 8),
        ("FINHISTO", 'D', 8),
        ("NAT_PREST", 'C', 3),
        ("TARIF", 'N', 10),
        ("PUREGLEMEN", 'N', 10),
    ];
    dbf::tests::table(&columns, records)
}

const ADULT: &[&str] = &["2264861", "OPTIQUE, MONTURE ADULTE", "", "", "0", "A"];

#[test]
fn the_two_tables_are_joined_on_their_code() {
    let fiche = fiche(&[
        (
            ' ',
            &[
                "2276870",
                "MONTURE ENFANT, CINÉMA",
                "",
                "20310101",
                "15",
                "A",
            ],
        ),
        (' ', ADULT),
        ('*', &["2222124", "DELETED", "", "", "0", "A"]),
    ]);
    let histo = histo(&[
        (' ', &["2264861", "20200101", "", "M03", "0.05", "0.00"]),
        (' ', &["2276870", "20200101", "", "M04", "0.05", "110.00"]),
        (' ', &["2222124", "20200101", "", "M01", "9.00", "30.00"]),
    ]);
    let import = read_dbf(&fiche, &histo, header("2020-07-01")).unwrap();
    assert_eq!(codes(&import), ["2264861", "2276870"]);
    assert_eq!(import.skipped, []);
    let child = &import.catalogue.lines()[1];
    assert_eq!(child.grouped_code.as_str(), "M04");
    assert_eq!(child.label.as_str(), "MONTURE ENFANT, CINÉMA");
    assert_eq!(child.base, Some(Cents::new(5)));
    assert_eq!(child.plv, Some(Cents::new(11_000)));
    assert_eq!(child.age_max, NonZeroU8::new(15));
    assert_eq!(child.end, "2031-01-01".parse().ok());
    assert_eq!(import.catalogue.lines()[0].plv, None);
}

#[test]
fn the_tariff_of_the_day_is_taken() {
    let fiche = fiche(&[(' ', ADULT)]);
    let histo = histo(&[
        (
            ' ',
            &["2264861", "20220101", "20231231", "M03", "0.30", "0"],
        ),
        (
            ' ',
            &["2264861", "20180101", "20191231", "OPT", "0.10", "0"],
        ),
        (
            ' ',
            &["2264861", "20200101", "20211231", "M03", "0.20", "0"],
        ),
    ]);
    let on = |day: &str| {
        let import = read_dbf(&fiche, &histo, header(day)).unwrap();
        let line = import.catalogue.lines().first()?;
        let end = line.end.map(Day::to_iso);
        Some((line.grouped_code.as_str(), line.base?.get(), end))
    };
    assert_eq!(on("2017-12-31"), None);
    assert_eq!(on("2018-01-01"), Some(("OPT", 10, None)));
    assert_eq!(on("2019-12-31"), Some(("OPT", 10, None)));
    assert_eq!(on("2020-01-01"), Some(("M03", 20, None)));
    // The last tariff has no successor, so the product ends with it, seen from any later day.
    let end = Some("2024-01-01".to_owned());
    assert_eq!(on("2023-12-31"), Some(("M03", 30, end.clone())));
    assert_eq!(on("2025-01-01"), Some(("M03", 30, end)));
}

#[test]
fn a_product_between_two_tariffs_is_not_in_force() {
    let fiche = fiche(&[(' ', ADULT)]);
    let histo = histo(&[
        (
            ' ',
            &["2264861", "20200101", "20201231", "M03", "0.05", "0"],
        ),
        (' ', &["2264861", "20220101", "", "M03", "0.05", "0"]),
    ]);
    let import = read_dbf(&fiche, &histo, header("2021-06-01")).unwrap();
    assert_eq!(import.catalogue.lines()[0].end, "2021-01-01".parse().ok());
}

#[test]
fn bad_records_of_either_table_are_reported() {
    let fiche = fiche(&[
        (' ', &["2264862", "BAD CODE", "", "", "0", "A"]),
        (' ', &["2222124", "NO TARIFF", "", "", "0", "A"]),
        ('?', ADULT),
        (' ', &["4222803", "A CHAIR", "", "", "0", "A"]),
        (' ', ADULT),
    ]);
    let histo = histo(&[
        (' ', &["2264861", "20200101", "", "M03", "0.05", "0"]),
        (' ', &["2222124", "", "", "M01", "0.05", "0"]),
        (' ', &["2264862", "20200101", "", "M03", "0.05", "0"]),
        (' ', &["4222803", "20030908", "", "VEH", "631.17", "0"]),
        (
            ' ',
            &["2264861", "20200101", "99999999", "M03", "0.05", "0"],
        ),
    ]);
    let import = read_dbf(&fiche, &histo, header("2020-07-01")).unwrap();
    assert_eq!(codes(&import), ["2264861"]);
    let skipped: Vec<_> = import
        .skipped
        .iter()
        .map(|s| (s.file, s.line, s.reason))
        .collect();
    use SourceFile::{Products, Tariffs};
    let expected = [
        (Tariffs, 2, SkipReason::Date),
        (Tariffs, 5, SkipReason::Date),
        (Products, 1, SkipReason::Code(LppCodeError::CheckDigit)),
        (Products, 2, SkipReason::NoTariff),
        (Products, 3, SkipReason::Shape),
        (
            Products,
            4,
            SkipReason::GroupedCode(GroupedCodeError::Unknown),
        ),
    ];
    assert_eq!(skipped, expected);
}

/// A table of pairs, as `lpp_incomp_tot` and `lpp_comp_tot` are.
fn pairs(records: &[(char, &[&str])]) -> Vec<u8> {
    dbf::tests::table(&[("CODE1", 'C', 7), ("CODE2", 'C', 7)], records)
}

/// The four tables: three products, one of another trade.
fn four_tables(
    incompatible: &[(char, &[&str])],
    compatible: &[(char, &[&str])],
) -> Result<Import, CatalogueFileError> {
    let fiche = fiche(&[
        (' ', ADULT),
        (' ', &["2222124", "MONTURE A", "", "", "0", "A"]),
        (' ', &["2276870", "MONTURE ENFANT", "", "", "15", "A"]),
        (' ', &["4222803", "A CHAIR", "", "", "0", "A"]),
    ]);
    let histo = histo(&[
        (' ', &["2264861", "20200101", "", "M03", "0.05", "0"]),
        (' ', &["2222124", "20200101", "", "M01", "9.00", "30"]),
        (' ', &["2276870", "20200101", "", "M04", "0.05", "0"]),
        (' ', &["4222803", "20030908", "", "VEH", "631.17", "0"]),
    ]);
    let import = read_dbf(&fiche, &histo, header("2020-07-01"))?;
    import.with_pairs(PairFiles {
        incompatible: Some(&pairs(incompatible)),
        compatible: Some(&pairs(compatible)),
    })
}

#[test]
fn the_four_tables_make_one_catalogue() {
    let import = four_tables(
        &[
            (' ', &["2264861", "2222124"]),
            (' ', &["2222124", "2264861"]),
            ('*', &["2276870", "2264861"]),
            (' ', &["4222803", "2264861"]),
            (' ', &["2264862", "2222124"]),
            ('?', &["2264861", "2276870"]),
            (' ', &["2264861", "2264861"]),
        ],
        &[
            (' ', &["2276870", "2222124"]),
            (' ', &["2264861", "2222124"]),
            (' ', &["4222803", "4222803"]),
        ],
    )
    .unwrap();
    let text = import.catalogue.to_text();
    let (_, sections) = text.split_once("code;incompatible-with\n").unwrap();
    let expected = "2222124;2264861\ncode;compatible-with\n2222124;2276870\n";
    assert_eq!(sections, expected);
    assert_eq!(
        Catalogue::from_bytes(text.as_bytes()).unwrap(),
        import.catalogue
    );
    assert_eq!(import.foreign_pairs, 1);
    let skipped = import.skipped.iter().map(|s| (s.file, s.line, s.reason));
    use SourceFile::{Compatible, Incompatible, Products};
    let other_trade = SkipReason::GroupedCode(GroupedCodeError::Unknown);
    let expected = [
        (Products, 4, other_trade),
        (Incompatible, 5, SkipReason::Code(LppCodeError::CheckDigit)),
        (Incompatible, 6, SkipReason::Shape),
        (Incompatible, 7, SkipReason::SameCode),
        (Compatible, 3, SkipReason::SameCode),
        (Compatible, 2, SkipReason::Incompatible),
    ];
    assert!(skipped.eq(expected));
}

#[test]
fn pairs_come_from_a_csv_as_well() {
    let table = four_tables(&[(' ', &["2264861", "2222124"])], &[]).unwrap();
    let of = |incompatible: &[u8]| {
        let import = four_tables(&[], &[]).unwrap();
        import.with_pairs(PairFiles {
            incompatible: Some(incompatible),
            compatible: None,
        })
    };
    for text in [
        "CODE1,CODE2\n2264861,2222124\n",
        "\u{feff}code2;other;code1\r\n 2264861 ;x;2222124\r\n",
    ] {
        assert_eq!(of(text.as_bytes()).as_ref(), Ok(&table), "{text}");
    }
    let name = "CODE2";
    let missing = CatalogueFileError::MissingColumn { name };
    assert_eq!(of(b"code1;label\n"), Err(missing));
    let twice = CatalogueFileError::DuplicateColumn { name };
    assert_eq!(of(b"code1;code2;CODE2\n"), Err(twice));
    let short = of(b"code1;code2\n2264861\n").unwrap();
    assert_eq!(short.skipped.last().unwrap().reason, SkipReason::Shape);
}

#[test]
fn a_table_taken_for_the_other_is_refused() {
    let fiche = fiche(&[]);
    let name = "NAT_PREST";
    assert_eq!(
        read_dbf(&fiche, &fiche, header("2020-07-01")),
        Err(CatalogueFileError::MissingColumn { name })
    );
}

/// A file of the shared data, or `None` with a word about it.
fn shared(name: &str) -> Option<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/");
    let read = std::fs::read(format!("{folder}{name}")).ok();
    if read.is_none() {
        println!("skipped: ../shared/data/{name} is not there");
    }
    read
}

#[test]
fn the_generic_lines_of_the_public_list_are_imported_and_each_maps_to_a_slot() {
    let Some(bytes) = shared("lpp_optique.csv") else {
        return;
    };
    let import = read_csv(&bytes, header("2020-07-01")).unwrap();
    assert_eq!(import.catalogue.lines().len(), 194);
    assert_eq!(import.skipped.len(), 76);
    let missing = |s: &Skipped| s.reason == SkipReason::GroupedCodeMissing;
    assert!(import.skipped.iter().all(missing));
    let mut slots: BTreeMap<&str, usize> = BTreeMap::new();
    for line in import.catalogue.lines() {
        let side = line.grouped_code.is_lens().then_some(Side::Right);
        let slot = line.grouped_code.slot(side).unwrap();
        *slots.entry(slot.as_str()).or_default() += 1;
    }
    let slots: Vec<_> = slots.into_iter().collect();
    let expected = [
        ("adaptation", 2),
        ("frame", 4),
        ("pairing", 3),
        ("right-lens", 182),
        ("shell-frame", 2),
        ("tint", 1),
    ];
    assert_eq!(slots, expected);
}

#[test]
fn a_grouped_code_from_a_label_is_the_one_that_the_public_list_gives() {
    let Some(bytes) = shared("lpp_optique.csv") else {
        return;
    };
    let listed = read_csv(&bytes, header("2020-07-01")).unwrap();
    assert_eq!(listed.derived, 0);
    // Without the column, only the labels are left to go by.
    let text = String::from_utf8(bytes).unwrap();
    let blind = csv(&text.replacen("code_regroupement,", "hidden,", 1));
    assert_eq!(blind.derived, 194);
    assert_eq!(blind.catalogue, listed.catalogue);
}

/// A maker's label and the generic line's of one band, read apart, give one code: each shortened
/// band of the makers is spelled out here by hand and found among the generic lines.
#[test]
fn a_makers_code_has_the_grouped_code_of_its_generic_line() {
    let files = shared("lpp_optique.csv").zip(shared("lpp_optique_individuels.csv"));
    let Some((generic, makers)) = files else {
        return;
    };
    let generic = read_csv(&generic, header("2020-07-01")).unwrap().catalogue;
    let makers = read_csv(&makers, header("2020-07-01")).unwrap().catalogue;
    let listed: BTreeMap<String, GroupedCode> = generic
        .lines()
        .iter()
        .map(|line| (spelled_out(line.label.as_str()), line.grouped_code))
        .collect();
    let mut compared = 0;
    for line in makers.lines().iter().filter(|l| l.grouped_code.is_lens()) {
        let label = spelled_out(line.label.as_str());
        let lines = listed.iter().filter(|(known, _)| label.starts_with(*known));
        let longest = lines.max_by_key(|(known, _)| known.len());
        let code = longest.map(|(_, code)| *code);
        assert_eq!(code, Some(line.grouped_code), "{}", line.label);
        compared += 1;
    }
    assert_eq!(compared, 4215);
}

/// A label in the fewest characters: one word for each term, no spaces, no decimals.
fn spelled_out(label: &str) -> String {
    let mut text = label.replace(' ', "");
    for (from, to) in [
        (",00", ""),
        ("CLASSE", ""),
        ("UNIFOCAL", "UNI"),
        ("UNIFOC.", "UNI"),
        ("MULTIFOCAL", "MF"),
        ("PROGRESSIF", "PROG"),
        ("SPHERE", "SPH"),
        ("CYLINDRE", "CYL"),
        ("POSITIVE", "+"),
        ("SPH(+)", "SPH+"),
        ("(+)", ""),
        ("ETCYL", "CYL"),
        ("]", "["),
    ] {
        text = text.replace(from, to);
    }
    text
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_csv(&bytes, header("2020-07-01"));
        let _ = read_dbf(&bytes, &bytes, header("2020-07-01"));
    }

    #[test]
    fn any_records_are_read_or_reported(rows in proptest::collection::vec("\\PC{0,40}", 0..8)) {
        let text = format!("code,label,nat_prest,tarif\n{}\n", rows.join("\n"));
        let _ = read_csv(text.as_bytes(), header("2020-07-01"));
    }
}

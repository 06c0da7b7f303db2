//! Tests of places in the nomenclature's tree: where the label says nothing, where it says otherwise,
//! and over the public list of the makers' codes.

use proto::lpp::Side;

use super::*;

/// The lens of class A whose label in the CNAM's list is a date, between two neighbours whose labels
/// say that they are for a sphere above 12: progressive lenses of class A with a sphere alone. Its
/// maker's eleven other bands are all in the list, this one is not. Branch and rank are facts of the
/// table `nomenclatures/ORAREF/NT_LPP.csv` of indsante/schema-snds (CNAM, LPP 577 of July 2020;
/// MPL-2.0) at commit fe17ef8348aeb74f38c29016f49e65f82a6168b6.
const PLACES: [(&str, &str); 3] = [
    ("7261790", "2,2,5,1,3,1,0,0,0,0,496.000000"),
    (NAMELESS, "2,2,5,1,3,1,0,0,0,0,497.000000"),
    ("7264417", "2,2,5,1,3,1,0,0,0,0,498.000000"),
];
const NAMELESS: &str = "7262660";

/// The columns of a place, as the table has them.
const COLUMNS: &str = "LPP_ARB_CHA,LPP_ARB_SC1,LPP_ARB_SC2,LPP_ARB_SC3,LPP_ARB_SC4,LPP_ARB_SC5,\
    LPP_ARB_SC6,LPP_ARB_SC7,LPP_ARB_SC8,LPP_ARB_SC9,LPP_ARB_BAS";

/// A list of products with the places of those in [`PLACES`].
fn with_places(list: &str) -> String {
    let mut lines = list.lines();
    let mut text = format!("{},{COLUMNS}\n", lines.next().unwrap());
    for line in lines {
        let known = PLACES.iter().find(|(code, _)| line.starts_with(code));
        let place = known.map_or(",,,,,,,,,,", |(_, place)| *place);
        text += &format!("{line},{place}\n");
    }
    text
}

const LIST: &str = "code,label\n\
    7261790,\"OPTIQUE, VERRE PROGRESSIF CLASSE A, SPHERE > +12,00 INDUS INSULAIRE\"\n\
    7262660,01/01/2020\n\
    7264417,\"OPTIQUE, VERRE PROGRESSIF CLASSE A, SPHERE > +12,00 K OPTICAL\"\n";

fn grouped_codes(import: &Import) -> Vec<(&str, &str)> {
    let lines = import.catalogue.lines().iter();
    lines
        .map(|line| (line.code.as_str(), line.grouped_code.as_str()))
        .collect()
}

fn remarks(import: &Import) -> Vec<(u64, PlaceRemark)> {
    let remarks = import.remarks.iter();
    remarks.map(|remark| (remark.line, remark.about)).collect()
}

fn code(text: &str) -> GroupedCode {
    text.parse().unwrap()
}

#[test]
fn a_label_that_names_nothing_leaves_it_to_the_place() {
    let import = csv(&with_places(LIST));
    let expected = [("7261790", "V04"), (NAMELESS, "V04"), ("7264417", "V04")];
    assert_eq!(grouped_codes(&import), expected);
    assert_eq!(remarks(&import), [(3, PlaceRemark::Gives(code("V04")))]);
    assert_eq!((import.derived, import.skipped.len()), (2, 0));
    // The place of the product, or that of a neighbour, and the product goes with it.
    for (code, _) in PLACES {
        let (before, place) = (with_places(LIST), format!("{code},"));
        let less = before.lines().filter(|line| !line.starts_with(&place));
        let less: Vec<&str> = less.collect();
        let import = csv(&less.join("\n"));
        assert!(!codes(&import).contains(&NAMELESS.to_owned()), "{code}");
        assert_eq!(import.skipped.len(), usize::from(code != NAMELESS));
    }
    let import = csv(LIST);
    assert_eq!(reasons(&import), [(3, SkipReason::GroupedCodeMissing)]);
    assert_eq!(import.remarks, []);
}

#[test]
fn the_tables_have_the_place_in_columns_of_their_own() {
    let mut columns = vec![
        ("CODE_TIPS", 'C', 7),
        ("NOM_COURT", 'C', 80),
        ("DATE_FIN", 'D', 8),
        ("AGE_MAX", 'N', 3),
    ];
    columns.extend(fiche::BRANCH.map(|name| (name, 'C', 2)));
    columns.push((fiche::RANK, 'N', 6));
    let labels = [
        "OPTIQUE, VERRE PROGRESSIF CLASSE A, SPHERE > +12,00 INDUS INSULAIRE",
        "01/01/2020",
        "OPTIQUE, VERRE PROGRESSIF CLASSE A, SPHERE > +12,00 K OPTICAL",
    ];
    let records = PLACES.iter().zip(labels).map(|((code, place), label)| {
        let place = place.trim_end_matches(".000000");
        let fields = [*code, label, "", "0"].into_iter();
        fields.chain(place.split(',')).collect::<Vec<&str>>()
    });
    let records: Vec<Vec<&str>> = records.collect();
    let live: Vec<(char, &[&str])> = records.iter().map(|r| (' ', r.as_slice())).collect();
    let tariff = |code| [code, "20200101", "", "", "0.00", "0.00"];
    let tariffs = PLACES.map(|(code, _)| tariff(code));
    let tariffs: Vec<(char, &[&str])> = tariffs.iter().map(|r| (' ', r.as_slice())).collect();
    let histo = histo(&tariffs);
    let fiche = dbf::tests::table(&columns, &live);
    let import = read_dbf(&fiche, &histo, header("2020-07-01")).unwrap();
    assert_eq!(import.catalogue, csv(&with_places(LIST)).catalogue);
    assert_eq!(remarks(&import), [(2, PlaceRemark::Gives(code("V04")))]);
}

/// Both are as in LPP 577: the first is the one lens that stands among those of other codes. That
/// maker's progressive lenses have no other of this band.
#[test]
fn the_label_counts_where_the_place_contradicts_it_and_that_is_reported() {
    let import = csv(
        "CODE_TIPS;NOM_COURT;ARBO1;ARBO2;ARBO3;ARBO4;ARBO5;ARBO6;ARBO7;PLACE\n\
        7265405;OPTIQUE, VERRE PROG  A, SPH] -2 A -4] ET CYL (+) [0,25 A 4,00] K OPTICAL KARA;\
        2;2;5;1;4;0;0;3\n\
        2263927;OPTIQUE, VERRE NEUTRE DE CLASSE A;2;2;5;1;4;0;0;1\n\
        2264861;OPTIQUE, MONTURE ADULTE DE CLASSE B;2;2;5;x;;;;\n",
    );
    let expected = [("2263927", "V01"), ("2264861", "M03"), ("7265405", "V03")];
    assert_eq!(grouped_codes(&import), expected);
    let expected = [
        (2, PlaceRemark::Contradicts(code("V03"))),
        (4, PlaceRemark::Unreadable),
    ];
    assert_eq!(remarks(&import), expected);
    assert_eq!(import.skipped, []);
}

#[test]
fn the_grouped_code_of_the_file_counts_before_label_and_place() {
    let list = with_places("lpp_prs_ide,lpp_red_lib,nat_prest\n7262660,01/01/2020,M03\n");
    let import = csv(&list);
    assert_eq!(grouped_codes(&import), [(NAMELESS, "M03")]);
    let expected = [(2, PlaceRemark::Contradicts(code("M03")))];
    assert_eq!(remarks(&import), expected);
}

#[test]
fn what_is_put_aside_is_reported_at_its_line() {
    let list = "code,label\n7262660,01/01/2020\n1,x\n7261790,x\n";
    let import = csv(&with_places(list));
    let expected = [
        (2, SkipReason::GroupedCodeMissing),
        (3, SkipReason::Code(LppCodeError::Digits)),
        (4, SkipReason::GroupedCodeMissing),
    ];
    assert_eq!(reasons(&import), expected);
    // A lens of today's has no age limit.
    let aged = with_places(LIST).replacen("label,", "label,age_max,", 1);
    let aged = aged.replace("01/01/2020,", "01/01/2020,15,");
    let aged = aged.replace("\",2", "\",,2");
    assert_eq!(reasons(&csv(&aged)), [(3, SkipReason::GroupedCodeMissing)]);
}

#[test]
fn the_codes_of_the_makers_are_imported_and_each_maps_to_a_slot() {
    let Some(bytes) = shared("lpp_optique_individuels.csv") else {
        return;
    };
    let list = String::from_utf8(bytes).unwrap();
    // One label in the list is a date. Its line is the one that the places are for.
    let import = csv(&list);
    assert_eq!(reasons(&import), [(3271, SkipReason::GroupedCodeMissing)]);
    assert_eq!(import.catalogue.lines().len(), 5311);
    let import = csv(&with_places(&list));
    assert_eq!(import.skipped, []);
    assert_eq!(remarks(&import), [(3271, PlaceRemark::Gives(code("V04")))]);
    let lines = import.catalogue.lines();
    assert_eq!((lines.len(), import.derived), (5312, 5311));
    let mut slots: BTreeMap<&str, usize> = BTreeMap::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for line in lines {
        let side = line.grouped_code.is_lens().then_some(Side::Right);
        let slot = line.grouped_code.slot(side).unwrap();
        *slots.entry(slot.as_str()).or_default() += 1;
        *counts.entry(line.grouped_code.as_str()).or_default() += 1;
    }
    let slots: Vec<_> = slots.into_iter().collect();
    let expected = [("frame", 1092), ("right-lens", 4216), ("shell-frame", 4)];
    assert_eq!(slots, expected);
    let counts: Vec<_> = counts.into_iter().collect();
    let expected = [
        ("M01", 219),
        ("M02", 169),
        ("M03", 476),
        ("M04", 228),
        ("MS1", 2),
        ("MS2", 2),
        ("V01", 552),
        ("V02", 751),
        ("V03", 778),
        ("V04", 866),
        ("VM1", 196),
        ("VM2", 206),
        ("VM3", 174),
        ("VM4", 274),
        ("VM5", 71),
        ("VM6", 267),
        ("VM7", 81),
    ];
    assert_eq!(counts, expected);
}

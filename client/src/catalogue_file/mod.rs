//! The CNAM's published files, read into a [`Catalogue`].
//!
//! Two forms are read: a CSV with a header row, as the SNDS documentation publishes it, and the
//! pair of dBASE tables `lpp_fiche_tot` (one record per product) and `lpp_histo_tot` (one record
//! per tariff), joined on `CODE_TIPS`. A record that cannot be used is left out and reported with
//! its line and the reason; the rest is imported. Only what makes a whole file unreadable is an
//! error.
//!
//! In the dBASE tables the grouped code is the tariff's `NAT_PREST` (nature de prestation). The
//! product's `TYPE_PREST` says purchase, hire or service, and its `ARBO` columns are chapters.

mod csv_table;
mod dbf;
mod product;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use proto::ids::Day;
use proto::lpp::{
    Catalogue, CatalogueError, CatalogueHeader, CatalogueLine, GroupedCodeError, LabelError,
    LppCode, LppCodeError,
};
use thiserror::Error;

pub use dbf::DbfError;
use product::{Product, Tariff, read_date};

/// Most bytes of one file: the whole LPP's history has about ten million.
pub const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most records of one file: the whole LPP has twenty thousand products and a few tariffs each.
pub const FILE_RECORDS_MAX: usize = 200_000;

/// A catalogue, and what could not be taken into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The catalogue of all usable records.
    pub catalogue: Catalogue,
    /// The records that were left out, in the order of the file.
    pub skipped: Vec<Skipped>,
}

/// A record that was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skipped {
    /// The file it stands in.
    pub file: SourceFile,
    /// Its line in a CSV, or its record number in a dBASE table, counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: SkipReason,
}

/// The file that a record stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceFile {
    /// The CSV, or `lpp_fiche_tot`.
    Products,
    /// `lpp_histo_tot`.
    Tariffs,
}

/// Why a record was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SkipReason {
    /// It has another number of fields than the header row, or no valid deletion mark.
    #[error("the record is not shaped like the others")]
    Shape,
    /// The LPP code is not one.
    #[error(transparent)]
    Code(LppCodeError),
    /// Another record has the same code; the first one was kept.
    #[error("another record with this code comes before it")]
    DuplicateCode,
    /// There is no grouped code, and the label does not say which it must be.
    #[error("the record has no grouped code, and none follows from its label")]
    GroupedCodeMissing,
    /// The grouped code is none of optics: in the CNAM's files, a product of another trade.
    #[error(transparent)]
    GroupedCode(GroupedCodeError),
    /// The label is not one.
    #[error(transparent)]
    Label(LabelError),
    /// The base is not an amount.
    #[error("the base must be euros with at most two decimals, up to 9999999.99")]
    Base,
    /// The highest price is not an amount.
    #[error("the PLV must be euros with at most two decimals, up to 9999999.99")]
    Plv,
    /// The age limit is not a number of years.
    #[error("the age limit must be 0 to 255 years")]
    AgeMax,
    /// A date cannot be read.
    #[error("a date must be YYYY-MM-DD, YYYYMMDD or 01JAN2020:00:00:00, from 1970 on")]
    Date,
    /// No tariff of the product has started by the date of the catalogue.
    #[error("no tariff of the product is in force yet")]
    NoTariff,
}

/// Why a whole file cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CatalogueFileError {
    /// The file is too long.
    #[error("a catalogue file has at most {FILE_BYTES_MAX} bytes")]
    TooManyBytes,
    /// The file has too many records.
    #[error("a catalogue file has at most {FILE_RECORDS_MAX} records")]
    TooManyRecords,
    /// A column that every product needs is not there.
    #[error("the file has no column {name}")]
    MissingColumn {
        /// One of the names that the column may have.
        name: &'static str,
    },
    /// Two columns could both be the one that is looked for.
    #[error("the file has two columns for {name}")]
    DuplicateColumn {
        /// One of the names that the column may have.
        name: &'static str,
    },
    /// The file is not a CSV.
    #[error("the file cannot be read as CSV")]
    Csv,
    /// A dBASE table cannot be read.
    #[error("the dBASE table cannot be read: {0}")]
    Dbf(#[from] DbfError),
    /// What was read does not make a catalogue.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

/// Reads a CSV, separated by commas or semicolons, in UTF-8 or Latin-1.
///
/// Columns are known by name, in any order and case: `lpp_code`, `code` or `CODE_TIPS`; `label` or
/// `NOM_COURT`; and if there, `code_regroupement` or `NAT_PREST`, `base_remboursement_eur` or
/// `TARIF`, `plv_eur` or `PUREGLEMEN`, `AGE_MAX...`, `end_date` or `DATE_FIN`. Others are ignored.
///
/// # Errors
/// [`CatalogueFileError`] when the file as a whole cannot be read.
pub fn read_csv(bytes: &[u8], header: CatalogueHeader) -> Result<Import, CatalogueFileError> {
    let mut import = Collector::default();
    for (line, product) in csv_table::products(bytes)? {
        let read = product.and_then(|product| product.read());
        import.product(line, read);
    }
    import.finish(header)
}

/// Reads the pair `lpp_fiche_tot` and `lpp_histo_tot`, as of the day the catalogue is valid from.
///
/// A product has its latest tariff that has started by that day. It ends on its `DATE_FIN`, or on
/// the day after that tariff's `FINHISTO` if no later tariff takes over.
///
/// # Errors
/// [`CatalogueFileError`] when one of the files as a whole cannot be read.
pub fn read_dbf(
    fiche: &[u8],
    histo: &[u8],
    header: CatalogueHeader,
) -> Result<Import, CatalogueFileError> {
    let mut import = Collector::default();
    let tariffs = import.tariffs(histo)?;
    let table = dbf::Table::read(fiche)?;
    let column = |name| table.column(name);
    let [code, label] = [column("CODE_TIPS")?, column("NOM_COURT")?];
    let [age_max, end] = [column("AGE_MAX")?, column("DATE_FIN")?];
    for (line, record) in table.records() {
        let read = record.map_err(|_| SkipReason::Shape).and_then(|record| {
            let code = record.text(code);
            let tariff = tariffs.get(&code).ok_or(SkipReason::NoTariff)?;
            let (tariff, tariff_end) = in_force(tariff, header.valid_from)?;
            let mut line = Product {
                code,
                grouped_code: tariff.grouped_code.clone(),
                label: record.text(label),
                base: tariff.base.clone(),
                plv: tariff.plv.clone(),
                age_max: record.text(age_max),
                end: record.text(end),
            }
            .read()?;
            line.end = line.end.into_iter().chain(tariff_end).min();
            Ok(line)
        });
        import.product(line, read);
    }
    import.finish(header)
}

/// The latest of a product's tariffs that has started, and the day the product ends with it.
fn in_force(tariffs: &[Tariff], on: Day) -> Result<(&Tariff, Option<Day>), SkipReason> {
    let started = tariffs.iter().filter(|tariff| tariff.start <= on);
    let latest = started
        .max_by_key(|tariff| tariff.start)
        .ok_or(SkipReason::NoTariff)?;
    let is_last = tariffs.iter().all(|tariff| tariff.start <= latest.start);
    let last_day = latest.last_day.filter(|day| is_last || *day < on);
    Ok((latest, last_day.map(|day| day.plus(1))))
}

/// What has been read so far.
#[derive(Default)]
struct Collector {
    lines: BTreeMap<LppCode, CatalogueLine>,
    skipped: Vec<Skipped>,
}

impl Collector {
    /// Takes a product, or the reason why there is none.
    fn product(&mut self, line: u64, read: Result<CatalogueLine, SkipReason>) {
        let kept = read.and_then(|product| match self.lines.entry(product.code) {
            Entry::Vacant(place) => {
                place.insert(product);
                Ok(())
            }
            Entry::Occupied(_) => Err(SkipReason::DuplicateCode),
        });
        if let Err(reason) = kept {
            self.skip(SourceFile::Products, line, reason);
        }
    }

    /// Reads the tariffs of every code; those that cannot be read are left out.
    fn tariffs(
        &mut self,
        histo: &[u8],
    ) -> Result<BTreeMap<String, Vec<Tariff>>, CatalogueFileError> {
        let table = dbf::Table::read(histo)?;
        let column = |name| table.column(name);
        let [code, grouped_code] = [column("CODE_TIPS")?, column("NAT_PREST")?];
        let [start, last_day] = [column("DEBUTVALID")?, column("FINHISTO")?];
        let [base, plv] = [column("TARIF")?, column("PUREGLEMEN")?];
        let mut tariffs: BTreeMap<String, Vec<Tariff>> = BTreeMap::new();
        for (line, record) in table.records() {
            let read = record.map_err(|_| SkipReason::Shape).and_then(|record| {
                let tariff = Tariff {
                    start: read_date(&record.text(start))?.ok_or(SkipReason::Date)?,
                    last_day: read_date(&record.text(last_day))?,
                    grouped_code: record.text(grouped_code),
                    base: record.text(base),
                    plv: record.text(plv),
                };
                Ok((record.text(code), tariff))
            });
            match read {
                Ok((code, tariff)) => tariffs.entry(code).or_default().push(tariff),
                Err(reason) => self.skip(SourceFile::Tariffs, line, reason),
            }
        }
        Ok(tariffs)
    }

    fn skip(&mut self, file: SourceFile, line: u64, reason: SkipReason) {
        self.skipped.push(Skipped { file, line, reason });
    }

    fn finish(self, header: CatalogueHeader) -> Result<Import, CatalogueFileError> {
        let catalogue = Catalogue::new(header, self.lines.into_values().collect())?;
        let skipped = self.skipped;
        Ok(Import { catalogue, skipped })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU8;

    use proptest::prelude::*;
    use proto::ids::Cents;
    use proto::lpp::GroupedCode;

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
    fn the_generic_lines_of_the_public_list_are_imported() {
        let Some(bytes) = shared("lpp_optique.csv") else {
            return;
        };
        let import = read_csv(&bytes, header("2020-07-01")).unwrap();
        assert_eq!(import.catalogue.lines().len(), 194);
        assert_eq!(import.skipped.len(), 76);
        let missing = |s: &Skipped| s.reason == SkipReason::GroupedCodeMissing;
        assert!(import.skipped.iter().all(missing));
    }

    #[test]
    fn a_grouped_code_from_a_label_is_the_one_that_the_public_list_gives() {
        let Some(bytes) = shared("lpp_optique.csv") else {
            return;
        };
        let listed = read_csv(&bytes, header("2020-07-01")).unwrap();
        // Without the column, only the labels are left to go by.
        let text = String::from_utf8(bytes).unwrap();
        let blind = csv(&text.replacen("code_regroupement,", "hidden,", 1));
        assert_eq!(blind.catalogue.lines().len(), 10);
        for line in blind.catalogue.lines() {
            assert!(listed.catalogue.lines().contains(line), "{}", line.code);
        }
    }

    #[test]
    fn the_frames_of_the_makers_are_imported_and_their_lenses_reported() {
        let Some(bytes) = shared("lpp_optique_individuels.csv") else {
            return;
        };
        let import = read_csv(&bytes, header("2020-07-01")).unwrap();
        let mut counts: BTreeMap<GroupedCode, usize> = BTreeMap::new();
        for line in import.catalogue.lines() {
            *counts.entry(line.grouped_code).or_default() += 1;
        }
        let counts: Vec<_> = counts.iter().map(|(c, n)| (c.as_str(), *n)).collect();
        let expected = [
            ("M01", 219),
            ("M02", 169),
            ("M03", 476),
            ("M04", 228),
            ("MS1", 2),
            ("MS2", 2),
            ("V01", 1),
        ];
        assert_eq!(counts, expected);
        let missing = |s: &Skipped| s.reason == SkipReason::GroupedCodeMissing;
        assert!(import.skipped.iter().all(missing));
        assert_eq!(import.skipped.len() + import.catalogue.lines().len(), 5312);
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
}

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
//!
//! Pairs of products are read from `lpp_incomp_tot` and `lpp_comp_tot`, which have two columns,
//! `CODE1` and `CODE2`, or from a CSV with these columns. The tables are of the whole
//! nomenclature: a pair counts when both codes are products of the catalogue.

mod csv_table;
mod dbf;
mod label;
mod pairs;
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
pub use pairs::PairFiles;
use product::{Product, ReadProduct, Tariff, read_date};

/// Most bytes of one file: the whole LPP's history has about ten million.
pub const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most records of one file: the whole LPP has twenty thousand products and a few tariffs each;
/// the rest is room for pairs of products.
pub const FILE_RECORDS_MAX: usize = 500_000;

/// A catalogue, and what could not be taken into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The catalogue of all usable records.
    pub catalogue: Catalogue,
    /// How many products have their grouped code from their label, as the file has none. The
    /// rule is that of the nomenclature; what the CNAM's own tables say was not compared.
    pub derived: usize,
    /// How many pairs have a code that is no product of the catalogue: those of other trades.
    pub foreign_pairs: usize,
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
    /// `lpp_incomp_tot`.
    Incompatible,
    /// `lpp_comp_tot`.
    Compatible,
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
    /// A product is paired with itself.
    #[error("a pair must have two different codes")]
    SameCode,
    /// A compatible pair is among the incompatible ones, which count.
    #[error("the pair is among the incompatible ones, which count")]
    Incompatible,
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
            let mut read = Product {
                code,
                grouped_code: tariff.grouped_code.clone(),
                label: record.text(label),
                base: tariff.base.clone(),
                plv: tariff.plv.clone(),
                age_max: record.text(age_max),
                end: record.text(end),
            }
            .read()?;
            read.line.end = read.line.end.into_iter().chain(tariff_end).min();
            Ok(read)
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
    derived: usize,
    skipped: Vec<Skipped>,
}

impl Collector {
    /// Takes a product, or the reason why there is none.
    fn product(&mut self, line: u64, read: Result<ReadProduct, SkipReason>) {
        let kept = read.and_then(|read| match self.lines.entry(read.line.code) {
            Entry::Vacant(place) => {
                place.insert(read.line);
                self.derived += usize::from(read.is_derived);
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
        Ok(Import {
            catalogue,
            derived: self.derived,
            foreign_pairs: 0,
            skipped: self.skipped,
        })
    }
}

#[cfg(test)]
mod tests;

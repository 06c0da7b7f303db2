//! The CNAM's published files, read into a [`Catalogue`].
//!
//! Two forms are read: a CSV with a header row, as the SNDS documentation publishes it, and the
//! pair of dBASE tables `lpp_fiche_tot` (one record per product) and `lpp_histo_tot` (one record
//! per tariff), joined on `CODE_TIPS`. A record that cannot be used is left out and reported with
//! its line and the reason; the rest is imported. Only what makes a whole file unreadable is an
//! error.
//!
//! In the dBASE tables the grouped code is the tariff's `NAT_PREST` (nature de prestation). The
//! product's `TYPE_PREST` says purchase, hire or service.
//!
//! A product whose grouped code neither stands in the file nor follows from its label may still
//! have it from its place in the nomenclature's tree: `ARBO1` to `ARBO10` and `PLACE`. It is
//! reported. Where a place contradicts the code or the label, they count and the place is reported:
//! a label names the very band, a branch several, and the misplaced lenses of LPP 577 are found
//! missing where their labels put them.
//!
//! Pairs of products are read from `lpp_incomp_tot` and `lpp_comp_tot`, which have two columns,
//! `CODE1` and `CODE2`, or from a CSV with these columns. The tables are of the whole
//! nomenclature: a pair counts when both codes are products of the catalogue.

mod csv_table;
mod dbf;
mod fiche;
mod label;
mod pairs;
mod place;
mod product;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use proto::lpp::{
    Catalogue, CatalogueError, CatalogueHeader, CatalogueLine, GroupedCode, GroupedCodeError,
    LabelError, LppCode, LppCodeError,
};
use thiserror::Error;

pub use dbf::DbfError;
use fiche::Fiche;
pub use pairs::PairFiles;
use place::{Place, Places};
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
    /// What is to be known of products that were imported, in the order of the file.
    pub remarks: Vec<Remark>,
    /// The records that were left out, in the order of the file.
    pub skipped: Vec<Skipped>,
}

/// Something about a product that was imported, which whoever publishes the catalogue should look
/// at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remark {
    /// The product's line in a CSV, or its record number in `lpp_fiche_tot`, counted from 1.
    pub line: u64,
    /// What it is.
    pub about: PlaceRemark,
}

/// What is to be known of a product's place in the nomenclature's tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaceRemark {
    /// The product has its grouped code from its place: neither file nor label have one.
    Gives(GroupedCode),
    /// The place is one of other products than this grouped code's, which counts.
    Contradicts(GroupedCode),
    /// The place is no row of numbers. It does not count.
    Unreadable,
}

impl fmt::Display for PlaceRemark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gives(code) => write!(
                f,
                "neither a grouped code nor the label says what it is; between two of {code} in \
                 the nomenclature's tree, it is taken for {code}"
            ),
            Self::Contradicts(code) => write!(
                f,
                "its place in the nomenclature's tree is not one of {code}; {code} counts"
            ),
            Self::Unreadable => f.write_str(
                "its place in the nomenclature's tree cannot be read, and does not count",
            ),
        }
    }
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
    /// There is no grouped code, and neither label nor place say which it must be.
    #[error("the record has no grouped code, and none follows from its label or its place")]
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
/// `TARIF`, `plv_eur` or `PUREGLEMEN`, `AGE_MAX...`, `end_date` or `DATE_FIN`, and the place in the
/// nomenclature's tree: `ARBO1` to `ARBO10` and `PLACE`. Others are ignored. The names of the SNDS's
/// table `NT_LPP` are known too: `LPP_PRS_IDE`, `LPP_RED_LIB`, `LPP_MAX_AGE`, `LPP_VAL_DTF`,
/// `LPP_ARB_CHA`, `LPP_ARB_SC1` to `LPP_ARB_SC9`, `LPP_ARB_BAS`.
///
/// # Errors
/// [`CatalogueFileError`] when the file as a whole cannot be read.
pub fn read_csv(bytes: &[u8], header: CatalogueHeader) -> Result<Import, CatalogueFileError> {
    let mut import = Collector::default();
    for (line, product) in csv_table::products(bytes)? {
        import.product(line, product);
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
    let columns = Fiche::of(&table)?;
    for (line, record) in table.records() {
        let product = record
            .map_err(|_| SkipReason::Shape)
            .and_then(|record| columns.product(&record, &tariffs, header.valid_from));
        import.product(line, product);
    }
    import.finish(header)
}

/// What has been read so far.
#[derive(Default)]
struct Collector {
    lines: BTreeMap<LppCode, CatalogueLine>,
    derived: usize,
    places: Places,
    /// Products that have a place and no grouped code, each with its line.
    unnamed: Vec<(u64, Product, Place)>,
    remarks: Vec<Remark>,
    skipped: Vec<Skipped>,
}

impl Collector {
    /// Takes a product, or the reason why there is none.
    fn product(&mut self, line: u64, product: Result<Product, SkipReason>) {
        if let Err(reason) = product.and_then(|product| self.take(line, product)) {
            self.skip(SourceFile::Products, line, reason);
        }
    }

    /// Keeps a product, or puts it aside until all places are known.
    fn take(&mut self, line: u64, product: Product) -> Result<(), SkipReason> {
        let place = Place::read(&product);
        let read = match (product.read(), place) {
            (Err(SkipReason::GroupedCodeMissing), Ok(Some(place))) => {
                self.unnamed.push((line, product, place));
                return Ok(());
            }
            (read, _) => read?,
        };
        let code = read.line.grouped_code;
        self.keep(read)?;
        match place {
            Ok(Some(place)) if place.contradicts(code) => {
                // It says nothing of its neighbours there.
                self.remark(line, PlaceRemark::Contradicts(code));
            }
            Ok(Some(place)) => self.places.note(place, code),
            Ok(None) => {}
            Err(_) => self.remark(line, PlaceRemark::Unreadable),
        }
        Ok(())
    }

    fn keep(&mut self, read: ReadProduct) -> Result<(), SkipReason> {
        match self.lines.entry(read.line.code) {
            Entry::Vacant(place) => {
                place.insert(read.line);
                self.derived += usize::from(read.is_derived);
                Ok(())
            }
            Entry::Occupied(_) => Err(SkipReason::DuplicateCode),
        }
    }

    /// Keeps what was put aside, as far as its place says what it is.
    fn take_unnamed(&mut self) {
        for (line, mut product, place) in std::mem::take(&mut self.unnamed) {
            let code = self.places.between(place);
            let kept = code.ok_or(SkipReason::GroupedCodeMissing).and_then(|code| {
                code.as_str().clone_into(&mut product.grouped_code);
                let read = product.read()?;
                // As for a label: what has an age limit is no lens of today's.
                let is_lens = read.line.age_max.is_none();
                self.keep(
                    is_lens
                        .then_some(read)
                        .ok_or(SkipReason::GroupedCodeMissing)?,
                )?;
                Ok(code)
            });
            match kept {
                Ok(code) => self.remark(line, PlaceRemark::Gives(code)),
                Err(reason) => self.skip(SourceFile::Products, line, reason),
            }
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

    fn remark(&mut self, line: u64, about: PlaceRemark) {
        self.remarks.push(Remark { line, about });
    }

    fn finish(mut self, header: CatalogueHeader) -> Result<Import, CatalogueFileError> {
        self.take_unnamed();
        self.remarks.sort_by_key(|remark| remark.line);
        self.skipped
            .sort_by_key(|s| (s.file == SourceFile::Products, s.line));
        let catalogue = Catalogue::new(header, self.lines.into_values().collect())?;
        Ok(Import {
            catalogue,
            derived: self.derived,
            foreign_pairs: 0,
            remarks: self.remarks,
            skipped: self.skipped,
        })
    }
}

#[cfg(test)]
mod tests;

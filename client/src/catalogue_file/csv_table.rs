//! A CSV with a header row.

use super::fiche::{BRANCH, RANK};
use super::product::Product;
use super::{CatalogueFileError, FILE_BYTES_MAX, FILE_RECORDS_MAX, SkipReason};

/// A column that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Code,
    GroupedCode,
    Label,
    Base,
    Plv,
    AgeMax,
    End,
    /// A level of the place in the nomenclature's tree, from 0.
    Level(usize),
    Rank,
}

impl Column {
    /// The column that a header names, in whichever case.
    fn named(header: &str) -> Option<Self> {
        match header.to_ascii_lowercase().as_str() {
            "lpp_code" | "code" | "code_tips" | "lpp_prs_ide" => Some(Self::Code),
            "code_regroupement" | "nat_prest" => Some(Self::GroupedCode),
            "label" | "nom_court" | "lpp_red_lib" => Some(Self::Label),
            "base_remboursement_eur" | "tarif" => Some(Self::Base),
            "plv_eur" | "pureglemen" => Some(Self::Plv),
            "end_date" | "date_fin" | "lpp_val_dtf" => Some(Self::End),
            "lpp_max_age" => Some(Self::AgeMax),
            "place" | "lpp_arb_bas" => Some(Self::Rank),
            other if other.starts_with("age_max") => Some(Self::AgeMax),
            other => level(other).map(Self::Level),
        }
    }

    /// The name under which an error speaks of it.
    const fn name(self) -> &'static str {
        match self {
            Self::Code => "lpp_code",
            Self::GroupedCode => "code_regroupement",
            Self::Label => "label",
            Self::Base => "base_remboursement_eur",
            Self::Plv => "plv_eur",
            Self::AgeMax => "age_max",
            Self::End => "end_date",
            Self::Level(level) => BRANCH[level],
            Self::Rank => RANK,
        }
    }

    /// The field of a product that it fills.
    fn field(self, product: &mut Product) -> &mut String {
        match self {
            Self::Code => &mut product.code,
            Self::GroupedCode => &mut product.grouped_code,
            Self::Label => &mut product.label,
            Self::Base => &mut product.base,
            Self::Plv => &mut product.plv,
            Self::AgeMax => &mut product.age_max,
            Self::End => &mut product.end,
            Self::Level(level) => &mut product.branch[level],
            Self::Rank => &mut product.rank,
        }
    }
}

/// The level that `arbo1` to `arbo10`, or `lpp_arb_cha` and `lpp_arb_sc1` to `lpp_arb_sc9` name.
fn level(header: &str) -> Option<usize> {
    if let Some(below) = header.strip_prefix("lpp_arb_") {
        return (0..BRANCH.len()).find(|level| match level {
            0 => below == "cha",
            level => below == format!("sc{level}"),
        });
    }
    BRANCH
        .iter()
        .position(|name| header.eq_ignore_ascii_case(name))
}

/// A record's line, counted from 1 with the header row, and its fields.
type Record = (u64, Result<Product, SkipReason>);

/// The bytes after a byte order mark, if there is one.
pub(super) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// The line that a record begins on, counted from 1. After CR LF the reader's own count is still
/// on the line before: it takes the LF with the next record.
pub(super) fn line(bytes: &[u8], record: &csv::ByteRecord) -> u64 {
    let Some(position) = record.position() else {
        return 0;
    };
    let start = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    position.line() + u64::from(bytes.get(start) == Some(&b'\n'))
}

/// Reads a file as CSV, whichever separator it has. It has no byte order mark.
pub(super) fn reader(bytes: &[u8]) -> Result<csv::Reader<&[u8]>, CatalogueFileError> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(CatalogueFileError::TooManyBytes);
    }
    let mut builder = csv::ReaderBuilder::new();
    builder.delimiter(delimiter(bytes)).flexible(true);
    Ok(builder.from_reader(bytes))
}

/// Reads every record after the header row.
pub(super) fn products(bytes: &[u8]) -> Result<Vec<Record>, CatalogueFileError> {
    let bytes = without_mark(bytes);
    let mut reader = reader(bytes)?;
    let headers = reader
        .byte_headers()
        .map_err(|_| CatalogueFileError::Csv)?
        .clone();
    let columns = columns(&headers)?;
    let mut products = Vec::new();
    for record in reader.byte_records() {
        let record = record.map_err(|_| CatalogueFileError::Csv)?;
        if products.len() == FILE_RECORDS_MAX {
            return Err(CatalogueFileError::TooManyRecords);
        }
        let line = line(bytes, &record);
        products.push((line, product(&record, &columns)));
    }
    Ok(products)
}

/// The separator: whichever of the two the header row has more of.
fn delimiter(bytes: &[u8]) -> u8 {
    let first_line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let count = |separator| first_line.iter().filter(|b| **b == separator).count();
    if count(b';') > count(b',') {
        b';'
    } else {
        b','
    }
}

/// What each place of a record holds.
fn columns(headers: &csv::ByteRecord) -> Result<Vec<Option<Column>>, CatalogueFileError> {
    let named = |header: &[u8]| Column::named(text(header).trim());
    let columns: Vec<Option<Column>> = headers.iter().map(named).collect();
    for column in columns.iter().flatten() {
        if columns.iter().flatten().filter(|c| *c == column).count() > 1 {
            let name = column.name();
            return Err(CatalogueFileError::DuplicateColumn { name });
        }
    }
    for needed in [Column::Code, Column::Label] {
        if !columns.contains(&Some(needed)) {
            let name = needed.name();
            return Err(CatalogueFileError::MissingColumn { name });
        }
    }
    Ok(columns)
}

fn product(record: &csv::ByteRecord, columns: &[Option<Column>]) -> Result<Product, SkipReason> {
    if record.len() != columns.len() {
        return Err(SkipReason::Shape);
    }
    let mut product = Product::default();
    for (field, column) in record.iter().zip(columns) {
        if let Some(column) = column {
            *column.field(&mut product) = text(field).trim().to_owned();
        }
    }
    Ok(product)
}

/// UTF-8, or Latin-1 where it is not that: what French administrations export.
pub(super) fn text(field: &[u8]) -> String {
    match std::str::from_utf8(field) {
        Ok(text) => text.to_owned(),
        Err(_) => field.iter().map(|b| char::from(*b)).collect(),
    }
}

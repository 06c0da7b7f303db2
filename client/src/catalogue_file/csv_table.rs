//! A CSV with a header row.

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
}

impl Column {
    /// The column that a header names, in whichever case.
    fn named(header: &str) -> Option<Self> {
        match header.to_ascii_lowercase().as_str() {
            "lpp_code" | "code" | "code_tips" => Some(Self::Code),
            "code_regroupement" | "nat_prest" => Some(Self::GroupedCode),
            "label" | "nom_court" => Some(Self::Label),
            "base_remboursement_eur" | "tarif" => Some(Self::Base),
            "plv_eur" | "pureglemen" => Some(Self::Plv),
            "end_date" | "date_fin" => Some(Self::End),
            other => other.starts_with("age_max").then_some(Self::AgeMax),
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
        }
    }
}

/// A record's line, counted from 1 with the header row, and its fields.
type Record = (u64, Result<Product, SkipReason>);

/// Reads every record after the header row.
pub(super) fn products(bytes: &[u8]) -> Result<Vec<Record>, CatalogueFileError> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(CatalogueFileError::TooManyBytes);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter(bytes))
        .flexible(true)
        .from_reader(bytes);
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
        let line = record.position().map_or(0, csv::Position::line);
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
fn text(field: &[u8]) -> String {
    match std::str::from_utf8(field) {
        Ok(text) => text.to_owned(),
        Err(_) => field.iter().map(|b| char::from(*b)).collect(),
    }
}

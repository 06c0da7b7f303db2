//! The tables of pairs: `lpp_incomp_tot` and `lpp_comp_tot`, or a CSV in their place.

use proto::lpp::{CodePair, CodePairs, LppCode};

use super::{
    CatalogueFileError, FILE_RECORDS_MAX, Import, SkipReason, Skipped, SourceFile, csv_table, dbf,
};

/// The columns of both tables. Which code stands in which says nothing.
const COLUMNS: [&str; 2] = ["CODE1", "CODE2"];

/// The tables of pairs, as far as there are any.
#[derive(Debug, Clone, Copy, Default)]
pub struct PairFiles<'a> {
    /// `lpp_incomp_tot`: what may not be billed together.
    pub incompatible: Option<&'a [u8]>,
    /// `lpp_comp_tot`: what is listed as compatible.
    pub compatible: Option<&'a [u8]>,
}

impl Import {
    /// The same import with the pairs of these files, each a dBASE table or a CSV. A pair of both
    /// files counts as incompatible.
    ///
    /// # Errors
    /// [`CatalogueFileError`] when a file as a whole cannot be read, or has too many pairs.
    pub fn with_pairs(mut self, files: PairFiles<'_>) -> Result<Self, CatalogueFileError> {
        let incompatible = self.take(files.incompatible, SourceFile::Incompatible)?;
        let incompatible: CodePairs = incompatible.into_iter().map(|(_, pair)| pair).collect();
        let mut compatible = Vec::new();
        for (line, pair) in self.take(files.compatible, SourceFile::Compatible)? {
            let [one, other] = pair.codes();
            if incompatible.contains(one, other) {
                self.skipped.push(Skipped {
                    file: SourceFile::Compatible,
                    line,
                    reason: SkipReason::Incompatible,
                });
            } else {
                compatible.push(pair);
            }
        }
        let compatible = compatible.into_iter().collect();
        self.catalogue = self.catalogue.with_pairs(incompatible, compatible)?;
        Ok(self)
    }

    /// The pairs of one file whose codes are both products; the others are counted.
    fn take(
        &mut self,
        bytes: Option<&[u8]>,
        file: SourceFile,
    ) -> Result<Vec<(u64, CodePair)>, CatalogueFileError> {
        let records = bytes.map(records).transpose()?.unwrap_or_default();
        let mut pairs = Vec::new();
        for (line, codes) in records {
            let is_product = |code: LppCode| self.catalogue.line(code).is_some();
            match codes.and_then(|[one, other]| pair(&one, &other)) {
                Ok(pair) if pair.codes().into_iter().all(is_product) => pairs.push((line, pair)),
                Ok(_) => self.foreign_pairs += 1,
                Err(reason) => self.skipped.push(Skipped { file, line, reason }),
            }
        }
        Ok(pairs)
    }
}

fn pair(one: &str, other: &str) -> Result<CodePair, SkipReason> {
    let code = |text: &str| text.parse().map_err(SkipReason::Code);
    CodePair::new(code(one)?, code(other)?).ok_or(SkipReason::SameCode)
}

/// Two codes of a record with its number, or why there are none.
type Record = (u64, Result<[String; 2], SkipReason>);

/// The codes of every record of a table.
fn records(bytes: &[u8]) -> Result<Vec<Record>, CatalogueFileError> {
    if dbf::is_table(bytes) {
        from_dbf(bytes)
    } else {
        from_csv(bytes)
    }
}

fn from_dbf(bytes: &[u8]) -> Result<Vec<Record>, CatalogueFileError> {
    let table = dbf::Table::read(bytes)?;
    let [one, other] = COLUMNS;
    let [one, other] = [table.column(one)?, table.column(other)?];
    let codes = |record: Result<dbf::Record<'_>, _>| {
        let record = record.map_err(|_| SkipReason::Shape)?;
        Ok([record.text(one), record.text(other)])
    };
    let records = table.records();
    Ok(records
        .map(|(line, record)| (line, codes(record)))
        .collect())
}

fn from_csv(bytes: &[u8]) -> Result<Vec<Record>, CatalogueFileError> {
    let bytes = csv_table::without_mark(bytes);
    let mut reader = csv_table::reader(bytes)?;
    let headers = reader.byte_headers().map_err(|_| CatalogueFileError::Csv)?;
    let places = COLUMNS.map(|name| {
        let is_it = |header: &[u8]| header.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
        let mut found = headers.iter().enumerate().filter(|(_, h)| is_it(h));
        match (found.next(), found.next()) {
            (Some((place, _)), None) => Ok(place),
            (Some(_), Some(_)) => Err(CatalogueFileError::DuplicateColumn { name }),
            (None, _) => Err(CatalogueFileError::MissingColumn { name }),
        }
    });
    let [one, other] = places;
    let (one, other) = (one?, other?);
    let mut records = Vec::new();
    for record in reader.byte_records() {
        let record = record.map_err(|_| CatalogueFileError::Csv)?;
        if records.len() == FILE_RECORDS_MAX {
            return Err(CatalogueFileError::TooManyRecords);
        }
        let line = csv_table::line(bytes, &record);
        let field = |place: usize| record.get(place).map(csv_table::text);
        let codes = field(one).zip(field(other)).ok_or(SkipReason::Shape);
        let codes = codes.map(|(one, other)| [one.trim().to_owned(), other.trim().to_owned()]);
        records.push((line, codes));
    }
    Ok(records)
}

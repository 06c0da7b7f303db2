//! A small, strict reader of dBASE III tables, as far as the CNAM's files need it.
//!
//! Fields stay text, so that no amount of money passes through a floating-point number.

use thiserror::Error;

use super::{CatalogueFileError, FILE_BYTES_MAX, FILE_RECORDS_MAX};

/// Bytes of the fixed part of the header, and of each field descriptor after it.
const BLOCK_BYTES: usize = 32;
/// What follows the last field descriptor.
const DESCRIPTORS_END: u8 = 0x0d;

/// The first bytes of the tables that are read: dBASE III without and with a memo file, FoxPro.
const VERSIONS: [u8; 3] = [0x03, 0x83, 0x30];

/// Whether a file is taken for a table, and not for text.
pub(super) fn is_table(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| VERSIONS.contains(first))
}

/// Why a dBASE table cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DbfError {
    /// The first byte is not that of a table this reader knows.
    #[error("it is not a dBASE III or FoxPro table")]
    Version,
    /// The text is in a code page that this reader does not know.
    #[error("its text is neither in code page 850 nor in Latin-1")]
    CodePage,
    /// The header ends too early, or its lengths contradict each other.
    #[error("its header is damaged")]
    Header,
    /// The file ends before the last record that its header promises.
    #[error("it is cut: its header promises more records")]
    Cut,
    /// A column that is needed holds binary values.
    #[error("a column that is needed is not of type C, N, F, D or L")]
    ColumnType,
    /// A record is neither live nor deleted.
    #[error("a record has no valid deletion mark")]
    DeletionMark,
}

/// The text encoding of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CodePage {
    Cp850,
    Latin1,
}

/// Where a column stands in a record, and of what type it is.
struct Field {
    name: String,
    kind: u8,
    start: usize,
    end: usize,
}

/// The place of a column in one table's records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    start: usize,
    end: usize,
}

/// A table whose header was checked against the length of the file.
pub(super) struct Table<'a> {
    fields: Vec<Field>,
    code_page: CodePage,
    record_bytes: usize,
    records: &'a [u8],
}

impl<'a> Table<'a> {
    /// Reads the header.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, CatalogueFileError> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(CatalogueFileError::TooManyBytes);
        }
        let (header, _) = bytes
            .split_first_chunk::<BLOCK_BYTES>()
            .ok_or(DbfError::Header)?;
        if !VERSIONS.contains(&header[0]) {
            return Err(DbfError::Version.into());
        }
        let code_page = match header[29] {
            // A file that names none is taken to be in the code page of French DOS.
            0x00 | 0x02 => CodePage::Cp850,
            0x03 | 0x57 => CodePage::Latin1,
            _ => return Err(DbfError::CodePage.into()),
        };
        let count = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > FILE_RECORDS_MAX {
            return Err(CatalogueFileError::TooManyRecords);
        }
        let header_bytes = usize::from(u16::from_le_bytes([header[8], header[9]]));
        let record_bytes = usize::from(u16::from_le_bytes([header[10], header[11]]));
        let (header, records) = bytes
            .split_at_checked(header_bytes)
            .ok_or(DbfError::Header)?;
        let fields = fields(header, record_bytes)?;
        let records = records
            .get(..count.saturating_mul(record_bytes))
            .ok_or(DbfError::Cut)?;
        Ok(Self {
            fields,
            code_page,
            record_bytes,
            records,
        })
    }

    /// The column of this name, which must be there.
    pub(super) fn column(&self, name: &'static str) -> Result<Column, CatalogueFileError> {
        let column = self.optional_column(name)?;
        column.ok_or(CatalogueFileError::MissingColumn { name })
    }

    /// The column of this name, if there is one.
    pub(super) fn optional_column(
        &self,
        name: &'static str,
    ) -> Result<Option<Column>, CatalogueFileError> {
        let mut named = self.fields.iter().filter(|field| field.name == name);
        let Some(field) = named.next() else {
            return Ok(None);
        };
        if named.next().is_some() {
            return Err(CatalogueFileError::DuplicateColumn { name });
        }
        let Field {
            start, end, kind, ..
        } = *field;
        if !b"CNFDL".contains(&kind) {
            return Err(DbfError::ColumnType.into());
        }
        Ok(Some(Column { start, end }))
    }

    /// The records that are not deleted, each with its number, counted from 1.
    pub(super) fn records(
        &self,
    ) -> impl Iterator<Item = (u64, Result<Record<'a>, DbfError>)> + use<'a> {
        let code_page = self.code_page;
        let records = (1..).zip(self.records.chunks_exact(self.record_bytes));
        records.filter_map(move |(number, bytes)| match bytes.first() {
            Some(b'*') => None,
            Some(b' ') => Some((number, Ok(Record { bytes, code_page }))),
            _ => Some((number, Err(DbfError::DeletionMark))),
        })
    }
}

/// Reads the field descriptors; together they must fill a record.
fn fields(header: &[u8], record_bytes: usize) -> Result<Vec<Field>, DbfError> {
    let mut fields = Vec::new();
    let mut rest = header.get(BLOCK_BYTES..).ok_or(DbfError::Header)?;
    let mut start = 1; // The deletion mark comes first.
    while rest.first() != Some(&DESCRIPTORS_END) {
        let (descriptor, after) = rest
            .split_first_chunk::<BLOCK_BYTES>()
            .ok_or(DbfError::Header)?;
        let name = descriptor[..11].split(|b| *b == 0).next();
        let name = name.unwrap_or_default().iter().map(|b| char::from(*b));
        let end = start + usize::from(descriptor[16]);
        fields.push(Field {
            name: name.collect::<String>().to_ascii_uppercase(),
            kind: descriptor[11],
            start,
            end,
        });
        start = end;
        rest = after;
    }
    (start == record_bytes)
        .then_some(fields)
        .ok_or(DbfError::Header)
}

/// One record.
pub(super) struct Record<'a> {
    bytes: &'a [u8],
    code_page: CodePage,
}

impl Record<'_> {
    /// The text of a column, trimmed. Numbers and dates are text too; binary columns are refused before.
    pub(super) fn text(&self, column: Column) -> String {
        let field = self.bytes.get(column.start..column.end).unwrap_or_default();
        let text: String = field.iter().map(|b| self.code_page.char(*b)).collect();
        text.trim_matches([' ', '\0']).to_owned()
    }
}

impl CodePage {
    fn char(self, byte: u8) -> char {
        let upper_half = byte.checked_sub(0x80).map(usize::from);
        match (self, upper_half) {
            (Self::Cp850, Some(place)) => CP850.get(place).copied().unwrap_or_default(),
            _ => char::from(byte),
        }
    }
}

/// The characters of code page 850 from 0x80 to 0xff.
#[rustfmt::skip]
const CP850: [char; 128] = [
    'Ç', 'ü', 'é', 'â', 'ä', 'à', 'å', 'ç', 'ê', 'ë', 'è', 'ï', 'î', 'ì', 'Ä', 'Å',
    'É', 'æ', 'Æ', 'ô', 'ö', 'ò', 'û', 'ù', 'ÿ', 'Ö', 'Ü', 'ø', '£', 'Ø', '×', 'ƒ',
    'á', 'í', 'ó', 'ú', 'ñ', 'Ñ', 'ª', 'º', '¿', '®', '¬', '½', '¼', '¡', '«', '»',
    '░', '▒', '▓', '│', '┤', 'Á', 'Â', 'À', '©', '╣', '║', '╗', '╝', '¢', '¥', '┐',
    '└', '┴', '┬', '├', '─', '┼', 'ã', 'Ã', '╚', '╔', '╩', '╦', '╠', '═', '╬', '¤',
    'ð', 'Ð', 'Ê', 'Ë', 'È', 'ı', 'Í', 'Î', 'Ï', '┘', '┌', '█', '▄', '¦', 'Ì', '▀',
    'Ó', 'ß', 'Ô', 'Ò', 'õ', 'Õ', 'µ', 'þ', 'Þ', 'Ú', 'Û', 'Ù', 'ý', 'Ý', '¯', '´',
    '\u{ad}', '±', '‗', '¾', '¶', '§', '÷', '¸', '°', '¨', '·', '¹', '³', '²', '■', '\u{a0}',
];

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A dBASE III table of these columns (name, type, width) and records, in the plainest way.
    pub(in super::super) fn table(
        columns: &[(&str, char, u8)],
        records: &[(char, &[&str])],
    ) -> Vec<u8> {
        let header_bytes = u16::try_from(BLOCK_BYTES * (columns.len() + 1) + 1).unwrap();
        let widths = columns.iter().map(|(.., width)| u16::from(*width));
        let record_bytes = 1 + widths.sum::<u16>();
        let mut bytes = vec![0x03, 120, 7, 1];
        bytes.extend(u32::try_from(records.len()).unwrap().to_le_bytes());
        bytes.extend(header_bytes.to_le_bytes());
        bytes.extend(record_bytes.to_le_bytes());
        bytes.resize(BLOCK_BYTES, 0);
        for (name, kind, width) in columns {
            let start = bytes.len();
            bytes.extend(name.bytes());
            bytes.resize(start + 11, 0);
            bytes.push(u8::try_from(*kind).unwrap());
            bytes.resize(start + 16, 0);
            bytes.push(*width);
            bytes.resize(start + BLOCK_BYTES, 0);
        }
        bytes.push(DESCRIPTORS_END);
        for (mark, values) in records {
            bytes.push(u8::try_from(*mark).unwrap());
            for ((.., kind, width), value) in columns.iter().zip(*values) {
                let width = usize::from(*width);
                let mut field: Vec<u8> = value.chars().map(cp850_byte).collect();
                let pad = vec![b' '; width - field.len()];
                // Text stands to the left, numbers to the right.
                let place = if *kind == 'N' { 0 } else { field.len() };
                field.splice(place..place, pad);
                bytes.extend(field);
            }
        }
        bytes.push(0x1a);
        bytes
    }

    fn cp850_byte(character: char) -> u8 {
        let upper = CP850.iter().position(|c| *c == character);
        upper.map_or_else(
            || u8::try_from(character).unwrap(),
            |place| u8::try_from(0x80 + place).unwrap(),
        )
    }

    fn small() -> Vec<u8> {
        table(
            &[("NAME", 'C', 8), ("PRICE", 'N', 6), ("MEMO", 'M', 10)],
            &[
                (' ', &["Adapté", "0.05", ""]),
                ('*', &["gone", "1", ""]),
                (' ', &["", "", ""]),
            ],
        )
    }

    fn texts(bytes: &[u8], column: &'static str) -> Vec<(u64, String)> {
        let table = Table::read(bytes).unwrap();
        let column = table.column(column).unwrap();
        let texts = |(number, record): (u64, Result<Record<'_>, DbfError>)| {
            (number, record.unwrap().text(column))
        };
        table.records().map(texts).collect()
    }

    fn error(bytes: &[u8]) -> CatalogueFileError {
        Table::read(bytes).err().unwrap()
    }

    #[test]
    fn live_records_are_read_and_deleted_ones_are_not() {
        let bytes = small();
        let names = [(1, "Adapté".to_owned()), (3, String::new())];
        assert_eq!(texts(&bytes, "NAME"), names);
        let prices = [(1, "0.05".to_owned()), (3, String::new())];
        assert_eq!(texts(&bytes, "PRICE"), prices);
    }

    #[test]
    fn the_code_page_of_the_header_decides() {
        let mut bytes = small();
        bytes[29] = 0x03;
        assert_eq!(texts(&bytes, "NAME")[0].1, "Adapt\u{82}");
        bytes[29] = 0x64;
        assert_eq!(error(&bytes), DbfError::CodePage.into());
    }

    #[test]
    fn a_missing_a_binary_and_a_doubled_column_are_refused() {
        let bytes = small();
        let table_of = |bytes: &[u8], name| Table::read(bytes).unwrap().column(name).err();
        let name = "CODE_TIPS";
        let missing = CatalogueFileError::MissingColumn { name };
        assert_eq!(table_of(&bytes, name), Some(missing));
        let binary = DbfError::ColumnType.into();
        assert_eq!(table_of(&bytes, "MEMO"), Some(binary));
        let doubled = table(&[("NAME", 'C', 1), ("name", 'C', 1)], &[]);
        let name = "NAME";
        let twice = CatalogueFileError::DuplicateColumn { name };
        assert_eq!(table_of(&doubled, name), Some(twice));
    }

    #[test]
    fn a_header_that_contradicts_the_file_is_refused() {
        let changed = |place: usize, byte: u8| {
            let mut bytes = small();
            bytes[place] = byte;
            error(&bytes)
        };
        assert_eq!(changed(0, 0x04), DbfError::Version.into());
        assert_eq!(changed(4, 4), DbfError::Cut.into());
        assert_eq!(changed(7, 1), CatalogueFileError::TooManyRecords);
        assert_eq!(changed(8, 40), DbfError::Header.into());
        assert_eq!(changed(9, 0xff), DbfError::Header.into());
        assert_eq!(changed(10, 0), DbfError::Header.into());
        assert_eq!(changed(48, 200), DbfError::Header.into());
        assert_eq!(error(b""), DbfError::Header.into());
    }

    #[test]
    fn a_table_cut_anywhere_is_refused() {
        let bytes = small();
        for end in 0..bytes.len() - 1 {
            assert!(Table::read(&bytes[..end]).is_err(), "{end}");
        }
        // The last byte is an end mark that not every program writes.
        assert!(Table::read(&bytes[..bytes.len() - 1]).is_ok());
    }

    #[test]
    fn a_record_with_another_mark_is_reported() {
        let bytes = table(&[("NAME", 'C', 1)], &[('x', &["a"]), (' ', &["b"])]);
        let table = Table::read(&bytes).unwrap();
        let read: Vec<bool> = table.records().map(|(_, record)| record.is_ok()).collect();
        assert_eq!(read, [false, true]);
    }

    proptest! {
        #[test]
        fn no_changed_byte_makes_it_panic(place in 0..200usize, byte in any::<u8>()) {
            let mut bytes = small();
            if let Some(changed) = bytes.get_mut(place) {
                *changed = byte;
            }
            if let Ok(table) = Table::read(&bytes) {
                let column = table.column("NAME");
                for (_, record) in table.records() {
                    if let (Ok(record), Ok(column)) = (record, column) {
                        let _ = record.text(column);
                    }
                }
            }
        }
    }
}

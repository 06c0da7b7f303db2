//! The contracts file: an insurer's contracts as tokens, written by the import, read by whatever
//! computes coverages or matches tokens with contracts.
//!
//! ```text
//! vitrail contracts v1
//! origin vitrail.example/optique
//! payer 75000001
//! contract-key QgWEBW9tRGiuyc/6RdyXCmTgorNQEMxAHRjEr46qWCA=
//! day 2026-11-22
//! BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=;CONFORT-2;2026-01-01;2026-12-31;;2031-04;c/00017
//! end 1
//! ```
//!
//! Mode 0600: whoever holds a contract token finds that contract's coverages and claims in the
//! ledger. A file without its last line is not whole and is refused when its end is met.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use proto::identity::PayerNumber;
use proto::ids::{Day, Origin};
use proto::roster::Roster;
use thiserror::Error;
use zeroize::Zeroizing;

use super::record::ContractRecord;
use crate::failure::{Failure, FailureKind};
use crate::files::{self, FileError};

/// First line.
const TITLE: &str = "vitrail contracts v1";
/// The lines of a header, title included: contracts begin on the one after.
pub const HEADER_LINES: u64 = 5;
/// Longest line, its end included: the longest header line, an origin, has 136 bytes; a record at
/// most 44 + 32 + 2 * 10 + 2 * 7 + 36 and its separators.
pub const LINE_BYTES_MAX: usize = 256;

/// What a contracts file says about all of its contracts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractsHeader {
    /// The ledger that the tokens are of.
    pub origin: Origin,
    /// Whose contracts they are.
    pub payer: PayerNumber,
    /// The joint contract key that the tokens were made under: another key makes other tokens.
    pub contract_key: [u8; 32],
    /// The day on which the import began, by which months of past ages were left out.
    pub day: Day,
}

/// Why a contracts file cannot be read. No content is quoted.
#[derive(Debug, Error)]
pub enum ContractsFileError {
    /// The file cannot be opened or read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line is not what belongs there.
    #[error("contracts file, line {line}: must be {want}")]
    Line {
        /// Its number, counted from 1.
        line: u64,
        /// What it must be.
        want: &'static str,
    },
    /// The file ends before its last line.
    #[error("contracts file: it is not whole, {records} contracts and no `end`")]
    Cut {
        /// The contracts that were read.
        records: u64,
    },
    /// The file was imported for another ledger, payer or joint key.
    #[error("contracts file: its {field} is not the one of this roster and key")]
    Other {
        /// What differs.
        field: &'static str,
    },
}

impl Failure for ContractsFileError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::File(error) => error.kind(),
            Self::Line { .. } | Self::Cut { .. } | Self::Other { .. } => FailureKind::Malformed,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::File(FileError::Missing { .. }) | Self::Cut { .. } | Self::Other { .. } => {
                Some("make it with `vitrail contracts import`")
            }
            _ => None,
        }
    }
}

impl ContractsHeader {
    /// The header of a payer's file that is begun on this day.
    #[must_use]
    pub fn new(roster: &Roster, payer: PayerNumber, day: Day) -> Self {
        Self {
            origin: roster.origin().clone(),
            payer,
            contract_key: *roster.joint().contract.as_bytes(),
            day,
        }
    }

    /// Its five lines.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self {
            origin,
            payer,
            contract_key,
            day,
        } = self;
        let (payer, day) = (payer.as_str(), day.to_iso());
        let contract_key = BASE64_STANDARD.encode(contract_key);
        format!("{TITLE}\norigin {origin}\npayer {payer}\ncontract-key {contract_key}\nday {day}\n")
    }

    /// Whether these tokens are those of this roster and payer.
    ///
    /// # Errors
    /// [`ContractsFileError::Other`] names what differs first.
    pub fn check(&self, roster: &Roster, payer: &PayerNumber) -> Result<(), ContractsFileError> {
        let fields = [
            ("origin", self.origin == *roster.origin()),
            ("payer", self.payer == *payer),
            (
                "contract-key",
                self.contract_key == *roster.joint().contract.as_bytes(),
            ),
        ];
        let other = fields.iter().find(|(_, same)| !same);
        other.map_or(Ok(()), |(field, _)| {
            Err(ContractsFileError::Other { field })
        })
    }
}

/// The last line of a file with this many contracts.
pub(super) fn end_line(records: u64) -> String {
    format!("end {records}\n")
}

/// A contracts file, read from its start to its end: an iterator of its contracts. One token may
/// stand there twice, for instance with two periods of rights. Memory is one line.
#[derive(Debug)]
pub struct ContractsFile {
    lines: Lines,
    header: ContractsHeader,
    records: u64,
    done: bool,
}

impl ContractsFile {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// [`ContractsFileError`], see its variants.
    pub fn open(path: &Path) -> Result<Self, ContractsFileError> {
        let file = File::open(path).map_err(|error| files::io_error(path, &error))?;
        let mut lines = Lines {
            path: path.to_owned(),
            reader: BufReader::new(file),
            line: 0,
        };
        let header = lines.header()?;
        Ok(Self {
            lines,
            header,
            records: 0,
            done: false,
        })
    }

    /// What it says about all of its contracts.
    #[must_use]
    pub const fn header(&self) -> &ContractsHeader {
        &self.header
    }

    fn record(&mut self) -> Result<Option<ContractRecord>, ContractsFileError> {
        let records = self.records;
        let Some(line) = self.lines.next()? else {
            return Err(ContractsFileError::Cut { records });
        };
        if line.starts_with("end ") {
            if *line != end_line(records).trim_end() {
                return Err(self.lines.wrong("`end` and the number of contracts"));
            }
            return match self.lines.next()? {
                None => Ok(None),
                Some(_) => Err(self.lines.wrong("nothing after `end`")),
            };
        }
        let record = ContractRecord::from_line(&line);
        let record = record.ok_or_else(|| self.lines.wrong("a contract, or `end`"))?;
        self.records += 1;
        Ok(Some(record))
    }
}

impl Iterator for ContractsFile {
    type Item = Result<ContractRecord, ContractsFileError>;

    /// The next contract. After an error, as after `end`, there is none.
    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let record = self.record().transpose();
        self.done = !matches!(record, Some(Ok(_)));
        record
    }
}

/// The lines of a file, each bounded.
#[derive(Debug)]
struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    line: u64,
}

impl Lines {
    /// The next line without its end; `None` at the end of the file.
    fn next(&mut self) -> Result<Option<Zeroizing<String>>, ContractsFileError> {
        self.line += 1;
        let mut bytes = Zeroizing::new(Vec::with_capacity(LINE_BYTES_MAX));
        (&mut self.reader)
            .take(LINE_BYTES_MAX as u64)
            .read_until(b'\n', &mut bytes)
            .map_err(|error| files::io_error(&self.path, &error))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let text = bytes
            .strip_suffix(b"\n")
            .and_then(|line| str::from_utf8(line).ok());
        let text = text.map(|text| Zeroizing::new(text.to_owned()));
        text.map(Some)
            .ok_or_else(|| self.wrong("a line of text with its end"))
    }

    const fn wrong(&self, want: &'static str) -> ContractsFileError {
        ContractsFileError::Line {
            line: self.line,
            want,
        }
    }

    fn header(&mut self) -> Result<ContractsHeader, ContractsFileError> {
        let title = self.next()?;
        if title.as_ref().is_none_or(|title| title.as_str() != TITLE) {
            return Err(self.wrong("`vitrail contracts v1`"));
        }
        Ok(ContractsHeader {
            origin: self.field("origin ", "`origin` and a ledger's name")?,
            payer: self.field("payer ", "`payer` and a payer number")?,
            contract_key: self.contract_key()?,
            day: self.field("day ", "`day` and YYYY-MM-DD")?,
        })
    }

    fn field<T: std::str::FromStr>(
        &mut self,
        name: &str,
        want: &'static str,
    ) -> Result<T, ContractsFileError> {
        let line = self.next()?;
        let value = line
            .as_ref()
            .and_then(|line| line.strip_prefix(name)?.parse().ok());
        value.ok_or_else(|| self.wrong(want))
    }

    fn contract_key(&mut self) -> Result<[u8; 32], ContractsFileError> {
        let text: String = self.field("contract-key ", "`contract-key` and 32 bytes in base64")?;
        let bytes = BASE64_STANDARD.decode(text).ok();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or_else(|| self.wrong("`contract-key` and 32 bytes in base64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "vitrail contracts v1\norigin vitrail.example/optique\npayer 75000001\n\
        contract-key QgWEBW9tRGiuyc/6RdyXCmTgorNQEMxAHRjEr46qWCA=\nday 2026-11-22\n";
    const RECORD: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=;CONFORT-2;2026-01-01;2026-12-31;;2031-04;c/00017\n";

    fn read(text: &str) -> Result<Vec<ContractRecord>, ContractsFileError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("contracts.txt");
        std::fs::write(&path, text).unwrap();
        let file = ContractsFile::open(&path)?;
        assert_eq!(file.header().to_text(), HEADER);
        file.collect()
    }

    #[test]
    fn a_whole_file_gives_its_contracts() {
        let records = read(&format!("{HEADER}{RECORD}{RECORD}end 2\n")).unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(*records[0].to_line(), RECORD.trim_end());
        assert!(read(&format!("{HEADER}end 0\n")).unwrap().is_empty());
    }

    #[test]
    fn a_file_that_is_cut_anywhere_is_refused() {
        let whole = format!("{HEADER}{RECORD}end 1\n");
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_line_that_does_not_belong_is_named_and_not_quoted() {
        for (text, line) in [
            (format!("{HEADER}{RECORD}end 2\n"), 7),
            (format!("{HEADER}{RECORD}end 01\n"), 7),
            (format!("{HEADER}end 0\n{RECORD}"), 7),
            (format!("{HEADER}SECRET\nend 0\n"), 6),
            (format!("{HEADER}{}\n", "x".repeat(300)), 6),
            (HEADER.replace("v1", "v2"), 1),
            (HEADER.replace("75000001", "x"), 3),
            (HEADER.replace("qWCA=", "qWCA"), 4),
        ] {
            let error = read(&text).unwrap_err();
            assert!(
                matches!(error, ContractsFileError::Line { line: at, .. } if at == line),
                "{error}"
            );
            assert!(!format!("{error} {error:?}").contains("SECRET"));
        }
    }

    #[test]
    fn a_file_of_another_payer_is_refused() {
        let roster = crate::example::Ledger::new().roster;
        let header = ContractsHeader::new(&roster, "75000001".parse().unwrap(), Day::new(20_000));
        header.check(&roster, &"75000001".parse().unwrap()).unwrap();
        let refused = header.check(&roster, &"75000002".parse().unwrap());
        assert!(matches!(
            refused,
            Err(ContractsFileError::Other { field: "payer" })
        ));
    }
}

//! The lines of a contracts file, one after another: header, contracts, end.

use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use thiserror::Error;

use super::record::ContractRecord;
use crate::identity::PayerNumber;
use crate::ids::{Day, Origin};
use crate::roster::Roster;

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

/// Why a contracts file is none. No content is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ContractsError {
    /// A line is not what belongs there.
    #[error("line {line}: must be {want}")]
    Line {
        /// Its number, counted from 1.
        line: u64,
        /// What it must be.
        want: &'static str,
    },
    /// The file ends before its last line.
    #[error("it is not whole, {records} contracts and no `end`")]
    Cut {
        /// The contracts that were read.
        records: u64,
    },
    /// The file was imported for another ledger, payer or joint key.
    #[error("its {field} is not the one of this roster and key")]
    Other {
        /// What differs.
        field: &'static str,
    },
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
    /// [`ContractsError::Other`] names what differs first.
    pub fn check(&self, roster: &Roster, payer: &PayerNumber) -> Result<(), ContractsError> {
        let fields = [
            ("origin", self.origin == *roster.origin()),
            ("payer", self.payer == *payer),
            (
                "contract-key",
                self.contract_key == *roster.joint().contract.as_bytes(),
            ),
        ];
        let other = fields.iter().find(|(_, same)| !same);
        other.map_or(Ok(()), |(field, _)| Err(ContractsError::Other { field }))
    }
}

/// The last line of a file with this many contracts.
#[must_use]
pub fn end_line(records: u64) -> String {
    format!("end {records}\n")
}

/// What a line turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// One of the first four of the header.
    Head,
    /// The last of the header.
    Header(ContractsHeader),
    /// A contract.
    Record(ContractRecord),
    /// The last line. No other may follow.
    End,
}

/// Takes a file line by line, without their ends, and is told when there are no more.
#[derive(Debug, Default)]
pub struct ContractsReader {
    line: u64,
    origin: Option<Origin>,
    payer: Option<PayerNumber>,
    contract_key: Option<[u8; 32]>,
    records: u64,
    ended: bool,
}

impl ContractsReader {
    /// What the next line is.
    ///
    /// # Errors
    /// [`ContractsError::Line`] when it does not belong there.
    pub fn line(&mut self, text: &str) -> Result<Line, ContractsError> {
        self.line += 1;
        if self.ended {
            return Err(self.wrong("nothing after `end`"));
        }
        if self.line > HEADER_LINES {
            return self.record(text);
        }
        self.head(text)
    }

    /// A line that is longer than [`LINE_BYTES_MAX`], is no UTF-8 or has no end.
    #[must_use]
    pub const fn unreadable(&self) -> ContractsError {
        ContractsError::Line {
            line: self.line + 1,
            want: "a line of text with its end",
        }
    }

    /// There are no more lines.
    ///
    /// # Errors
    /// [`ContractsError::Cut`] when the last was not `end`.
    pub const fn finish(&self) -> Result<(), ContractsError> {
        match self.ended {
            true => Ok(()),
            false => Err(ContractsError::Cut {
                records: self.records,
            }),
        }
    }

    fn head(&mut self, text: &str) -> Result<Line, ContractsError> {
        match self.line {
            1 => (text == TITLE)
                .then_some(())
                .ok_or(self.wrong("`vitrail contracts v1`"))?,
            2 => self.origin = Some(self.field(text, "origin ", "`origin` and a ledger's name")?),
            3 => self.payer = Some(self.field(text, "payer ", "`payer` and a payer number")?),
            4 => self.contract_key = Some(self.contract_key(text)?),
            _ => return self.header(text),
        }
        Ok(Line::Head)
    }

    fn header(&self, text: &str) -> Result<Line, ContractsError> {
        let want = "`day` and YYYY-MM-DD";
        let day = self.field(text, "day ", want)?;
        let parts = (&self.origin, &self.payer, self.contract_key);
        let (Some(origin), Some(payer), Some(contract_key)) = parts else {
            return Err(self.wrong(want));
        };
        Ok(Line::Header(ContractsHeader {
            origin: origin.clone(),
            payer: payer.clone(),
            contract_key,
            day,
        }))
    }

    fn record(&mut self, text: &str) -> Result<Line, ContractsError> {
        if text.starts_with("end ") {
            if text != end_line(self.records).trim_end() {
                return Err(self.wrong("`end` and the number of contracts"));
            }
            self.ended = true;
            return Ok(Line::End);
        }
        let record = ContractRecord::from_line(text);
        let record = record.ok_or(self.wrong("a contract, or `end`"))?;
        self.records += 1;
        Ok(Line::Record(record))
    }

    fn field<T: FromStr>(
        &self,
        text: &str,
        name: &str,
        want: &'static str,
    ) -> Result<T, ContractsError> {
        let value = text.strip_prefix(name).and_then(|value| value.parse().ok());
        value.ok_or(self.wrong(want))
    }

    fn contract_key(&self, text: &str) -> Result<[u8; 32], ContractsError> {
        let want = "`contract-key` and 32 bytes in base64";
        let text: String = self.field(text, "contract-key ", want)?;
        let bytes = BASE64_STANDARD.decode(text).ok();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or(self.wrong(want))
    }

    const fn wrong(&self, want: &'static str) -> ContractsError {
        ContractsError::Line {
            line: self.line,
            want,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::ContractToken;

    const HEADER: &str = "vitrail contracts v1\norigin vitrail.example/optique\npayer 75000001\n\
        contract-key QgWEBW9tRGiuyc/6RdyXCmTgorNQEMxAHRjEr46qWCA=\nday 2026-11-22\n";
    const RECORD: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=;CONFORT-2;2026-01-01;\
        2026-12-31;;2031-04;c/00017\n";

    fn read(text: &str) -> Result<Vec<ContractRecord>, ContractsError> {
        let mut reader = ContractsReader::default();
        let mut records = Vec::new();
        for line in text.lines() {
            match reader.line(line)? {
                Line::Header(header) => assert_eq!(header.to_text(), HEADER),
                Line::Record(record) => records.push(record),
                Line::Head | Line::End => {}
            }
        }
        reader.finish()?;
        Ok(records)
    }

    #[test]
    fn a_whole_file_gives_its_contracts() {
        let records = read(&format!("{HEADER}{RECORD}{RECORD}end 2\n")).unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].token, ContractToken::from_bytes([7; 32]));
        assert!(read(&format!("{HEADER}end 0\n")).unwrap().is_empty());
    }

    #[test]
    fn a_file_that_ends_early_is_refused() {
        let cut = read(&format!("{HEADER}{RECORD}"));
        assert_eq!(cut, Err(ContractsError::Cut { records: 1 }));
        assert_eq!(read(HEADER), Err(ContractsError::Cut { records: 0 }));
    }

    #[test]
    fn a_line_that_does_not_belong_is_named_and_not_quoted() {
        for (text, line) in [
            (format!("{HEADER}{RECORD}end 2\n"), 7),
            (format!("{HEADER}{RECORD}end 01\n"), 7),
            (format!("{HEADER}end 0\n{RECORD}"), 7),
            (format!("{HEADER}SECRET\nend 0\n"), 6),
            (HEADER.replace("v1", "v2"), 1),
            (HEADER.replace("75000001", "x"), 3),
            (HEADER.replace("qWCA=", "qWCA"), 4),
        ] {
            let error = read(&text).unwrap_err();
            let at = matches!(error, ContractsError::Line { line: at, .. } if at == line);
            assert!(at, "{error}");
            assert!(!format!("{error} {error:?}").contains("SECRET"));
        }
    }
}

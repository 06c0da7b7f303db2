//! A contracts file on disk (`proto::contracts`), read line by line.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use proto::contracts::{
    ContractRecord, ContractsError, ContractsHeader, ContractsReader, LINE_BYTES_MAX, Line,
};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::failure::{Failure, FailureKind};
use crate::files::{self, FileError};

/// Why a contracts file cannot be read. No content is quoted.
#[derive(Debug, Error)]
pub enum ContractsFileError {
    /// The file cannot be opened or read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is no contracts file, or not this one's.
    #[error("contracts file: {0}")]
    Content(#[from] ContractsError),
}

impl Failure for ContractsFileError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::File(error) => error.kind(),
            Self::Content(_) => FailureKind::Malformed,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::File(FileError::Missing { .. })
            | Self::Content(ContractsError::Cut { .. } | ContractsError::Other { .. }) => {
                Some("make it with `vitrail contracts import`")
            }
            _ => None,
        }
    }
}

/// A contracts file, read from its start to its end: an iterator of its contracts. One token may
/// stand there twice, for instance with two periods of rights. Memory is one line.
#[derive(Debug)]
pub struct ContractsFile {
    path: PathBuf,
    file: BufReader<File>,
    reader: ContractsReader,
    header: ContractsHeader,
    done: bool,
}

impl ContractsFile {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// [`ContractsFileError`], see its variants.
    pub fn open(path: &Path) -> Result<Self, ContractsFileError> {
        let opened = File::open(path).map_err(|error| files::io_error(path, &error))?;
        let mut file = BufReader::new(opened);
        let mut reader = ContractsReader::default();
        let header = loop {
            match next(path, &mut file, &mut reader)? {
                Some(Line::Header(header)) => break header,
                Some(_) => {}
                None => reader.finish()?,
            }
        };
        Ok(Self {
            path: path.to_owned(),
            file,
            reader,
            header,
            done: false,
        })
    }

    /// What it says about all of its contracts.
    #[must_use]
    pub const fn header(&self) -> &ContractsHeader {
        &self.header
    }

    fn record(&mut self) -> Result<Option<ContractRecord>, ContractsFileError> {
        loop {
            match next(&self.path, &mut self.file, &mut self.reader)? {
                Some(Line::Record(record)) => return Ok(Some(record)),
                Some(_) => {}
                None => return Ok(self.reader.finish().map(|()| None)?),
            }
        }
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

/// The next line; `None` at the end of the file.
fn next(
    path: &Path,
    file: &mut BufReader<File>,
    reader: &mut ContractsReader,
) -> Result<Option<Line>, ContractsFileError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(LINE_BYTES_MAX));
    file.take(LINE_BYTES_MAX as u64)
        .read_until(b'\n', &mut bytes)
        .map_err(|error| files::io_error(path, &error))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let text = bytes
        .strip_suffix(b"\n")
        .and_then(|line| str::from_utf8(line).ok());
    let text = text.ok_or_else(|| reader.unreadable())?;
    Ok(Some(reader.line(text)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::ids::Day;

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
                matches!(error, ContractsFileError::Content(ContractsError::Line { line: at, .. }) if at == line),
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
            Err(ContractsError::Other { field: "payer" })
        ));
    }
}

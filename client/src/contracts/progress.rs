//! How far an import has come: a small file beside its output, replaced after each batch.
//!
//! It names its input by a keyed digest and no other way. A plain digest of a short list could be
//! tried for every person; this one cannot be computed without the insurer's secret key.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use proto::hash::{Context, Hash, KeyedHasher};
use proto::ids::Day;
use proto::signing::SecretKey;
use thiserror::Error;
use zeroize::Zeroizing;

use super::members::Place;
use crate::failure::{Failure, FailureKind};
use crate::files::{self, FileError};

/// First line.
const TITLE: &str = "vitrail import v1";
/// Bad lines that are kept with their reasons: more are counted, and nobody reads so many.
pub const PROBLEMS_MAX: usize = 1_000;
/// Longest file: the problems, of at most 160 bytes each, and the lines before them.
const FILE_BYTES_MAX: usize = 256 * 1024;

/// A bad line of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its number, counted from 1.
    pub line: u64,
    /// What is wrong with it, without any of its content.
    pub reason: String,
}

/// How far an import has come, and what it must go on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Drawn for each import, so that two imports of one list have nothing in common.
    pub salt: [u8; 32],
    /// The digest of the whole input, see [`digest`].
    pub input: Hash,
    /// The day on which the import began.
    pub day: Day,
    /// How far the input was read.
    pub place: Place,
    /// Bytes of the output that are written and synced.
    pub written: u64,
    /// Contracts in them.
    pub contracts: u64,
    /// Bad lines so far.
    pub skipped: u64,
    /// The first [`PROBLEMS_MAX`] of them.
    pub problems: Vec<Problem>,
}

/// The progress file is there and is none.
#[derive(Debug, Error)]
pub enum ProgressError {
    /// It cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not of its form.
    #[error("the progress file of the import is damaged")]
    Form,
}

impl Failure for ProgressError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::File(error) => error.kind(),
            Self::Form => FailureKind::Malformed,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        matches!(self, Self::Form).then_some("begin again with --restart")
    }
}

impl Progress {
    /// The stored progress; `None` when there is none.
    ///
    /// # Errors
    /// [`ProgressError`], see its variants.
    pub fn load(path: &Path) -> Result<Option<Self>, ProgressError> {
        match files::read_text(path, FILE_BYTES_MAX) {
            Ok(text) => Self::parse(&text).map(Some).ok_or(ProgressError::Form),
            Err(FileError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces the stored progress: durable when it returns.
    ///
    /// # Errors
    /// [`ProgressError::File`].
    pub fn store(&self, path: &Path) -> Result<(), ProgressError> {
        Ok(files::replace_secret(path, self.to_text().as_bytes())?)
    }

    /// Notes a bad line.
    pub fn skip(&mut self, line: u64, reason: String) {
        self.skipped += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { line, reason });
        }
    }

    fn to_text(&self) -> String {
        let (salt, input) = (BASE64_STANDARD.encode(self.salt), self.input);
        let (day, Place { offset, line }) = (self.day.to_iso(), self.place);
        let Self {
            written,
            contracts,
            skipped,
            ..
        } = self;
        let mut text = format!(
            "{TITLE}\nsalt {salt}\ninput {input}\nday {day}\noffset {offset}\nline {line}\n\
             written {written}\ncontracts {contracts}\nskipped {skipped}\n"
        );
        for Problem { line, reason } in &self.problems {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "problem {line} {reason}");
        }
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        (lines.next()? == TITLE).then_some(())?;
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let salt = BASE64_STANDARD.decode(field("salt")?).ok()?;
        let parsed = Self {
            salt: salt.try_into().ok()?,
            input: Hash::from_base64(field("input")?)?,
            day: field("day")?.parse().ok()?,
            place: Place {
                offset: field("offset")?.parse().ok()?,
                line: field("line")?.parse().ok()?,
            },
            written: field("written")?.parse().ok()?,
            contracts: field("contracts")?.parse().ok()?,
            skipped: field("skipped")?.parse().ok()?,
            problems: lines.map(problem).collect::<Option<_>>()?,
        };
        (parsed.to_text() == text).then_some(parsed)
    }
}

fn problem(line: &str) -> Option<Problem> {
    let (line, reason) = line.strip_prefix("problem ")?.split_once(' ')?;
    Some(Problem {
        line: line.parse().ok()?,
        reason: reason.to_owned(),
    })
}

/// The digest of a whole input: BLAKE3 keyed by what is derived from the insurer's secret key and
/// the salt. Who has the progress file and not the key learns nothing about the input from it.
///
/// # Errors
/// [`FileError`] when the input cannot be read.
pub fn digest(path: &Path, secret: &SecretKey, salt: &[u8; 32]) -> Result<Hash, FileError> {
    let mut hasher = KeyedHasher::new(&secret.derive(Context::ImportInput, salt));
    let error = |error| files::io_error(path, &error);
    let mut file = File::open(path).map_err(error)?;
    let mut piece = Zeroizing::new(vec![0; 256 * 1024]);
    loop {
        match file.read(&mut piece).map_err(error)? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&piece[..length]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Progress {
        Progress {
            salt: [3; 32],
            input: Hash::from_bytes([4; 32]),
            day: Day::new(20_000),
            place: Place {
                offset: 70_000,
                line: 1_003,
            },
            written: 90_000,
            contracts: 1_000,
            skipped: 1,
            problems: vec![Problem {
                line: 17,
                reason: "birth_date: must be a date".to_owned(),
            }],
        }
    }

    #[cfg(unix)]
    #[test]
    fn progress_is_stored_for_its_owner_and_reads_back() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("contracts.txt.progress");
        assert!(Progress::load(&path).unwrap().is_none());
        for _ in 0..2 {
            progress().store(&path).unwrap();
        }
        assert_eq!(Progress::load(&path).unwrap(), Some(progress()));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_progress_is_refused() {
        let text = progress().to_text();
        for (from, to) in [
            ("v1", "v2"),
            ("line 1003", "line 01003"),
            ("day 2", "day x"),
            ("problem 17 ", "problem "),
        ] {
            assert_eq!(Progress::parse(&text.replacen(from, to, 1)), None, "{from}");
        }
        for length in 0..text.len() {
            let cut = Progress::parse(&text[..length]);
            assert!(cut.is_none_or(|cut| cut.problems.is_empty()), "{length}");
        }
    }

    #[test]
    fn more_problems_than_anybody_reads_are_counted() {
        let mut progress = progress();
        for line in 0..5_000 {
            progress.skip(line, "x".repeat(160));
        }
        assert_eq!(
            (progress.skipped, progress.problems.len()),
            (5_001, PROBLEMS_MAX)
        );
        assert!(progress.to_text().len() < FILE_BYTES_MAX);
    }

    #[test]
    fn a_digest_is_of_the_whole_input_and_of_nobody_elses_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("members.csv");
        let of = |bytes: &[u8], seed: u8, salt: u8| {
            std::fs::write(&path, bytes).unwrap();
            digest(&path, &SecretKey::from_seed(&[seed; 32]), &[salt; 32]).unwrap()
        };
        let first = of(b"a\nb\n", 1, 1);
        assert_eq!(of(b"a\nb\n", 1, 1), first);
        for other in [
            of(b"a\nc\n", 1, 1),
            of(b"a\nb\n", 2, 1),
            of(b"a\nb\n", 1, 2),
        ] {
            assert_ne!(other, first);
        }
    }
}

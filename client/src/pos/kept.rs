//! Kept quotes: a claim that is ready but for its signature, in a file of its till.
//!
//! ```text
//! vitrail quote v1
//! made <milliseconds since 1970>
//! catalogue <leaf index>
//! coverage <leaf index>          1 to 7 times
//! slot <base64>                  1 to 8 times
//! until <YYYY-MM-DD>
//! early <0, 6 or 12 months>      only with an attested early renewal
//! salt <base64>
//! payload <base64>
//! ```
//!
//! It names no person and no product: what it has besides a claim's public header is sealed for
//! the payers. So a till can sign it when it cannot ask, and again when a signature is too old.

use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use proto::attestation::{Claim, EarlyFrom};
use proto::entry::{KEYS_MAX, REFERENCES_MAX};
use proto::ids::{Day, LeafIndex, SlotKey, UnixMillis};
use proto::seal::{SEALED_PAYLOAD_BYTES_MAX, Salt, SealedPayload};
use thiserror::Error;

use super::Draft;
use crate::failure::{Failure, FailureKind};
use crate::files::{self, FileError};

/// Longest kept quote: a payload in base64, eight slot keys and some short lines.
pub const KEPT_BYTES_MAX: usize = 2 * SEALED_PAYLOAD_BYTES_MAX + 2048;

const TITLE: &str = "vitrail quote v1";

/// Why a file is no kept quote. Nothing of it is quoted.
#[derive(Debug, Error)]
pub enum KeptError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line is missing, too many, or not of its form.
    #[error("kept quote: line {line} must be {want}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What it must be.
        want: &'static str,
    },
}

impl Failure for KeptError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::File(error) => error.kind(),
            Self::Line { .. } => FailureKind::Malformed,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::File(FileError::Missing { .. }) => Some("`vitrail check --keep` makes one"),
            _ => None,
        }
    }
}

impl Draft {
    /// Writes it to a file that its owner alone may read, in place of an earlier one.
    ///
    /// # Errors
    /// [`KeptError::File`].
    pub fn keep(&self, path: &Path) -> Result<(), KeptError> {
        Ok(files::replace_secret(path, self.to_text().as_bytes())?)
    }

    /// Reads a kept quote.
    ///
    /// # Errors
    /// [`KeptError`], see its variants.
    pub fn kept(path: &Path) -> Result<Self, KeptError> {
        let bytes = files::read_secret(path, KEPT_BYTES_MAX)?;
        let not_text = |_| KeptError::Line {
            line: 1,
            want: "UTF-8 text",
        };
        Self::parse(str::from_utf8(&bytes).map_err(not_text)?)
    }

    /// Reads the text of a kept quote.
    ///
    /// # Errors
    /// [`KeptError::Line`].
    pub fn parse(text: &str) -> Result<Self, KeptError> {
        let mut lines = Lines::new(text);
        let draft = Self::read(&mut lines)?;
        lines.end()?;
        Ok(draft)
    }

    /// Its text, which has one spelling.
    #[must_use]
    pub fn to_text(&self) -> String {
        let encode = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
        let claim = &self.claim;
        let coverages = claim.coverages.iter();
        let coverages: String = coverages.map(|at| format!("coverage {at}\n")).collect();
        let slots = claim.slots.iter();
        let slots: String = slots
            .map(|slot| format!("slot {}\n", encode(slot.as_bytes())))
            .collect();
        let early = claim
            .early
            .map(|early| format!("early {}\n", early.months()));
        let early = early.unwrap_or_default();
        format!(
            "{TITLE}\nmade {}\ncatalogue {}\n{coverages}{slots}until {}\n{early}salt {}\npayload {}\n",
            self.made_at.get(),
            claim.catalogue,
            claim.until.to_iso(),
            encode(self.salt.as_bytes()),
            encode(&self.payload.to_bytes()),
        )
    }

    /// Reads the lines of a kept quote; what follows them is the caller's.
    pub(crate) fn read(lines: &mut Lines<'_>) -> Result<Self, KeptError> {
        if lines.next() != Some(TITLE) {
            return Err(lines.wrong("the title of a vitrail quote"));
        }
        let made_at = UnixMillis::new(lines.number("made", "made <milliseconds>")?);
        let catalogue = lines.number("catalogue", "catalogue <decimal>")?;
        let mut coverages = Vec::new();
        while lines.next_is("coverage") && coverages.len() < REFERENCES_MAX - 1 {
            let coverage = lines.number("coverage", "coverage <decimal>")?;
            coverages.push(LeafIndex::new(coverage));
        }
        let mut slots = Vec::new();
        while lines.next_is("slot") && slots.len() < KEYS_MAX {
            slots.push(SlotKey::from_bytes(
                lines.bytes("slot", "slot <base64 of 32 bytes>")?,
            ));
        }
        let ascending = slots.is_sorted_by(|a, b| a < b) && coverages.is_sorted_by(|a, b| a < b);
        if !ascending || slots.is_empty() || coverages.is_empty() {
            return Err(lines.wrong("preceded by coverages and slots, ascending"));
        }
        let until = lines.field("until", "until <YYYY-MM-DD>")?;
        let until: Day = until
            .parse()
            .map_err(|_| lines.wrong("until <YYYY-MM-DD>"))?;
        let early = match lines.next_is("early") {
            true => {
                let want = "early <0, 6 or 12>";
                let months = u16::try_from(lines.number("early", want)?).ok();
                let early = months.and_then(EarlyFrom::from_months);
                Some(early.ok_or(lines.wrong(want))?)
            }
            false => None,
        };
        let salt = Salt::from_bytes(lines.bytes("salt", "salt <base64 of 32 bytes>")?);
        let payload = lines.decoded("payload", "payload <base64>")?;
        let payload = SealedPayload::from_bytes(&payload);
        let payload = payload.map_err(|_| lines.wrong("payload <base64 of a sealed payload>"))?;
        Ok(Self {
            made_at,
            claim: Claim {
                slots,
                catalogue: LeafIndex::new(catalogue),
                coverages,
                until,
                early,
                commitment: *payload.commitment(&salt).as_hash(),
            },
            payload,
            salt,
        })
    }
}

/// The lines of a file that are still to be read.
pub(crate) struct Lines<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Lines<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            line: 0,
        }
    }

    pub(crate) fn next(&mut self) -> Option<&'a str> {
        self.line += 1;
        let (line, rest) = self.rest.split_once('\n')?;
        self.rest = rest;
        Some(line)
    }

    /// Whether the next line is of this name. It stays where it is.
    pub(crate) fn next_is(&self, name: &str) -> bool {
        let after = self.rest.strip_prefix(name);
        after.is_some_and(|rest| rest.starts_with(' '))
    }

    pub(crate) const fn wrong(&self, want: &'static str) -> KeptError {
        KeptError::Line {
            line: self.line,
            want,
        }
    }

    pub(crate) fn field(&mut self, name: &str, want: &'static str) -> Result<&'a str, KeptError> {
        let value = self
            .next()
            .and_then(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.ok_or(self.wrong(want))
    }

    pub(crate) fn number(&mut self, name: &str, want: &'static str) -> Result<u64, KeptError> {
        let text = self.field(name, want)?;
        let value: u64 = text.parse().map_err(|_| self.wrong(want))?;
        // One spelling: no sign, no leading zero.
        (value.to_string() == text)
            .then_some(value)
            .ok_or(self.wrong(want))
    }

    pub(crate) fn decoded(&mut self, name: &str, want: &'static str) -> Result<Vec<u8>, KeptError> {
        let decoded = BASE64_STANDARD.decode(self.field(name, want)?);
        decoded.map_err(|_| self.wrong(want))
    }

    fn bytes(&mut self, name: &str, want: &'static str) -> Result<[u8; 32], KeptError> {
        let decoded = self.decoded(name, want)?;
        decoded.try_into().map_err(|_| self.wrong(want))
    }

    /// Nothing follows.
    pub(crate) fn end(&mut self) -> Result<(), KeptError> {
        let ends = self.rest.is_empty();
        self.line += 1;
        ends.then_some(()).ok_or(self.wrong("absent"))
    }
}

#[cfg(test)]
pub(crate) mod example {
    use super::*;
    use proto::seal::seal;
    use proto::token::SealingSecret;

    /// A claim of one slot, resting on one coverage.
    pub(crate) fn draft(salt: u8) -> Draft {
        let salt = Salt::from_bytes([salt; 32]);
        let secret = SealingSecret::from_bytes([2; 32]);
        let payload = seal(&[(&secret, b"terms")], &salt).unwrap();
        Draft {
            made_at: UnixMillis::new(1_768_000_000_000),
            claim: Claim {
                slots: vec![SlotKey::from_bytes([0x11; 32])],
                catalogue: LeafIndex::new(1),
                coverages: vec![LeafIndex::new(3)],
                until: Day::new(20_500),
                early: None,
                commitment: *payload.commitment(&salt).as_hash(),
            },
            payload,
            salt,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::example::draft;
    use super::*;

    #[test]
    fn a_kept_quote_reads_back_and_is_for_its_owner() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("quote");
        draft(9).keep(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = Draft::kept(&path).unwrap();
        assert_eq!(read.to_text(), draft(9).to_text());
        assert_eq!(read.claim, draft(9).claim);
    }

    #[test]
    fn the_head_of_a_kept_quote_is_these_bytes() {
        let text = draft(9).to_text();
        let (head, payload) = text.split_once("payload ").unwrap();
        assert_eq!(
            head,
            "vitrail quote v1\nmade 1768000000000\ncatalogue 1\ncoverage 3\n\
             slot ERERERERERERERERERERERERERERERERERERERERERE=\nuntil 2026-02-16\n\
             salt CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=\n"
        );
        assert_eq!(payload.len(), 753);
    }

    #[test]
    fn every_cut_and_every_other_spelling_is_refused() {
        let text = draft(9).to_text();
        let read = |text: &str| {
            let mut lines = Lines::new(text);
            Draft::read(&mut lines).and_then(|_| lines.end())
        };
        assert!(read(&text).is_ok());
        for cut in 0..text.len() {
            assert!(read(&text[..cut]).is_err(), "{cut}");
        }
        for (from, to) in [
            ("catalogue 1", "catalogue 01"),
            ("coverage 3", "coverage 3\ncoverage 3"),
            ("coverage 3\n", ""),
            ("until 2026", "until 02026"),
            ("quote v1", "quote v2"),
        ] {
            assert!(read(&text.replace(from, to)).is_err(), "{to}");
        }
        assert!(read(&format!("{text}\n")).is_err());
        let early = |months: u16| text.replace("\nsalt", &format!("\nearly {months}\nsalt"));
        let attested = early(12);
        let attested_draft = Draft::read(&mut Lines::new(&attested)).unwrap();
        assert_eq!(attested_draft.claim.early, Some(EarlyFrom::TwelveMonths));
        assert_eq!(attested_draft.to_text(), attested);
        assert!(read(&early(7)).is_err());
    }
}

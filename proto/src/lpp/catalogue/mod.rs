//! The dated list that maps every LPP code to its grouped code and amounts.
//!
//! # Canonical text
//! UTF-8, every line ended by LF, fields separated by `;`, never quoted:
//! ```text
//! vitrail-catalogue/v1
//! version;LPP-577
//! valid-from;2020-07-01
//! code;grouped;label;base;plv;age-max;end
//! 2222124;M01;OPTIQUE, MONTURE ADULTE DE CLASSE A;;30.00;;
//! ```
//! Products are sorted by code, each code once. Amounts are euros with two decimals, dates
//! `YYYY-MM-DD`, and an empty field is an absent value. A catalogue that knows pairs of products is
//! of version 2: its first line says `/v2`, and two sections follow the products, the pairs of
//! each sorted, the smaller code of a pair first:
//! ```text
//! code;incompatible-with
//! 2222124;2264861
//! code;compatible-with
//! ```
//! One without pairs is of version 1. So each catalogue has exactly one text, and its hash can
//! name it in the ledger.

mod line;
mod pairs;
mod path;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use self::line::LINE_BYTES_MAX;
pub use self::line::{
    CATALOGUE_AMOUNT_MAX, CatalogueLine, LABEL_CHARS_MAX, Label, LabelError, LineError,
};
use self::pairs::PAIR_LINE_BYTES;
pub use self::pairs::{CODE_PAIRS_MAX, CodePair, CodePairError, CodePairs};
pub use self::path::{CataloguePath, CataloguePathError};
use super::LppCode;
use crate::hash::{self, Context, Hash};
use crate::ids::Day;

/// Most products of a catalogue: optics has about ten thousand, the whole LPP twenty thousand.
pub const CATALOGUE_LINES_MAX: usize = 20_000;
/// Longest version name: every attestation carries one.
pub const CATALOGUE_VERSION_BYTES_MAX: usize = 32;
/// Most bytes of a catalogue's text: no catalogue within the other limits has more.
pub const CATALOGUE_BYTES_MAX: usize =
    HEADER_BYTES_MAX + CATALOGUE_LINES_MAX * LINE_BYTES_MAX + 2 * CODE_PAIRS_MAX * PAIR_LINE_BYTES;

/// The four lines before the first product and the two before pairs, with room to spare.
const HEADER_BYTES_MAX: usize = 256;

const FORMAT_LINE: &str = "vitrail-catalogue/v1";
const FORMAT_LINE_WITH_PAIRS: &str = "vitrail-catalogue/v2";
const COLUMNS_LINE: &str = "code;grouped;label;base;plv;age-max;end";
const INCOMPATIBLE_LINE: &str = "code;incompatible-with";
const COMPATIBLE_LINE: &str = "code;compatible-with";

/// Why a text is not a catalogue version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a version must be 1 to {CATALOGUE_VERSION_BYTES_MAX} characters out of A-Z a-z 0-9 . - _")]
pub struct CatalogueVersionError;

/// The name of one catalogue, such as `LPP-577`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CatalogueVersion(String);

impl CatalogueVersion {
    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CatalogueVersion {
    type Err = CatalogueVersionError;

    fn from_str(text: &str) -> Result<Self, CatalogueVersionError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
        let sized = (1..=CATALOGUE_VERSION_BYTES_MAX).contains(&text.len());
        (sized && text.bytes().all(allowed))
            .then(|| Self(text.to_owned()))
            .ok_or(CatalogueVersionError)
    }
}

impl fmt::Display for CatalogueVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What identifies a catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueHeader {
    /// Its name.
    pub version: CatalogueVersion,
    /// The first day it applies to.
    pub valid_from: Day,
}

/// Why a catalogue cannot be built or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CatalogueError {
    /// The text is longer than any catalogue.
    #[error("a catalogue has at most {CATALOGUE_BYTES_MAX} bytes")]
    TooManyBytes,
    /// The bytes are not text.
    #[error("a catalogue is UTF-8 text")]
    NotUtf8,
    /// The text does not end with a line end: its last line may be cut.
    #[error("the last line of a catalogue must end with LF")]
    Unterminated,
    /// One of the four lines before the products is not as it must be.
    #[error("line {line} of the catalogue's header cannot be read")]
    Header {
        /// The line, counted from 1.
        line: usize,
    },
    /// The line of a product cannot be read.
    #[error("line {line} of the catalogue cannot be read: {reason}")]
    Line {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: LineError,
    },
    /// The line of a pair cannot be read.
    #[error("line {line} of the catalogue must be a pair: two codes, the smaller first")]
    Pair {
        /// The line, counted from 1.
        line: usize,
    },
    /// A section of pairs is missing.
    #[error("the catalogue ends before its section {section}")]
    SectionMissing {
        /// The line that it begins with.
        section: &'static str,
    },
    /// It is of version 2 and has no pair: then it must be of version 1.
    #[error("a catalogue of version 2 must have a pair")]
    NoPair,
    /// There are more pairs than a section may have.
    #[error("a catalogue has at most {CODE_PAIRS_MAX} pairs of a kind")]
    TooManyPairs,
    /// A pair has a code that is no product of the catalogue.
    #[error("the code {code} of a pair is no product of the catalogue")]
    PairUnknown {
        /// The code.
        code: LppCode,
    },
    /// The products or pairs are not sorted, or one stands there twice.
    #[error("line {line} of the catalogue is not above the one before it")]
    NotSorted {
        /// The line, counted from 1.
        line: usize,
    },
    /// There are more products than a catalogue may have.
    #[error("a catalogue has at most {CATALOGUE_LINES_MAX} products")]
    TooManyLines,
    /// One code has two lines.
    #[error("the code {code} has two lines")]
    DuplicateCode {
        /// The code.
        code: LppCode,
    },
    /// An amount or a date is too large to be written.
    #[error("an amount or a date of the catalogue is out of range")]
    OutOfRange,
}

/// Why a code cannot be used on a day. A mistyped code is a [`LppCodeError`](super::LppCodeError) before it comes here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LppRefusal {
    /// The catalogue does not have the code.
    #[error("the LPP code is not in the catalogue")]
    Unknown,
    /// The code has been withdrawn.
    #[error("the LPP code is not in force since {}", since.to_iso())]
    Expired {
        /// The first day on which it was no longer in force.
        since: Day,
    },
}

/// A versioned, dated list of products; the ledger names it by its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    header: CatalogueHeader,
    /// Sorted by code, each code once.
    lines: Vec<CatalogueLine>,
    incompatible: CodePairs,
    compatible: CodePairs,
}

impl Catalogue {
    /// A catalogue of these products, in any order.
    ///
    /// # Errors
    /// [`CatalogueError`] when there are too many, one stands there twice, or a value is too large.
    pub fn new(
        header: CatalogueHeader,
        mut lines: Vec<CatalogueLine>,
    ) -> Result<Self, CatalogueError> {
        if lines.len() > CATALOGUE_LINES_MAX {
            return Err(CatalogueError::TooManyLines);
        }
        if header.valid_from > Day::MAX || !lines.iter().all(CatalogueLine::in_range) {
            return Err(CatalogueError::OutOfRange);
        }
        lines.sort_by_key(|line| line.code);
        for (line, next) in lines.iter().zip(lines.iter().skip(1)) {
            if line.code == next.code {
                return Err(CatalogueError::DuplicateCode { code: line.code });
            }
        }
        Ok(Self {
            header,
            lines,
            incompatible: CodePairs::default(),
            compatible: CodePairs::default(),
        })
    }

    /// The same catalogue with these pairs, in place of those that it has.
    ///
    /// # Errors
    /// [`CatalogueError`] when there are too many, or one has a code that is no product.
    pub fn with_pairs(
        self,
        incompatible: CodePairs,
        compatible: CodePairs,
    ) -> Result<Self, CatalogueError> {
        for pairs in [&incompatible, &compatible] {
            if pairs.as_slice().len() > CODE_PAIRS_MAX {
                return Err(CatalogueError::TooManyPairs);
            }
            let mut codes = pairs.as_slice().iter().flat_map(CodePair::codes);
            if let Some(code) = codes.find(|code| self.line(*code).is_none()) {
                return Err(CatalogueError::PairUnknown { code });
            }
        }
        Ok(Self {
            incompatible,
            compatible,
            ..self
        })
    }

    /// The name of the catalogue.
    #[must_use]
    pub const fn version(&self) -> &CatalogueVersion {
        &self.header.version
    }

    /// The first day the catalogue applies to.
    #[must_use]
    pub const fn valid_from(&self) -> Day {
        self.header.valid_from
    }

    /// All products, by code.
    #[must_use]
    pub fn lines(&self) -> &[CatalogueLine] {
        &self.lines
    }

    /// The pairs that may not be billed together (the CNAM's `lpp_incomp_tot`).
    #[must_use]
    pub const fn incompatible_pairs(&self) -> &CodePairs {
        &self.incompatible
    }

    /// The pairs that the CNAM lists as compatible (`lpp_comp_tot`). No rule rests on them: that a
    /// pair is not listed does not make it incompatible.
    #[must_use]
    pub const fn compatible_pairs(&self) -> &CodePairs {
        &self.compatible
    }

    /// Whether two products may not be billed together.
    #[must_use]
    pub fn incompatible(&self, one: LppCode, other: LppCode) -> bool {
        self.incompatible.contains(one, other)
    }

    /// The product of a code, in force or not.
    #[must_use]
    pub fn line(&self, code: LppCode) -> Option<&CatalogueLine> {
        let found = self.lines.binary_search_by_key(&code, |line| line.code);
        found.ok().and_then(|place| self.lines.get(place))
    }

    /// The product of a code, if it is in force on a day.
    ///
    /// # Errors
    /// [`LppRefusal`] when the catalogue has no such code, or it has been withdrawn by then.
    pub fn lookup(&self, code: LppCode, on: Day) -> Result<&CatalogueLine, LppRefusal> {
        let line = self.line(code).ok_or(LppRefusal::Unknown)?;
        match line.end {
            Some(since) if since <= on => Err(LppRefusal::Expired { since }),
            _ => Ok(line),
        }
    }

    /// The hash by which the ledger names this catalogue: over its canonical text.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Self::hash_of_text(self.to_text().as_bytes())
    }

    /// The hash of a catalogue with this text. Whether it is one is not looked at.
    #[must_use]
    pub fn hash_of_text(text: &[u8]) -> Hash {
        hash::derive(Context::Catalogue, &[text])
    }

    /// The canonical text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let header = &self.header;
        let sections = [
            (INCOMPATIBLE_LINE, self.incompatible.as_slice()),
            (COMPATIBLE_LINE, self.compatible.as_slice()),
        ];
        let has_pairs = sections.iter().any(|(_, pairs)| !pairs.is_empty());
        let format_line = if has_pairs {
            FORMAT_LINE_WITH_PAIRS
        } else {
            FORMAT_LINE
        };
        let mut text = format!(
            "{format_line}\nversion;{}\nvalid-from;{}\n{COLUMNS_LINE}\n",
            header.version,
            header.valid_from.to_iso(),
        );
        let mut push = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        self.lines.iter().for_each(|line| push(&line.to_text()));
        for (heading, pairs) in sections.iter().filter(|_| has_pairs) {
            push(heading);
            pairs.iter().for_each(|pair| push(&pair.to_string()));
        }
        text
    }

    /// Reads the canonical text, and nothing else.
    ///
    /// # Errors
    /// [`CatalogueError`], which names the line. It never quotes it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CatalogueError> {
        if bytes.len() > CATALOGUE_BYTES_MAX {
            return Err(CatalogueError::TooManyBytes);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| CatalogueError::NotUtf8)?;
        let text = text
            .strip_suffix('\n')
            .ok_or(CatalogueError::Unterminated)?;
        let mut rows = (1..).zip(text.split('\n'));
        let (header, has_pairs) = read_header(&mut rows)?;
        if !has_pairs {
            return Self::new(header, read_products(rows)?);
        }
        let products = section(&mut rows, INCOMPATIBLE_LINE)?;
        let catalogue = Self::new(header, read_products(products)?)?;
        let incompatible = read_pairs(section(&mut rows, COMPATIBLE_LINE)?)?;
        let compatible = read_pairs(rows)?;
        if incompatible.as_slice().is_empty() && compatible.as_slice().is_empty() {
            return Err(CatalogueError::NoPair);
        }
        catalogue.with_pairs(incompatible, compatible)
    }
}

/// A line of the text with its number, counted from 1.
type Row<'a> = (usize, &'a str);

/// Reads the four lines before the products, and whether sections of pairs follow them.
fn read_header<'a>(
    rows: &mut impl Iterator<Item = Row<'a>>,
) -> Result<(CatalogueHeader, bool), CatalogueError> {
    let mut next = |line| match rows.next() {
        Some((_, row)) => Ok(row),
        None => Err(CatalogueError::Header { line }),
    };
    let [format, version, valid_from, columns] = [next(1)?, next(2)?, next(3)?, next(4)?];
    let refused = |line| CatalogueError::Header { line };
    let has_pairs = match format {
        FORMAT_LINE => false,
        FORMAT_LINE_WITH_PAIRS => true,
        _ => return Err(refused(1)),
    };
    let version = version.strip_prefix("version;").ok_or(refused(2))?;
    let valid_from = valid_from.strip_prefix("valid-from;").ok_or(refused(3))?;
    if columns != COLUMNS_LINE {
        return Err(refused(4));
    }
    let header = CatalogueHeader {
        version: version.parse().map_err(|_| refused(2))?,
        valid_from: valid_from.parse().map_err(|_| refused(3))?,
    };
    Ok((header, has_pairs))
}

/// The rows up to the line that the next section begins with, which is taken too.
fn section<'a>(
    rows: &mut impl Iterator<Item = Row<'a>>,
    next: &'static str,
) -> Result<Vec<Row<'a>>, CatalogueError> {
    let mut section = Vec::new();
    for row in rows {
        if row.1 == next {
            return Ok(section);
        }
        section.push(row);
    }
    Err(CatalogueError::SectionMissing { section: next })
}

/// Reads the products, which must be sorted.
fn read_products<'a>(
    rows: impl IntoIterator<Item = Row<'a>>,
) -> Result<Vec<CatalogueLine>, CatalogueError> {
    let mut lines: Vec<CatalogueLine> = Vec::new();
    for (line, row) in rows {
        if lines.len() == CATALOGUE_LINES_MAX {
            return Err(CatalogueError::TooManyLines);
        }
        let product: CatalogueLine = row
            .parse()
            .map_err(|reason| CatalogueError::Line { line, reason })?;
        if lines.last().is_some_and(|last| last.code >= product.code) {
            return Err(CatalogueError::NotSorted { line });
        }
        lines.push(product);
    }
    Ok(lines)
}

/// Reads a section of pairs, which must be sorted.
fn read_pairs<'a>(rows: impl IntoIterator<Item = Row<'a>>) -> Result<CodePairs, CatalogueError> {
    let mut pairs = CodePairs::default();
    for (line, row) in rows {
        if pairs.as_slice().len() == CODE_PAIRS_MAX {
            return Err(CatalogueError::TooManyPairs);
        }
        let pair = row.parse().map_err(|_| CatalogueError::Pair { line })?;
        if !pairs.push(pair) {
            return Err(CatalogueError::NotSorted { line });
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests;

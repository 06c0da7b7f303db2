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
//! `YYYY-MM-DD`, and an empty field is an absent value. Each catalogue has exactly one such text,
//! so that its hash can name it in the ledger.

use std::fmt;
use std::num::NonZeroU8;
use std::str::FromStr;

use thiserror::Error;

use super::{GroupedCode, GroupedCodeError, LppCode, LppCodeError};
use crate::hash::{self, Context, Hash};
use crate::ids::{Cents, Day};

/// Most products of a catalogue: optics has about ten thousand, the whole LPP twenty thousand.
pub const CATALOGUE_LINES_MAX: usize = 20_000;
/// Longest label: the CNAM's have at most 80 characters.
pub const LABEL_CHARS_MAX: usize = 120;
/// Longest version name: every attestation carries one.
pub const CATALOGUE_VERSION_BYTES_MAX: usize = 32;
/// Largest amount: what fits the seven digits of euros that [`Cents`] is read from.
pub const CATALOGUE_AMOUNT_MAX: Cents = Cents::new(999_999_999);
/// Most bytes of a catalogue's text: no catalogue within the other limits has more.
pub const CATALOGUE_BYTES_MAX: usize = HEADER_BYTES_MAX + CATALOGUE_LINES_MAX * LINE_BYTES_MAX;

/// Code, grouped code, label at 4 bytes a character, two amounts, an age, a date, separators, LF.
const LINE_BYTES_MAX: usize = 7 + 3 + 4 * LABEL_CHARS_MAX + 2 * 10 + 3 + 10 + 7;
/// The four lines before the first product, with room to spare.
const HEADER_BYTES_MAX: usize = 256;

const FORMAT_LINE: &str = "vitrail-catalogue/v1";
const COLUMNS_LINE: &str = "code;grouped;label;base;plv;age-max;end";
/// The line of the text that the first product stands on.
const FIRST_PRODUCT_LINE: usize = 5;

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

/// Why a text is not a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LabelError {
    /// It is empty or too long.
    #[error("a label must be 1 to {LABEL_CHARS_MAX} characters")]
    Length,
    /// It has a character that would break or blur a line of the text.
    #[error("a label has no ';', no control character and no space at either end")]
    Character,
}

/// What a product is called in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

impl Label {
    /// The text of the label.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        // The bytes come first: counting the characters of an endless text is work for nothing.
        let short = text.len() <= 4 * LABEL_CHARS_MAX && text.chars().count() <= LABEL_CHARS_MAX;
        if text.is_empty() || !short {
            return Err(LabelError::Length);
        }
        let breaks = |c: char| c == ';' || c.is_control();
        if text.contains(breaks) || text.trim() != text {
            return Err(LabelError::Character);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Label {
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

/// One product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueLine {
    /// The product.
    pub code: LppCode,
    /// What an insurer may see of it.
    pub grouped_code: GroupedCode,
    /// What it is called.
    pub label: Label,
    /// The amount that the mandatory insurer's rate applies to (tarif de responsabilité).
    pub base: Option<Cents>,
    /// The highest price it may be sold at (prix limite de vente).
    pub plv: Option<Cents>,
    /// The last age in completed years that it is for: 17 is "under 18", as in the CNAM's files.
    pub age_max: Option<NonZeroU8>,
    /// The first day on which the code is no longer in force.
    pub end: Option<Day>,
}

impl CatalogueLine {
    /// Whether the product is for a person who has completed this many years.
    #[must_use]
    pub fn is_for_age(&self, completed_years: u16) -> bool {
        self.age_max
            .is_none_or(|last| completed_years <= u16::from(last.get()))
    }

    /// The line of the canonical text, without its LF.
    fn to_text(&self) -> String {
        let amount = |amount: Option<Cents>| amount.map(Cents::to_euros).unwrap_or_default();
        let age_max = self.age_max.map(|age| age.to_string()).unwrap_or_default();
        let end = self.end.map(Day::to_iso).unwrap_or_default();
        format!(
            "{};{};{};{};{};{age_max};{end}",
            self.code,
            self.grouped_code,
            self.label,
            amount(self.base),
            amount(self.plv),
        )
    }

    /// Whether every value has a canonical text.
    fn in_range(&self) -> bool {
        let amounts = [self.base, self.plv];
        amounts.into_iter().flatten().max() <= Some(CATALOGUE_AMOUNT_MAX)
            && self.end <= Some(Day::MAX)
    }
}

/// Why a line of a catalogue's text cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LineError {
    /// It has not seven fields.
    #[error("it must have seven fields separated by ';'")]
    Fields,
    /// The LPP code is not one.
    #[error(transparent)]
    Code(LppCodeError),
    /// The grouped code is not one.
    #[error(transparent)]
    GroupedCode(GroupedCodeError),
    /// The label is not one.
    #[error(transparent)]
    Label(LabelError),
    /// An amount is not euros with two decimals.
    #[error("an amount must be euros with two decimals, or empty")]
    Amount,
    /// The age limit is not a number.
    #[error("an age limit must be 1 to 255, or empty")]
    AgeMax,
    /// The end is not a date.
    #[error("an end must be YYYY-MM-DD, or empty")]
    End,
    /// A value can be read but is not written the one way it must be.
    #[error("a value is not in its canonical form")]
    NotCanonical,
}

impl FromStr for CatalogueLine {
    type Err = LineError;

    fn from_str(text: &str) -> Result<Self, LineError> {
        let mut fields = text.splitn(7, ';');
        let mut next = || fields.next().ok_or(LineError::Fields);
        let [code, grouped_code, label] = [next()?, next()?, next()?];
        let [base, plv, age_max, end] = [next()?, next()?, next()?, next()?];
        let line = Self {
            code: code.parse().map_err(LineError::Code)?,
            grouped_code: grouped_code.parse().map_err(LineError::GroupedCode)?,
            label: label.parse().map_err(LineError::Label)?,
            base: optional(base).map_err(|_| LineError::Amount)?,
            plv: optional(plv).map_err(|_| LineError::Amount)?,
            age_max: optional(age_max).map_err(|_| LineError::AgeMax)?,
            end: optional(end).map_err(|_| LineError::End)?,
        };
        // Amounts and ages have sloppy spellings too: "5.1", "007".
        (line.to_text() == text)
            .then_some(line)
            .ok_or(LineError::NotCanonical)
    }
}

/// Reads a field that may be empty.
fn optional<T: FromStr>(field: &str) -> Result<Option<T>, T::Err> {
    (!field.is_empty()).then(|| field.parse()).transpose()
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
    /// The products are not sorted, or one stands there twice.
    #[error("line {line} of the catalogue is not above the code before it")]
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

/// Why a code cannot be used on a day. A mistyped code is a [`LppCodeError`] before it comes here.
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
        Ok(Self { header, lines })
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

    /// The product of a code, if it is in force on a day.
    ///
    /// # Errors
    /// [`LppRefusal`] when the catalogue has no such code, or it has been withdrawn by then.
    pub fn lookup(&self, code: LppCode, on: Day) -> Result<&CatalogueLine, LppRefusal> {
        let found = self.lines.binary_search_by_key(&code, |line| line.code);
        let line = found.ok().and_then(|place| self.lines.get(place));
        let line = line.ok_or(LppRefusal::Unknown)?;
        match line.end {
            Some(since) if since <= on => Err(LppRefusal::Expired { since }),
            _ => Ok(line),
        }
    }

    /// The hash by which the ledger names this catalogue: over its canonical text.
    #[must_use]
    pub fn hash(&self) -> Hash {
        hash::derive(Context::Catalogue, &[self.to_text().as_bytes()])
    }

    /// The canonical text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let header = &self.header;
        let mut text = format!(
            "{FORMAT_LINE}\nversion;{}\nvalid-from;{}\n{COLUMNS_LINE}\n",
            header.version,
            header.valid_from.to_iso(),
        );
        for line in &self.lines {
            text.push_str(&line.to_text());
            text.push('\n');
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
        let mut rows = text.split('\n');
        let header = read_header(&mut rows)?;
        let lines = read_lines(rows)?;
        Self::new(header, lines)
    }
}

/// Reads the four lines before the products.
fn read_header<'a>(
    rows: &mut impl Iterator<Item = &'a str>,
) -> Result<CatalogueHeader, CatalogueError> {
    let mut next = |line, prefix| {
        let row = rows.next().and_then(|row| row.strip_prefix(prefix));
        row.ok_or(CatalogueError::Header { line })
    };
    let format = next(1, FORMAT_LINE)?;
    let version = next(2, "version;")?;
    let valid_from = next(3, "valid-from;")?;
    let columns = next(4, COLUMNS_LINE)?;
    if !format.is_empty() {
        return Err(CatalogueError::Header { line: 1 });
    }
    if !columns.is_empty() {
        return Err(CatalogueError::Header { line: 4 });
    }
    Ok(CatalogueHeader {
        version: version
            .parse()
            .map_err(|_| CatalogueError::Header { line: 2 })?,
        valid_from: valid_from
            .parse()
            .map_err(|_| CatalogueError::Header { line: 3 })?,
    })
}

/// Reads the products, which must be sorted.
fn read_lines<'a>(
    rows: impl Iterator<Item = &'a str>,
) -> Result<Vec<CatalogueLine>, CatalogueError> {
    let mut lines: Vec<CatalogueLine> = Vec::new();
    for (line, row) in (FIRST_PRODUCT_LINE..).zip(rows) {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "vitrail-catalogue/v1\n\
        version;LPP-577\n\
        valid-from;2020-07-01\n\
        code;grouped;label;base;plv;age-max;end\n\
        2201814;V01;OPTIQUE, VERRE UNIFOCAL CLASSE A, SPHERE] -4,00 A -6,00];;;;\n\
        2222124;M01;OPTIQUE, MONTURE ADULTE DE CLASSE A;;30.00;;\n\
        2276870;M04;OPTIQUE, MONTURE ENFANT DE CLASSE B;0.05;;15;2031-01-01\n";

    fn catalogue() -> Catalogue {
        Catalogue::from_bytes(TEXT.as_bytes()).unwrap()
    }

    fn refused(from: &str, to: &str) -> CatalogueError {
        assert!(TEXT.contains(from), "{from}");
        Catalogue::from_bytes(TEXT.replacen(from, to, 1).as_bytes()).unwrap_err()
    }

    fn code(text: &str) -> LppCode {
        text.parse().unwrap()
    }

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    #[test]
    fn the_documented_text_reads_and_prints_back() {
        assert_eq!(catalogue().to_text(), TEXT);
        assert_eq!(catalogue().version().as_str(), "LPP-577");
        assert_eq!(catalogue().valid_from(), day("2020-07-01"));
        assert_eq!(catalogue().lines().len(), 3);
    }

    #[test]
    fn the_order_in_which_products_are_given_does_not_matter() {
        let mut lines = catalogue().lines().to_vec();
        lines.reverse();
        let shuffled = Catalogue::new(catalogue().header, lines).unwrap();
        assert_eq!(shuffled.hash(), catalogue().hash());
    }

    #[test]
    fn any_change_changes_the_hash() {
        let other = TEXT.replace("30.00", "30.01");
        let other = Catalogue::from_bytes(other.as_bytes()).unwrap();
        assert_ne!(other.hash(), catalogue().hash());
    }

    #[test]
    fn a_code_is_found_until_the_day_it_ends() {
        let catalogue = catalogue();
        let child = code("2276870");
        let last_day = catalogue.lookup(child, day("2030-12-31")).unwrap();
        assert_eq!(last_day.grouped_code.as_str(), "M04");
        let since = day("2031-01-01");
        for on in ["2031-01-01", "2040-05-05"] {
            let refusal = catalogue.lookup(child, day(on));
            assert_eq!(refusal, Err(LppRefusal::Expired { since }), "{on}");
        }
        let unknown = catalogue.lookup(code("2264861"), since);
        assert_eq!(unknown, Err(LppRefusal::Unknown));
        for line in catalogue.lines() {
            assert_eq!(catalogue.lookup(line.code, Day::new(0)), Ok(line));
        }
    }

    #[test]
    fn an_age_limit_is_the_last_age_that_is_covered() {
        let catalogue = catalogue();
        let child = catalogue.lookup(code("2276870"), Day::new(0)).unwrap();
        assert!(child.is_for_age(0) && child.is_for_age(15) && !child.is_for_age(16));
        let adult = catalogue.lookup(code("2222124"), Day::new(0)).unwrap();
        assert!(adult.is_for_age(0) && adult.is_for_age(120));
    }

    #[test]
    fn a_changed_header_is_refused_with_its_line() {
        for (from, to, line) in [
            ("/v1\n", "/v2\n", 1),
            ("/v1\n", "/v1 \n", 1),
            ("version;", "Version;", 2),
            ("LPP-577", "", 2),
            ("LPP-577", "LPP 577", 2),
            ("2020-07-01", "2020-7-1", 3),
            ("age-max", "age", 4),
            (";end\n", ";end;\n", 4),
        ] {
            assert_eq!(refused(from, to), CatalogueError::Header { line }, "{to}");
        }
    }

    #[test]
    fn a_value_with_a_second_spelling_is_refused_with_its_line() {
        use LineError::{AgeMax, Amount, End, Fields, NotCanonical};
        for (from, to, line, reason) in [
            ("30.00;;", "30.00;", 6, Fields),
            ("30.00", "30", 6, NotCanonical),
            ("30.00", "30,00", 6, NotCanonical),
            ("30.00", "030.00", 6, NotCanonical),
            ("30.00", "-30.00", 6, Amount),
            ("30.00", "30.001", 6, Amount),
            (";15;", ";015;", 7, NotCanonical),
            (";15;", ";+15;", 7, NotCanonical),
            (";15;", ";0;", 7, AgeMax),
            (";15;", ";256;", 7, AgeMax),
            ("2031-01-01", "2031-02-30", 7, End),
            ("2031-01-01", "2031-01-01;", 7, End),
            ("2031-01-01", "2031-01-01\r", 7, End),
            (
                "2222124",
                "2222125",
                6,
                LineError::Code(LppCodeError::CheckDigit),
            ),
            (
                "M01",
                "M09",
                6,
                LineError::GroupedCode(GroupedCodeError::Unknown),
            ),
            (
                "OPTIQUE, MONTURE ADULTE DE CLASSE A",
                "",
                6,
                LineError::Label(LabelError::Length),
            ),
            (
                "MONTURE ADULTE",
                "MONTURE\tADULTE",
                6,
                LineError::Label(LabelError::Character),
            ),
        ] {
            let expected = CatalogueError::Line { line, reason };
            assert_eq!(refused(from, to), expected, "{to}");
        }
    }

    #[test]
    fn products_out_of_order_or_twice_are_refused() {
        assert_eq!(
            refused("2201814", "2264861"),
            CatalogueError::NotSorted { line: 6 }
        );
        assert_eq!(
            refused("2201814", "2222124"),
            CatalogueError::NotSorted { line: 6 }
        );
        let mut lines = catalogue().lines().to_vec();
        lines.push(lines[1].clone());
        let code = lines[1].code;
        assert_eq!(
            Catalogue::new(catalogue().header, lines),
            Err(CatalogueError::DuplicateCode { code })
        );
    }

    #[test]
    fn a_cut_text_is_refused() {
        let from_bytes = |text: &str| Catalogue::from_bytes(text.as_bytes());
        let cut = TEXT.strip_suffix('\n').unwrap();
        assert_eq!(from_bytes(cut), Err(CatalogueError::Unterminated));
        let fields = CatalogueError::Line {
            line: 8,
            reason: LineError::Fields,
        };
        assert_eq!(from_bytes(&format!("{TEXT}\n")), Err(fields));
        for end in 0..TEXT.len() {
            // A cut between two products is another catalogue, of another hash.
            if let Ok(shorter) = from_bytes(&TEXT[..end]) {
                assert_ne!(shorter.hash(), catalogue().hash());
            }
        }
        assert_eq!(
            Catalogue::from_bytes(&[0xff, b'\n']),
            Err(CatalogueError::NotUtf8)
        );
    }

    #[test]
    fn limits_hold_and_a_full_catalogue_fits_them() {
        let mut lines = Vec::new();
        for number in 0..CATALOGUE_LINES_MAX + 1 {
            let line = (0..10).find_map(|check| {
                let text = format!("{:06}{check}", number);
                text.parse::<LppCode>().ok()
            });
            lines.push(CatalogueLine {
                code: line.unwrap(),
                grouped_code: "VM6".parse().unwrap(),
                label: "\u{1f453}".repeat(LABEL_CHARS_MAX).parse().unwrap(),
                base: Some(CATALOGUE_AMOUNT_MAX),
                plv: Some(CATALOGUE_AMOUNT_MAX),
                age_max: NonZeroU8::new(255),
                end: Some(Day::MAX),
            });
        }
        let header = catalogue().header;
        let too_many = Catalogue::new(header.clone(), lines.clone());
        assert_eq!(too_many, Err(CatalogueError::TooManyLines));
        lines.pop();
        let full = Catalogue::new(header, lines).unwrap();
        let text = full.to_text();
        assert!(text.len() <= CATALOGUE_BYTES_MAX);
        assert_eq!(Catalogue::from_bytes(text.as_bytes()), Ok(full));
        let endless = vec![b'\n'; CATALOGUE_BYTES_MAX + 1];
        assert_eq!(
            Catalogue::from_bytes(&endless),
            Err(CatalogueError::TooManyBytes)
        );
    }

    #[test]
    fn a_value_that_could_not_be_written_is_refused() {
        let with = |change: fn(&mut CatalogueLine)| {
            let mut lines = catalogue().lines().to_vec();
            change(&mut lines[0]);
            Catalogue::new(catalogue().header, lines)
        };
        for change in [
            (|line| line.base = Some(CATALOGUE_AMOUNT_MAX.plus(Cents::new(1))))
                as fn(&mut CatalogueLine),
            |line| line.plv = Some(Cents::new(u64::MAX)),
            |line| line.end = Some(Day::new(Day::MAX.get() + 1)),
        ] {
            assert_eq!(with(change), Err(CatalogueError::OutOfRange));
        }
        assert!(with(|line| line.end = Some(Day::MAX)).is_ok());
        let header = CatalogueHeader {
            valid_from: Day::new(u32::MAX),
            ..catalogue().header
        };
        let late = Catalogue::new(header, Vec::new());
        assert_eq!(late, Err(CatalogueError::OutOfRange));
    }

    fn any_line() -> impl Strategy<Value = CatalogueLine> {
        let amount = || proptest::option::of((0..=CATALOGUE_AMOUNT_MAX.get()).prop_map(Cents::new));
        let grouped: Vec<GroupedCode> = GroupedCode::all().collect();
        (
            "[0-9]{7}".prop_filter_map("check digit", |text| text.parse().ok()),
            proptest::sample::select(grouped),
            "\\PC{1,60}".prop_filter_map("label", |text| text.parse().ok()),
            amount(),
            amount(),
            any::<Option<u8>>().prop_map(|age| age.and_then(NonZeroU8::new)),
            proptest::option::of((0..=Day::MAX.get()).prop_map(Day::new)),
        )
            .prop_map(|(code, grouped_code, label, base, plv, age_max, end)| {
                CatalogueLine {
                    code,
                    grouped_code,
                    label,
                    base,
                    plv,
                    age_max,
                    end,
                }
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_catalogue_prints_and_reads_back(lines in proptest::collection::vec(any_line(), 0..6)) {
            if let Ok(built) = Catalogue::new(catalogue().header, lines) {
                prop_assert_eq!(Catalogue::from_bytes(built.to_text().as_bytes()), Ok(built));
            }
        }

        #[test]
        fn what_is_read_prints_the_same_bytes(place in 0..TEXT.len(), byte in any::<u8>()) {
            let mut bytes = TEXT.as_bytes().to_vec();
            bytes[place] = byte;
            if let Ok(read) = Catalogue::from_bytes(&bytes) {
                prop_assert_eq!(read.to_text().into_bytes(), bytes);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Catalogue::from_bytes(&bytes);
        }
    }
}

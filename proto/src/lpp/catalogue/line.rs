//! One product of a catalogue, and its line of the canonical text.

use std::fmt;
use std::num::NonZeroU8;
use std::str::FromStr;

use thiserror::Error;

use super::super::{GroupedCode, GroupedCodeError, LppCode, LppCodeError};
use crate::ids::{Cents, Day};

/// Longest label: the CNAM's have at most 80 characters.
pub const LABEL_CHARS_MAX: usize = 120;
/// Largest amount: what fits the seven digits of euros that [`Cents`] is read from.
pub const CATALOGUE_AMOUNT_MAX: Cents = Cents::new(999_999_999);
/// Code, grouped code, label at 4 bytes a character, two amounts, an age, a date, separators, LF.
pub(super) const LINE_BYTES_MAX: usize = 7 + 3 + 4 * LABEL_CHARS_MAX + 2 * 10 + 3 + 10 + 7;

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
    pub(super) fn to_text(&self) -> String {
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
    pub(super) fn in_range(&self) -> bool {
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

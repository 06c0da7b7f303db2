//! One product of a file: its fields as text, and how each is read.

use std::num::NonZeroU8;

use proto::ids::{Cents, Day};
use proto::lpp::CatalogueLine;

use super::{SkipReason, label};

/// How many levels the nomenclature's tree has, from the title down.
pub(super) const LEVELS: usize = 10;

/// A product's fields as they stand in a file, trimmed; empty when absent.
#[derive(Default)]
pub(super) struct Product {
    pub code: String,
    pub grouped_code: String,
    pub label: String,
    pub base: String,
    pub plv: String,
    pub age_max: String,
    pub end: String,
    /// The levels of its place in the nomenclature's tree, from the title down.
    pub branch: [String; LEVELS],
    /// Its rank there.
    pub rank: String,
    /// The first day without a tariff, where tariffs have a table of their own.
    pub tariff_end: Option<Day>,
}

/// A product's amounts for a time, from `lpp_histo_tot`.
pub(super) struct Tariff {
    pub start: Day,
    /// The last day it is in force; `None` while no end is known.
    pub last_day: Option<Day>,
    pub grouped_code: String,
    pub base: String,
    pub plv: String,
}

/// A product that can be used.
pub(super) struct ReadProduct {
    pub line: CatalogueLine,
    /// Whether its grouped code follows from its label, and does not stand in the file.
    pub is_derived: bool,
}

impl Product {
    /// Reads every field.
    pub(super) fn read(&self) -> Result<ReadProduct, SkipReason> {
        let code = self.code.parse().map_err(SkipReason::Code)?;
        let age_max = read_age_max(&self.age_max)?;
        let is_derived = self.grouped_code.is_empty();
        let grouped_code = if is_derived {
            let derived = label::grouped_code(&self.label, age_max);
            derived.ok_or(SkipReason::GroupedCodeMissing)?
        } else {
            let read = self.grouped_code.parse();
            read.map_err(SkipReason::GroupedCode)?
        };
        let line = CatalogueLine {
            code,
            grouped_code,
            label: self.label.parse().map_err(SkipReason::Label)?,
            base: read_amount(&self.base).ok_or(SkipReason::Base)?,
            plv: read_amount(&self.plv).ok_or(SkipReason::Plv)?,
            age_max,
            end: read_date(&self.end)?
                .into_iter()
                .chain(self.tariff_end)
                .min(),
        };
        Ok(ReadProduct { line, is_derived })
    }
}

/// Reads euros; an empty field and a zero are both `None`, since the CNAM writes 0 for "on quote"
/// and for "no limit". The outer `None` is an amount that cannot be read.
fn read_amount(text: &str) -> Option<Option<Cents>> {
    if text.is_empty() {
        return Some(None);
    }
    // A dBASE column may have more decimals than two; zeros in them say nothing.
    let (euros, decimals) = text.split_once(['.', ',']).unwrap_or((text, "0"));
    let (cents, beyond) = decimals.split_at_checked(2).unwrap_or((decimals, ""));
    if beyond.bytes().any(|b| b != b'0') {
        return None;
    }
    let euros = if euros.is_empty() { "0" } else { euros };
    let amount: Cents = format!("{euros}.{cents}").parse().ok()?;
    Some((amount != Cents::default()).then_some(amount))
}

/// Reads an age limit in years; 0 stands for none.
fn read_age_max(text: &str) -> Result<Option<NonZeroU8>, SkipReason> {
    if text.is_empty() {
        return Ok(None);
    }
    let years: u8 = text.parse().map_err(|_| SkipReason::AgeMax)?;
    Ok(NonZeroU8::new(years))
}

/// Reads a date in one of the three spellings of the files; an empty field is none.
pub(super) fn read_date(text: &str) -> Result<Option<Day>, SkipReason> {
    if text.is_empty() {
        return Ok(None);
    }
    let day = iso_date(text).and_then(|iso| iso.parse().ok());
    day.map(Some).ok_or(SkipReason::Date)
}

/// `YYYY-MM-DD` from itself, from `YYYYMMDD`, or from SAS's `DDMONYYYY` with or without midnight.
fn iso_date(text: &str) -> Option<String> {
    let text = text.strip_suffix(":00:00:00").unwrap_or(text);
    if !text.is_ascii() || text.len() > 10 {
        return None;
    }
    if text.len() == 10 {
        return Some(text.to_owned());
    }
    if text.len() == 8 {
        let [year, month, day] = [text.get(..4)?, text.get(4..6)?, text.get(6..)?];
        return Some(format!("{year}-{month}-{day}"));
    }
    let [day, name, year] = [text.get(..2)?, text.get(2..5)?, text.get(5..)?];
    let month = MONTHS.iter().position(|month| *month == name)? + 1;
    Some(format!("{year}-{month:02}-{day}"))
}

/// The months as SAS writes them.
const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_three_spellings_of_a_date_are_one_day() {
        let day = "2020-01-01".parse().ok();
        for text in ["2020-01-01", "20200101", "01JAN2020:00:00:00", "01JAN2020"] {
            assert_eq!(read_date(text), Ok(day), "{text}");
        }
        assert_eq!(read_date(""), Ok(None));
        for bad in [
            "01/01/2020",
            "2020-13-01",
            "20200230",
            "31FEB2020:00:00:00",
            "01JAN2020:12:00:00",
            "01jan2020",
            "1JAN2020",
            "00000000",
            "19691231",
            "2020",
            "é1JAN2020",
        ] {
            assert_eq!(read_date(bad), Err(SkipReason::Date), "{bad}");
        }
    }

    #[test]
    fn an_amount_is_read_to_the_cent_and_zero_is_none() {
        for (text, cents) in [
            ("304.9", 30_490),
            ("14,43", 1443),
            ("30", 3000),
            ("0.0500", 5),
            (".05", 5),
        ] {
            assert_eq!(read_amount(text), Some(Some(Cents::new(cents))), "{text}");
        }
        for none in ["", "0", "0.00", "0.0000"] {
            assert_eq!(read_amount(none), Some(None), "{none}");
        }
        for bad in [
            "-1", "1.005", "1e3", "1 000", "12345678", "x", "1.é", ".", "1..0",
        ] {
            assert_eq!(read_amount(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_age_limit_of_zero_is_none() {
        assert_eq!(read_age_max("0"), Ok(None));
        assert_eq!(read_age_max(""), Ok(None));
        assert_eq!(read_age_max("15"), Ok(NonZeroU8::new(15)));
        for bad in ["-1", "256", "15.0", "x"] {
            assert_eq!(read_age_max(bad), Err(SkipReason::AgeMax), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_field_is_read_or_refused(text in "\\PC{0,20}") {
            let _ = (read_date(&text), read_amount(&text), read_age_max(&text));
        }
    }
}

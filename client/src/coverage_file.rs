//! The insurer's CSV of what it covers: one line for each contract and grouped code.
//!
//! ```text
//! member_number;birth_date;birth_rank;grouped_code;amount;until;renewal_months
//! ```
//!
//! Separated by semicolons or commas, columns in any order. A line that cannot be used is left
//! out and reported by its number and the field that is wrong; its values are never repeated.
//! For the mandatory insurer `member_number` is the NIR with its key, so that a slip is noticed.

use std::collections::BTreeMap;

use proto::identity::{BirthDate, BirthRank, IdentityError, MemberNumber, Nir};
use proto::ids::{Cents, Day, IdError};
use proto::lpp::{GroupedCode, GroupedCodeError};
use proto::roster::Role;
use thiserror::Error;

use crate::failure::{Failure, FailureKind};

/// Most bytes of one file: a million lines of sixty bytes.
pub const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest time between two renewals that is believed: beyond ten years it is a slip.
pub const RENEWAL_MONTHS_MAX: u16 = 120;

const COLUMNS: [&str; 7] = [
    "member_number",
    "birth_date",
    "birth_rank",
    "grouped_code",
    "amount",
    "until",
    "renewal_months",
];

/// What one line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoverageRow {
    /// Under which number the payer knows the insured.
    pub member_number: MemberNumber,
    /// The beneficiary's birth date.
    pub birth_date: BirthDate,
    /// The beneficiary's birth rank.
    pub birth_rank: BirthRank,
    /// What is covered.
    pub grouped_code: GroupedCode,
    /// The most that is paid for one item.
    pub amount: Cents,
    /// The last day of validity.
    pub until: Day,
    /// Months from delivery to the renewal date.
    pub renewal_months: u16,
}

/// A file's usable lines, and why the others are not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CoverageFile {
    /// The usable lines, each with its number in the file, counted from 1.
    pub rows: Vec<(u64, CoverageRow)>,
    /// The others.
    pub skipped: Vec<SkippedLine>,
}

/// A line that was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("line {line}: {reason}")]
pub struct SkippedLine {
    /// Its number in the file, counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: LineError,
}

/// Why a line cannot be used. It names the field, never the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LineError {
    /// It has not as many fields as the header, or is not UTF-8.
    #[error("the line is not shaped like the header")]
    Shape,
    /// A field of the identity is wrong.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The grouped code is none.
    #[error("grouped_code: {0}")]
    GroupedCode(#[from] GroupedCodeError),
    /// The amount is none.
    #[error("amount: {0}")]
    Amount(IdError),
    /// The date is none.
    #[error("until: {0}")]
    Until(IdError),
    /// The renewal time is none.
    #[error("renewal_months: must be 1 to {RENEWAL_MONTHS_MAX}")]
    RenewalMonths,
}

/// Why a whole file cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CoverageFileError {
    /// It is too long.
    #[error("a coverage file has at most {FILE_BYTES_MAX} bytes")]
    TooLong,
    /// The header row has not just the columns there are, each once.
    #[error("the header must have the column {name}, once, and no others than those documented")]
    Column {
        /// The first one missing; of several kinds of mistake this names one.
        name: &'static str,
    },
}

impl Failure for CoverageFileError {
    fn kind(&self) -> FailureKind {
        FailureKind::Malformed
    }
}

/// Reads a coverage file of a payer with this role.
///
/// # Errors
/// [`CoverageFileError`] when the file as a whole cannot be read.
pub fn read(bytes: &[u8], role: Role) -> Result<CoverageFile, CoverageFileError> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(CoverageFileError::TooLong);
    }
    let header = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let delimiter = if header.contains(&b';') { b';' } else { b',' };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .trim(csv::Trim::All)
        .from_reader(bytes);
    let columns = columns(reader.headers().ok())?;
    let mut file = CoverageFile::default();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                file.skipped.push(SkippedLine {
                    line,
                    reason: LineError::Shape,
                });
                continue;
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        match read_row(&record, &columns, role) {
            Ok(row) => file.rows.push((line, row)),
            Err(reason) => file.skipped.push(SkippedLine { line, reason }),
        }
    }
    Ok(file)
}

/// Where each column stands.
fn columns(
    header: Option<&csv::StringRecord>,
) -> Result<BTreeMap<&'static str, usize>, CoverageFileError> {
    let mut places = BTreeMap::new();
    let names: Vec<&str> = header
        .map(|header| header.iter().collect())
        .unwrap_or_default();
    for name in COLUMNS {
        let mut named = names
            .iter()
            .enumerate()
            .filter(|(_, found)| **found == name);
        match (named.next(), named.next()) {
            (Some((place, _)), None) => places.insert(name, place),
            _ => return Err(CoverageFileError::Column { name }),
        };
    }
    // A column that is not ours may hold what must not be read: the file is of another kind.
    let others = names.len() > COLUMNS.len();
    let [name, ..] = COLUMNS;
    (!others)
        .then_some(places)
        .ok_or(CoverageFileError::Column { name })
}

fn read_row(
    record: &csv::StringRecord,
    columns: &BTreeMap<&'static str, usize>,
    role: Role,
) -> Result<CoverageRow, LineError> {
    let field = |name| {
        let place = columns.get(name).copied();
        place
            .and_then(|place| record.get(place))
            .ok_or(LineError::Shape)
    };
    let member_number = field("member_number")?;
    let renewal_months = field("renewal_months")?.parse().ok();
    Ok(CoverageRow {
        member_number: match role {
            Role::Amo => MemberNumber::from(&member_number.parse::<Nir>()?),
            Role::Amc | Role::Federation => member_number.parse()?,
        },
        birth_date: field("birth_date")?.parse()?,
        birth_rank: field("birth_rank")?.parse()?,
        grouped_code: field("grouped_code")?.parse()?,
        amount: field("amount")?.parse().map_err(LineError::Amount)?,
        until: field("until")?.parse().map_err(LineError::Until)?,
        renewal_months: renewal_months
            .filter(|months| (1..=RENEWAL_MONTHS_MAX).contains(months))
            .ok_or(LineError::RenewalMonths)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: &str =
        "member_number;birth_date;birth_rank;grouped_code;amount;until;renewal_months";

    fn rows_of(lines: &[&str]) -> CoverageFile {
        let text = format!("{HEADER}\n{}\n", lines.join("\n"));
        read(text.as_bytes(), Role::Amc).unwrap()
    }

    #[test]
    fn a_file_is_read_with_semicolons_or_commas_in_any_order() {
        let semicolons = rows_of(&["AB 12;19951012;1;M03;95.00;2027-01-31;24"]);
        let commas = "until,amount,renewal_months,birth_rank,birth_date,grouped_code,member_number\n\
                      2027-01-31,95,24,1,19951012,M03,ab12\n";
        let commas = read(commas.as_bytes(), Role::Amc).unwrap();
        assert_eq!(semicolons, commas);
        assert_eq!(semicolons.rows[0].0, 2);
        assert_eq!(semicolons.rows[0].1.amount, Cents::new(9_500));
    }

    #[test]
    fn a_bad_line_is_named_and_the_others_are_read() {
        let file = rows_of(&[
            "AB12;19951012;1;M03;95.00;2027-01-31;24",
            "AB12;1995-10-12;1;M03;95.00;2027-01-31;24",
            "AB12;19951012;1;M99;95.00;2027-01-31;24",
            "AB12;19951012;1;M03;95.00;soon;24",
            "AB12;19951012;1;M03;-1;2027-01-31;24",
            "AB12;19951012;1;M03;95.00;2027-01-31;0",
            "AB12;19951012;1",
        ]);
        assert_eq!(file.rows.len(), 1);
        let reasons: Vec<_> = file.skipped.iter().map(|s| (s.line, s.reason)).collect();
        assert_eq!(
            reasons,
            [
                (3, LineError::Identity(IdentityError::BirthDate)),
                (4, LineError::GroupedCode(GroupedCodeError::Unknown)),
                (5, LineError::Until(IdError::Date)),
                (6, LineError::Amount(IdError::Amount)),
                (7, LineError::RenewalMonths),
                (8, LineError::Shape),
            ]
        );
    }

    #[test]
    fn the_mandatory_insurers_member_number_is_a_nir_with_its_key() {
        let line = |nir| format!("{HEADER}\n{nir};19951012;1;M03;0.03;2027-01-31;24\n");
        let good = read(line("2 95 10 99 126 111 93").as_bytes(), Role::Amo).unwrap();
        let nir: Nir = "295109912611193".parse().unwrap();
        assert_eq!(good.rows[0].1.member_number, MemberNumber::from(&nir));
        let bad = read(line("295109912611194").as_bytes(), Role::Amo).unwrap();
        assert_eq!(
            bad.skipped[0].reason,
            LineError::Identity(IdentityError::NirKey)
        );
    }

    #[test]
    fn a_header_with_a_column_missing_twice_or_unknown_is_refused() {
        for header in [
            "",
            "member_number;birth_date",
            &format!("{HEADER};until"),
            &format!("{HEADER};name"),
        ] {
            let refused = read(header.as_bytes(), Role::Amc);
            assert!(
                matches!(refused, Err(CoverageFileError::Column { .. })),
                "{header}"
            );
        }
    }

    #[test]
    fn no_report_repeats_a_value() {
        let file = rows_of(&["SECRET-NUMBER!;19951012;1;M03;95.00;2027-01-31;24"]);
        let shown = format!("{} {file:?}", file.skipped[0]);
        assert!(
            !shown.contains("SECRET") && !shown.contains("1995"),
            "{shown}"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes, Role::Amc);
            let _ = read(&[HEADER.as_bytes(), b"\n", &bytes].concat(), Role::Amo);
        }
    }
}

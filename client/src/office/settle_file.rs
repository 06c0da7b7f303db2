//! The payer's CSV of what it answers: one line for each claim or delivery.
//!
//! ```text
//! claim;outcome;reason;amount
//! 1042;paid;;as claimed
//! 1043;rejected;INVOICE_UNFIT;
//! 1044;recovered;FOREIGN_SLOT_KEY;as claimed
//! ```
//!
//! Separated by semicolons or commas, columns in any order. There may be a column `reference`, and
//! the columns `nir`, `birth_date` and `birth_rank`: then the slot keys of each claim are checked
//! against the person. A line that cannot be used is reported by its number and the field that is
//! wrong; its values are never repeated.

use proto::attestation::{SettlementOutcome, SettlementTerms};
use proto::identity::{IdentityError, Person};
use proto::ids::{Cents, IdError, LeafIndex};
use proto::refusal::Reason;
use thiserror::Error;

use crate::failure::{Failure, FailureKind};

/// Most bytes of one file: a million lines of sixty bytes.
pub const SETTLE_FILE_BYTES_MAX: usize = 64 * 1024 * 1024;

const NEEDED: [&str; 4] = ["claim", "outcome", "reason", "amount"];
const REFERENCE: &str = "reference";
const PERSON: [&str; 3] = ["nir", "birth_date", "birth_rank"];

/// The amount that a line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmountAsked {
    /// What the own part of the invoice adds up to; nothing when it is rejected.
    AsClaimed,
    /// This.
    Exactly(Cents),
}

/// What one line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettleRow {
    /// The claim, or one of its deliveries.
    pub claim: LeafIndex,
    /// What is answered.
    pub outcome: SettlementOutcome,
    /// The amount.
    pub amount: AmountAsked,
    /// What the bank statement calls the payment.
    pub reference: String,
    /// The insured person, to check the slot keys against.
    pub person: Option<Person>,
}

/// A file's usable lines, and why the others are not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SettleFile {
    /// The usable lines, each with its number in the file, counted from 1.
    pub rows: Vec<(u64, SettleRow)>,
    /// The others.
    pub skipped: Vec<SkippedSettlement>,
}

/// A line that was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("line {line}: {reason}")]
pub struct SkippedSettlement {
    /// Its number in the file, counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: SettleLineError,
}

/// Why a line cannot be used. It names the field, never the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SettleLineError {
    /// It has not as many fields as the header, or is not UTF-8.
    #[error("the line is not shaped like the header")]
    Shape,
    /// The index is none.
    #[error("claim: must be the index of a claim or delivery")]
    Claim,
    /// The outcome is none.
    #[error("outcome: must be paid, rejected or recovered")]
    Outcome,
    /// The reason is none that a payer gives, or is missing or too many.
    #[error("reason: must be a reason that a payer gives, and none for paid")]
    Reason,
    /// The amount is none.
    #[error("amount: {0}, or `as claimed`")]
    Amount(IdError),
    /// Nothing is paid of what is rejected.
    #[error("amount: must be empty when it is rejected")]
    RejectedAmount,
    /// The reference is none.
    #[error("reference: must be at most 35 printable ASCII characters")]
    Reference,
    /// A field of the identity is wrong.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Why a whole file cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SettleFileError {
    /// It is too long.
    #[error("a settlement file has at most {SETTLE_FILE_BYTES_MAX} bytes")]
    TooLong,
    /// The header row has not the columns that it must, each once, and no others.
    #[error("the header must have the column {name}, once, and no others than those documented")]
    Column {
        /// The first one missing; of several kinds of mistake this names one.
        name: &'static str,
    },
}

impl Failure for SettleFileError {
    fn kind(&self) -> FailureKind {
        FailureKind::Malformed
    }
}

/// Reads a settlement file.
///
/// # Errors
/// [`SettleFileError`] when the file as a whole cannot be read.
pub fn read_settle_file(bytes: &[u8]) -> Result<SettleFile, SettleFileError> {
    if bytes.len() > SETTLE_FILE_BYTES_MAX {
        return Err(SettleFileError::TooLong);
    }
    let header = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let delimiter = if header.contains(&b';') { b';' } else { b',' };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .trim(csv::Trim::All)
        .from_reader(bytes);
    let columns = Columns::read(reader.headers().ok())?;
    let mut file = SettleFile::default();
    for record in reader.records() {
        let (line, row) = match &record {
            Ok(record) => {
                let line = record.position().map_or(0, csv::Position::line);
                (line, columns.row(record))
            }
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                (line, Err(SettleLineError::Shape))
            }
        };
        match row {
            Ok(row) => file.rows.push((line, row)),
            Err(reason) => file.skipped.push(SkippedSettlement { line, reason }),
        }
    }
    Ok(file)
}

/// Where each column stands.
struct Columns {
    needed: [usize; 4],
    reference: Option<usize>,
    person: Option<[usize; 3]>,
}

impl Columns {
    fn read(header: Option<&csv::StringRecord>) -> Result<Self, SettleFileError> {
        let names: Vec<&str> = header
            .map(|names| names.iter().collect())
            .unwrap_or_default();
        let place = |name: &'static str| {
            let mut named = names
                .iter()
                .enumerate()
                .filter(|(_, found)| **found == name);
            match (named.next(), named.next()) {
                (Some((place, _)), None) => Ok(place),
                _ => Err(SettleFileError::Column { name }),
            }
        };
        let all = |wanted: [&'static str; 3]| -> Result<[usize; 3], SettleFileError> {
            let [a, b, c] = wanted;
            Ok([place(a)?, place(b)?, place(c)?])
        };
        let [claim, outcome, reason, amount] = NEEDED;
        let has = |name: &str| names.contains(&name);
        let columns = Self {
            needed: [
                place(claim)?,
                place(outcome)?,
                place(reason)?,
                place(amount)?,
            ],
            reference: has(REFERENCE).then(|| place(REFERENCE)).transpose()?,
            person: PERSON
                .iter()
                .any(|name| has(name))
                .then(|| all(PERSON))
                .transpose()?,
        };
        // A column that is not ours may hold what must not be read: the file is of another kind.
        let known =
            |name: &&str| NEEDED.contains(name) || PERSON.contains(name) || *name == REFERENCE;
        match names.iter().all(known) {
            true => Ok(columns),
            false => Err(SettleFileError::Column { name: claim }),
        }
    }

    fn row(&self, record: &csv::StringRecord) -> Result<SettleRow, SettleLineError> {
        let field = |place: usize| record.get(place).ok_or(SettleLineError::Shape);
        let [claim, outcome, reason, amount] = self.needed;
        let outcome = read_outcome(field(outcome)?, field(reason)?)?;
        let reference = self.reference.map(field).transpose()?.unwrap_or_default();
        let fits = SettlementTerms::is_reference(reference);
        fits.then_some(()).ok_or(SettleLineError::Reference)?;
        let index = field(claim)?.parse().map_err(|_| SettleLineError::Claim)?;
        Ok(SettleRow {
            claim: LeafIndex::new(index),
            amount: read_amount(field(amount)?, outcome)?,
            outcome,
            reference: reference.to_owned(),
            person: match self.person {
                None => None,
                Some([nir, birth_date, birth_rank]) => Some(Person {
                    nir: field(nir)?.parse()?,
                    birth_date: field(birth_date)?.parse()?,
                    birth_rank: field(birth_rank)?.parse()?,
                }),
            },
        })
    }
}

fn read_outcome(outcome: &str, reason: &str) -> Result<SettlementOutcome, SettleLineError> {
    let given = || {
        let reason = Reason::from_code(reason).filter(|reason| reason.is_payers());
        reason.ok_or(SettleLineError::Reason)
    };
    match outcome {
        "paid" if reason.is_empty() => Ok(SettlementOutcome::Paid),
        "paid" => Err(SettleLineError::Reason),
        "rejected" => Ok(SettlementOutcome::Rejected(given()?)),
        "recovered" => Ok(SettlementOutcome::Recovered(given()?)),
        _ => Err(SettleLineError::Outcome),
    }
}

fn read_amount(text: &str, outcome: SettlementOutcome) -> Result<AmountAsked, SettleLineError> {
    match (text, outcome) {
        ("" | "as claimed", _) => Ok(AmountAsked::AsClaimed),
        (_, SettlementOutcome::Rejected(_)) => Err(SettleLineError::RejectedAmount),
        (text, _) => Ok(AmountAsked::Exactly(
            text.parse().map_err(SettleLineError::Amount)?,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> SettleFile {
        read_settle_file(text.as_bytes()).unwrap()
    }

    #[test]
    fn lines_are_read_in_any_order_of_columns() {
        let file =
            read("claim;outcome;reason;amount\n7;paid;;as claimed\n8;rejected;INVOICE_UNFIT;\n");
        let unfit = SettlementOutcome::Rejected(Reason::InvoiceUnfit);
        let outcomes: Vec<_> = file
            .rows
            .iter()
            .map(|(line, row)| (*line, row.outcome))
            .collect();
        assert_eq!(outcomes, [(2, SettlementOutcome::Paid), (3, unfit)]);
        let other = read("amount,reason,outcome,claim,reference\n12.50,,paid,9,VIR 7\n");
        let row = &other.rows[0].1;
        assert_eq!(row.amount, AmountAsked::Exactly(Cents::new(1_250)));
        assert_eq!(
            (row.claim, row.reference.as_str()),
            (LeafIndex::new(9), "VIR 7")
        );
    }

    #[test]
    fn a_bad_line_is_named_and_the_others_go_on() {
        let file = read(
            "claim;outcome;reason;amount;nir;birth_date;birth_rank\n\
             x;paid;;;295109912611193;19951012;1\n\
             1;kept;;;295109912611193;19951012;1\n\
             1;paid;INVOICE_UNFIT;;295109912611193;19951012;1\n\
             1;rejected;SLOT_HELD;;295109912611193;19951012;1\n\
             1;rejected;INVOICE_UNFIT;3;295109912611193;19951012;1\n\
             1;paid;;-3;295109912611193;19951012;1\n\
             1;paid;;;295109912611194;19951012;1\n\
             1;paid;;;295109912611193;19951012;1\n\
             1;paid\n",
        );
        assert_eq!(file.rows.len(), 1);
        let skipped: Vec<_> = file
            .skipped
            .iter()
            .map(|one| (one.line, one.reason))
            .collect();
        use SettleLineError::*;
        let want = [
            (2, Claim),
            (3, Outcome),
            (4, Reason),
            (5, Reason),
            (6, RejectedAmount),
            (7, Amount(IdError::Amount)),
            (8, Identity(IdentityError::NirKey)),
            (10, Shape),
        ];
        assert_eq!(skipped, want);
        assert!(!format!("{file:?}").contains("2951099"));
    }

    #[test]
    fn a_header_with_a_column_missing_twice_or_unknown_is_refused() {
        for header in [
            "",
            "claim;outcome;reason",
            "claim;outcome;reason;amount;amount",
            "claim;outcome;reason;amount;name",
            "claim;outcome;reason;amount;nir",
        ] {
            let refused = read_settle_file(header.as_bytes());
            assert!(
                matches!(refused, Err(SettleFileError::Column { .. })),
                "{header}"
            );
        }
    }
}

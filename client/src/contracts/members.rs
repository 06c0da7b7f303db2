//! The insurer's list of members: a CSV, read line by line whatever its size.
//!
//! ```text
//! member_number;birth_date;birth_rank;plan;rights_from;rights_to;reference
//! AB 1234;19951012;1;CONFORT-2;2026-01-01;2026-12-31;c/00017
//! ```
//!
//! Separated by semicolons or commas, columns in any order, `reference` only if there is one;
//! lines end in LF or CRLF, a byte order mark and quotes around a field are taken off. No field
//! here can hold a separator or a line's end, so a stray quote spoils its own line and no other.
//! For the mandatory insurer `member_number` is the NIR with its key, so that a slip is noticed.

use std::io::{BufRead, Read as _};

use proto::benefit::PlanName;
use proto::contracts::{FieldError, Reference, is_member_number, months_to_come, plan_name};
use proto::identity::{BirthDate, Contract, IdentityError, MemberNumber, Nir, PayerNumber};
use proto::ids::{Day, IdError, Month};
use proto::roster::Role;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::failure::{Failure, FailureKind};

/// Longest line, its end included: the fields at their longest, quoted and padded, have half.
pub const LINE_BYTES_MAX: usize = 512;

const COLUMNS: [&str; 7] = [
    "member_number",
    "birth_date",
    "birth_rank",
    "plan",
    "rights_from",
    "rights_to",
    REFERENCE,
];
const REFERENCE: &str = "reference";

/// What one line says, the identity apart from what is kept. It cannot be printed.
pub struct MemberRow {
    /// The identity of the contract: it becomes a token and is dropped.
    pub contract: Contract,
    /// The plan.
    pub plan: PlanName,
    /// The first day of rights.
    pub rights_from: Day,
    /// The last day of rights.
    pub rights_to: Day,
    /// The months of the ages to come, see `ContractRecord::turning`.
    pub turning: [Option<Month>; 2],
    /// The insurer's reference.
    pub reference: Option<Reference>,
}

/// Why a line cannot be used. It names the field, never the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LineError {
    /// It has not as many fields as the header, is not UTF-8, or is too long.
    #[error("the line is not shaped like the header, or longer than {LINE_BYTES_MAX} bytes")]
    Shape,
    /// A field of the identity is wrong.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The birth date is neither as on the card nor a date.
    #[error("birth_date: must be YYYYMMDD as on the card, or YYYY-MM-DD")]
    BirthDate,
    /// The plan or the reference is wrong.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The first day of rights is wrong.
    #[error("rights_from: {0}")]
    RightsFrom(IdError),
    /// The last day of rights is wrong.
    #[error("rights_to: {0}")]
    RightsTo(IdError),
    /// The rights end before they begin.
    #[error("rights_to: must not be before rights_from")]
    RightsOrder,
}

/// A line's number, counted from 1, and what it says or why it cannot be used.
pub type NumberedRow = (u64, Result<MemberRow, LineError>);

/// Why a list of members cannot be read at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MembersError {
    /// The header row has not just the columns there are, each once.
    #[error("the header must have the column {name}, once, and no others than those documented")]
    Column {
        /// The first one missing; of several kinds of mistake this names one.
        name: &'static str,
    },
    /// The file cannot be read further.
    #[error("the list of members cannot be read: {0}")]
    Io(std::io::ErrorKind),
}

impl Failure for MembersError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Column { .. } => FailureKind::Malformed,
            Self::Io(_) => FailureKind::Unavailable,
        }
    }
}

/// How far a list has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Bytes from its start, always at the start of a line.
    pub offset: u64,
    /// Lines before it.
    pub line: u64,
}

/// A list of members under way. Memory is one line.
pub struct Members<R> {
    reader: R,
    payer: PayerNumber,
    role: Role,
    today: Day,
    layout: Layout,
    place: Place,
}

/// Where each column stands, and what stands between them.
#[derive(Clone)]
struct Layout {
    delimiter: char,
    fields: usize,
    places: [Option<usize>; COLUMNS.len()],
}

impl<R: BufRead> Members<R> {
    /// A payer's list, read from its first byte: its header row is read here.
    ///
    /// # Errors
    /// [`MembersError`], see its variants.
    pub fn new(
        mut reader: R,
        payer: PayerNumber,
        role: Role,
        today: Day,
    ) -> Result<Self, MembersError> {
        let mut place = Place { offset: 0, line: 0 };
        let header = next_line(&mut reader, &mut place)?.flatten();
        let layout = Layout::read(header.as_ref().map_or("", |header| header.as_str()))?;
        Ok(Self {
            reader,
            payer,
            role,
            today,
            layout,
            place,
        })
    }

    /// How far it has been read.
    #[must_use]
    pub const fn place(&self) -> Place {
        self.place
    }

    /// Goes on at a place that [`Self::place`] gave for the same list, with a reader that stands
    /// there.
    #[must_use]
    pub fn at(self, reader: R, place: Place) -> Self {
        Self {
            reader,
            place,
            ..self
        }
    }

    /// The next line that is not empty, with its number; `None` at the end of the list.
    ///
    /// # Errors
    /// [`MembersError::Io`]. What is wrong with the line itself is part of the answer.
    pub fn next_row(&mut self) -> Result<Option<NumberedRow>, MembersError> {
        loop {
            let Some(line) = next_line(&mut self.reader, &mut self.place)? else {
                return Ok(None);
            };
            let row = match &line {
                Some(line) if line.trim().is_empty() => continue,
                Some(line) => self.row(line),
                None => Err(LineError::Shape),
            };
            return Ok(Some((self.place.line, row)));
        }
    }

    fn row(&self, line: &str) -> Result<MemberRow, LineError> {
        let fields = self.layout.split(line).ok_or(LineError::Shape)?;
        let [
            member_number,
            birth_date,
            birth_rank,
            plan,
            from,
            to,
            reference,
        ] = fields;
        let member_number = match self.role {
            Role::Amo => MemberNumber::from(&member_number.parse::<Nir>()?),
            Role::Amc | Role::Federation => member_number.parse()?,
        };
        for text in [plan, reference] {
            if is_member_number(text, &member_number) {
                return Err(FieldError::Personal.into());
            }
        }
        let birth_date = parse_birth_date(birth_date)?;
        let rights_from: Day = from.parse().map_err(LineError::RightsFrom)?;
        let rights_to = to.parse().map_err(LineError::RightsTo)?;
        if rights_to < rights_from {
            return Err(LineError::RightsOrder);
        }
        Ok(MemberRow {
            plan: plan_name(plan)?,
            rights_from,
            rights_to,
            turning: months_to_come(&birth_date, self.today),
            reference: match reference {
                "" => None,
                text => Some(text.parse()?),
            },
            contract: Contract {
                payer_number: self.payer.clone(),
                member_number,
                birth_date,
                birth_rank: birth_rank.parse()?,
            },
        })
    }
}

impl Layout {
    fn read(header: &str) -> Result<Self, MembersError> {
        let header = header.strip_prefix('\u{feff}').unwrap_or(header);
        let delimiter = if header.contains(';') { ';' } else { ',' };
        let names: Vec<&str> = header.split(delimiter).map(bare).collect();
        let mut places = [None; COLUMNS.len()];
        for (place, name) in places.iter_mut().zip(COLUMNS) {
            let mut named = (0..names.len()).filter(|at| names.get(*at) == Some(&name));
            *place = named.next();
            let missing = place.is_none() && name != REFERENCE;
            if missing || named.next().is_some() {
                return Err(MembersError::Column { name });
            }
        }
        // A column that is not ours may hold what must not be read: the file is of another kind.
        let known = places.iter().flatten().count();
        let [name, ..] = COLUMNS;
        (names.len() == known)
            .then_some(Self {
                delimiter,
                fields: known,
                places,
            })
            .ok_or(MembersError::Column { name })
    }

    /// The fields in the order of [`COLUMNS`]; a column that is not there is empty.
    fn split<'a>(&self, line: &'a str) -> Option<[&'a str; COLUMNS.len()]> {
        let mut fields = [""; COLUMNS.len()];
        let mut count = 0;
        for (at, field) in line.split(self.delimiter).enumerate() {
            *fields.get_mut(at)? = bare(field);
            count = at + 1;
        }
        let field =
            |place: Option<usize>| place.and_then(|at| fields.get(at)).copied().unwrap_or("");
        (count == self.fields).then(|| self.places.map(field))
    }
}

/// A field without the spaces and the pair of quotes around it.
fn bare(field: &str) -> &str {
    let field = field.trim();
    let inner = field
        .strip_prefix('"')
        .and_then(|field| field.strip_suffix('"'));
    inner.map_or(field, str::trim)
}

/// `YYYYMMDD` as on the card, or the same with hyphens.
fn parse_birth_date(text: &str) -> Result<BirthDate, LineError> {
    let parts: Vec<&str> = text.split('-').collect();
    let plain = match parts[..] {
        [plain] => Zeroizing::new(plain.to_owned()),
        [year, month, day] if [year.len(), month.len(), day.len()] == [4, 2, 2] => {
            Zeroizing::new([year, month, day].concat())
        }
        _ => return Err(LineError::BirthDate),
    };
    plain.parse().map_err(|error| match error {
        IdentityError::BirthDate => LineError::BirthDate,
        other => LineError::Identity(other),
    })
}

/// The next line without its end, `Some(None)` for one that is too long or no text, `None` at the
/// end. A line that is too long is passed over without being kept.
fn next_line(
    reader: &mut impl BufRead,
    place: &mut Place,
) -> Result<Option<Option<Zeroizing<String>>>, MembersError> {
    let io = |error: std::io::Error| MembersError::Io(error.kind());
    let mut bytes = Zeroizing::new(Vec::with_capacity(LINE_BYTES_MAX));
    let limit = LINE_BYTES_MAX as u64;
    reader
        .take(limit)
        .read_until(b'\n', &mut bytes)
        .map_err(io)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    place.offset += bytes.len() as u64;
    place.line += 1;
    if bytes.last() != Some(&b'\n') && bytes.len() == LINE_BYTES_MAX {
        place.offset += reader.skip_until(b'\n').map_err(io)? as u64;
        return Ok(Some(None));
    }
    let text = str::from_utf8(&bytes).ok();
    let text = text.map(|text| Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned()));
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: &str = "member_number;birth_date;birth_rank;plan;rights_from;rights_to;reference";

    fn list(bytes: &[u8], role: Role) -> Result<Members<&[u8]>, MembersError> {
        let today = "2026-11-22".parse().unwrap();
        Members::new(bytes, "75000001".parse().unwrap(), role, today)
    }

    type Rows = Vec<NumberedRow>;

    fn rows(text: &[u8], role: Role) -> Rows {
        let mut list = list(text, role).unwrap();
        let mut rows = Vec::new();
        while let Some(row) = list.next_row().unwrap() {
            rows.push(row);
        }
        assert_eq!(list.place().offset, text.len() as u64);
        rows
    }

    fn reasons(lines: &[&str]) -> Vec<(u64, LineError)> {
        let text = format!("{HEADER}\n{}\n", lines.join("\n"));
        let rows = rows(text.as_bytes(), Role::Amc);
        let bad = rows
            .into_iter()
            .filter_map(|(line, row)| Some((line, row.err()?)));
        bad.collect()
    }

    #[test]
    fn a_list_is_read_as_insurers_write_it() {
        let plain = format!("{HEADER}\nAB 12;19951012;1;P1;2026-01-01;2026-12-31;c/1\n");
        let other = "\u{feff}\"rights_to\",rights_from,plan,birth_rank,birth_date,member_number,reference\r\n\
                     2026-12-31,2026-01-01, P1 ,1,1995-10-12,\"ab12\",c/1";
        let [plain, other] = [plain.as_bytes(), other.as_bytes()].map(|text| rows(text, Role::Amc));
        for rows in [&plain, &other] {
            let [(2, Ok(row))] = &rows[..] else {
                panic!("{} rows", rows.len());
            };
            assert_eq!(row.plan.as_str(), "P1");
            assert_eq!(row.reference.as_ref().unwrap().as_str(), "c/1");
            assert_eq!(row.turning, [None, None]);
        }
        let identity = |rows: &Rows| rows[0].1.as_ref().map(|row| row.contract.clone()).ok();
        assert_eq!(identity(&plain), identity(&other));
        let (without, _) = HEADER.rsplit_once(';').unwrap();
        let text = format!("{without}\nAB12;19951012;1;P1;2026-01-01;2026-12-31\n");
        assert!(
            rows(text.as_bytes(), Role::Amc)[0]
                .1
                .as_ref()
                .unwrap()
                .reference
                .is_none()
        );
    }

    #[test]
    fn a_bad_line_is_named_and_spoils_no_other() {
        let long = format!(
            "AB12;19951012;1;P1;2026-01-01;2026-12-31;{}",
            "c".repeat(5_000)
        );
        let found = reasons(&[
            "AB12;19951012;1;P1;2026-01-01;2026-12-31;c/1",
            "\"AB12;19951012;1;P1;2026-01-01;2026-12-31;c/1",
            "AB12;1995-1-12;1;P1;2026-01-01;2026-12-31;",
            "AB12;17951012;1;P1;2026-01-01;2026-12-31;",
            "AB12;19951012;1;P 1;2026-01-01;2026-12-31;",
            "",
            "AB12;19951012;1;P1;01/01/2026;2026-12-31;",
            "AB12;19951012;1;P1;2026-01-01;2025-12-31;",
            "AB12;19951012;1;P1;2026-01-01;2026-12-31;ab-12",
            "AB12;19951012;1;P1;2026-01-01;2026-12-31;295109912611193",
            "AB12;19951012",
            &long,
            "AB12;19951012;0;P1;2026-01-01;2026-12-31;",
            "AB12;19951012;1;P1;2026-01-01;2026-12-31;",
        ]);
        assert_eq!(
            found,
            [
                (3, LineError::Identity(IdentityError::MemberNumber)),
                (4, LineError::BirthDate),
                (5, LineError::Identity(IdentityError::BirthYear)),
                (
                    6,
                    LineError::Field(FieldError::Plan(proto::benefit::PlanNameError))
                ),
                (8, LineError::RightsFrom(IdError::Date)),
                (9, LineError::RightsOrder),
                (10, LineError::Field(FieldError::Personal)),
                (11, LineError::Field(FieldError::Personal)),
                (12, LineError::Shape),
                (13, LineError::Shape),
                (14, LineError::Identity(IdentityError::BirthRank)),
            ]
        );
    }

    #[test]
    fn a_list_goes_on_where_it_was_left() {
        let mut text = format!("{HEADER}\n").into_bytes();
        for number in 0..40 {
            let line = format!("AB{number};19951012;1;P{number};2026-01-01;2026-12-31;\r\n");
            text.extend_from_slice(line.as_bytes());
            text.extend_from_slice(&b"x".repeat(number * 40));
            text.push(b'\n');
        }
        let whole = rows(&text, Role::Amc);
        let shown = |rows: &Rows| -> Vec<(u64, Result<String, LineError>)> {
            let shown = rows.iter().map(|(line, row)| {
                (
                    *line,
                    row.as_ref()
                        .map(|row| row.plan.as_str().to_owned())
                        .map_err(|e| *e),
                )
            });
            shown.collect()
        };
        for stop in 0..whole.len() {
            let mut first = list(&text, Role::Amc).unwrap();
            let mut met = Vec::new();
            for _ in 0..stop {
                met.extend(first.next_row().unwrap());
            }
            let place = first.place();
            let rest = &text[usize::try_from(place.offset).unwrap()..];
            let mut second = first.at(rest, place);
            while let Some(row) = second.next_row().unwrap() {
                met.push(row);
            }
            assert_eq!(shown(&met), shown(&whole), "{stop}");
        }
    }

    #[test]
    fn the_mandatory_insurers_member_number_is_a_nir_with_its_key() {
        let line = |nir| format!("{HEADER}\n{nir};19951012;1;P1;2026-01-01;2026-12-31;\n");
        assert!(
            rows(line("2 95 10 99 126 111 93").as_bytes(), Role::Amo)[0]
                .1
                .is_ok()
        );
        let bad = rows(line("295109912611194").as_bytes(), Role::Amo);
        let reason = bad[0].1.as_ref().err();
        assert_eq!(reason, Some(&LineError::Identity(IdentityError::NirKey)));
    }

    #[test]
    fn a_header_with_a_column_missing_twice_or_unknown_is_refused() {
        for header in [
            "",
            "member_number;plan",
            &format!("{HEADER};plan"),
            &format!("{HEADER};name"),
        ] {
            let refused = list(header.as_bytes(), Role::Amc).err();
            assert!(
                matches!(refused, Some(MembersError::Column { .. })),
                "{header}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let text = [HEADER.as_bytes(), b"\n", &bytes].concat();
            rows(&text, Role::Amo);
        }
    }
}

//! One contract as it is kept: its token, its plan, its rights, and two months of a minor.

use std::fmt;
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::benefit::{PlanName, PlanNameError};
use crate::identity::{BirthDate, MemberNumber, Nir};
use crate::ids::{Day, Month};
use crate::token::ContractToken;

/// Longest reference: a UUID with its hyphens has 36 characters.
pub const REFERENCE_BYTES_MAX: usize = 36;
/// The ages at which rights in optics change (arrêté of 3 December 2018): a new fit is possible
/// after 6 months below 6 years, and renewal after 12 months below 16 years.
pub const AGES: [u16; 2] = [6, 16];

/// Why a text is not a field of a record. It names the field and the limit, never the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FieldError {
    /// A plan has another alphabet or length.
    #[error(transparent)]
    Plan(#[from] PlanNameError),
    /// A reference has another alphabet or length.
    #[error("a reference must be 1 to {REFERENCE_BYTES_MAX} characters out of A-Z a-z 0-9 . - _ /")]
    Reference,
    /// A plan or a reference has what names a person.
    #[error("a plan or reference must not hold a NIR, or be the member number")]
    Personal,
}

/// Reads the name of a contract's plan, which must not name a person.
///
/// # Errors
/// [`FieldError::Plan`] and [`FieldError::Personal`].
pub fn plan_name(text: &str) -> Result<PlanName, FieldError> {
    let plan = text.parse()?;
    (!names_a_person(text))
        .then_some(plan)
        .ok_or(FieldError::Personal)
}

/// The insurer's own reference of a contract: what it finds the contract by, once a list of
/// tokens has to become a list of people. It is opaque here and must be no member number: whoever
/// has the file has it too. It cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Reference(String);

impl Reference {
    /// The reference, for the insurer alone.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Reference {
    type Err = FieldError;

    /// Refuses what holds a NIR, with its key or without, however it is grouped.
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let fits = is_name(text, REFERENCE_BYTES_MAX, b".-_/");
        let reference = fits
            .then(|| Self(text.to_owned()))
            .ok_or(FieldError::Reference)?;
        (!names_a_person(text))
            .then_some(reference)
            .ok_or(FieldError::Personal)
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reference(<secret>)")
    }
}

fn is_name(text: &str, most: usize, others: &[u8]) -> bool {
    let sized = (1..=most).contains(&text.len());
    sized
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || others.contains(&b))
}

/// Letters and digits alone, as a number is grouped in many ways.
fn compact(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.chars().filter(char::is_ascii_alphanumeric).collect())
}

/// Whether a NIR with its key stands anywhere in the text, or is all of it without its key.
fn names_a_person(text: &str) -> bool {
    let compact = compact(text);
    let windows = compact.len().saturating_sub(14);
    let with_key = (0..windows).any(|start| {
        let part = compact.get(start..start + 15);
        part.is_some_and(|part| part.parse::<Nir>().is_ok())
    });
    let fits = |key: u8| format!("{}{key:02}", *compact).parse::<Nir>().is_ok();
    with_key || (compact.len() == 13 && (1..=97).any(fits))
}

/// Whether a plan or reference of a line is the member number of that line.
#[must_use]
pub fn is_member_number(text: &str, member_number: &MemberNumber) -> bool {
    compact(text).parse::<MemberNumber>().as_ref() == Ok(member_number)
}

/// One contract of an insurer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractRecord {
    /// The contract token.
    pub token: ContractToken,
    /// Under which plan it is.
    pub plan: PlanName,
    /// The first day of its rights.
    pub rights_from: Day,
    /// The last day of its rights.
    pub rights_to: Day,
    /// The months in which the person turns each of [`AGES`]; `None` for those that are past when
    /// the list is imported, so that of an adult nothing tells the age.
    pub turning: [Option<Month>; 2],
    /// The insurer's own reference, if it gave one.
    pub reference: Option<Reference>,
}

/// The months to keep of a birth date: those of ages that are not reached by the month of `today`.
#[must_use]
pub fn months_to_come(birth_date: &BirthDate, today: Day) -> [Option<Month>; 2] {
    let current = Month::of(today);
    AGES.map(|age| birth_date.turning(age).filter(|month| current <= *month))
}

impl ContractRecord {
    /// `token;plan;from;to;month of 6;month of 16;reference`, the token in base64, what is not
    /// there empty, without the line's end.
    #[must_use]
    pub fn to_line(&self) -> Zeroizing<String> {
        let token = Zeroizing::new(BASE64_STANDARD.encode(self.token.as_bytes()));
        let [six, sixteen] = self
            .turning
            .map(|month| month.map(|month| month.to_string()));
        let fields = [
            token.as_str(),
            self.plan.as_str(),
            &self.rights_from.to_iso(),
            &self.rights_to.to_iso(),
            six.as_deref().unwrap_or_default(),
            sixteen.as_deref().unwrap_or_default(),
            self.reference.as_ref().map_or("", Reference::as_str),
        ];
        Zeroizing::new(fields.join(";"))
    }

    /// Reads a line in its one spelling; `None` for any other.
    #[must_use]
    pub fn from_line(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(';').collect();
        let [token, plan, from, to, six, sixteen, reference] = fields[..] else {
            return None;
        };
        let token = Zeroizing::new(BASE64_STANDARD.decode(token).ok()?);
        let month = |text: &str| match text {
            "" => Some(None),
            text => text.parse::<Month>().ok().map(Some),
        };
        Some(Self {
            token: ContractToken::from_bytes(token.as_slice().try_into().ok()?),
            plan: plan_name(plan).ok()?,
            rights_from: from.parse().ok()?,
            rights_to: to.parse().ok()?,
            turning: [month(six)?, month(sixteen)?],
            reference: match reference {
                "" => None,
                text => Some(text.parse().ok()?),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record() -> ContractRecord {
        ContractRecord {
            token: ContractToken::from_bytes([7; 32]),
            plan: "CONFORT-2".parse().unwrap(),
            rights_from: "2026-01-01".parse().unwrap(),
            rights_to: "2026-12-31".parse().unwrap(),
            turning: [None, Some("2031-04".parse().unwrap())],
            reference: Some("c/00017".parse().unwrap()),
        }
    }

    #[test]
    fn a_line_never_changes_its_form_and_reads_back() {
        let line = record().to_line();
        assert_eq!(
            line.as_str(),
            "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=;CONFORT-2;2026-01-01;2026-12-31;;2031-04;c/00017"
        );
        assert_eq!(ContractRecord::from_line(&line), Some(record()));
        let bare = ContractRecord {
            turning: [None; 2],
            reference: None,
            ..record()
        };
        assert_eq!(ContractRecord::from_line(&bare.to_line()), Some(bare));
    }

    #[test]
    fn a_reference_that_names_a_person_is_refused() {
        for personal in [
            "295109912611193",
            "2-95-10-99-126-111-93",
            "c/295109912611193",
            "2951099126111",
            "253072A073004",
            "25307_2a073_004_43",
        ] {
            let refused = personal.parse::<Reference>();
            assert_eq!(refused, Err(FieldError::Personal), "{personal}");
        }
        for opaque in [
            "c/00017",
            "0f8fad5b-d9cb-469f-a165-70867728950e",
            "295109912611194",
            "9951099126111",
        ] {
            assert!(opaque.parse::<Reference>().is_ok(), "{opaque}");
        }
        let member: MemberNumber = "AB 1234".parse().unwrap();
        assert!(is_member_number("ab-12.34", &member) && !is_member_number("ab-12.35", &member));
        assert_eq!(plan_name("295109912611193"), Err(FieldError::Personal));
        assert_eq!(plan_name(""), Err(FieldError::Plan(PlanNameError)));
        assert_eq!("a;b".parse::<Reference>(), Err(FieldError::Reference));
    }

    #[test]
    fn of_an_adult_no_month_is_kept_and_of_a_child_those_to_come() {
        let today: Day = "2026-11-22".parse().unwrap();
        let months = |born: &str| {
            let months = months_to_come(&born.parse().unwrap(), today);
            months.map(|month| month.map(|month| month.to_string()).unwrap_or_default())
        };
        assert_eq!(months("19501012"), ["", ""]);
        assert_eq!(months("20101031"), ["", ""]);
        assert_eq!(months("20101130"), ["", "2026-11"]);
        assert_eq!(months("20150615"), ["", "2031-06"]);
        assert_eq!(months("20230615"), ["2029-06", "2039-06"]);
    }

    #[test]
    fn neither_token_nor_reference_is_printed() {
        let shown = format!("{:?}", record());
        assert!(
            !shown.contains("00017") && !shown.contains("BwcH") && !shown.contains("7, 7"),
            "{shown}"
        );
    }

    proptest! {
        #[test]
        fn what_reads_as_a_line_is_its_one_spelling(line in "\\PC{0,120}") {
            if let Some(record) = ContractRecord::from_line(&line) {
                let written = record.to_line();
                prop_assert_eq!(written.as_str(), line.as_str());
            }
        }
    }
}

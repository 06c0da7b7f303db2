//! What is read at the counter about a person and a contract. It never leaves the shop.
//!
//! Every type here is one field in its one canonical form, because two spellings of a person would
//! be two pseudonyms. Whole identities turn into the input of the oblivious PRF, and into the lines
//! of a file that proves slots foreign: there is no `Display`, `Debug` is redacted, and memory is
//! wiped.
//!
//! # The input of the oblivious PRF
//! A list of parts, each written as its length in 2 bytes, big-endian, and then its bytes:
//!
//! | person | contract |
//! |---|---|
//! | `vitrail v1 person` | `vitrail v1 contract` |
//! | NIR without its key, 13 characters | payer number, 2 to 10 digits |
//! | | member number, 1 to 20 characters out of `A-Z 0-9` |
//! | birth date, 8 digits `YYYYMMDD` | birth date, 8 digits `YYYYMMDD` |
//! | birth rank, 1 digit | birth rank, 1 digit |
//!
//! All parts are ASCII. The first one keeps a contract from ever passing for a person.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::ids::{Day, Month};

/// First part of the input that a person token is made from.
pub const PERSON_LABEL: &[u8] = b"vitrail v1 person";
/// First part of the input that a contract token is made from.
pub const CONTRACT_LABEL: &[u8] = b"vitrail v1 contract";

/// Characters of a NIR without its key.
pub const NIR_BYTES: usize = 13;
/// Most bytes of any text read here: a NIR with its key and a space between any two characters
/// has 29, and nothing longer can be a field of a card.
pub const FIELD_TEXT_BYTES_MAX: usize = 32;
/// Digits of a payer number: a regime's code has two, an AMC's number at most ten.
pub const PAYER_NUMBER_DIGITS: std::ops::RangeInclusive<usize> = 2..=10;
/// Longest member number that the cards of complementary insurers carry.
pub const MEMBER_NUMBER_BYTES_MAX: usize = 20;
/// Years of birth that are believed: outside of them it is a slip of the keyboard.
pub const BIRTH_YEARS: std::ops::RangeInclusive<u16> = 1850..=2199;

/// Why a text is not a field of an identity. It names the field and the limit, never the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// A NIR has not 13 characters and a key.
    #[error("a NIR must have 13 characters and a key of 2 digits")]
    NirLength,
    /// A NIR has something else than digits outside the Corsican departments.
    #[error("a NIR must be digits, but for 2A and 2B as the department")]
    NirCharacter,
    /// The first digit of a NIR is none that is given out.
    #[error("the first digit of a NIR must be 1, 2, 3, 4, 7 or 8")]
    NirSex,
    /// The month in a NIR is none that INSEE gives out.
    #[error("the month of a NIR must be 01 to 12, 20 to 42 or 50 to 99")]
    NirMonth,
    /// The key does not belong to the 13 characters: a digit is mistyped.
    #[error("the key of the NIR does not match its 13 characters")]
    NirKey,
    /// A birth date is not eight digits.
    #[error("a birth date must be 8 digits, YYYYMMDD, as on the card")]
    BirthDate,
    /// A birth date is in no year that a living person was born in.
    #[error("a year of birth must be {} to {}", BIRTH_YEARS.start(), BIRTH_YEARS.end())]
    BirthYear,
    /// A birth rank is not 1 to 9.
    #[error("a birth rank must be 1 digit, 1 to 9")]
    BirthRank,
    /// A payer number is not digits, or too short or too long.
    #[error("a payer number must be {} to {} digits", PAYER_NUMBER_DIGITS.start(), PAYER_NUMBER_DIGITS.end())]
    PayerNumber,
    /// A member number has another alphabet or length.
    #[error("a member number must be 1 to {MEMBER_NUMBER_BYTES_MAX} characters out of A-Z 0-9")]
    MemberNumber,
}

/// Gives personal fields a `Debug` that shows their name alone.
macro_rules! redacted {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(<secret>)"))
            }
        }
    )*};
}

redacted!(Nir, BirthDate, BirthRank, PayerNumber, MemberNumber);

/// A NIR (numéro de sécurité sociale) whose key was checked; kept without the key.
///
/// The first digit is 1 or 2, or 3, 4, 7 or 8 for people who are still being registered. Months
/// 20 to 42 and 50 to 99 are those that INSEE gives when a birth certificate is incomplete.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Nir([u8; NIR_BYTES]);

impl Nir {
    /// The 13 characters, for the canonical bytes alone.
    fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The 13 characters and the key, without spaces: for a file that is about this person.
    #[must_use]
    pub fn with_key(&self) -> Zeroizing<String> {
        // All 13 characters were read as a number before.
        let key = 97 - nir_number(&self.0).unwrap_or_default() % 97;
        let mut text = Zeroizing::new(String::with_capacity(NIR_BYTES + 2));
        text.extend(self.0.iter().map(|b| char::from(*b)));
        text.extend([key / 10, key % 10].map(|digit| char::from(b'0' + digit.to_le_bytes()[0])));
        text
    }
}

impl FromStr for Nir {
    type Err = IdentityError;

    /// Reads 13 characters and the key, with spaces anywhere.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let compact = without_spaces(text).ok_or(IdentityError::NirLength)?;
        let (characters, key) = compact
            .split_first_chunk::<NIR_BYTES>()
            .filter(|(_, key)| key.len() == 2)
            .ok_or(IdentityError::NirLength)?;
        let number = nir_number(characters).ok_or(IdentityError::NirCharacter)?;
        let key = decimal(key).ok_or(IdentityError::NirCharacter)?;
        if !b"123478".contains(&characters[0]) {
            return Err(IdentityError::NirSex);
        }
        let month = decimal(&characters[3..5]).ok_or(IdentityError::NirCharacter)?;
        if !matches!(month, 1..=12 | 20..=42 | 50..=99) {
            return Err(IdentityError::NirMonth);
        }
        (key == 97 - number % 97)
            .then_some(Self(*characters))
            .ok_or(IdentityError::NirKey)
    }
}

/// The number whose remainder gives the key: the departments 2A and 2B count as 19 and 18.
fn nir_number(characters: &[u8; NIR_BYTES]) -> Option<u64> {
    let mut digits = Zeroizing::new(*characters);
    match &characters[5..7] {
        b"2A" => digits[5..7].copy_from_slice(b"19"),
        b"2B" => digits[5..7].copy_from_slice(b"18"),
        _ => {}
    }
    decimal(digits.as_slice())
}

/// A birth date as the card has it, which need not be a day of the calendar.
///
/// Some people's civil record has no month or no day, or follows a lunar calendar: month 00 or
/// above 12, day 00, 31 February. The card carries such a date as it is, so this does too.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct BirthDate([u8; 8]);

impl BirthDate {
    /// How many years are completed on a day, counted from the earliest the birth can have been.
    ///
    /// A month or day that no calendar has is taken for the first one; so an uncertain date never
    /// makes a person younger than he may be, and never grants a right reserved to children.
    #[must_use]
    pub fn completed_years(&self, on: Day) -> u16 {
        let [year, month, day] = self.fields();
        let born = match (month, day) {
            (1..=12, 1..=31) => (month, day),
            (1..=12, _) => (month, 1),
            _ => (1, 1),
        };
        let on = on.date();
        let today = (on.month().unsigned_abs(), on.day().unsigned_abs());
        let years = on.year().unsigned_abs().saturating_sub(year);
        let birthday_to_come = (u16::from(today.0), u16::from(today.1)) < born;
        years.saturating_sub(u16::from(birthday_to_come))
    }

    /// The month in which `years` are completed, by the same reading of uncertain dates. Kept
    /// beside a contract in place of the birth date, for the ages at which rights change.
    ///
    /// `None` beyond the year 9999.
    #[must_use]
    pub fn turning(&self, years: u16) -> Option<Month> {
        let [year, month, _] = self.fields();
        let month = u8::try_from(month)
            .ok()
            .filter(|month| (1..=12).contains(month));
        Month::new(year.checked_add(years)?, month.unwrap_or(1))
    }

    /// The eight digits: for a file that is about this person.
    #[must_use]
    pub fn digits(&self) -> Zeroizing<String> {
        Zeroizing::new(ascii_text(&self.0))
    }

    /// Year, raw month and raw day.
    fn fields(&self) -> [u16; 3] {
        let [y1, y2, y3, y4, m1, m2, d1, d2] = self.0.map(|b| u16::from(b.saturating_sub(b'0')));
        let year = y1 * 1000 + y2 * 100 + y3 * 10 + y4;
        [year, m1 * 10 + m2, d1 * 10 + d2]
    }
}

impl FromStr for BirthDate {
    type Err = IdentityError;

    /// Reads exactly `YYYYMMDD`.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let digits: [u8; 8] = text
            .as_bytes()
            .try_into()
            .map_err(|_| IdentityError::BirthDate)?;
        let date = Self(digits);
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(IdentityError::BirthDate);
        }
        BIRTH_YEARS
            .contains(&date.fields()[0])
            .then_some(date)
            .ok_or(IdentityError::BirthYear)
    }
}

/// The rank among people born on the same day to the same insured: what tells twins apart.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct BirthRank(u8);

impl BirthRank {
    /// The digit: for a file that is about this person.
    #[must_use]
    pub const fn digit(&self) -> char {
        self.0 as char
    }
}

impl FromStr for BirthRank {
    type Err = IdentityError;

    /// Reads one digit, 1 to 9.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        match text.as_bytes() {
            [digit @ b'1'..=b'9'] => Ok(Self(*digit)),
            _ => Err(IdentityError::BirthRank),
        }
    }
}

/// The number by which cards name the payer.
///
/// For a complementary insurer it is the AMC number of its attestation, 8 to 10 digits; for the
/// mandatory one the regime's code, 2 digits (`01`: régime général), or that code, the fund and
/// the centre together. Leading zeros count.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Zeroize, ZeroizeOnDrop)]
pub struct PayerNumber(String);

impl PayerNumber {
    /// The digits. They name an organisation, so a roster may be searched for them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PayerNumber {
    type Err = IdentityError;

    /// Reads digits alone.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let sized = PAYER_NUMBER_DIGITS.contains(&text.len());
        (sized && text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| Self(text.to_owned()))
            .ok_or(IdentityError::PayerNumber)
    }
}

/// The number under which a payer knows the insured (numéro d'adhérent).
///
/// Kept in capitals and without spaces, since cards print it in groups. For the CNAM it is the NIR
/// without its key: `MemberNumber::from(&nir)`.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct MemberNumber(String);

impl FromStr for MemberNumber {
    type Err = IdentityError;

    /// Reads letters and digits, with spaces anywhere.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let compact = without_spaces(text).ok_or(IdentityError::MemberNumber)?;
        let sized = (1..=MEMBER_NUMBER_BYTES_MAX).contains(&compact.len());
        if !sized || !compact.iter().all(u8::is_ascii_alphanumeric) {
            return Err(IdentityError::MemberNumber);
        }
        Ok(Self(ascii_text(&compact)))
    }
}

impl From<&Nir> for MemberNumber {
    fn from(nir: &Nir) -> Self {
        Self(ascii_text(nir.as_bytes()))
    }
}

/// A person, whoever insures him: what the renewal slots are kept under, once blinded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The person's own NIR, even for a child: attached to both parents, he would otherwise have
    /// two pseudonyms and two renewal clocks.
    pub nir: Nir,
    /// The person's own birth date.
    pub birth_date: BirthDate,
    /// The person's own birth rank.
    pub birth_rank: BirthRank,
}

impl Person {
    /// The canonical bytes that the oblivious PRF turns into a person token.
    #[must_use]
    pub fn oprf_input(&self) -> Zeroizing<Vec<u8>> {
        length_prefixed(&[
            PERSON_LABEL,
            self.nir.as_bytes(),
            &self.birth_date.0,
            &[self.birth_rank.0],
        ])
    }
}

/// A person's contract with one payer: what coverage is kept and sealed under, once blinded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// Who pays.
    pub payer_number: PayerNumber,
    /// Under which number it knows the insured.
    pub member_number: MemberNumber,
    /// The beneficiary's own birth date.
    pub birth_date: BirthDate,
    /// The beneficiary's own birth rank.
    pub birth_rank: BirthRank,
}

impl Contract {
    /// The canonical bytes that the oblivious PRF turns into a contract token.
    #[must_use]
    pub fn oprf_input(&self) -> Zeroizing<Vec<u8>> {
        length_prefixed(&[
            CONTRACT_LABEL,
            self.payer_number.0.as_bytes(),
            self.member_number.0.as_bytes(),
            &self.birth_date.0,
            &[self.birth_rank.0],
        ])
    }
}

/// Each part as its length in 2 bytes, big-endian, and its bytes.
fn length_prefixed(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    // Reserved whole at once: a vector that grows leaves unwiped copies behind.
    let total = parts.iter().map(|part| 2 + part.len()).sum();
    let mut bytes = Zeroizing::new(Vec::with_capacity(total));
    for part in parts {
        debug_assert!(part.len() <= FIELD_TEXT_BYTES_MAX);
        let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// The text without its spaces and in capitals; `None` when it is too long to be a field.
fn without_spaces(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    if text.len() > FIELD_TEXT_BYTES_MAX {
        return None;
    }
    let mut compact = Zeroizing::new(Vec::with_capacity(text.len()));
    let characters = text.bytes().filter(|b| *b != b' ');
    compact.extend(characters.map(|b| b.to_ascii_uppercase()));
    Some(compact)
}

/// The value of a short run of decimal digits.
fn decimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value: u64, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// ASCII bytes as text, without a copy that would not be wiped.
fn ascii_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    text.extend(bytes.iter().map(|b| char::from(*b)));
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Published examples, one for each way of reading the department.
    const NIRS: [&str; 3] = [
        "2 95 10 99 126 111 93",
        "2 53 07 2A 073 004 43",
        "2 53 07 2B 073 004 70",
    ];

    fn person() -> Person {
        Person {
            nir: NIRS[0].parse().unwrap(),
            birth_date: "19951012".parse().unwrap(),
            birth_rank: "1".parse().unwrap(),
        }
    }

    fn contract() -> Contract {
        Contract {
            payer_number: "0123456789".parse().unwrap(),
            member_number: "ab 1234".parse().unwrap(),
            birth_date: "19951012".parse().unwrap(),
            birth_rank: "2".parse().unwrap(),
        }
    }

    fn nir_error(text: &str) -> IdentityError {
        text.parse::<Nir>().unwrap_err()
    }

    #[test]
    fn the_published_numbers_are_read_with_and_without_spaces() {
        for text in NIRS {
            let spaced: Nir = text.parse().unwrap();
            let compact: Nir = text.replace(' ', "").to_lowercase().parse().unwrap();
            assert_eq!(spaced, compact);
        }
    }

    #[test]
    fn of_all_hundred_keys_exactly_one_fits() {
        for text in NIRS {
            let (characters, right) = text.split_at(text.len() - 2);
            for key in 0..100 {
                let key = format!("{key:02}");
                let read = format!("{characters}{key}").parse::<Nir>();
                assert_eq!(read.is_ok(), key == right, "{key}");
            }
        }
    }

    #[test]
    fn any_one_mistyped_digit_is_noticed() {
        let right = "295109912611193";
        for position in 0..right.len() {
            for digit in '0'..='9' {
                let mut typed: Vec<char> = right.chars().collect();
                typed[position] = digit;
                let typed: String = typed.into_iter().collect();
                assert_eq!(typed.parse::<Nir>().is_ok(), typed == right);
            }
        }
    }

    /// The 13 characters with the key that belongs to them, by the rule in its plainest form.
    fn with_key(characters: &str) -> String {
        let number: u64 = characters
            .replace("2A", "19")
            .replace("2B", "18")
            .parse()
            .unwrap();
        format!("{characters}{:02}", 97 - number % 97)
    }

    #[test]
    fn the_first_digit_and_the_month_follow_insee() {
        for sex in 0..10 {
            let read = with_key(&format!("{sex}951099126111")).parse::<Nir>();
            let allowed = [1, 2, 3, 4, 7, 8].contains(&sex);
            assert_eq!(read.is_ok(), allowed, "{sex}");
        }
        for month in 0..100 {
            let read = with_key(&format!("295{month:02}99126111")).parse::<Nir>();
            let allowed =
                (1..13).contains(&month) || (20..43).contains(&month) || (50..100).contains(&month);
            assert_eq!(read.is_ok(), allowed, "{month}");
        }
    }

    #[test]
    fn a_number_of_another_shape_is_refused_with_its_reason() {
        for short in ["", "2951099126111", "29510991261119", "2951099126111930"] {
            assert_eq!(nir_error(short), IdentityError::NirLength, "{short}");
        }
        assert_eq!(nir_error(&" ".repeat(33)), IdentityError::NirLength);
        for odd in [
            "253072C07300443",
            "2A3072107300443",
            "25307A207300443",
            "29510991261119+",
            "2951099\u{660}261193",
        ] {
            assert_eq!(nir_error(odd), IdentityError::NirCharacter, "{odd}");
        }
        assert_eq!(nir_error("995109912611193"), IdentityError::NirSex);
        assert_eq!(nir_error("295139912611193"), IdentityError::NirMonth);
        assert_eq!(nir_error("295109912611194"), IdentityError::NirKey);
    }

    #[test]
    fn a_birth_date_need_not_be_in_the_calendar() {
        for text in [
            "19951012", "19400000", "19551300", "19609931", "19700231", "20000199",
        ] {
            assert!(text.parse::<BirthDate>().is_ok(), "{text}");
        }
        for bad in [
            "",
            "1995101",
            "199510123",
            "1995-10-12",
            "95101200 ",
            "1995101a",
        ] {
            let error = bad.parse::<BirthDate>().unwrap_err();
            assert_eq!(error, IdentityError::BirthDate, "{bad}");
        }
        for bad in ["18491231", "22000101", "00000000"] {
            let error = bad.parse::<BirthDate>().unwrap_err();
            assert_eq!(error, IdentityError::BirthYear, "{bad}");
        }
    }

    #[test]
    fn years_are_completed_on_the_birthday() {
        let years = |born: &str, on: &str| {
            let born: BirthDate = born.parse().unwrap();
            born.completed_years(on.parse().unwrap())
        };
        assert_eq!(years("20100615", "2026-06-14"), 15);
        assert_eq!(years("20100615", "2026-06-15"), 16);
        assert_eq!(years("20300615", "2026-06-15"), 0);
        // Uncertain dates count from the earliest day they can mean.
        assert_eq!(years("20100600", "2026-06-01"), 16);
        assert_eq!(years("20100699", "2026-05-31"), 15);
        assert_eq!(years("20100000", "2026-01-01"), 16);
        assert_eq!(years("20103345", "2026-01-01"), 16);
    }

    #[test]
    fn the_month_of_an_age_is_the_one_in_which_its_years_are_completed() {
        for born in ["20100615", "20100600", "20100000", "20103345", "20101231"] {
            let born: BirthDate = born.parse().unwrap();
            let turning = born.turning(16).unwrap();
            let mut day: Day = "2025-01-01".parse().unwrap();
            while born.completed_years(day) < 16 {
                day = day.plus(1);
            }
            assert_eq!(Month::of(day), turning);
        }
        let last: BirthDate = "21990101".parse().unwrap();
        assert_eq!(last.turning(7_801), None);
    }

    #[test]
    fn ranks_and_numbers_have_one_spelling() {
        for bad in ["", "0", "10", "01", " 1", "a", "\u{0661}"] {
            assert_eq!(
                bad.parse::<BirthRank>(),
                Err(IdentityError::BirthRank),
                "{bad}"
            );
        }
        for bad in ["", "1", "12345678901", "12 34", "0123456x", "\u{0661}2"] {
            let error = bad.parse::<PayerNumber>().unwrap_err();
            assert_eq!(error, IdentityError::PayerNumber, "{bad}");
        }
        assert_eq!("01".parse::<PayerNumber>().unwrap().as_str(), "01");
        for bad in ["", "   ", "123456789012345678901", "A-1", "é1"] {
            let error = bad.parse::<MemberNumber>().unwrap_err();
            assert_eq!(error, IdentityError::MemberNumber, "{bad}");
        }
        assert_eq!(
            "ab 12 c".parse::<MemberNumber>().unwrap(),
            "AB12C".parse().unwrap()
        );
    }

    #[test]
    fn for_the_cnam_the_member_number_is_the_nir_without_its_key() {
        let nir: Nir = NIRS[1].parse().unwrap();
        assert_eq!(
            MemberNumber::from(&nir),
            "253072A073004".parse::<MemberNumber>().unwrap()
        );
    }

    #[test]
    fn the_bytes_of_a_person_are_the_documented_ones() {
        assert_eq!(
            hex::encode(person().oprf_input().as_slice()),
            concat!(
                "0011",
                "7669747261696c20763120706572736f6e",
                "000d",
                "32393531303939313236313131",
                "0008",
                "3139393531303132",
                "0001",
                "31",
            )
        );
    }

    #[test]
    fn the_bytes_of_a_contract_are_the_documented_ones() {
        assert_eq!(
            hex::encode(contract().oprf_input().as_slice()),
            concat!(
                "0013",
                "7669747261696c20763120636f6e7472616374",
                "000a",
                "30313233343536373839",
                "0006",
                "414231323334",
                "0008",
                "3139393531303132",
                "0001",
                "32",
            )
        );
    }

    #[test]
    fn moving_a_character_between_two_fields_changes_the_bytes() {
        let with = |payer: &str, member: &str| {
            let mut contract = contract();
            contract.payer_number = payer.parse().unwrap();
            contract.member_number = member.parse().unwrap();
            contract.oprf_input()
        };
        assert_ne!(with("12345678", "912"), with("123456789", "12"));
    }

    #[test]
    fn nothing_personal_prints() {
        let printed = format!("{:?} {:?}", person(), contract());
        assert_eq!(printed.matches("<secret>").count(), 7);
        assert!(!printed.chars().any(|c| c.is_ascii_digit()), "{printed}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = text.parse::<Nir>();
            let _ = text.parse::<BirthDate>();
            let _ = text.parse::<BirthRank>();
            let _ = text.parse::<PayerNumber>();
            let _ = text.parse::<MemberNumber>();
        }

        #[test]
        fn every_number_with_its_right_key_is_read(
            characters in "[123478][0-9]{2}(0[1-9]|1[0-2]|[23]0|[5-9][0-9])([0-9]{2}|2A|2B)[0-9]{6}"
        ) {
            let nir: Nir = with_key(&characters).parse().unwrap();
            prop_assert_eq!(nir.as_bytes(), characters.as_bytes());
        }
    }
}

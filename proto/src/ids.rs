//! The small types of the protocol: one for each kind of number or name.
//!
//! None of them converts silently into another; a figure that has no type of its own here does
//! not belong in a signature of this crate.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use thiserror::Error;

/// Declares a newtype over an unsigned number.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name($inner);

        impl $name {
            /// Wraps the number.
            #[must_use]
            pub const fn new(value: $inner) -> Self {
                Self(value)
            }

            /// The number itself.
            #[must_use]
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// The place of a leaf in the log, counted from 0.
    LeafIndex(u64)
}
number! {
    /// How many leaves a tree has. A tree of size `n` holds the leaves `0..n`.
    TreeSize(u64)
}
number! {
    /// A moment, in milliseconds since 1970-01-01T00:00:00Z.
    UnixMillis(u64)
}
number! {
    /// A moment, in seconds since 1970-01-01T00:00:00Z: what a C2SP cosignature carries.
    UnixSeconds(u64)
}
number! {
    /// A day, counted from 1970-01-01, in UTC. Renewal clocks and validity dates are in days.
    Day(u32)
}
number! {
    /// An amount in euro cents. Amounts are never fractions of a cent and never negative.
    Cents(u64)
}

impl TreeSize {
    /// Whether the tree has this leaf.
    #[must_use]
    pub const fn contains(self, index: LeafIndex) -> bool {
        index.0 < self.0
    }

    /// The index that the next leaf will get.
    #[must_use]
    pub const fn next_index(self) -> LeafIndex {
        LeafIndex(self.0)
    }
}

impl UnixMillis {
    /// The same moment in whole seconds, rounded down.
    #[must_use]
    pub const fn seconds(self) -> UnixSeconds {
        UnixSeconds(self.0 / 1000)
    }

    /// The UTC day this moment falls on; days past the year 9999 are the last day of it.
    #[must_use]
    pub fn day(self) -> Day {
        Day(u32::try_from(self.0 / 86_400_000)
            .unwrap_or(u32::MAX)
            .min(Day::MAX.0))
    }

    /// RFC 3339 in UTC, such as `2026-01-10T00:00:00.5Z`; the year 9999 for all that is later.
    #[must_use]
    pub fn to_iso(self) -> String {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(millis)
            .unwrap_or(Timestamp::MAX)
            .to_string()
    }
}

/// RFC 3339 with any offset, or a day alone, which begins at 0:00 UTC.
impl FromStr for UnixMillis {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if let Ok(day) = text.parse::<Day>() {
            return Ok(day.start());
        }
        let millis = text
            .parse::<Timestamp>()
            .ok()
            .map(Timestamp::as_millisecond);
        let millis = millis.and_then(|millis| u64::try_from(millis).ok());
        millis.map(Self).ok_or(IdError::Moment)
    }
}

/// Why a text is not one of the values of this module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdError {
    /// A date is not `YYYY-MM-DD` between 1970-01-01 and 9999-12-31.
    #[error("a date must be YYYY-MM-DD between 1970-01-01 and 9999-12-31")]
    Date,
    /// A moment is neither RFC 3339 nor a date, or before 1970.
    #[error("a moment must be RFC 3339 such as 2026-01-10T08:30:00Z, or YYYY-MM-DD, from 1970 on")]
    Moment,
    /// A month is not `YYYY-MM`.
    #[error("a month must be YYYY-MM, 0000-01 to 9999-12")]
    Month,
    /// An origin is not a C2SP origin of the allowed length.
    #[error("an origin must be 1 to {ORIGIN_BYTES_MAX} characters out of a-z 0-9 . - / :")]
    Origin,
    /// A member name is not of the allowed alphabet or length.
    #[error("a member name must be 1 to {MEMBER_NAME_BYTES_MAX} characters out of a-z 0-9 . -")]
    MemberName,
    /// A FINESS number is not nine digits.
    #[error("a FINESS number must be nine characters: digits, or 2A/2B and seven digits")]
    Finess,
    /// A request id is not a version 7 UUID.
    #[error("a request id must be a version 7 UUID (RFC 9562, 5.7)")]
    RequestId,
    /// An amount is not `euros` or `euros.cents`.
    #[error("an amount must be euros with at most two decimals, up to 9999999.99")]
    Amount,
}

impl Day {
    /// 9999-12-31, the last day that prints in four digits of year.
    pub const MAX: Self = Self(2_932_896);

    /// The day of a calendar date; `None` before 1970.
    #[must_use]
    pub fn from_date(date: Date) -> Option<Self> {
        let since = date.since(Date::constant(1970, 1, 1)).ok()?.get_days();
        u32::try_from(since).ok().map(Self)
    }

    /// The calendar date; the last day of 9999 for anything beyond.
    #[must_use]
    pub fn date(self) -> Date {
        use jiff::ToSpan as _;
        let days = i64::from(self.0.min(Self::MAX.0));
        Date::constant(1970, 1, 1).saturating_add(days.days())
    }

    /// This day and `days` more.
    #[must_use]
    pub fn plus(self, days: u32) -> Self {
        Self(self.0.saturating_add(days).min(Self::MAX.0))
    }

    /// The first moment of the day.
    #[must_use]
    pub fn start(self) -> UnixMillis {
        UnixMillis(u64::from(self.0) * 86_400_000)
    }

    /// `YYYY-MM-DD`.
    #[must_use]
    pub fn to_iso(self) -> String {
        self.date().to_string()
    }
}

impl FromStr for Day {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let shaped = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let date = shaped.then(|| text.parse::<Date>().ok()).flatten();
        date.and_then(Self::from_date).ok_or(IdError::Date)
    }
}

/// A month of a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: u16,
    month: u8,
}

impl Month {
    /// The last year that prints in four digits.
    const YEAR_MAX: u16 = 9999;

    /// Month 1 to 12 of a year of at most four digits; `None` for any other.
    #[must_use]
    pub fn new(year: u16, month: u8) -> Option<Self> {
        let fits = year <= Self::YEAR_MAX && (1..=12).contains(&month);
        fits.then_some(Self { year, month })
    }

    /// The month that a day lies in.
    #[must_use]
    pub fn of(day: Day) -> Self {
        let date = day.date();
        let (year, month) = (date.year().unsigned_abs(), date.month().unsigned_abs());
        Self { year, month }
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl FromStr for Month {
    type Err = IdError;

    /// Reads exactly `YYYY-MM`.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let bytes = text.as_bytes();
        let digits = |place: std::ops::Range<usize>| {
            let part = text.get(place)?;
            let plain = part.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| part.parse().ok()).flatten()
        };
        let shaped = bytes.len() == 7 && bytes.get(4) == Some(&b'-');
        let year: Option<u16> = shaped.then(|| digits(0..4)).flatten();
        let month = digits(5..7).and_then(|month| u8::try_from(month).ok());
        let month = year
            .zip(month)
            .and_then(|(year, month)| Self::new(year, month));
        month.ok_or(IdError::Month)
    }
}

impl Cents {
    /// The sum, or the largest amount there is.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, never below zero.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// `euros.cents`, always with two decimals.
    #[must_use]
    pub fn to_euros(self) -> String {
        format!("{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

impl FromStr for Cents {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (euros, cents) = text.split_once(['.', ',']).unwrap_or((text, "0"));
        let digits =
            |s: &str, most| (1..=most).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(euros, 7) || !digits(cents, 2) {
            return Err(IdError::Amount);
        }
        let scale = if cents.len() == 1 { 10 } else { 1 };
        let euros: u64 = euros.parse().map_err(|_| IdError::Amount)?;
        let cents: u64 = cents.parse().map_err(|_| IdError::Amount)?;
        Ok(Self(euros * 100 + cents * scale))
    }
}

/// Declares a 32-byte pseudorandom key of the ledger; it is public, but `Debug` still shortens
/// it so that a log line never carries one whole.
macro_rules! ledger_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The key with these bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// Its 32 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

ledger_key! {
    /// What a renewal clock is kept under: derived from a person token and a slot.
    SlotKey
}
ledger_key! {
    /// What a coverage is kept under: derived from a contract token and a grouped code.
    CoverageKey
}
ledger_key! {
    /// What a payer's node finds a contract by: derived from a contract token. It stands in no
    /// entry; only its payer's node is ever sent it.
    ContractKey
}

/// Longest origin: it is the first line of every checkpoint and part of every signature.
pub const ORIGIN_BYTES_MAX: usize = 128;

/// The name of one ledger (C2SP tlog-checkpoint, "origin"), such as `vitrail.example/optique`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(String);

impl Origin {
    /// The text of the origin.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-/:".contains(&b);
        let sized = (1..=ORIGIN_BYTES_MAX).contains(&text.len());
        (sized && text.bytes().all(allowed))
            .then(|| Self(text.to_owned()))
            .ok_or(IdError::Origin)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Longest member name: a roster of a hundred members must fit one entry.
pub const MEMBER_NAME_BYTES_MAX: usize = 64;

/// The name of a federation member: its key name in signed notes, its label in metrics.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberName(String);

impl MemberName {
    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MemberName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b);
        let sized = (1..=MEMBER_NAME_BYTES_MAX).contains(&text.len());
        (sized && text.bytes().all(allowed))
            .then(|| Self(text.to_owned()))
            .ok_or(IdError::MemberName)
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of a health establishment in France's FINESS register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Finess([u8; 9]);

impl Finess {
    /// The nine characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII gets in, through `from_str`.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for Finess {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let bytes: [u8; 9] = text.as_bytes().try_into().map_err(|_| IdError::Finess)?;
        let department = bytes[0].is_ascii_digit()
            && (bytes[1].is_ascii_digit() || (bytes[0] == b'2' && b"AB".contains(&bytes[1])));
        let rest = bytes[2..].iter().all(u8::is_ascii_digit);
        (department && rest)
            .then_some(Self(bytes))
            .ok_or(IdError::Finess)
    }
}

impl fmt::Display for Finess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What makes a retry safe: a version 7 UUID (RFC 9562, 5.7), chosen by the client.
///
/// Its first 48 bits are the milliseconds at which the request was made. The store keeps requests
/// under their id, so ids that follow time keep its writes sequential; `entry` requires that time
/// to be the entry's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId([u8; 16]);

impl RequestId {
    /// The id of a request made at `at`, with 10 bytes of fresh randomness.
    #[must_use]
    pub fn new(at: UnixMillis, random: [u8; 10]) -> Self {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&at.get().to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&random);
        bytes[6] = (bytes[6] & 0x0f) | 0x70; // version 7
        bytes[8] = (bytes[8] & 0x3f) | 0x80; // variant of RFC 9562
        Self(bytes)
    }

    /// Reads the 16 bytes of a version 7 UUID.
    ///
    /// # Errors
    /// [`IdError::RequestId`] when version or variant is another.
    pub fn from_bytes(bytes: [u8; 16]) -> Result<Self, IdError> {
        let is_v7 = bytes[6] >> 4 == 7 && bytes[8] >> 6 == 2;
        is_v7.then_some(Self(bytes)).ok_or(IdError::RequestId)
    }

    /// Its 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The moment the id names.
    #[must_use]
    pub fn at(&self) -> UnixMillis {
        let mut millis = [0; 8];
        millis[2..].copy_from_slice(&self.0[..6]);
        UnixMillis(u64::from_be_bytes(millis))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_prints_and_reads_back() {
        for text in ["1970-01-01T00:00:00Z", "2026-01-10T08:30:00.25Z"] {
            assert_eq!(text.parse::<UnixMillis>().unwrap().to_iso(), text);
        }
        let moment = |text: &str| text.parse::<UnixMillis>();
        assert_eq!(moment("1970-01-02"), Ok(UnixMillis::new(86_400_000)));
        assert_eq!(
            moment("1970-01-01T01:00:01+01:00"),
            Ok(UnixMillis::new(1000))
        );
        for bad in ["", "1969-12-31T23:59:59Z", "now", "2026-01-10T08:30"] {
            assert_eq!(moment(bad), Err(IdError::Moment), "{bad}");
        }
        assert!(UnixMillis::new(u64::MAX).to_iso().starts_with("9999-"));
    }

    #[test]
    fn a_month_has_one_spelling() {
        for text in ["0000-01", "2026-11", "9999-12"] {
            assert_eq!(text.parse::<Month>().unwrap().to_string(), text);
        }
        for bad in [
            "", "2026", "2026-00", "2026-13", "2026-1", "2026/01", "+026-01", "2026-+1", "2026-011",
        ] {
            assert_eq!(bad.parse::<Month>(), Err(IdError::Month), "{bad}");
        }
    }

    #[test]
    fn a_day_prints_and_reads_back() {
        for text in ["1970-01-01", "2024-02-29", "9999-12-31"] {
            assert_eq!(text.parse::<Day>().unwrap().to_iso(), text);
        }
        for bad in [
            "1969-12-31",
            "2023-02-29",
            "2024-2-1",
            "20240201",
            "2024-02-01T00:00",
        ] {
            assert_eq!(bad.parse::<Day>(), Err(IdError::Date), "{bad}");
        }
    }

    #[test]
    fn the_last_day_is_the_constant() {
        assert_eq!("9999-12-31".parse::<Day>().unwrap(), Day::MAX);
    }

    #[test]
    fn an_amount_reads_to_the_cent() {
        assert_eq!("30".parse::<Cents>().unwrap().get(), 3000);
        assert_eq!("0,05".parse::<Cents>().unwrap().get(), 5);
        assert_eq!("1.5".parse::<Cents>().unwrap().to_euros(), "1.50");
        for bad in ["", "-1", "1.005", "1.", ".5", "12345678", "1e3", "+1"] {
            assert_eq!(bad.parse::<Cents>(), Err(IdError::Amount), "{bad}");
        }
    }

    #[test]
    fn a_request_id_carries_its_moment() {
        let at = UnixMillis::new(1_768_000_000_123);
        let id = RequestId::new(at, [0xff; 10]);
        assert_eq!(id.at(), at);
        assert_eq!(RequestId::from_bytes(*id.as_bytes()), Ok(id));
        assert_eq!(RequestId::from_bytes([0; 16]), Err(IdError::RequestId));
    }

    #[test]
    fn a_corsican_finess_number_is_one() {
        assert_eq!("2A0000123".parse::<Finess>().unwrap().as_str(), "2A0000123");
        assert_eq!("2C0000123".parse::<Finess>(), Err(IdError::Finess));
    }

    #[test]
    fn debug_of_a_ledger_key_shows_no_byte_of_it() {
        assert_eq!(format!("{:?}", SlotKey::from_bytes([7; 32])), "SlotKey(..)");
    }
}

//! Renewal clocks: when an item is paid for again, and until when a prescription counts.
//!
//! Everything is in completed years, days and calendar months, so that till, ledger and payer find
//! the same date. Sources: the list of products and services (LPP), title II, chapter 2, as set by
//! the order (arrêté) of 3 December 2018, for the clocks and what opens them early; decree 2016-1381
//! of 12 October 2016 for prescriptions.
//!
//! A payer learns two predicates and no more: [`is_old_enough`] and [`is_attested`]. That a sight
//! changed is the optician's word; by how much, nobody is told.

use std::fmt;
use std::str::FromStr;

use jiff::ToSpan as _;
use thiserror::Error;

use crate::ids::Day;
use crate::lpp::Slot;
use crate::refusal::Reason;

/// From this age on the clocks and prescriptions of adults apply (LPP, title II, chapter 2).
pub const ADULT_YEARS: u16 = 16;
/// Under this age a frame that no longer fits opens an early renewal (LPP, title II, chapter 2).
pub const FRAME_FIT_YEARS: u16 = 6;
/// Above this age a prescription for spectacles counts for three years (decree 2016-1381).
pub const LONG_PRESCRIPTION_YEARS_MAX: u16 = 42;
/// From one pair to the next, from 16 years on.
pub const ADULT_MONTHS: u16 = 24;
/// From one pair to the next, under 16 years; and for contact lenses, whose flat rate is yearly.
pub const CHILD_MONTHS: u16 = 12;
/// From one pair to the next, from 16 years on, when sight has changed.
pub const SIGHT_CHANGE_MONTHS: u16 = 12;
/// From one pair to the next, under 6 years, when the frame no longer fits the face.
pub const FRAME_FIT_MONTHS: u16 = 6;

/// What the optician attests to open a renewal before its time: one of five words, no diopter.
///
/// The number is signed and sealed: it never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum EarlyRenewal {
    /// Nothing is attested.
    #[default]
    None = 0,
    /// Sight has changed by as much as the list asks for; from 16 years on.
    SightChange = 1,
    /// An ophthalmologist has prescribed for a child's sight that got worse; under 16 years.
    Child = 2,
    /// One of the listed medical situations, with a new prescription.
    Medical = 3,
    /// The frame no longer fits the face of a child under 6 years.
    FrameFit = 4,
}

/// A text names no condition of an early renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an early renewal must be one of none, sight-change, child, medical, frame-fit")]
pub struct UnknownEarlyRenewal;

impl EarlyRenewal {
    /// Every condition, in the order of its number.
    pub const ALL: [Self; 5] = [
        Self::None,
        Self::SightChange,
        Self::Child,
        Self::Medical,
        Self::FrameFit,
    ];

    /// The byte that is signed and sealed.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// The condition of a byte; `None` for any that stands for none.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.byte() == byte)
    }

    /// The word for it in settings, command line and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SightChange => "sight-change",
            Self::Child => "child",
            Self::Medical => "medical",
            Self::FrameFit => "frame-fit",
        }
    }
}

impl fmt::Display for EarlyRenewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EarlyRenewal {
    type Err = UnknownEarlyRenewal;

    fn from_str(text: &str) -> Result<Self, UnknownEarlyRenewal> {
        let named = Self::ALL.into_iter().find(|known| known.as_str() == text);
        named.ok_or(UnknownEarlyRenewal)
    }
}

/// The same day of the month, `months` later; the last day of that month if it has no such day
/// (code of civil procedure, article 641). At most 9999-12-31.
#[must_use]
pub fn plus_months(day: Day, months: u16) -> Day {
    let later = day.date().checked_add(i32::from(months).months());
    later.ok().and_then(Day::from_date).unwrap_or(Day::MAX)
}

/// Months from a delivery to the next one that is paid for, by the published rules: age in
/// completed years on the day of the delivery. A payer's terms may say otherwise.
#[must_use]
pub const fn months_until_renewal(age: u16, slot: Slot) -> u16 {
    if age < ADULT_YEARS || matches!(slot, Slot::ContactLenses) {
        CHILD_MONTHS
    } else {
        ADULT_MONTHS
    }
}

/// The first day on which a slot that was delivered on a day is free again. The slot is taken up
/// to and including the day before.
#[must_use]
pub fn free_again_on(delivered: Day, months: u16) -> Day {
    plus_months(delivered, months)
}

/// How many months after the last delivery the attested condition opens this slot at this age,
/// in completed years today; `None` if it opens nothing.
///
/// | condition | age | slots | months |
/// |---|---|---|---|
/// | sight change | from 16 | a whole pair: frame, lenses and what goes with them | 12 |
/// | child | under 16 | lenses and what goes with them | 0 |
/// | medical | any | lenses and what goes with them | 0 |
/// | frame fit | under 6 | a whole pair | 6 |
///
/// The list speaks of a pair (équipement) for a change of sight and for the fit of a frame, and of
/// lenses (verres) for children and medical situations. Contact lenses have no early renewal.
#[must_use]
pub const fn earliest_early_renewal(condition: EarlyRenewal, slot: Slot, age: u16) -> Option<u16> {
    let pair = is_of_pair(slot);
    let lens = pair && !matches!(slot, Slot::Frame | Slot::ShellFrame);
    match condition {
        EarlyRenewal::SightChange if pair && age >= ADULT_YEARS => Some(SIGHT_CHANGE_MONTHS),
        EarlyRenewal::Child if lens && age < ADULT_YEARS => Some(0),
        EarlyRenewal::Medical if lens => Some(0),
        EarlyRenewal::FrameFit if pair && age < FRAME_FIT_YEARS => Some(FRAME_FIT_MONTHS),
        _ => None,
    }
}

/// Whether a slot belongs to a pair of spectacles.
const fn is_of_pair(slot: Slot) -> bool {
    match slot {
        Slot::Frame
        | Slot::RightLens
        | Slot::LeftLens
        | Slot::Adaptation
        | Slot::Pairing
        | Slot::ShellFrame
        | Slot::Tint
        | Slot::OtherSupplement => true,
        Slot::ContactLenses | Slot::OtherOptics | Slot::PrescriptionRenewal => false,
    }
}

/// Predicate P1: the last covered item of the slot is old enough, or there was none.
#[must_use]
pub fn is_old_enough(delivered: Option<Day>, months: u16, today: Day) -> bool {
    delivered.is_none_or(|delivered| free_again_on(delivered, months) <= today)
}

/// Predicate P2: a condition of early renewal was attested that opens this slot today.
#[must_use]
pub fn is_attested(
    condition: EarlyRenewal,
    slot: Slot,
    age: u16,
    delivered: Day,
    today: Day,
) -> bool {
    judge_early(condition, slot, age, delivered, today).is_ok()
}

/// Whether the attested condition opens a slot that is still held.
///
/// # Errors
/// [`Reason::SlotHeld`] when nothing is attested, [`Reason::EarlyRenewalNotOpen`] when the
/// condition opens nothing for this slot at this age, [`Reason::EarlyRenewalTooSoon`] when it
/// opens it on a later day ([`opens_on`] says which).
pub fn judge_early(
    condition: EarlyRenewal,
    slot: Slot,
    age: u16,
    delivered: Day,
    today: Day,
) -> Result<(), Reason> {
    if condition == EarlyRenewal::None {
        return Err(Reason::SlotHeld);
    }
    let opens = opens_on(condition, slot, age, delivered).ok_or(Reason::EarlyRenewalNotOpen)?;
    (opens <= today)
        .then_some(())
        .ok_or(Reason::EarlyRenewalTooSoon)
}

/// The first day on which the condition opens the slot; `None` if it never does at this age.
#[must_use]
pub fn opens_on(condition: EarlyRenewal, slot: Slot, age: u16, delivered: Day) -> Option<Day> {
    let months = earliest_early_renewal(condition, slot, age)?;
    Some(plus_months(delivered, months))
}

/// For how many months a prescription counts: by the age in completed years on its date.
///
/// For spectacles one year under 16, five years from 16 to 42, three years above; for contact
/// lenses one year under 16 and three years from then on. "42" is read as 42 completed years.
#[must_use]
pub const fn prescription_months(age_at_its_date: u16, slot: Slot) -> u16 {
    const YEAR: u16 = 12;
    match age_at_its_date {
        0..ADULT_YEARS => YEAR,
        ADULT_YEARS..=LONG_PRESCRIPTION_YEARS_MAX if !matches!(slot, Slot::ContactLenses) => {
            5 * YEAR
        }
        _ => 3 * YEAR,
    }
}

/// A prescription as the till knows it: its date, and how old the person was. Nothing of what is
/// prescribed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prescription {
    /// Its date.
    pub date: Day,
    /// Completed years of the person on that date.
    pub age: u16,
}

impl Prescription {
    /// The first day on which it no longer counts for this slot: the list asks for one "less than"
    /// so many years old, so the anniversary itself is too late.
    #[must_use]
    pub fn ends_on(&self, slot: Slot) -> Day {
        plus_months(self.date, prescription_months(self.age, slot))
    }

    /// Whether it counts for this slot on a day. One of a later date does not.
    #[must_use]
    pub fn is_valid(&self, slot: Slot, on: Day) -> bool {
        self.date <= on && on < self.ends_on(slot)
    }
}

#[cfg(test)]
mod tests;

//! What a payer commits to for one grouped code of one contract.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::{Limits, Rule};
use crate::ids::{Cents, Day};
use crate::lpp::{GroupedCode, Slot};
use crate::renewal::{self, ADULT_YEARS, EarlyRenewal};

/// Longest name of a network: it is in every coverage that has one.
pub const NETWORK_NAME_BYTES_MAX: usize = 32;
/// Longest time between two renewals that is believed: beyond ten years it is a slip.
pub const RENEWAL_MONTHS_MAX: u16 = 120;

/// A text is not the name of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a network must be 1 to {NETWORK_NAME_BYTES_MAX} characters out of A-Z a-z 0-9 . - _")]
pub struct NetworkNameError;

/// The name of a payer's network of opticians.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkName(String);

impl NetworkName {
    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NetworkName {
    type Err = NetworkNameError;

    fn from_str(text: &str) -> Result<Self, NetworkNameError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
        let sized = (1..=NETWORK_NAME_BYTES_MAX).contains(&text.len());
        (sized && text.bytes().all(allowed))
            .then(|| Self(text.to_owned()))
            .ok_or(NetworkNameError)
    }
}

impl fmt::Display for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The days on which something runs, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    /// The first day.
    pub from: Day,
    /// The last day. A period whose last day is before its first has no day.
    pub to: Day,
}

impl Period {
    /// Every day there is.
    pub const ALWAYS: Self = Self {
        from: Day::new(0),
        to: Day::MAX,
    };

    /// Whether it has this day.
    #[must_use]
    pub fn contains(self, day: Day) -> bool {
        self.from <= day && day <= self.to
    }

    /// The days that are in both; `None` if there is none.
    #[must_use]
    pub fn within(self, other: Self) -> Option<Self> {
        let both = Self {
            from: self.from.max(other.from),
            to: self.to.min(other.to),
        };
        (both.from <= both.to).then_some(both)
    }
}

/// Months from a delivery to the next one that the payer pays for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RenewalMonths {
    /// From 16 years on.
    pub adult: u16,
    /// Under 16 years.
    pub child: u16,
    /// Under 6 years, when the frame no longer fits.
    pub frame_fit: u16,
}

impl RenewalMonths {
    /// Those of the list of products, which a responsible contract can neither shorten nor extend.
    pub const PUBLISHED: Self = Self {
        adult: renewal::ADULT_MONTHS,
        child: renewal::CHILD_MONTHS,
        frame_fit: renewal::FRAME_FIT_MONTHS,
    };

    /// Those of the list for one slot: contact lenses have a yearly clock at any age.
    #[must_use]
    pub const fn published(slot: Slot) -> Self {
        Self {
            adult: renewal::months_until_renewal(ADULT_YEARS, slot),
            ..Self::PUBLISHED
        }
    }

    /// The same time for everybody.
    #[must_use]
    pub const fn uniform(months: u16) -> Self {
        Self {
            adult: months,
            child: months,
            frame_fit: months,
        }
    }

    /// For a person who has completed this many years on the day of delivery.
    #[must_use]
    pub const fn at(self, age: u16) -> u16 {
        if age < ADULT_YEARS {
            self.child
        } else {
            self.adult
        }
    }

    /// How many months after the last delivery the condition opens the slot at this age: as the
    /// list says, with the payer's own time for a frame that no longer fits.
    #[must_use]
    pub fn early(self, condition: EarlyRenewal, slot: Slot, age: u16) -> Option<u16> {
        let published = renewal::earliest_early_renewal(condition, slot, age)?;
        Some(match condition {
            EarlyRenewal::FrameFit => self.frame_fit,
            _ => published,
        })
    }

    /// Whether each is at least one and at most [`RENEWAL_MONTHS_MAX`] months.
    #[must_use]
    pub fn in_range(self) -> bool {
        let all = [self.adult, self.child, self.frame_fit];
        all.iter()
            .all(|months| (1..=RENEWAL_MONTHS_MAX).contains(months))
    }
}

/// The rule for opticians of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkRule {
    /// The network.
    pub name: NetworkName,
    /// What is paid at its opticians.
    pub rule: Rule,
}

/// What a payer commits to for one grouped code of one contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The grouped code it is for.
    pub grouped_code: GroupedCode,
    /// The days on which the contract's rights run.
    pub rights: Period,
    /// What is paid, outside the network if there is one.
    pub rule: Rule,
    /// What is paid in the payer's network instead.
    pub network: Option<NetworkRule>,
    /// Limits of the whole pair.
    pub limits: Option<Limits>,
    /// When the next one is paid for.
    pub renewal: RenewalMonths,
}

/// Months from the delivery of an item until the next one is paid for, at this age in completed
/// years on the day of delivery: of the terms for its grouped code the longest, since the clock of
/// a slot is one and a payer that pays yearly does not pay for one that pays every second year.
/// Without terms for it, those of the list.
#[must_use]
pub fn renewal_months<'t>(
    terms: impl IntoIterator<Item = &'t Terms>,
    grouped_code: GroupedCode,
    slot: Slot,
    age: u16,
) -> u16 {
    let of_code = terms
        .into_iter()
        .filter(|terms| terms.grouped_code == grouped_code);
    let longest = of_code.map(|terms| terms.renewal.at(age)).max();
    longest.unwrap_or(renewal::months_until_renewal(age, slot))
}

impl Terms {
    /// The same for a shop that is in the payer's network: the network's rule is the only one.
    #[must_use]
    pub fn in_network(self) -> Self {
        let rule = self.network.as_ref().map_or(self.rule, |own| own.rule);
        Self {
            rule,
            network: None,
            ..self
        }
    }

    /// A fixed amount for everybody and everywhere, on top of what earlier payers pay.
    #[must_use]
    pub const fn cap(grouped_code: GroupedCode, most: Cents, renewal_months: u16) -> Self {
        Self {
            grouped_code,
            rights: Period::ALWAYS,
            rule: Rule::Cap {
                most,
                counting: super::Counting::Alone,
            },
            network: None,
            limits: None,
            renewal: RenewalMonths::uniform(renewal_months),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_one_is_paid_for_when_the_last_payer_pays_again() {
        let terms = |code: &str, adult, child| Terms {
            renewal: RenewalMonths {
                adult,
                child,
                frame_fit: 6,
            },
            ..Terms::cap(code.parse().unwrap(), Cents::new(1), 24)
        };
        let both = [
            terms("M03", 24, 12),
            terms("M03", 36, 6),
            terms("VU1", 48, 48),
        ];
        let months = |code: &str, slot, age| {
            let code = code.parse().unwrap();
            renewal_months(&both, code, slot, age)
        };
        assert_eq!(months("M03", Slot::Frame, 16), 36);
        assert_eq!(months("M03", Slot::Frame, 15), 12);
        assert_eq!(months("VU1", Slot::LeftLens, 40), 48);
        // Nobody says anything of it.
        assert_eq!(months("M01", Slot::Frame, 40), 24);
        assert_eq!(months("M01", Slot::Frame, 15), 12);
        assert_eq!(months("LEN", Slot::ContactLenses, 40), 12);
    }
}

//! How much one payer pays for one item, before any limit of the whole pair.

use thiserror::Error;

use crate::ids::Cents;

/// Highest rate: ten times the base is more than any contract promises, beyond it is a slip.
pub const PERCENT_MAX: u16 = 1_000;

/// A number is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a rate must be 0 to {PERCENT_MAX} per cent of the base")]
pub struct PercentError;

/// A rate in whole per cent, at most [`PERCENT_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u16);

impl Percent {
    /// All of the base.
    pub const WHOLE: Self = Self(100);

    /// So many per cent.
    ///
    /// # Errors
    /// [`PercentError`] above [`PERCENT_MAX`].
    pub const fn new(percent: u16) -> Result<Self, PercentError> {
        if percent <= PERCENT_MAX {
            Ok(Self(percent))
        } else {
            Err(PercentError)
        }
    }

    /// The number of per cent.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// This part of an amount, to the cent; half a cent is rounded up.
    #[must_use]
    pub fn of(self, amount: Cents) -> Cents {
        let hundredths = u128::from(amount.get()) * u128::from(self.0);
        let cents = (hundredths + 50) / 100;
        Cents::new(u64::try_from(cents).unwrap_or(u64::MAX))
    }
}

/// Whether the amount of a rule holds for this payer alone, or for the earlier payers and it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counting {
    /// It comes on top of what earlier payers pay.
    Alone,
    /// What earlier payers pay is taken off it.
    WithEarlier,
}

impl Counting {
    fn reduce(self, amount: Cents, earlier: Cents) -> Cents {
        match self {
            Self::Alone => amount,
            Self::WithEarlier => amount.minus(earlier),
        }
    }
}

/// What a payer pays for one item of a grouped code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Nothing.
    Nothing,
    /// All that earlier payers leave, if the price is within the limit of the catalogue (PLV) and
    /// within this one. Where neither sets a limit, nothing: an amount without a bound is not
    /// what anybody committed to.
    Full {
        /// A price limit of the payer's own.
        limit: Option<Cents>,
    },
    /// A rate of the catalogue's base, and a fixed amount more. The base counts up to the price;
    /// without a base in the catalogue it is zero.
    Rate {
        /// The rate.
        percent: Percent,
        /// Of whom it holds.
        counting: Counting,
        /// What comes on top of it.
        plus: Cents,
    },
    /// A fixed amount at most.
    Cap {
        /// The amount.
        most: Cents,
        /// Of whom it holds.
        counting: Counting,
    },
}

impl Rule {
    /// What the mandatory insurer pays: a rate of the base.
    #[must_use]
    pub const fn mandatory(percent: Percent) -> Self {
        Self::Rate {
            percent,
            counting: Counting::Alone,
            plus: Cents::new(0),
        }
    }

    /// The insured person's own part of the base (ticket modérateur): the whole base with what
    /// earlier payers paid taken off.
    pub const COPAYMENT: Self = Self::Rate {
        percent: Percent::WHOLE,
        counting: Counting::WithEarlier,
        plus: Cents::new(0),
    };

    /// The amount for an item, never more than earlier payers leave of its price.
    pub(super) fn amount(
        self,
        price: Cents,
        base: Option<Cents>,
        price_limit: Option<Cents>,
        earlier: Cents,
    ) -> Cents {
        let left = price.minus(earlier);
        let amount = match self {
            Self::Nothing => Cents::default(),
            Self::Full { limit } => {
                let lowest = [limit, price_limit].into_iter().flatten().min();
                let within = lowest.is_some_and(|limit| price <= limit);
                if within { left } else { Cents::default() }
            }
            Self::Rate {
                percent,
                counting,
                plus,
            } => {
                let base = base.unwrap_or_default().min(price);
                counting.reduce(percent.of(base).plus(plus), earlier)
            }
            Self::Cap { most, counting } => counting.reduce(most, earlier),
        };
        amount.min(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cents(cents: u64) -> Cents {
        Cents::new(cents)
    }

    #[test]
    fn half_a_cent_is_rounded_up_and_less_is_not() {
        let of = |percent, amount| Percent::new(percent).unwrap().of(cents(amount)).get();
        assert_eq!(of(60, 5), 3);
        assert_eq!(of(90, 5), 5); // 4.5
        assert_eq!(of(60, 4), 2); // 2.4
        assert_eq!(of(65, 10), 7); // 6.5
        assert_eq!(of(0, 999), 0);
        assert_eq!(of(1_000, 5), 50);
        assert_eq!(
            Percent::new(1_000).unwrap().of(cents(u64::MAX)).get(),
            u64::MAX
        );
        assert_eq!(Percent::new(1_001), Err(PercentError));
    }

    #[test]
    fn full_cover_stops_at_the_lower_of_the_two_limits() {
        let full = |limit: Option<u64>, plv: Option<u64>| {
            let limit = limit.map(cents);
            let rule = Rule::Full { limit };
            rule.amount(cents(3_000), None, plv.map(cents), cents(540))
                .get()
        };
        assert_eq!(full(None, Some(3_000)), 2_460);
        assert_eq!(full(None, Some(2_999)), 0);
        assert_eq!(full(Some(3_000), None), 2_460);
        assert_eq!(full(Some(2_999), Some(3_000)), 0);
        assert_eq!(full(None, None), 0);
    }

    #[test]
    fn a_rate_counts_the_base_up_to_the_price_and_takes_earlier_payments_off_if_it_says_so() {
        let amount = |percent, counting, plus, price, earlier| {
            let percent = Percent::new(percent).unwrap();
            let plus = cents(plus);
            let rule = Rule::Rate {
                percent,
                counting,
                plus,
            };
            rule.amount(cents(price), Some(cents(900)), None, cents(earlier))
                .get()
        };
        assert_eq!(amount(60, Counting::Alone, 0, 2_000, 0), 540);
        assert_eq!(amount(60, Counting::Alone, 0, 500, 0), 300);
        assert_eq!(amount(100, Counting::WithEarlier, 0, 2_000, 540), 360);
        assert_eq!(amount(200, Counting::WithEarlier, 0, 2_000, 540), 1_260);
        assert_eq!(amount(200, Counting::Alone, 0, 2_000, 540), 1_460);
        assert_eq!(amount(100, Counting::WithEarlier, 1_000, 5_000, 540), 1_360);
        assert_eq!(amount(100, Counting::WithEarlier, 0, 2_000, 1_000), 0);
    }

    #[test]
    fn a_cap_never_pays_more_than_is_left() {
        let amount = |counting, earlier| {
            let most = cents(1_000);
            let rule = Rule::Cap { most, counting };
            rule.amount(cents(1_200), None, None, cents(earlier)).get()
        };
        assert_eq!(amount(Counting::Alone, 100), 1_000);
        assert_eq!(amount(Counting::Alone, 500), 700);
        assert_eq!(amount(Counting::WithEarlier, 100), 900);
        assert_eq!(amount(Counting::WithEarlier, 1_100), 0);
    }
}

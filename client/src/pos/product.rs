//! What is sold, and what the catalogue says of it.

use std::collections::BTreeSet;
use std::str::FromStr;

use proto::attestation::CLAIM_LINES_MAX;
use proto::benefit;
use proto::ids::{Cents, Day, IdError};
use proto::lpp::{
    Catalogue, GroupedCode, LppCode, LppCodeError, LppRefusal, Side, Slot, SlotError,
};
use proto::refusal::Reason;
use thiserror::Error;

use crate::failure::{Failure, FailureKind};

/// One thing to be sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Which product.
    pub code: LppCode,
    /// For which eye, if it is a lens.
    pub side: Option<Side>,
    /// At what price.
    pub price: Cents,
}

/// Why a text is not an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ItemTextError {
    /// It is not `CODE=PRICE` or `CODE/SIDE=PRICE`.
    #[error("an item must be CODE=PRICE or CODE/SIDE=PRICE, as in 2264861=95.00")]
    Shape,
    /// The code is not one.
    #[error(transparent)]
    Code(#[from] LppCodeError),
    /// The side is not one.
    #[error("a side must be right or left")]
    Side,
    /// The price is not one.
    #[error("price: {0}")]
    Price(#[from] IdError),
}

impl FromStr for Item {
    type Err = ItemTextError;

    /// Reads `2264861=95.00` or `2263927/left=32.50`.
    fn from_str(text: &str) -> Result<Self, ItemTextError> {
        let (product, price) = text.split_once('=').ok_or(ItemTextError::Shape)?;
        let (code, side) = match product.split_once('/') {
            Some((code, "right")) => (code, Some(Side::Right)),
            Some((code, "left")) => (code, Some(Side::Left)),
            Some(_) => return Err(ItemTextError::Side),
            None => (product, None),
        };
        Ok(Self {
            code: code.parse()?,
            side,
            price: price.parse()?,
        })
    }
}

/// Why items cannot be quoted together. Positions count from 1, as in the user's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ItemError {
    /// There is none, or there are more than a claim can have.
    #[error("a quote has 1 to {CLAIM_LINES_MAX} items, got {got}")]
    Count {
        /// How many there are.
        got: usize,
    },
    /// It is not written as an item is.
    #[error("item {position}: {reason}")]
    Text {
        /// Which item.
        position: usize,
        /// What is wrong.
        reason: ItemTextError,
    },
    /// The catalogue does not have the product, or no more.
    #[error("item {position}: {reason}")]
    Product {
        /// Which item.
        position: usize,
        /// What the catalogue says.
        reason: LppRefusal,
    },
    /// A lens without its side, or something else with one.
    #[error("item {position}: {reason}")]
    Side {
        /// Which item.
        position: usize,
        /// What is wrong.
        reason: SlotError,
    },
    /// Two items fill one slot.
    #[error("item {position} fills the same slot as an earlier one")]
    SameSlot {
        /// The later one.
        position: usize,
    },
    /// Two items may not be billed together.
    #[error("items {earlier} and {later} may not be billed together")]
    Incompatible {
        /// The one that stands first.
        earlier: usize,
        /// The other.
        later: usize,
    },
}

/// Items that a rule refuses before anybody is asked: the answer is no, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemsRefused {
    /// The rule.
    pub reason: Reason,
    /// The items that it is about, counted from 1.
    pub positions: Vec<usize>,
}

impl ItemError {
    /// The refusal that this is. `None` when the items cannot be read or put together: then
    /// there is nothing that a rule could say no to.
    #[must_use]
    pub fn refusal(&self) -> Option<ItemsRefused> {
        let (reason, positions) = match *self {
            Self::Text {
                position,
                reason: ItemTextError::Code(LppCodeError::CheckDigit),
            } => (Reason::LppCodeMistyped, vec![position]),
            Self::Product { position, reason } => {
                let reason = match reason {
                    LppRefusal::Unknown => Reason::LppCodeUnknown,
                    LppRefusal::Expired { .. } => Reason::LppCodeExpired,
                };
                (reason, vec![position])
            }
            Self::Incompatible { earlier, later } => {
                (Reason::ItemsIncompatible, vec![earlier, later])
            }
            Self::Text { .. } | Self::Count { .. } | Self::Side { .. } | Self::SameSlot { .. } => {
                return None;
            }
        };
        Some(ItemsRefused { reason, positions })
    }
}

impl Failure for ItemError {
    fn kind(&self) -> FailureKind {
        match self.refusal() {
            Some(_) => FailureKind::Refused,
            None => FailureKind::Malformed,
        }
    }
}

/// Reads the items of a user's list.
///
/// # Errors
/// [`ItemError::Text`], which names the first item that is not one.
pub fn read_items<T: AsRef<str>>(texts: &[T]) -> Result<Vec<Item>, ItemError> {
    let item = |(position, text): (usize, &T)| {
        let read = text.as_ref().parse();
        read.map_err(|reason| ItemError::Text { position, reason })
    };
    (1..).zip(texts).map(item).collect()
}

/// An item with what the catalogue says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// The item.
    pub item: Item,
    /// What its payers may see of it.
    pub grouped_code: GroupedCode,
    /// What its renewal clock applies to.
    pub slot: Slot,
    /// The amount that rates apply to.
    pub base: Option<Cents>,
    /// The highest price it may be sold at.
    pub price_limit: Option<Cents>,
    /// The last age in completed years that it is for.
    pub age_max: Option<u16>,
}

impl Product {
    /// What the rules of benefit see of it.
    #[must_use]
    pub const fn priced(&self) -> benefit::Item {
        benefit::Item {
            grouped_code: self.grouped_code,
            slot: self.slot,
            price: self.item.price,
            base: self.base,
            price_limit: self.price_limit,
            age_max: self.age_max,
        }
    }
}

/// Looks the items up in the catalogue.
pub(super) fn look_up(
    catalogue: &Catalogue,
    items: &[Item],
    today: Day,
) -> Result<Vec<Product>, ItemError> {
    let got = items.len();
    if !(1..=CLAIM_LINES_MAX).contains(&got) {
        return Err(ItemError::Count { got });
    }
    let mut slots = BTreeSet::new();
    let mut products = Vec::with_capacity(got);
    for (position, item) in (1..).zip(items) {
        let product = look_up_one(catalogue, item, today, position)?;
        if !slots.insert(product.slot) {
            return Err(ItemError::SameSlot { position });
        }
        products.push(product);
    }
    together(catalogue, items)?;
    Ok(products)
}

/// Refuses the first pair of items that may not be billed together.
fn together(catalogue: &Catalogue, items: &[Item]) -> Result<(), ItemError> {
    for (later, item) in (1..).zip(items) {
        for (earlier, other) in (1..later).zip(items) {
            if catalogue.incompatible(other.code, item.code) {
                return Err(ItemError::Incompatible { earlier, later });
            }
        }
    }
    Ok(())
}

fn look_up_one(
    catalogue: &Catalogue,
    item: &Item,
    today: Day,
    position: usize,
) -> Result<Product, ItemError> {
    let line = catalogue
        .lookup(item.code, today)
        .map_err(|reason| ItemError::Product { position, reason })?;
    let slot = line
        .grouped_code
        .slot(item.side)
        .map_err(|reason| ItemError::Side { position, reason })?;
    Ok(Product {
        item: *item,
        grouped_code: line.grouped_code,
        slot,
        base: line.base,
        price_limit: line.plv,
        age_max: line.age_max.map(|age| u16::from(age.get())),
    })
}

#[cfg(test)]
pub(super) mod example {
    use proto::lpp::{CatalogueHeader, CatalogueLine};

    use super::*;

    /// A class A frame at 30 EUR at most, a class B frame with a base of 0.05, a child's frame, a neutral lens.
    pub(in crate::pos) fn catalogue() -> Catalogue {
        let header = CatalogueHeader {
            version: "TEST-1".parse().unwrap(),
            valid_from: Day::new(18_000),
        };
        let line = |code: &str, grouped: &str, plv: Option<u64>, age: Option<u8>| CatalogueLine {
            code: code.parse().unwrap(),
            grouped_code: grouped.parse().unwrap(),
            label: "Article".parse().unwrap(),
            base: (grouped == "M03").then_some(Cents::new(5)),
            plv: plv.map(Cents::new),
            age_max: age.and_then(std::num::NonZeroU8::new),
            end: (code == "2209738").then(|| Day::new(19_000)),
        };
        let lines = vec![
            line("2222124", "M01", Some(3000), None),
            line("2264861", "M03", None, None),
            line("2276870", "M04", None, Some(15)),
            line("2263927", "V01", None, None),
            line("2209738", "SV1", None, None),
        ];
        let pair = |one: &str, other: &str| {
            proto::lpp::CodePair::new(one.parse().unwrap(), other.parse().unwrap())
        };
        let incompatible = pair("2222124", "2263927").into_iter().collect();
        let catalogue = Catalogue::new(header, lines).unwrap();
        catalogue
            .with_pairs(incompatible, Default::default())
            .unwrap()
    }

    pub(in crate::pos) const TODAY: Day = Day::new(20_500);
}

#[cfg(test)]
mod tests {
    use super::example::{TODAY, catalogue};
    use super::*;

    fn products(items: &[&str]) -> Result<Vec<Product>, ItemError> {
        let items: Vec<Item> = items.iter().map(|item| item.parse().unwrap()).collect();
        look_up(&catalogue(), &items, TODAY)
    }

    #[test]
    fn an_item_is_a_code_a_side_and_a_price() {
        let item: Item = "2263927/left=32.5".parse().unwrap();
        assert_eq!(item.side, Some(Side::Left));
        assert_eq!(item.price, Cents::new(3250));
        assert_eq!("2263927".parse::<Item>(), Err(ItemTextError::Shape));
        assert_eq!("2263927/up=1".parse::<Item>(), Err(ItemTextError::Side));
        let mistyped = Err(ItemTextError::Code(LppCodeError::CheckDigit));
        assert_eq!("2263928=1".parse::<Item>(), mistyped);
        assert!(matches!(
            "2263927=-1".parse::<Item>(),
            Err(ItemTextError::Price(_))
        ));
    }

    #[test]
    fn each_item_gets_its_grouped_code_and_slot() {
        let products = products(&["2264861=95", "2263927/right=32", "2263927/left=32"]).unwrap();
        let slots: Vec<Slot> = products.iter().map(|product| product.slot).collect();
        assert_eq!(slots, [Slot::Frame, Slot::RightLens, Slot::LeftLens]);
        assert_eq!(products[0].grouped_code.as_str(), "M03");
    }

    #[test]
    fn what_cannot_be_quoted_is_named_by_its_position() {
        assert_eq!(products(&[]), Err(ItemError::Count { got: 0 }));
        let twice = products(&["2264861=95", "2222124=30"]);
        assert_eq!(twice, Err(ItemError::SameSlot { position: 2 }));
        let reason = SlotError::SideMissing;
        let no_side = products(&["2264861=95", "2263927=32"]);
        assert_eq!(
            no_side,
            Err(ItemError::Side {
                position: 2,
                reason
            })
        );
        let reason = LppRefusal::Unknown;
        assert_eq!(
            products(&["2254242=9"]),
            Err(ItemError::Product {
                position: 1,
                reason
            })
        );
        let expired = products(&["2209738=9"]);
        assert!(matches!(
            expired,
            Err(ItemError::Product {
                reason: LppRefusal::Expired { .. },
                ..
            })
        ));
    }

    #[test]
    fn an_incompatible_pair_is_named_by_both_positions() {
        let pair = |earlier, later| Err(ItemError::Incompatible { earlier, later });
        let lenses = ["2263927/right=32", "2222124=30", "2263927/left=32"];
        assert_eq!(products(&lenses), pair(1, 2));
        assert_eq!(products(&[lenses[1], lenses[2], lenses[0]]), pair(1, 2));
        assert!(products(&[lenses[0], lenses[2]]).is_ok());
        let other_frame = ["2264861=95", lenses[0], lenses[2]];
        assert!(products(&other_frame).is_ok());
    }

    #[test]
    fn a_mistyped_an_unknown_and_an_expired_code_have_their_own_reasons() {
        let refusal = |items: &[&str]| {
            let read = read_items(items);
            let looked_up = read.and_then(|read| look_up(&catalogue(), &read, TODAY));
            looked_up.unwrap_err().refusal()
        };
        let refused = |reason, positions: &[usize]| {
            let positions = positions.to_vec();
            Some(ItemsRefused { reason, positions })
        };
        let frame = "2264861=95";
        for (item, reason) in [
            ("2263928/right=1", Reason::LppCodeMistyped),
            ("2254242=1", Reason::LppCodeUnknown),
            ("2209738=1", Reason::LppCodeExpired),
        ] {
            assert_eq!(refusal(&[frame, item]), refused(reason, &[2]), "{item}");
            assert_eq!(refusal(&[item, frame]), refused(reason, &[1]), "{item}");
        }
        let pair = ["2222124=1", "2263927/right=1"];
        assert_eq!(refusal(&pair), refused(Reason::ItemsIncompatible, &[1, 2]));
        // These are slips of whoever calls, and no rule of the nomenclature.
        for items in [&["226486=1"][..], &["2264861"], &[frame, frame], &[]] {
            assert_eq!(refusal(items), None, "{items:?}");
        }
        let malformed = read_items(&[frame, "226486=1"]).unwrap_err();
        assert_eq!(
            malformed.to_string(),
            "item 2: an LPP code must be 7 digits"
        );
    }

    #[test]
    fn what_the_catalogue_says_of_an_item_is_what_the_rules_see() {
        let seen = products(&["2276870=9"]).unwrap()[0].priced();
        assert_eq!((seen.slot, seen.age_max), (Slot::Frame, Some(15)));
        assert_eq!(seen.price, Cents::new(900));
    }
}

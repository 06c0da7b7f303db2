//! Pairs of products: what may not be billed together, and what is listed as compatible.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::super::LppCode;

/// Most pairs of one section of a catalogue. Optics has 194 generic codes, so 18,721 pairs of them
/// at most; the rest is room for makers' codes.
pub const CODE_PAIRS_MAX: usize = 100_000;
/// Bytes of a pair in the canonical text: two codes, the separator, the line end.
pub(super) const PAIR_LINE_BYTES: usize = 7 + 1 + 7 + 1;

/// Why a text is not a pair of codes in its canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a pair must be two different LPP codes, the smaller first, separated by ';'")]
pub struct CodePairError;

/// Two different products, without an order between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CodePair {
    lower: LppCode,
    upper: LppCode,
}

impl CodePair {
    /// The pair of two codes, given in either order; `None` when they are one.
    #[must_use]
    pub fn new(one: LppCode, other: LppCode) -> Option<Self> {
        let (lower, upper) = (one.min(other), one.max(other));
        (lower < upper).then_some(Self { lower, upper })
    }

    /// Both codes, the smaller first.
    #[must_use]
    pub const fn codes(&self) -> [LppCode; 2] {
        [self.lower, self.upper]
    }
}

impl FromStr for CodePair {
    type Err = CodePairError;

    /// Reads `2201814;2222124`, and not the same pair the other way round.
    fn from_str(text: &str) -> Result<Self, CodePairError> {
        let (lower, upper) = text.split_once(';').ok_or(CodePairError)?;
        let code = |text: &str| text.parse::<LppCode>().map_err(|_| CodePairError);
        let (lower, upper) = (code(lower)?, code(upper)?);
        (lower < upper)
            .then_some(Self { lower, upper })
            .ok_or(CodePairError)
    }
}

impl fmt::Display for CodePair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};{}", self.lower, self.upper)
    }
}

/// A set of pairs, sorted, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CodePairs(Vec<CodePair>);

impl CodePairs {
    /// Whether two codes stand there as a pair, in either order.
    #[must_use]
    pub fn contains(&self, one: LppCode, other: LppCode) -> bool {
        CodePair::new(one, other).is_some_and(|pair| self.0.binary_search(&pair).is_ok())
    }

    /// All pairs, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[CodePair] {
        &self.0
    }

    /// Adds the greatest pair so far; `false`, and nothing is added, when it is not the greatest.
    pub(super) fn push(&mut self, pair: CodePair) -> bool {
        let above = self.0.last().is_none_or(|last| *last < pair);
        if above {
            self.0.push(pair);
        }
        above
    }
}

impl FromIterator<CodePair> for CodePairs {
    /// The set of these pairs, in any order; one that is given twice is in it once.
    fn from_iter<I: IntoIterator<Item = CodePair>>(pairs: I) -> Self {
        let mut pairs: Vec<CodePair> = pairs.into_iter().collect();
        pairs.sort_unstable();
        pairs.dedup();
        Self(pairs)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn code(text: &str) -> LppCode {
        text.parse().unwrap()
    }

    #[test]
    fn a_pair_has_no_order_and_one_spelling() {
        let (adult, child) = (code("2222124"), code("2276870"));
        let pair = CodePair::new(child, adult).unwrap();
        assert_eq!(Some(pair), CodePair::new(adult, child));
        assert_eq!(pair.to_string(), "2222124;2276870");
        assert_eq!("2222124;2276870".parse(), Ok(pair));
        assert_eq!(CodePair::new(adult, adult), None);
        for bad in [
            "",
            ";",
            "2222124",
            "2276870;2222124",
            "2222124;2222124",
            "2222124;2276871",
            "2222124;2276870;",
            "2222124; 2276870",
            "2222124,2276870",
        ] {
            assert_eq!(bad.parse::<CodePair>(), Err(CodePairError), "{bad}");
        }
    }

    fn any_code() -> impl Strategy<Value = LppCode> {
        // Few different ones, so that pairs meet.
        (0u32..40).prop_map(|number| {
            let number = format!("{number:06}");
            let mut fitting = (0..10).filter_map(|check| format!("{number}{check}").parse().ok());
            fitting.next().unwrap()
        })
    }

    proptest! {
        #[test]
        fn a_set_has_exactly_the_pairs_given(
            given in proptest::collection::vec((any_code(), any_code()), 0..60),
            asked in (any_code(), any_code()),
        ) {
            let set: CodePairs = given.iter().filter_map(|(a, b)| CodePair::new(*a, *b)).collect();
            let slow: BTreeSet<_> = given.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]).collect();
            let (one, other) = asked;
            prop_assert_eq!(set.contains(one, other), one != other && slow.contains(&asked));
            prop_assert!(set.as_slice().is_sorted_by(|a, b| a < b));
            let mut pushed = CodePairs::default();
            prop_assert!(set.as_slice().iter().all(|pair| pushed.push(*pair)));
            prop_assert_eq!(&pushed, &set);
            prop_assert!(set.as_slice().iter().all(|pair| !pushed.push(*pair)));
        }
    }
}

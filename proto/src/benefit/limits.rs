//! Limits of a whole pair of class B: the least and the most of R. 871-2, and those of a frame.

use super::product_class::{Complexity, complexity_of};
use crate::ids::Cents;
use crate::lpp::GroupedCode;

/// Which pair it is (social security code, R. 871-2, 3°, a to f): by its two lenses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bracket {
    /// Two simple lenses.
    A,
    /// A simple and a complex lens.
    B,
    /// Two complex lenses.
    C,
    /// A simple and a very complex lens.
    D,
    /// A complex and a very complex lens.
    E,
    /// Two very complex lenses.
    F,
}

impl Bracket {
    /// Every bracket, from a to f.
    pub const ALL: [Self; 6] = [Self::A, Self::B, Self::C, Self::D, Self::E, Self::F];

    /// The bracket of a pair with these lenses, of whatever class. One lens alone counts as two of
    /// its kind, and a frame alone as a pair of simple lenses.
    pub fn of_lenses(codes: impl Iterator<Item = GroupedCode>) -> Self {
        let mut lenses: Vec<Complexity> = codes.filter_map(complexity_of).collect();
        lenses.sort_unstable();
        let simplest = lenses.first().copied().unwrap_or(Complexity::Simple);
        let most_complex = lenses.last().copied().unwrap_or(Complexity::Simple);
        match (simplest, most_complex) {
            (Complexity::Simple, Complexity::Simple) => Self::A,
            (Complexity::Simple, Complexity::Complex) => Self::B,
            (Complexity::Simple, Complexity::VeryComplex) => Self::D,
            (_, Complexity::VeryComplex) if simplest < most_complex => Self::E,
            (_, Complexity::VeryComplex) => Self::F,
            (_, Complexity::Simple | Complexity::Complex) => Self::C,
        }
    }

    /// Its letter.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::A => 'a',
            Self::B => 'b',
            Self::C => 'c',
            Self::D => 'd',
            Self::E => 'e',
            Self::F => 'f',
        }
    }
}

/// The least and the most that is paid for a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// What is paid at least, if it costs as much.
    pub least: Cents,
    /// What is paid at most.
    pub most: Cents,
}

impl Span {
    const fn euros(least: u64, most: u64) -> Self {
        Self {
            least: Cents::new(least * 100),
            most: Cents::new(most * 100),
        }
    }
}

/// The limits of a payer for a frame and two lenses of class B.
///
/// They count what the earlier payers and this one pay for the frame and the lenses of class B
/// together. Class A, supplements and the adaptation are outside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Limits {
    /// One for each bracket, from a to f.
    pub spans: [Span; 6],
    /// The most that is paid for the frame.
    pub frame_most: Cents,
}

impl Limits {
    /// Those that a responsible contract has to keep (R. 871-2, 3°, since 2020).
    pub const RESPONSIBLE: Self = Self {
        spans: [
            Span::euros(50, 420),
            Span::euros(125, 560),
            Span::euros(200, 700),
            Span::euros(125, 610),
            Span::euros(200, 750),
            Span::euros(200, 800),
        ],
        frame_most: Cents::new(10_000),
    };

    /// The limits of one bracket.
    #[must_use]
    pub fn span(&self, bracket: Bracket) -> Span {
        let [a, b, c, d, e, f] = self.spans;
        match bracket {
            Bracket::A => a,
            Bracket::B => b,
            Bracket::C => c,
            Bracket::D => d,
            Bracket::E => e,
            Bracket::F => f,
        }
    }

    /// The lower of each of two limits: what holds when coverages of one payer differ.
    pub(super) fn lower(self, other: Self) -> Self {
        let mut lower = self;
        for (span, other) in lower.spans.iter_mut().zip(other.spans) {
            span.least = span.least.min(other.least);
            span.most = span.most.min(other.most);
        }
        lower.frame_most = lower.frame_most.min(other.frame_most);
        lower
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_of_lenses_has_the_bracket_of_the_regulation() {
        for (right, left, letter) in [
            ("VU1", "VU3", 'a'),
            ("V01", "VU2", 'a'),
            ("VU1", "VU4", 'b'),
            ("VM1", "VU1", 'b'),
            ("VU6", "VM2", 'c'),
            ("V02", "V03", 'c'),
            ("VU1", "VM4", 'd'),
            ("V04", "V01", 'd'),
            ("VM7", "VM3", 'e'),
            ("VM4", "VM6", 'f'),
        ] {
            let codes = [right, left].map(|code| code.parse().unwrap());
            let bracket = Bracket::of_lenses(codes.into_iter());
            assert_eq!(bracket.letter(), letter, "{right} {left}");
        }
        let alone = |code: &str| Bracket::of_lenses([code.parse().unwrap()].into_iter()).letter();
        assert_eq!([alone("VU1"), alone("VM1"), alone("VM4")], ['a', 'c', 'f']);
        assert_eq!(alone("M03"), 'a');
    }

    #[test]
    fn the_amounts_are_those_of_the_regulation() {
        let euros = Bracket::ALL.map(|bracket| {
            let span = Limits::RESPONSIBLE.span(bracket);
            (span.least.get() / 100, span.most.get() / 100)
        });
        let published = [
            (50, 420),
            (125, 560),
            (200, 700),
            (125, 610),
            (200, 750),
            (200, 800),
        ];
        assert_eq!(euros, published);
        assert_eq!(Limits::RESPONSIBLE.frame_most.to_euros(), "100.00");
    }
}

//! The grouped code that the label of an optical product leaves no choice about.
//!
//! Lists without a column for the grouped code still name it: a label spells out class, kind of
//! lens and band of correction, a maker's in the same words as the generic line's, if shortened.
//! The nomenclature (LPP, title II, chapter 2) ties the grouped codes to those three, within the
//! bounds of article R. 871-2 of the Code de la sécurité sociale. A label is read to its last
//! word or not at all: one that says less than the rule needs gives no code.

use std::num::NonZeroU8;

use proto::lpp::GroupedCode;

/// What the label of a frame or a service begins with, whether the product has an age limit, and
/// its grouped code.
const BEGINNINGS: [(&str, bool, &str); 14] = [
    ("MONTURE ADULTE DE CLASSE A", false, "M01"),
    ("MONTURE ENFANT DE CLASSE A", true, "M02"),
    ("MONTURE ADULTE DE CLASSE B", false, "M03"),
    ("MONTURE ENFANT DE CLASSE B", true, "M04"),
    (
        "SUPPLEMENT POUR MONTURE (DE CLASSE A) DE LUNETTES A COQUE",
        true,
        "MS1",
    ),
    ("SUPPL PR MONTURE (CLASSE A) LUNETTES A COQUE", true, "MS1"),
    (
        "SUPPLEMENT POUR MONTURE (DE CLASSE B) DE LUNETTES A COQUE",
        true,
        "MS2",
    ),
    ("SUPPL PR MONTURE (CLASSE B) LUNETTES A COQUE", true, "MS2"),
    ("PRESTATION ADAPTATION VERRES DE CLASSE A", false, "S01"),
    ("PRESTATION ADAPTATION VERRES DE CLASSE B", false, "SV1"),
    ("VERRE NEUTRE DE CLASSE A", false, "V01"),
    ("VERRE NEUTRE DE CLASSE B", false, "VU1"),
    // The list has the doubled letter.
    ("SUPPLEMENT POUR VERRES TEINTTES", false, "SV4"),
    ("SUPPLEMENT POUR VERRES TEINTES", false, "SV4"),
];

/// What stands before the level of a pairing, which one grouped code has for all three.
const PAIRING: &str = "PRESTATION D'APPAIRAGE NIVEAU ";

/// The grouped code that follows from a label.
pub(super) fn grouped_code(label: &str, age_max: Option<NonZeroU8>) -> Option<GroupedCode> {
    let text = label.strip_prefix("OPTIQUE,")?.trim_start();
    let code = item(text, age_max.is_some()).or_else(|| {
        let lens = Lens::read(text).filter(|_| age_max.is_none())?;
        Some(lens.grouped_code())
    });
    code?.parse().ok()
}

/// The grouped code of a frame, a neutral lens or a service.
fn item(text: &str, has_age_limit: bool) -> Option<&'static str> {
    if let Some(level) = text.strip_prefix(PAIRING) {
        let known = matches!(level.trim_end_matches('.'), "1" | "2" | "3");
        return (known && !has_age_limit).then_some("SV2");
    }
    let found = BEGINNINGS.iter().find(|(beginning, age_limit, _)| {
        let rest = text.strip_prefix(beginning);
        let whole = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(','));
        whole && *age_limit == has_age_limit
    });
    found.map(|(.., code)| *code)
}

/// Hundredths of a diopter, as labels have them: `+8,00` is 800.
type Hundredths = i32;

/// Class A is paid in full under a responsible contract, class B is free in price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    A,
    B,
}

/// A progressive lens is grouped with the multifocal ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Focus {
    One,
    Several,
}

/// The band of correction of a lens. Each bound is the one farther from zero: no band lies on
/// both sides of a bound of the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Band {
    /// A sphere alone.
    Spherical { sphere: Bound },
    /// A sphere of zero or below, with a cylinder of 0.25 to 4.
    Negative { sphere: Bound },
    /// A sphere of zero or below, with a cylinder above 4.
    NegativeStrong,
    /// A sphere above zero with a cylinder, by the sum S of the two.
    Positive { sum: Bound },
}

/// How far from zero a band reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// Up to here, in either direction.
    Within(Hundredths),
    /// Without an end.
    Beyond,
}

impl Bound {
    const fn is_within(self, limit: Hundredths) -> bool {
        matches!(self, Self::Within(bound) if bound <= limit)
    }
}

/// A corrective lens as its label describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lens {
    class: Class,
    focus: Focus,
    band: Band,
}

impl Lens {
    /// Reads `VERRE UNIFOCAL CLASSE A, SPHERE] -4,00 A -6,00]` and its shortened forms.
    fn read(text: &str) -> Option<Self> {
        let (product, band) = text.strip_prefix("VERRE ")?.split_once(',')?;
        let mut words = product.split_whitespace();
        let focus = match words.next()? {
            "UNIFOCAL" | "UNIFOC." => Focus::One,
            "MULTIFOCAL" | "MF" | "PROGRESSIF" | "PROG" => Focus::Several,
            _ => return None,
        };
        let class = match words.next()? {
            "CLASSE" => words.next()?,
            class => class,
        };
        let class = match class {
            "A" => Class::A,
            "B" => Class::B,
            _ => return None,
        };
        let band = words.next().is_none().then(|| Band::read(band))??;
        Some(Self { class, focus, band })
    }

    /// The rule: simple lenses (a, V01, VU1 to VU3), complex ones (c, V02, VU4 to VU7; for more
    /// than one focus V03, VM1 to VM3) and very complex ones (f, V04, VM4 to VM7).
    const fn grouped_code(self) -> &'static str {
        let Self { class, focus, band } = self;
        // The bounds of "simple" (and for several foci of "complex"): of a sphere alone, of a
        // negative sphere with a cylinder, of the sum S.
        let (alone, negative, sum) = match focus {
            Focus::One => (600, 600, 600),
            Focus::Several => (400, 800, 800),
        };
        let is_lower = match band {
            Band::Spherical { sphere } => sphere.is_within(alone),
            Band::Negative { sphere } => sphere.is_within(negative),
            Band::NegativeStrong => false,
            Band::Positive { sum: bound } => bound.is_within(sum),
        };
        match (class, focus, band) {
            (Class::A, Focus::One, _) if is_lower => "V01",
            (Class::A, Focus::One, _) => "V02",
            (Class::A, Focus::Several, _) if is_lower => "V03",
            (Class::A, Focus::Several, _) => "V04",
            (Class::B, Focus::One, Band::Spherical { .. }) if is_lower => "VU1",
            (Class::B, Focus::One, Band::Negative { .. }) if is_lower => "VU2",
            (Class::B, Focus::One, Band::Positive { .. }) if is_lower => "VU3",
            (Class::B, Focus::One, Band::Spherical { .. }) => "VU4",
            (Class::B, Focus::One, Band::Negative { .. }) => "VU5",
            (Class::B, Focus::One, Band::NegativeStrong) => "VU6",
            (Class::B, Focus::One, Band::Positive { .. }) => "VU7",
            (Class::B, Focus::Several, Band::Spherical { .. }) if is_lower => "VM1",
            (Class::B, Focus::Several, Band::Negative { .. }) if is_lower => "VM2",
            (Class::B, Focus::Several, Band::Positive { .. }) if is_lower => "VM3",
            (Class::B, Focus::Several, Band::Spherical { .. }) => "VM4",
            (Class::B, Focus::Several, Band::Negative { .. }) => "VM5",
            (Class::B, Focus::Several, Band::NegativeStrong) => "VM6",
            (Class::B, Focus::Several, Band::Positive { .. }) => "VM7",
        }
    }
}

impl Band {
    fn read(text: &str) -> Option<Self> {
        let mut text = Reader(text);
        let is_sphere = text.takes("SPHERE") || text.takes("SPH");
        let is_sum = text.takes("POSITIVE") || text.takes("(+)") || text.takes("+");
        let band = match (is_sphere, is_sum) {
            (true, true) => Self::Positive {
                sum: sum(&mut text)?,
            },
            (true, false) => Self::spherical(&mut text)?,
            (false, _) => return None,
        };
        // What follows is the maker. More of the band means that it was not understood.
        let rest = text.0.trim();
        let is_cut = ["E", "ET"].contains(&rest);
        let goes_on = ["ET ", "CYL", "S ", "[", "]", "<", ">", "="];
        let is_whole = !is_cut && !goes_on.iter().any(|word| rest.starts_with(word));
        is_whole.then_some(band)
    }

    /// Reads what follows `SPHERE` where no sum does.
    fn spherical(text: &mut Reader<'_>) -> Option<Self> {
        let (sphere, sign) = sphere(text)?;
        let and = text.takes("ET ");
        if !text.takes("CYLINDRE") && !text.takes("CYL") {
            return (!and).then_some(Self::Spherical { sphere });
        }
        text.takes("(+)");
        // The nomenclature has a cylinder with a sphere of zero or below alone; a positive one
        // goes by the sum.
        if sign == Sign::Positive {
            return None;
        }
        if text.takes(">") {
            return (text.number()? == 400).then_some(Self::NegativeStrong);
        }
        let from = text.takes("[").then(|| text.number())??;
        let to = text.takes("A").then(|| text.number())??;
        let is_weak = text.takes("]") && (from, to) == (25, 400);
        is_weak.then_some(Self::Negative { sphere })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Negative,
    Positive,
}

/// The bounds that bands end at, in hundredths of a diopter.
const BOUNDS: [Hundredths; 6] = [0, 200, 400, 600, 800, 1200];

/// Reads `] -4,00 A -6,00]`, `[0 A -2,00]`, `< -12,00` or `> +12,00`.
fn sphere(text: &mut Reader<'_>) -> Option<(Bound, Sign)> {
    if text.takes("<") {
        return (text.number()? == -1200).then_some((Bound::Beyond, Sign::Negative));
    }
    if text.takes(">") {
        return (text.number()? == 1200).then_some((Bound::Beyond, Sign::Positive));
    }
    let opens = text.takes("]") || text.takes("[");
    let from = opens.then(|| text.number())??;
    let to = text.takes("A").then(|| text.number())??;
    let sign = if to < 0 {
        Sign::Negative
    } else {
        Sign::Positive
    };
    let one_side = from == 0 || (from < 0) == (to < 0);
    let is_band = text.takes("]") && one_side && neighbours(from.abs(), to.abs());
    is_band.then_some((Bound::Within(to.abs()), sign))
}

/// Reads `ET S <= 2`, `ET S > +12,00` or `ET S ENTRE] +2,00 A +4,00]`.
fn sum(text: &mut Reader<'_>) -> Option<Bound> {
    if !text.takes("ET ") || !text.takes("S ") {
        return None;
    }
    if text.takes("<=") {
        return (text.number()? == 200).then_some(Bound::Within(200));
    }
    if text.takes(">") {
        return (text.number()? == 1200).then_some(Bound::Beyond);
    }
    let opens = text.takes("ENTRE") && text.takes("]");
    let from = opens.then(|| text.number())??;
    let to = text.takes("A").then(|| text.number())??;
    let is_band = text.takes("]") && neighbours(from, to);
    is_band.then_some(Bound::Within(to))
}

/// Whether a band goes from one bound to the next.
fn neighbours(from: Hundredths, to: Hundredths) -> bool {
    BOUNDS.windows(2).any(|pair| pair == [from, to])
}

/// What is left to read of a label. Spaces between words say nothing.
struct Reader<'a>(&'a str);

impl Reader<'_> {
    /// Whether this comes next; then it is taken.
    fn takes(&mut self, word: &str) -> bool {
        let rest = self.0.trim_start().strip_prefix(word);
        if let Some(rest) = rest {
            self.0 = rest;
        }
        rest.is_some()
    }

    /// Takes a number such as `- 8,00`, `+2` or `0,25`.
    fn number(&mut self) -> Option<Hundredths> {
        let is_negative = self.takes("-");
        if !is_negative {
            self.takes("+");
        }
        let whole = self.digits()?;
        // A comma before anything but a digit is the one before the maker.
        let decimals = self.0.strip_prefix(',').unwrap_or_default();
        let hundredths = if decimals.starts_with(|c: char| c.is_ascii_digit()) {
            self.0 = decimals;
            let read = self.digits()?;
            (decimals.len() - self.0.len() == 2).then_some(read)?
        } else {
            0
        };
        let number = whole * 100 + hundredths;
        Some(if is_negative { -number } else { number })
    }

    /// Takes one or two digits.
    fn digits(&mut self) -> Option<Hundredths> {
        let text = self.0.trim_start();
        let length = text.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = (1..=2).contains(&length).then(|| text.split_at(length))?;
        self.0 = rest;
        digits.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(label: &str, age: u8) -> Option<&'static str> {
        grouped_code(label, NonZeroU8::new(age)).map(GroupedCode::as_str)
    }

    /// The grouped code of `OPTIQUE, VERRE <lens>`.
    fn lens(text: &str) -> Option<&'static str> {
        read(&format!("OPTIQUE, VERRE {text}"), 0)
    }

    #[test]
    fn a_frame_is_known_by_class_and_age_limit() {
        let adult = "OPTIQUE, MONTURE ADULTE DE CLASSE B,A MAKER";
        let child = "OPTIQUE,MONTURE ENFANT DE CLASSE A";
        assert_eq!(read(adult, 0), Some("M03"));
        assert_eq!(read(child, 15), Some("M02"));
        assert_eq!(read(adult, 15), None);
        assert_eq!(read(child, 0), None);
        for other in [
            "MONTURE ADULTE DE CLASSE B",
            "OPTIQUE, MONTURE ADULTE DE CLASSE BIS",
            "OPTIQUE, PRESTATION D'APPAIRAGE NIVEAU 4.",
            "OPTIQUE, VERRE",
            "",
        ] {
            assert_eq!(read(other, 0), None, "{other}");
        }
    }

    #[test]
    fn every_code_of_the_table_exists() {
        for (.., code) in BEGINNINGS {
            assert!(code.parse::<GroupedCode>().is_ok(), "{code}");
        }
    }

    #[test]
    fn generic_and_shortened_labels_of_one_band_give_one_code() {
        for (expected, labels) in [
            (
                "V01",
                [
                    "UNIFOCAL CLASSE A, SPH] -4,00 A -6,00] ET CYL (+) [0,25 A 4,00]",
                    "UNIFOCAL A, SPH] -4  A -6 ] ET CYL (+) [0,25 A 4] A MAKER",
                    "UNIFOC. A, SPH [0 A - 2] ET CYL (+) [0,25 A 4 ] C O D I R",
                ],
            ),
            (
                "V04",
                [
                    "MULTIFOCAL CLASSE A,SPH] - 8,00 A - 12,00] ET CYL (+)[0,25 A 4,00]",
                    "MF A, SPH] -8,00 A -12,00] ET CYL  [0,25 A 4,00] A MAKER",
                    "PROG A, SPH] -8,00 A -12,00] CYL(+)[0,25 A 4,00] 3 MAI",
                ],
            ),
            (
                "VM7",
                [
                    "PROGRESSIF CLASSE B, SPH POSITIVE ET S ENTRE] +8,00 A +12,00]",
                    "PROG  B, SPH (+) ET S ENTRE] +8,00 A +12,00] A MAKER",
                    "MF CLASSE B, SPH+ ET S ENTRE] +8 A +12] A MAKER",
                ],
            ),
        ] {
            for label in labels {
                assert_eq!(lens(label), Some(expected), "{label}");
            }
        }
    }

    /// Each band of the nomenclature, with its code of class A and B, unifocal and multifocal.
    #[test]
    fn each_bound_of_the_rule_is_where_the_code_changes() {
        for (band, codes) in [
            ("SPHERE [0 A -2,00]", ["V01", "V03", "VU1", "VM1"]),
            ("SPHERE] +2,00 A +4,00]", ["V01", "V03", "VU1", "VM1"]),
            ("SPHERE] -4,00 A -6,00]", ["V01", "V04", "VU1", "VM4"]),
            ("SPHERE] +6,00 A +8,00]", ["V02", "V04", "VU4", "VM4"]),
            ("SPHERE < -12,00", ["V02", "V04", "VU4", "VM4"]),
            ("SPHERE > +12,00", ["V02", "V04", "VU4", "VM4"]),
            (
                "SPH] -4,00 A -6,00] ET CYL (+) [0,25 A 4,00]",
                ["V01", "V03", "VU2", "VM2"],
            ),
            (
                "SPH] -6,00 A -8,00] ET CYL (+) [0,25 A 4,00]",
                ["V02", "V03", "VU5", "VM2"],
            ),
            (
                "SPH] -8,00 A -12,00] ET CYL (+) [0,25 A 4,00]",
                ["V02", "V04", "VU5", "VM5"],
            ),
            (
                "SPH < -12,00 ET CYL (+) [0,25 A 4,00]",
                ["V02", "V04", "VU5", "VM5"],
            ),
            (
                "SPHERE [0 A -2,00] ET CYLINDRE (+) >4",
                ["V02", "V04", "VU6", "VM6"],
            ),
            (
                "SPHERE < -12,00 ET CYLINDRE (+) >4",
                ["V02", "V04", "VU6", "VM6"],
            ),
            ("SPH POSITIVE ET S <= 2", ["V01", "V03", "VU3", "VM3"]),
            (
                "SPH POSITIVE ET S ENTRE] +4,00 A +6,00]",
                ["V01", "V03", "VU3", "VM3"],
            ),
            (
                "SPH POSITIVE ET S ENTRE] +6,00 A +8,00]",
                ["V02", "V03", "VU7", "VM3"],
            ),
            (
                "SPH POSITIVE ET S ENTRE] +8,00 A +12,00]",
                ["V02", "V04", "VU7", "VM7"],
            ),
            ("SPH POSITIVE ET S > +12,00", ["V02", "V04", "VU7", "VM7"]),
        ] {
            let products = [
                "UNIFOCAL CLASSE A",
                "MULTIFOCAL CLASSE A",
                "UNIFOCAL CLASSE B",
                "MULTIFOCAL CLASSE B",
            ];
            for (product, code) in products.into_iter().zip(codes) {
                let label = format!("{product}, {band}");
                assert_eq!(lens(&label), Some(code), "{label}");
                for maker in [" A MAKER", ",A MAKER", ", 3 MAI"] {
                    let made = format!("{label}{maker}");
                    assert_eq!(lens(&made), Some(code), "{made}");
                }
                let progressive = label.replace("MULTIFOCAL", "PROGRESSIF");
                assert_eq!(lens(&progressive), Some(code), "{progressive}");
            }
        }
    }

    #[test]
    fn what_a_label_does_not_say_is_not_guessed() {
        for label in [
            "UNIFOCAL CLASSE A",
            "UNIFOCAL CLASSE A,",
            "UNIFOCAL CLASSE A, A MAKER",
            "UNIFOCAL CLASSE C, SPHERE > +12,00",
            "UNIFOCAL, SPHERE > +12,00",
            "BIFOCAL CLASSE A, SPHERE > +12,00",
            "UNIFOCAL CLASSE A BIS, SPHERE > +12,00",
            // Bands that the nomenclature does not have.
            "UNIFOCAL CLASSE A, SPHERE > +10,00",
            "UNIFOCAL CLASSE A, SPHERE < +12,00",
            "UNIFOCAL CLASSE A, SPHERE] -2,00 A -6,00]",
            "UNIFOCAL CLASSE A, SPHERE] -2,00 A +4,00]",
            "UNIFOCAL CLASSE A, SPHERE] -4,00 A -2,00]",
            "UNIFOCAL CLASSE A, SPHERE] +4,00 A +6,00] ET CYL (+) >4",
            "UNIFOCAL CLASSE A, SPH] -2,00 A -4,00] ET CYL (+) >6",
            "UNIFOCAL CLASSE A, SPH] -2,00 A -4,00] ET CYL (+) [0,25 A 6,00]",
            "UNIFOCAL CLASSE A, SPH POSITIVE ET S <= 4",
            "UNIFOCAL CLASSE A, SPH POSITIVE ET S ENTRE] +2,00 A +6,00]",
            "UNIFOCAL CLASSE A, SPH POSITIVE",
            // Cut in the middle of the band.
            "UNIFOCAL CLASSE A, SPHERE] -2,00 A -4,00",
            "UNIFOCAL CLASSE A, SPHERE] -2,00 A -4,00] E",
            "UNIFOCAL CLASSE A, SPHERE] -2,00 A -4,00] ET",
            "UNIFOCAL CLASSE A, SPHERE] -2,00 A -4,00] ET CY",
            "UNIFOCAL CLASSE A, SPHERE] -2,00 A -4,00] ET CYL",
            "UNIFOCAL CLASSE A, SPHERE] -2,00 A -4,00] ET CYL (+) [0,25",
            "UNIFOCAL CLASSE A, SPHERE] -2,00 A -4,000] A MAKER",
            "UNIFOCAL CLASSE A, SPHERE] -2,0 A -4,0] A MAKER",
            "UNIFOCAL CLASSE A, SPH POSITIVE ET S <= 2,5 A MAKER",
        ] {
            assert_eq!(lens(label), None, "{label}");
        }
        let child = "OPTIQUE, VERRE UNIFOCAL CLASSE A, SPHERE > +12,00";
        assert_eq!((read(child, 0), read(child, 15)), (Some("V02"), None));
    }

    proptest! {
        #[test]
        fn any_label_is_read_or_not(text in "\\PC{0,60}", band in "[]A0-9,+<>= -]{0,30}") {
            let _ = grouped_code(&text, None);
            let _ = lens(&text);
            let _ = lens(&format!("UNIFOCAL A, SPH{band}"));
            let _ = lens(&format!("MF B, SPH + ET S ENTRE{band}"));
        }
    }
}

//! Grouped codes, and the slot that each of them fills.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The eye that a lens is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The right eye.
    Right,
    /// The left eye.
    Left,
}

/// What a renewal clock applies to. A person has at most one running clock for each.
///
/// The name of a slot goes into the derivation of its slot key: a name given once is never changed
/// and never used again for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The frame of spectacles.
    Frame,
    /// The spectacle lens of the right eye.
    RightLens,
    /// The spectacle lens of the left eye.
    LeftLens,
    /// Contact lenses.
    ContactLenses,
    /// The optician's adaptation of a prescription.
    Adaptation,
    /// The pairing of two lenses of unequal look or weight.
    Pairing,
    /// The supplement for a shell frame, under six years.
    ShellFrame,
    /// The supplement for tinted lenses.
    Tint,
    /// Any other supplement: a prism, a filter.
    OtherSupplement,
    /// Optical items billed under the general code of before 2020.
    OtherOptics,
    /// The act of renewing a prescription.
    PrescriptionRenewal,
}

impl Slot {
    /// Every slot there is.
    pub const ALL: [Self; 11] = [
        Self::Frame,
        Self::RightLens,
        Self::LeftLens,
        Self::ContactLenses,
        Self::Adaptation,
        Self::Pairing,
        Self::ShellFrame,
        Self::Tint,
        Self::OtherSupplement,
        Self::OtherOptics,
        Self::PrescriptionRenewal,
    ];

    /// The stable name that slot keys are derived from.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::RightLens => "right-lens",
            Self::LeftLens => "left-lens",
            Self::ContactLenses => "contact-lenses",
            Self::Adaptation => "adaptation",
            Self::Pairing => "pairing",
            Self::ShellFrame => "shell-frame",
            Self::Tint => "tint",
            Self::OtherSupplement => "other-supplement",
            Self::OtherOptics => "other-optics",
            Self::PrescriptionRenewal => "prescription-renewal",
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text is the name of no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("there is no slot of that name")]
pub struct UnknownSlot;

impl FromStr for Slot {
    type Err = UnknownSlot;

    fn from_str(text: &str) -> Result<Self, UnknownSlot> {
        let named = Self::ALL.into_iter().find(|slot| slot.as_str() == text);
        named.ok_or(UnknownSlot)
    }
}

/// Why a text is not a grouped code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GroupedCodeError {
    /// It is not three capitals or digits.
    #[error("a grouped code must be 3 characters out of A-Z 0-9")]
    Characters,
    /// It is none of the codes of optics.
    #[error("this is not a grouped code of optics")]
    Unknown,
}

/// Why a grouped code does not give a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SlotError {
    /// A lens is for one eye, and the request does not say which.
    #[error("a lens needs its side: right or left")]
    SideMissing,
    /// What is not a lens has no side.
    #[error("only a lens has a side")]
    SideUnexpected,
}

/// A *code de regroupement* of optics: all that a complementary insurer learns of a product.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupedCode(&'static Row);

impl GroupedCode {
    /// Every grouped code of optics, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(Self)
    }

    /// The three characters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0.code
    }

    /// What it stands for, in a few words of French.
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.0.label
    }

    /// Whether it is a spectacle lens, and so needs a side to give a slot.
    #[must_use]
    pub const fn is_lens(self) -> bool {
        matches!(self.0.fills, Fills::OneEye)
    }

    /// The slot that an item of this code fills.
    ///
    /// # Errors
    /// [`SlotError`] for a lens without a side, and for anything else with one.
    pub fn slot(self, side: Option<Side>) -> Result<Slot, SlotError> {
        match (self.0.fills, side) {
            (Fills::OneEye, Some(Side::Right)) => Ok(Slot::RightLens),
            (Fills::OneEye, Some(Side::Left)) => Ok(Slot::LeftLens),
            (Fills::OneEye, None) => Err(SlotError::SideMissing),
            (Fills::Slot(slot), None) => Ok(slot),
            (Fills::Slot(_), Some(_)) => Err(SlotError::SideUnexpected),
        }
    }
}

impl FromStr for GroupedCode {
    type Err = GroupedCodeError;

    fn from_str(text: &str) -> Result<Self, GroupedCodeError> {
        let allowed = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
        if text.len() != 3 || !text.bytes().all(allowed) {
            return Err(GroupedCodeError::Characters);
        }
        Self::all()
            .find(|known| known.as_str() == text)
            .ok_or(GroupedCodeError::Unknown)
    }
}

impl fmt::Display for GroupedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for GroupedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupedCode({self})")
    }
}

/// Which slot a grouped code fills: always the same one, or that of the eye it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Fills {
    OneEye,
    Slot(Slot),
}

/// One grouped code with what is known of it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Row {
    code: &'static str,
    label: &'static str,
    fills: Fills,
}

const fn lens(code: &'static str, label: &'static str) -> Row {
    let fills = Fills::OneEye;
    Row { code, label, fills }
}

const fn item(code: &'static str, slot: Slot, label: &'static str) -> Row {
    let fills = Fills::Slot(slot);
    Row { code, label, fills }
}

/// The codes of optics in force since 2020, and the older general ones, in order.
///
/// A pairing, a tint or another supplement has one slot and not one for each eye: it goes with
/// the pair, and which of the two lenses needs it is nothing a payer has to learn.
#[rustfmt::skip]
static ROWS: [Row; 32] = [
    item("LEN", Slot::ContactLenses, "Lentilles de contact"),
    item("M01", Slot::Frame, "Monture adulte, classe A"),
    item("M02", Slot::Frame, "Monture enfant, classe A"),
    item("M03", Slot::Frame, "Monture adulte, classe B"),
    item("M04", Slot::Frame, "Monture enfant, classe B"),
    item("MS1", Slot::ShellFrame, "Supplément monture à coque avant 6 ans, classe A"),
    item("MS2", Slot::ShellFrame, "Supplément monture à coque avant 6 ans, classe B"),
    item("OPT", Slot::OtherOptics, "Optique médicale, code général"),
    item("RNO", Slot::PrescriptionRenewal, "Renouvellement d'optique"),
    item("S01", Slot::Adaptation, "Adaptation de la prescription, classe A"),
    item("SV1", Slot::Adaptation, "Adaptation de la prescription, classe B"),
    item("SV2", Slot::Pairing, "Appairage de verres de classe A"),
    item("SV3", Slot::OtherSupplement, "Autre supplément d'optique"),
    item("SV4", Slot::Tint, "Supplément verres teintés, plafonné"),
    lens("V01", "Verre classe A, neutre ou unifocal simple"),
    lens("V02", "Verre classe A, unifocal complexe"),
    lens("V03", "Verre classe A, multifocal ou progressif complexe"),
    lens("V04", "Verre classe A, multifocal ou progressif très complexe"),
    lens("VM1", "Verre classe B, multifocal ou progressif, sphérique simple"),
    lens("VM2", "Verre classe B, multifocal ou progressif, cylindre et sphère négative, simple"),
    lens("VM3", "Verre classe B, multifocal ou progressif, cylindre et sphère positive, simple"),
    lens("VM4", "Verre classe B, multifocal ou progressif, sphérique complexe"),
    lens("VM5", "Verre classe B, multifocal ou progressif, cylindre et sphère négative, complexe"),
    lens("VM6", "Verre classe B, multifocal ou progressif, cylindre et sphère négative, très complexe"),
    lens("VM7", "Verre classe B, multifocal ou progressif, cylindre et sphère positive, complexe"),
    lens("VU1", "Verre classe B, neutre ou unifocal, sphérique simple"),
    lens("VU2", "Verre classe B, unifocal, cylindre et sphère négative, simple"),
    lens("VU3", "Verre classe B, unifocal, cylindre et sphère positive, simple"),
    lens("VU4", "Verre classe B, unifocal, sphérique complexe"),
    lens("VU5", "Verre classe B, unifocal, cylindre et sphère négative, complexe"),
    lens("VU6", "Verre classe B, unifocal, cylindre et sphère négative, très complexe"),
    lens("VU7", "Verre classe B, unifocal, cylindre et sphère positive, complexe"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn grouped(text: &str) -> GroupedCode {
        text.parse().unwrap()
    }

    #[test]
    fn the_table_is_sorted_and_reads_back() {
        let codes: Vec<GroupedCode> = GroupedCode::all().collect();
        assert!(codes.is_sorted() && codes.windows(2).all(|pair| pair[0] != pair[1]));
        for code in codes {
            assert_eq!(grouped(code.as_str()), code);
        }
    }

    #[test]
    fn every_grouped_code_fills_a_slot() {
        for code in GroupedCode::all() {
            let sides = [Some(Side::Right), Some(Side::Left)];
            let sided: Vec<_> = sides.map(|side| code.slot(side)).into_iter().collect();
            if code.is_lens() {
                assert_eq!(sided, [Ok(Slot::RightLens), Ok(Slot::LeftLens)], "{code}");
                assert_eq!(code.slot(None), Err(SlotError::SideMissing), "{code}");
            } else {
                assert_eq!(sided, [Err(SlotError::SideUnexpected); 2], "{code}");
                assert!(code.slot(None).is_ok(), "{code}");
            }
        }
    }

    #[test]
    fn all_frames_share_one_slot_and_lenses_are_the_codes_in_v() {
        for code in GroupedCode::all() {
            let is_frame = ["M01", "M02", "M03", "M04"].contains(&code.as_str());
            assert_eq!(code.slot(None) == Ok(Slot::Frame), is_frame, "{code}");
            assert_eq!(code.is_lens(), code.as_str().starts_with('V'), "{code}");
        }
    }

    #[test]
    fn a_code_of_another_shape_and_one_of_another_trade_are_told_apart() {
        for bad in ["", "M1", "M011", "m01", "M0 ", "Mé"] {
            assert_eq!(
                bad.parse::<GroupedCode>(),
                Err(GroupedCodeError::Characters)
            );
        }
        for other in ["DVO", "VEH", "M05", "000"] {
            assert_eq!(other.parse::<GroupedCode>(), Err(GroupedCodeError::Unknown));
        }
    }

    #[test]
    fn the_names_of_slots_are_what_keys_are_derived_from() {
        let names = Slot::ALL.map(Slot::as_str);
        let expected = [
            "frame",
            "right-lens",
            "left-lens",
            "contact-lenses",
            "adaptation",
            "pairing",
            "shell-frame",
            "tint",
            "other-supplement",
            "other-optics",
            "prescription-renewal",
        ];
        assert_eq!(names, expected);
        assert_eq!(BTreeSet::from(names).len(), Slot::ALL.len());
        for slot in Slot::ALL {
            assert_eq!(slot.to_string().parse(), Ok(slot));
        }
        assert_eq!("lens".parse::<Slot>(), Err(UnknownSlot));
    }

    #[test]
    fn the_table_has_the_codes_of_the_public_list() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../shared/data/optique_regroupement.csv"
        );
        let Ok(list) = std::fs::read_to_string(path) else {
            println!("skipped: ../shared/data/optique_regroupement.csv is not there");
            return;
        };
        let listed: BTreeSet<&str> = list.lines().skip(1).filter_map(|l| l.get(..3)).collect();
        let known: BTreeSet<&str> = GroupedCode::all().map(GroupedCode::as_str).collect();
        assert_eq!(known, listed);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,6}") {
            let _ = text.parse::<GroupedCode>();
            let _ = text.parse::<Slot>();
        }
    }
}

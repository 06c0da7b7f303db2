//! The place of a product in the nomenclature's tree, and what it says of the grouped code.
//!
//! The CNAM's table gives each product a branch of the tree (`ARBO1` to `ARBO10`) and a rank in it
//! (`PLACE`). The branches of optics are class, kind of lens, and sphere alone or with a cylinder;
//! in a branch, the products of one band stand together. So the branch says which grouped codes are
//! possible, and the rank which of them it is, where both neighbours have the same.

use std::collections::BTreeMap;

use proto::lpp::GroupedCode;

use super::product::{LEVELS, Product};

/// A branch of the tree, from the title down; zeros below its last level.
type Branch = [u16; LEVELS];

/// The branches of title II, chapter 2, section 5, with the grouped codes of their products, as LPP
/// 577 of July 2020 has its generic lines.
const BRANCHES: [(&[u16], &[&str]); 16] = [
    (&[2, 2, 5, 1, 1, 1], &["V01", "V02"]),
    (&[2, 2, 5, 1, 1, 2], &["V01", "V02"]),
    (&[2, 2, 5, 1, 2, 1], &["V03", "V04"]),
    (&[2, 2, 5, 1, 2, 2], &["V03", "V04"]),
    (&[2, 2, 5, 1, 3, 1], &["V03", "V04"]),
    (&[2, 2, 5, 1, 3, 2], &["V03", "V04"]),
    (&[2, 2, 5, 1, 4], &["V01"]),
    (&[2, 2, 5, 2, 1, 1], &["VU1", "VU4"]),
    (&[2, 2, 5, 2, 1, 2], &["VU2", "VU3", "VU5", "VU6", "VU7"]),
    (&[2, 2, 5, 2, 2, 1], &["VM1", "VM4"]),
    (&[2, 2, 5, 2, 2, 2], &["VM2", "VM3", "VM5", "VM6", "VM7"]),
    (&[2, 2, 5, 2, 2, 3, 1], &["VM1", "VM4"]),
    (&[2, 2, 5, 2, 2, 3, 2], &["VM2", "VM3", "VM5", "VM6", "VM7"]),
    (&[2, 2, 5, 2, 2, 4], &["VU1"]),
    (&[2, 2, 5, 3], &["M01", "M02", "M03", "M04", "MS1", "MS2"]),
    (&[2, 2, 5, 4], &["S01", "SV1", "SV2", "SV4"]),
];

/// A product's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    branch: Branch,
    /// Its rank in the branch, from 1, where the file has one.
    rank: Option<u32>,
}

/// A place that is no row of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable;

impl Place {
    /// Reads levels and rank of a product; `None` where the file has none.
    pub(super) fn read(product: &Product) -> Result<Option<Self>, Unreadable> {
        let mut branch = Branch::default();
        for (level, text) in branch.iter_mut().zip(&product.branch) {
            let number = read_number(text)?.unwrap_or(0);
            *level = number.try_into().map_err(|_| Unreadable)?;
        }
        let rank = read_number(&product.rank)?.filter(|rank| *rank > 0);
        Ok((branch != Branch::default()).then_some(Self { branch, rank }))
    }

    /// The grouped codes that the products of this branch have; none for a branch that is not of
    /// today's optics.
    fn codes(&self) -> &'static [&'static str] {
        let mut levels = &self.branch[..];
        while let [above @ .., 0] = levels {
            levels = above;
        }
        let found = BRANCHES.iter().find(|(branch, _)| *branch == levels);
        found.map_or(&[], |(_, codes)| codes)
    }

    /// Whether the branch is one of optics whose products all have other grouped codes.
    pub(super) fn contradicts(&self, code: GroupedCode) -> bool {
        let codes = self.codes();
        !codes.is_empty() && !codes.contains(&code.as_str())
    }
}

/// Where the products stand whose grouped code is known.
#[derive(Default)]
pub(super) struct Places(BTreeMap<(Branch, u32), Option<GroupedCode>>);

impl Places {
    /// Notes a product that is known. Two of one rank say nothing.
    pub(super) fn note(&mut self, place: Place, code: GroupedCode) {
        if let Some(rank) = place.rank {
            self.0
                .entry((place.branch, rank))
                .and_modify(|known| *known = known.filter(|known| *known == code))
                .or_insert(Some(code));
        }
    }

    /// The grouped code of a lens that stands between two of the same, at the ranks just before and
    /// after its own; `None` when one of them is not known, they differ, or the branch is none of
    /// today's optics. Frames and services stand by maker, so a neighbour's code says little.
    pub(super) fn between(&self, place: Place) -> Option<GroupedCode> {
        let rank = place.rank?;
        let at = |rank| self.0.get(&(place.branch, rank)).copied().flatten();
        let before = at(rank.checked_sub(1)?)?;
        let after = at(rank.checked_add(1)?)?;
        let is_known = before == after && place.codes().contains(&before.as_str());
        (is_known && before.is_lens()).then_some(before)
    }
}

/// Reads a whole number, also as `497.000000`; an empty field is none.
fn read_number(text: &str) -> Result<Option<u32>, Unreadable> {
    if text.is_empty() {
        return Ok(None);
    }
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_plain = whole.bytes().all(|b| b.is_ascii_digit());
    let is_whole = is_plain && decimals.bytes().all(|b| b == b'0');
    let number = whole.parse().ok().filter(|_| is_whole);
    number.map(Some).ok_or(Unreadable)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(levels: &[&str], rank: &str) -> Result<Option<Place>, Unreadable> {
        let mut product = Product::default();
        for (field, level) in product.branch.iter_mut().zip(levels) {
            (*level).clone_into(field);
        }
        rank.clone_into(&mut product.rank);
        Place::read(&product)
    }

    /// A place among the progressive lenses of class A with a sphere alone.
    fn progressive(rank: &str) -> Place {
        place(&["2", "2", "5", "1", "3", "1"], rank)
            .unwrap()
            .unwrap()
    }

    fn code(text: &str) -> GroupedCode {
        text.parse().unwrap()
    }

    #[test]
    fn every_code_of_the_branches_exists_and_each_branch_stands_once() {
        for (place, (branch, codes)) in BRANCHES.iter().enumerate() {
            assert!(!codes.is_empty());
            for code in *codes {
                assert!(code.parse::<GroupedCode>().is_ok(), "{code}");
            }
            let others = BRANCHES.iter().skip(place + 1);
            assert!(others.clone().all(|(other, _)| other != branch));
        }
    }

    #[test]
    fn a_place_is_read_in_each_spelling_of_the_files() {
        let expected = progressive("497");
        for (levels, rank) in [
            (["2", "2", "5", "1", "3", "1", "0", "0", "0", "0"], "497"),
            (["2", "2", "5", "1", "3", "1", "", "", "", ""], "497.000000"),
            (
                ["02", "02", "05", "01", "03", "01", "00", "", "", ""],
                "0497",
            ),
        ] {
            assert_eq!(place(&levels, rank), Ok(Some(expected)));
        }
        assert_eq!(place(&[], ""), Ok(None));
        assert_eq!(place(&["0", "0"], "3"), Ok(None));
        for bad in ["x", "-1", "+1", "1,5", "1.5", "1e3", ".", "99999999999"] {
            assert_eq!(place(&["2"], bad), Err(Unreadable), "{bad}");
            assert_eq!(place(&["2", bad], "1"), Err(Unreadable), "{bad}");
        }
        assert_eq!(place(&["70000"], "1"), Err(Unreadable));
    }

    #[test]
    fn a_product_between_two_of_one_code_has_that_code() {
        let mut places = Places::default();
        for (rank, text) in [("1", "V04"), ("3", "V04"), ("5", "V03"), ("6", "V03")] {
            places.note(progressive(rank), code(text));
        }
        assert_eq!(places.between(progressive("2")), Some(code("V04")));
        // Between two codes, beside a gap, at the end, and before the first.
        for rank in ["4", "7", "8", "0", ""] {
            assert_eq!(places.between(progressive(rank)), None, "{rank}");
        }
        let frame = |rank| place(&["2", "2", "5", "3"], rank).unwrap().unwrap();
        places.note(frame("1"), code("M03"));
        places.note(frame("3"), code("M03"));
        assert_eq!(places.between(frame("2")), None);
        let elsewhere = place(&["2", "2", "5", "1", "3", "2"], "2").unwrap();
        assert_eq!(places.between(elsewhere.unwrap()), None);
    }

    #[test]
    fn a_branch_contradicts_the_codes_that_it_does_not_have() {
        assert!(progressive("1").contradicts(code("M01")));
        assert!(!progressive("1").contradicts(code("V03")));
        // A branch that is not known contradicts nothing, and gives nothing.
        let other = |rank| place(&["2", "2", "1"], rank).unwrap().unwrap();
        assert!(!other("1").contradicts(code("V03")));
        let mut places = Places::default();
        places.note(other("1"), code("V03"));
        places.note(other("3"), code("V03"));
        assert_eq!(places.between(other("2")), None);
    }

    #[test]
    fn two_products_of_one_rank_say_nothing_unless_they_agree() {
        let mut places = Places::default();
        for (rank, text) in [
            ("1", "V04"),
            ("1", "V03"),
            ("3", "V04"),
            ("3", "V04"),
            ("5", "V04"),
        ] {
            places.note(progressive(rank), code(text));
        }
        assert_eq!(places.between(progressive("2")), None);
        assert_eq!(places.between(progressive("4")), Some(code("V04")));
    }

    proptest! {
        #[test]
        fn any_place_is_read_or_refused(texts in prop::collection::vec("\\PC{0,6}", 0..11)) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let _ = place(&texts, texts.last().copied().unwrap_or_default());
        }
    }
}

//! People who do not exist, and every way in which a program may have written down who they are.

use std::fmt::Write as _;

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE, Engine as _};
use client::coverage_file::CoverageRow;
use client::pos::{Complementary, Insured};
use client::system;
use md5::{Digest as _, Md5};
use proto::identity::{Contract, MemberNumber, Nir, Person};
use proto::ids::Cents;
use proto::lpp::{Catalogue, CatalogueHeader, CatalogueLine};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use crate::federation::{AMC_PAYERS, CNAM_PAYER};

/// Somebody at the counter, as the card has him.
#[derive(Debug, Clone)]
pub struct Planted {
    /// Number in the register, without its check digits.
    pub nir: String,
    /// Year, month, day.
    pub birth_date: String,
    /// The complementary insurer's number for him.
    pub member_number: String,
}

/// The first line of a list of members for `vitrail contracts import`.
pub const MEMBERS_HEADER: &str =
    "member_number;birth_date;birth_rank;plan;rights_from;rights_to;reference\n";

/// Something to search for, and a word that may be printed for it.
pub type Word = (String, Vec<u8>);

/// A catalogue in force today, with the one frame that [`Planted::coverage`] is for.
///
/// # Panics
/// When it cannot be read, which would be a fault of this module.
#[must_use]
pub fn catalogue() -> Catalogue {
    let line = CatalogueLine {
        code: "2223342".parse().unwrap(),
        grouped_code: "M01".parse().unwrap(),
        label: "Monture".parse().unwrap(),
        base: Some(Cents::new(900)),
        plv: None,
        age_max: None,
        end: None,
    };
    let header = CatalogueHeader {
        version: "2026-1".parse().unwrap(),
        valid_from: system::now().day(),
    };
    Catalogue::new(header, vec![line]).unwrap()
}

impl Planted {
    /// As many as asked for, each with other numbers; one of them is from Corsica.
    ///
    /// # Panics
    /// Beyond 10,000: there are no more numbers of this form.
    #[must_use]
    pub fn people(count: usize) -> Vec<Self> {
        assert!(count <= 10_000, "there are 10,000 at most");
        (0..count).map(Self::number).collect()
    }

    fn number(place: usize) -> Self {
        // A stride that is prime to each of these ranges spreads people over years and places.
        let spread = place * 7_919 + 13;
        let (year, month, day) = (1931 + spread % 78, 1 + spread % 12, 1 + spread % 28);
        let department = match place {
            3 => "2A".to_owned(),
            _ => format!("{:02}", 1 + spread % 95),
        };
        let (sex, commune, order) = (1 + place % 2, 1 + spread % 989, 1 + place % 998);
        let year_of_century = year % 100;
        Self {
            nir: format!("{sex}{year_of_century:02}{month:02}{department}{commune:03}{order:03}"),
            birth_date: format!("{year}{month:02}{day:02}"),
            member_number: format!("ADH{:010}", 4_938_271_605_usize + place * 104_729),
        }
    }

    /// The number with its check digits.
    ///
    /// # Panics
    /// When it is none, which would be a fault of this module.
    #[must_use]
    pub fn nir(&self) -> Nir {
        self.full_nir().parse().unwrap()
    }

    /// 97 minus the number modulo 97; the letter of Corsica counts as a number of its own.
    fn full_nir(&self) -> String {
        let digits = self.nir.replace("2A", "19").replace("2B", "18");
        let key = 97 - digits.parse::<u64>().unwrap() % 97;
        format!("{}{key:02}", self.nir)
    }

    /// Him at the counter, with his two payers.
    ///
    /// # Panics
    /// When the card cannot be read, which would be a fault of this module.
    #[must_use]
    pub fn insured(&self) -> Insured {
        self.insured_by(AMC_PAYERS[0])
    }

    /// Him at the counter, with this complementary insurer.
    ///
    /// # Panics
    /// When the card cannot be read, which would be a fault of this module.
    #[must_use]
    pub fn insured_by(&self, payer_number: &str) -> Insured {
        let person = Person {
            nir: self.nir(),
            birth_date: self.birth_date.parse().unwrap(),
            birth_rank: "1".parse().unwrap(),
        };
        let complementary = Complementary {
            payer_number: payer_number.parse().unwrap(),
            member_number: self.member_number.parse().unwrap(),
        };
        Insured::new(person, CNAM_PAYER.parse().unwrap(), vec![complementary]).unwrap()
    }

    /// What a payer pays for his frame: the mandatory insurer, or the complementary one.
    ///
    /// # Panics
    /// When the row cannot be written, which would be a fault of this module.
    #[must_use]
    pub fn coverage(&self, mandatory: bool) -> CoverageRow {
        let member_number = match mandatory {
            true => MemberNumber::from(&self.nir()),
            false => self.member_number.parse().unwrap(),
        };
        CoverageRow {
            member_number,
            birth_date: self.birth_date.parse().unwrap(),
            birth_rank: "1".parse().unwrap(),
            grouped_code: "M01".parse().unwrap(),
            amount: Cents::new(3_000),
            until: system::now().day().plus(200),
            renewal_months: 24,
        }
    }

    /// His line in the list of members of a payer: the mandatory insurer, or the complementary one.
    #[must_use]
    pub fn member_line(&self, mandatory: bool, reference: &str) -> String {
        let member_number = match mandatory {
            true => self.full_nir(),
            false => self.member_number.clone(),
        };
        let birth_date = &self.birth_date;
        format!("{member_number};{birth_date};1;CONFORT;2026-01-01;2030-12-31;{reference}\n")
    }

    /// His cards, as `vitrail check` reads them.
    #[must_use]
    pub fn card(&self) -> String {
        let Self {
            birth_date,
            member_number,
            ..
        } = self;
        let (nir, payer) = (self.full_nir(), AMC_PAYERS[0]);
        format!(
            "nir = \"{nir}\"\nbirth_date = \"{birth_date}\"\n[[complementary]]\n\
             payer_number = \"{payer}\"\nmember_number = \"{member_number}\"\n"
        )
    }

    /// His contract with the mandatory insurer.
    ///
    /// # Panics
    /// When it cannot be read, which would be a fault of this module.
    #[must_use]
    pub fn mandatory_contract(&self) -> Contract {
        Contract {
            payer_number: CNAM_PAYER.parse().unwrap(),
            member_number: MemberNumber::from(&self.nir()),
            birth_date: self.birth_date.parse().unwrap(),
            birth_rank: "1".parse().unwrap(),
        }
    }

    /// Everything to search for: each usual spelling in twelve encodings, and hashes of the plain
    /// values.
    #[must_use]
    pub fn words(&self) -> Vec<Word> {
        let mut words: Vec<Word> = self
            .spellings()
            .iter()
            .flat_map(|(name, text)| encodings(name, text))
            .collect();
        if let Ok(number) = self.nir.parse::<u64>() {
            let mut add = |how: &str, bytes: [u8; 8]| {
                words.push((format!("NIR as a number, {how}"), bytes.to_vec()));
            };
            add("little-endian", number.to_le_bytes());
            add("big-endian", number.to_be_bytes());
        }
        words.extend(self.hashes());
        words
    }

    /// The ways in which the values are usually written.
    fn spellings(&self) -> Vec<(String, String)> {
        let (n, d) = (self.nir.as_str(), self.birth_date.as_str());
        let groups = [&n[..1], &n[1..3], &n[3..5], &n[5..7], &n[7..10], &n[10..]];
        let (year, month, day) = (&d[..4], &d[4..6], &d[6..]);
        let mut spelled = vec![("NIR".to_owned(), n.to_owned())];
        for separator in [" ", "-", ".", "\u{a0}"] {
            spelled.push((format!("NIR with {separator:?}"), groups.join(separator)));
        }
        for separator in ["-", ".", "/"] {
            let mut add = |order: &str, parts: [&str; 3]| {
                spelled.push((format!("{order} with {separator:?}"), parts.join(separator)));
            };
            add("date", [year, month, day]);
            add("day first", [day, month, year]);
        }
        let member_number = &self.member_number;
        spelled.push(("date".to_owned(), d.to_owned()));
        spelled.push(("day first".to_owned(), [day, month, year].concat()));
        spelled.push(("member number".to_owned(), member_number.clone()));
        let lower = member_number.to_lowercase();
        spelled.push(("member number, lower case".to_owned(), lower));
        spelled
    }

    /// What a pilot that put plain hashes on a chain would have written.
    fn hashes(&self) -> Vec<Word> {
        let (nir, full, date) = (&self.nir, self.full_nir(), &self.birth_date);
        let values = [
            ("NIR", nir.clone()),
            ("NIR with its key", full.clone()),
            ("member number", self.member_number.clone()),
            ("NIR and date", format!("{nir}{date}")),
            ("NIR, key and date", format!("{full}{date}")),
            ("NIR; date", format!("{nir};{date}")),
            ("NIR | date", format!("{nir}|{date}")),
        ];
        let values = values.iter();
        values
            .flat_map(|(name, value)| hashed(name, value.as_bytes()))
            .collect()
    }
}

/// A text in the encodings that a program may give it.
fn encodings(name: &str, text: &str) -> Vec<Word> {
    let utf16 = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect();
    let hex = hexadecimal(text.as_bytes());
    let reversed: String = text.chars().rev().collect();
    let mut words: Vec<Word> = Vec::with_capacity(12);
    let mut add = |how: &str, bytes: Vec<u8>| words.push((format!("{name}, {how}"), bytes));
    add("as it is", text.to_owned().into_bytes());
    add("reversed", reversed.into_bytes());
    add("UTF-16LE", utf16(u16::to_le_bytes));
    add("UTF-16BE", utf16(u16::to_be_bytes));
    add("HEX", hex.to_uppercase().into_bytes());
    add("hex", hex.into_bytes());
    for shift in 0..3 {
        for engine in [BASE64_STANDARD, BASE64_URL_SAFE] {
            // As part of a longer text: the characters that its neighbours would change are cut.
            let padded = [&b"xx"[..shift], text.as_bytes(), b"xxx"].concat();
            let whole = engine.encode(padded);
            let (from, to) = ((shift * 8).div_ceil(6), (shift + text.len()) * 8 / 6);
            let inner = whole.as_bytes()[from..to].to_vec();
            add(&format!("base64 + {shift}"), inner);
        }
    }
    words
}

/// The hashes that come to mind, as bytes, in hexadecimal and in base64.
fn hashed(name: &str, value: &[u8]) -> Vec<Word> {
    let digests = [
        ("MD5", Md5::digest(value).to_vec()),
        ("SHA-1", Sha1::digest(value).to_vec()),
        ("SHA-256", Sha256::digest(value).to_vec()),
        ("SHA-512", Sha512::digest(value).to_vec()),
        ("BLAKE3", blake3::hash(value).as_bytes().to_vec()),
    ];
    let digests = digests.into_iter();
    digests
        .flat_map(|(hash, digest)| {
            let word = |how: &str, bytes| (format!("{hash} of {name}, {how}"), bytes);
            let base64 = BASE64_STANDARD.encode(&digest);
            [
                word("hex", hexadecimal(&digest).into_bytes()),
                word("base64", base64.trim_end_matches('=').as_bytes().to_vec()),
                word("bytes", digest),
            ]
        })
        .collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Needles;

    #[test]
    fn everybody_is_somebody_else() {
        let people = Planted::people(1_000);
        let mut numbers: Vec<String> = people.iter().map(Planted::full_nir).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), people.len());
        assert!(people[3].nir.contains("2A"));
        for one in people {
            let _ = one.insured();
        }
    }

    #[test]
    fn every_spelling_is_found_in_each_encoding() {
        let one = &Planted::people(1)[0];
        let needles = Needles::new(one.words());
        let groups = one.spellings()[1].1.clone();
        let spelled = format!("nom=X nir={groups} né le {}", one.spellings()[9].1);
        assert_eq!(needles.found_in(spelled.as_bytes()).len(), 2);
        for prefix in ["", "a", "ab"] {
            let text = BASE64_STANDARD.encode(format!("{prefix}{};", one.nir));
            assert!(!needles.found_in(text.as_bytes()).is_empty(), "{prefix}");
        }
        let hash = hexadecimal(&Sha256::digest(one.nir.as_bytes()));
        assert_eq!(needles.found_in(hash.as_bytes()), ["SHA-256 of NIR, hex"]);
    }
}

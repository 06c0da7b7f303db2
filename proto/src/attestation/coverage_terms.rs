//! What is sealed in a coverage: the payer's terms for one grouped code.
//!
//! Version 1 said an amount and one renewal time. It is read for good and no longer written: what
//! was sealed once never changes its meaning.

use super::content::{ContentError, Reader};
use crate::benefit::{
    Counting, Limits, NetworkName, NetworkRule, Percent, Period, RenewalMonths, Rule, Span, Terms,
};
use crate::ids::{Cents, Day};

const VERSION_1: u8 = 1;
const VERSION_2: u8 = 2;

/// The terms of a coverage in the form that is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoverageTerms(pub Terms);

impl CoverageTerms {
    /// The bytes of version 2; at most 180, so that every coverage is padded to the same length.
    ///
    /// ```text
    /// 2 || grouped code (3) || rights: first day (4), last day (4)
    ///   || renewal months: adult (2), child (2), frame fit (2) || rule
    ///   || length of the network's name (1), 0 if there is none [|| name || rule in the network]
    ///   || 0, or 1 || six times: least (8), most (8) || most for the frame (8)
    /// rule: 0 | 1 || 0 | 1 || 1 || limit (8) | 2 || per cent (2) || counting (1) || plus (8)
    ///         | 3 || most (8) || counting (1)       counting: 0 alone, 1 with earlier payers
    /// ```
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self(terms) = self;
        let mut bytes = vec![VERSION_2];
        bytes.extend_from_slice(terms.grouped_code.as_str().as_bytes());
        for day in [terms.rights.from, terms.rights.to] {
            bytes.extend_from_slice(&day.get().to_be_bytes());
        }
        let RenewalMonths {
            adult,
            child,
            frame_fit,
        } = terms.renewal;
        for months in [adult, child, frame_fit] {
            bytes.extend_from_slice(&months.to_be_bytes());
        }
        write_rule(&mut bytes, terms.rule);
        match &terms.network {
            None => bytes.push(0),
            Some(NetworkRule { name, rule }) => {
                // A name has at most 32 bytes.
                bytes.push(u8::try_from(name.as_str().len()).unwrap_or(u8::MAX));
                bytes.extend_from_slice(name.as_str().as_bytes());
                write_rule(&mut bytes, *rule);
            }
        }
        bytes.push(u8::from(terms.limits.is_some()));
        if let Some(limits) = &terms.limits {
            for Span { least, most } in limits.spans {
                write_cents(&mut bytes, least);
                write_cents(&mut bytes, most);
            }
            write_cents(&mut bytes, limits.frame_most);
        }
        bytes
    }

    /// Reads the opened payload of a coverage, of either version.
    ///
    /// # Errors
    /// [`ContentError::Form`] when the bytes are anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ContentError> {
        let mut reader = Reader {
            rest: bytes,
            what: "coverage terms",
        };
        let terms = match reader.array()? {
            [VERSION_1] => reader.terms_1()?,
            [VERSION_2] => reader.terms_2()?,
            _ => return Err(reader.form()),
        };
        reader.end()?;
        Ok(Self(terms))
    }
}

fn write_cents(bytes: &mut Vec<u8>, cents: Cents) {
    bytes.extend_from_slice(&cents.get().to_be_bytes());
}

fn write_rule(bytes: &mut Vec<u8>, rule: Rule) {
    match rule {
        Rule::Nothing => bytes.push(0),
        Rule::Full { limit } => {
            bytes.extend_from_slice(&[1, u8::from(limit.is_some())]);
            if let Some(limit) = limit {
                write_cents(bytes, limit);
            }
        }
        Rule::Rate {
            percent,
            counting,
            plus,
        } => {
            bytes.push(2);
            bytes.extend_from_slice(&percent.get().to_be_bytes());
            bytes.push(counting_byte(counting));
            write_cents(bytes, plus);
        }
        Rule::Cap { most, counting } => {
            bytes.push(3);
            write_cents(bytes, most);
            bytes.push(counting_byte(counting));
        }
    }
}

const fn counting_byte(counting: Counting) -> u8 {
    match counting {
        Counting::Alone => 0,
        Counting::WithEarlier => 1,
    }
}

impl Reader<'_> {
    fn terms_1(&mut self) -> Result<Terms, ContentError> {
        let grouped_code = self.grouped_code()?;
        let most = self.cents()?;
        let months = u16::from_be_bytes(self.array()?);
        Ok(Terms::cap(grouped_code, most, months))
    }

    fn terms_2(&mut self) -> Result<Terms, ContentError> {
        let grouped_code = self.grouped_code()?;
        let rights = Period {
            from: self.day()?,
            to: self.day()?,
        };
        let renewal = RenewalMonths {
            adult: u16::from_be_bytes(self.array()?),
            child: u16::from_be_bytes(self.array()?),
            frame_fit: u16::from_be_bytes(self.array()?),
        };
        let terms = Terms {
            grouped_code,
            rights,
            rule: self.rule()?,
            network: self.network()?,
            limits: self.limits()?,
            renewal,
        };
        let fits = rights.from <= rights.to && renewal.in_range();
        fits.then_some(terms).ok_or(self.form())
    }

    fn day(&mut self) -> Result<Day, ContentError> {
        let day = Day::new(u32::from_be_bytes(self.array()?));
        (day <= Day::MAX).then_some(day).ok_or(self.form())
    }

    fn cents(&mut self) -> Result<Cents, ContentError> {
        Ok(Cents::new(u64::from_be_bytes(self.array()?)))
    }

    fn flag(&mut self) -> Result<bool, ContentError> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(self.form()),
        }
    }

    fn counting(&mut self) -> Result<Counting, ContentError> {
        Ok(if self.flag()? {
            Counting::WithEarlier
        } else {
            Counting::Alone
        })
    }

    fn rule(&mut self) -> Result<Rule, ContentError> {
        match self.array()? {
            [0] => Ok(Rule::Nothing),
            [1] => Ok(Rule::Full {
                limit: self.flag()?.then(|| self.cents()).transpose()?,
            }),
            [2] => {
                let percent = Percent::new(u16::from_be_bytes(self.array()?));
                Ok(Rule::Rate {
                    percent: percent.map_err(|_| self.form())?,
                    counting: self.counting()?,
                    plus: self.cents()?,
                })
            }
            [3] => Ok(Rule::Cap {
                most: self.cents()?,
                counting: self.counting()?,
            }),
            _ => Err(self.form()),
        }
    }

    fn network(&mut self) -> Result<Option<NetworkRule>, ContentError> {
        let [length] = self.array()?;
        if length == 0 {
            return Ok(None);
        }
        let split = self.rest.split_at_checked(usize::from(length));
        let (name, rest) = split.ok_or(self.form())?;
        self.rest = rest;
        let name = str::from_utf8(name).map_err(|_| self.form())?;
        let name: NetworkName = name.parse().map_err(|_| self.form())?;
        let rule = self.rule()?;
        Ok(Some(NetworkRule { name, rule }))
    }

    fn limits(&mut self) -> Result<Option<Limits>, ContentError> {
        if !self.flag()? {
            return Ok(None);
        }
        let mut limits = Limits::RESPONSIBLE;
        for span in &mut limits.spans {
            *span = Span {
                least: self.cents()?,
                most: self.cents()?,
            };
        }
        limits.frame_most = self.cents()?;
        Ok(Some(limits))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lpp::GroupedCode;

    /// As long as terms can be.
    fn longest() -> Terms {
        let percent = Percent::new(250).unwrap();
        Terms {
            grouped_code: "VM4".parse().unwrap(),
            rights: Period {
                from: "2026-01-01".parse().unwrap(),
                to: "2026-12-31".parse().unwrap(),
            },
            rule: Rule::Rate {
                percent,
                counting: Counting::WithEarlier,
                plus: Cents::new(15_000),
            },
            network: Some(NetworkRule {
                name: "N".repeat(32).parse().unwrap(),
                rule: Rule::Rate {
                    percent,
                    counting: Counting::Alone,
                    plus: Cents::new(1),
                },
            }),
            limits: Some(Limits::RESPONSIBLE),
            renewal: RenewalMonths::PUBLISHED,
        }
    }

    fn read(bytes: &[u8]) -> Result<Terms, ContentError> {
        CoverageTerms::from_bytes(bytes).map(|CoverageTerms(terms)| terms)
    }

    #[test]
    fn version_1_keeps_its_meaning() {
        let bytes = hex::decode("014d30310000000000000bb80018").unwrap();
        let expected = Terms::cap("M01".parse().unwrap(), Cents::new(3_000), 24);
        assert_eq!(read(&bytes), Ok(expected));
    }

    #[test]
    fn the_bytes_of_version_2_are_those_of_the_protocol() {
        let cap = Terms::cap("M01".parse().unwrap(), Cents::new(3_000), 24);
        let expected = "024d3031\
            00000000002cc0a0\
            001800180018\
            030000000000000bb800\
            0000";
        assert_eq!(hex::encode(CoverageTerms(cap).to_bytes()), expected);
        let expected = "02564d34\
            00004fe600005152\
            0018000c0006\
            0200fa010000000000003a98\
            204e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e\
            0200fa000000000000000001\
            01\
            0000000000001388000000000000a410\
            00000000000030d4000000000000dac0\
            0000000000004e200000000000011170\
            00000000000030d4000000000000ee48\
            0000000000004e2000000000000124f8\
            0000000000004e200000000000013880\
            0000000000002710";
        assert_eq!(hex::encode(CoverageTerms(longest()).to_bytes()), expected);
    }

    #[test]
    fn the_longest_terms_stay_in_the_smallest_padding() {
        // 512 with two bytes of length.
        let length = CoverageTerms(longest()).to_bytes().len();
        assert_eq!(length, 180);
    }

    #[test]
    fn every_cut_and_every_addition_is_refused() {
        let bytes = CoverageTerms(longest()).to_bytes();
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "{length}");
        }
        assert!(read(&[bytes.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        let good = CoverageTerms(longest()).to_bytes();
        let with = |place: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[place] = value;
            read(&bytes).is_err()
        };
        assert!(with(0, 3), "version");
        assert!(with(1, b'W'), "grouped code");
        assert!(with(4, 1), "first day after the last");
        assert!(with(8, 255), "last day beyond the calendar");
        assert!(with(13, 0), "no months");
        assert!(with(13, 121), "too many months");
        assert!(with(18, 4), "rule");
        assert!(with(19, 4), "rate above 1000 per cent");
        assert!(with(21, 2), "counting");
        assert!(with(30, 33), "length of the name");
        assert!(with(31, b' '), "name");
        assert!(with(75, 2), "flag of the limits");
    }

    fn any_rule() -> impl Strategy<Value = Rule> {
        let counting = prop_oneof![Just(Counting::Alone), Just(Counting::WithEarlier)];
        let cents = any::<u64>().prop_map(Cents::new);
        prop_oneof![
            Just(Rule::Nothing),
            prop::option::of(cents.clone()).prop_map(|limit| Rule::Full { limit }),
            (0u16..=1_000, counting.clone(), cents.clone()).prop_map(|(p, counting, plus)| {
                let percent = Percent::new(p).unwrap();
                Rule::Rate {
                    percent,
                    counting,
                    plus,
                }
            }),
            (cents, counting).prop_map(|(most, counting)| Rule::Cap { most, counting }),
        ]
    }

    proptest! {
        #[test]
        fn terms_read_back(
            code in 0usize..32, rule in any_rule(), network in prop::option::of(any_rule()),
            limits in any::<bool>(), days in (0u32..40_000, 0u32..10_000), months in 1u16..=120,
        ) {
            let terms = Terms {
                grouped_code: GroupedCode::all().nth(code).unwrap(),
                rights: Period { from: Day::new(days.0), to: Day::new(days.0 + days.1) },
                rule,
                network: network.map(|rule| NetworkRule { name: "R-1".parse().unwrap(), rule }),
                limits: limits.then_some(Limits::RESPONSIBLE),
                renewal: RenewalMonths { child: 12, ..RenewalMonths::uniform(months) },
            };
            prop_assert_eq!(read(&CoverageTerms(terms.clone()).to_bytes()), Ok(terms));
        }

        #[test]
        fn arbitrary_bytes_never_panic_and_what_is_read_is_written_the_same(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut bytes = bytes;
            if let [first, ..] = bytes.as_mut_slice() {
                *first = VERSION_2;
            }
            if let Ok(terms) = CoverageTerms::from_bytes(&bytes) {
                prop_assert_eq!(terms.to_bytes(), bytes);
            }
        }
    }
}

//! What is sealed in a claim: its terms, as each payer sees them.
//!
//! They are opened only by who has the contract's sealing secret and the entry's salt. They hold
//! grouped codes and amounts; an individual LPP code travels as a salted commitment, and only
//! the part for the CNAM carries its opening (design rule: the grouped code is enough for an AMC).

use std::fmt;

use thiserror::Error;

use crate::hash::Hash;
use crate::ids::Cents;
use crate::lpp::{GroupedCode, LppCode};
use crate::renewal::EarlyRenewal;
use crate::seal::{LppCodeCommitment, LppCodeSalt};

/// Most lines in a claim: one equipment with its supplements.
pub const CLAIM_LINES_MAX: usize = 8;

const VERSION: u8 = 1;
/// Of the terms of a claim with an attested condition, which stands behind it.
const VERSION_EARLY: u8 = 2;

/// Why opened bytes are not what they should be. Nothing of them is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ContentError {
    /// Truncated, too long, of another version or not canonical.
    #[error("the opened payload is not of the form of {what}")]
    Form {
        /// What was expected.
        what: &'static str,
    },
    /// More lines than a claim may have.
    #[error("a claim has 1 to {CLAIM_LINES_MAX} lines, got {got}")]
    Lines {
        /// Lines found.
        got: usize,
    },
    /// The opening does not match the commitment beside it.
    #[error("line {line}: the individual code does not open its commitment")]
    Opening {
        /// Position of the line, from 0.
        line: usize,
    },
}

/// The individual LPP code of a line and the salt of its commitment.
#[derive(Clone, PartialEq, Eq)]
pub struct CodeOpening {
    /// The individual code.
    pub lpp_code: LppCode,
    /// The salt of the commitment.
    pub salt: LppCodeSalt,
}

impl CodeOpening {
    /// The commitment that this opens.
    #[must_use]
    pub fn commitment(&self) -> LppCodeCommitment {
        LppCodeCommitment::new(self.lpp_code.as_str(), &self.salt)
    }
}

impl fmt::Debug for CodeOpening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeOpening(<secret>)")
    }
}

/// One line of a claim as one payer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimLine {
    /// The grouped code of the item.
    pub grouped_code: GroupedCode,
    /// Its price at the counter.
    pub price: Cents,
    /// What this payer pays of it.
    pub amount: Cents,
    /// The salted commitment to its individual code.
    pub code_commitment: LppCodeCommitment,
    /// The opening of that commitment; for the CNAM alone.
    pub opening: Option<CodeOpening>,
}

/// A claim as one payer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimTerms {
    /// The condition of an early renewal that the optician attests (predicate P2). No diopter and no
    /// prescription goes with it.
    pub early: EarlyRenewal,
    /// Its lines, in the order of the counter.
    pub lines: Vec<ClaimLine>,
}

impl ClaimTerms {
    /// `1 || count (1) || lines`, or `2 || condition (1) || count (1) || lines` if a condition of an
    /// early renewal is attested; a line being
    /// `grouped code (3) || price (8) || amount (8) || commitment (32) || 0` or, with an opening,
    /// `... || 1 || individual code (7) || salt (32)`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let count = u8::try_from(self.lines.len()).unwrap_or(u8::MAX);
        let mut bytes = match self.early {
            EarlyRenewal::None => vec![VERSION, count],
            early => vec![VERSION_EARLY, early.byte(), count],
        };
        for line in &self.lines {
            bytes.extend_from_slice(line.grouped_code.as_str().as_bytes());
            bytes.extend_from_slice(&line.price.get().to_be_bytes());
            bytes.extend_from_slice(&line.amount.get().to_be_bytes());
            bytes.extend_from_slice(line.code_commitment.as_hash().as_bytes());
            bytes.push(u8::from(line.opening.is_some()));
            if let Some(opening) = &line.opening {
                bytes.extend_from_slice(opening.lpp_code.as_str().as_bytes());
                bytes.extend_from_slice(opening.salt.as_bytes());
            }
        }
        bytes
    }

    /// Reads the opened payload of a claim, and checks that each opening opens its commitment.
    ///
    /// # Errors
    /// The first thing that is not of its form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ContentError> {
        let mut reader = Reader::new(bytes, "claim terms");
        let early = match reader.array()? {
            [VERSION] => EarlyRenewal::None,
            [VERSION_EARLY] => reader.condition()?,
            _ => return Err(reader.form()),
        };
        let [count] = reader.array()?;
        let got = usize::from(count);
        if !(1..=CLAIM_LINES_MAX).contains(&got) {
            return Err(ContentError::Lines { got });
        }
        let lines = (0..got)
            .map(|line| reader.claim_line(line))
            .collect::<Result<_, _>>()?;
        reader.end()?;
        Ok(Self { early, lines })
    }
}

/// Reads fields of fixed width from an opened payload.
pub(super) struct Reader<'a> {
    pub(super) rest: &'a [u8],
    pub(super) what: &'static str,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(rest: &'a [u8], what: &'static str) -> Self {
        Self { rest, what }
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], ContentError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(self.form())?;
        self.rest = rest;
        Ok(taken)
    }

    /// A condition; none is what version 1 says.
    fn condition(&mut self) -> Result<EarlyRenewal, ContentError> {
        let [byte] = self.array()?;
        let condition = EarlyRenewal::from_byte(byte).filter(|early| *early != EarlyRenewal::None);
        condition.ok_or(self.form())
    }

    pub(super) const fn form(&self) -> ContentError {
        ContentError::Form { what: self.what }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ContentError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(self.form())?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn version(&mut self, version: u8) -> Result<(), ContentError> {
        (self.array()? == [version])
            .then_some(())
            .ok_or(self.form())
    }

    pub(super) fn end(&self) -> Result<(), ContentError> {
        self.rest.is_empty().then_some(()).ok_or(self.form())
    }

    pub(super) fn grouped_code(&mut self) -> Result<GroupedCode, ContentError> {
        let bytes: [u8; 3] = self.array()?;
        let text = str::from_utf8(&bytes).map_err(|_| self.form())?;
        text.parse().map_err(|_| self.form())
    }

    fn claim_line(&mut self, line: usize) -> Result<ClaimLine, ContentError> {
        let parsed = ClaimLine {
            grouped_code: self.grouped_code()?,
            price: Cents::new(u64::from_be_bytes(self.array()?)),
            amount: Cents::new(u64::from_be_bytes(self.array()?)),
            code_commitment: LppCodeCommitment::from_hash(Hash::from_bytes(self.array()?)),
            opening: match self.array()? {
                [0] => None,
                [1] => Some(self.opening()?),
                _ => return Err(self.form()),
            },
        };
        let opens = |opening: &CodeOpening| opening.commitment() == parsed.code_commitment;
        let fits = parsed.opening.as_ref().is_none_or(opens);
        fits.then_some(parsed).ok_or(ContentError::Opening { line })
    }

    fn opening(&mut self) -> Result<CodeOpening, ContentError> {
        let code: [u8; 7] = self.array()?;
        let text = str::from_utf8(&code).map_err(|_| self.form())?;
        let lpp_code = text.parse().map_err(|_| self.form())?;
        Ok(CodeOpening {
            lpp_code,
            salt: LppCodeSalt::from_bytes(self.array()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn claim() -> ClaimTerms {
        let opening = CodeOpening {
            lpp_code: "2264861".parse().unwrap(),
            salt: LppCodeSalt::from_bytes([4; 32]),
        };
        let line = |opening: Option<CodeOpening>, code_commitment| ClaimLine {
            grouped_code: "M03".parse().unwrap(),
            price: Cents::new(12_000),
            amount: Cents::new(3),
            code_commitment,
            opening,
        };
        let commitment = opening.commitment();
        ClaimTerms {
            early: EarlyRenewal::None,
            lines: vec![line(Some(opening), commitment), line(None, commitment)],
        }
    }

    #[test]
    fn terms_read_back() {
        assert_eq!(ClaimTerms::from_bytes(&claim().to_bytes()), Ok(claim()));
    }

    #[test]
    fn a_condition_is_told_and_terms_without_one_are_as_they_were() {
        let plain = claim().to_bytes();
        assert_eq!(plain[..2], [1, 2]);
        for byte in 0..=u8::MAX {
            let told = [&[2, byte], &plain[1..]].concat();
            let read = ClaimTerms::from_bytes(&told);
            match EarlyRenewal::from_byte(byte) {
                Some(early) if early != EarlyRenewal::None => {
                    let terms = ClaimTerms { early, ..claim() };
                    assert_eq!(terms.to_bytes(), told);
                    assert_eq!(read, Ok(terms));
                }
                _ => assert!(read.is_err(), "{byte}"),
            }
        }
    }

    #[test]
    fn an_opening_of_another_code_is_refused() {
        let mut terms = claim();
        terms.lines[0].code_commitment = LppCodeCommitment::from_hash(Hash::from_bytes([0; 32]));
        let refused = ClaimTerms::from_bytes(&terms.to_bytes());
        assert_eq!(refused, Err(ContentError::Opening { line: 0 }));
    }

    #[test]
    fn every_cut_is_refused_and_so_is_an_addition() {
        let bytes = claim().to_bytes();
        for length in 0..bytes.len() {
            assert!(
                ClaimTerms::from_bytes(&bytes[..length]).is_err(),
                "{length}"
            );
        }
        assert!(ClaimTerms::from_bytes(&[bytes.as_slice(), &[0]].concat()).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = ClaimTerms::from_bytes(&bytes);
        }
    }
}

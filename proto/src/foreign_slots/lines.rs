//! The lines of a file that are still to be read.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use zeroize::Zeroizing;

use super::{EVALUATIONS_MAX, ForeignSlotsError};
use crate::identity::{BirthDate, BirthRank, Nir, Person};
use crate::oprf::{DleqProof, PartialElement, PartialEvaluation, ShareIndex};

pub(super) const TITLE: &str = "vitrail foreign slots v1";

const EVALUATION: &str = "evaluation <share> <base64 of an element> <base64 of a proof>";

pub(super) struct Lines<'a> {
    rest: &'a str,
    line: usize,
}

/// The three lines of an identity, before they are read as one.
pub(super) struct Identity<'a> {
    nir: &'a str,
    birth_date: &'a str,
    birth_rank: &'a str,
}

impl Identity<'_> {
    /// Step 2.
    pub(super) fn person(&self) -> Result<Person, ForeignSlotsError> {
        let nir: Nir = self.nir.parse()?;
        let birth_date: BirthDate = self.birth_date.parse()?;
        let birth_rank: BirthRank = self.birth_rank.parse()?;
        // Dates and ranks have one spelling; a NIR is read with spaces and small letters too.
        if *nir.with_key() != self.nir {
            return Err(ForeignSlotsError::Spelling { field: "NIR" });
        }
        Ok(Person {
            nir,
            birth_date,
            birth_rank,
        })
    }
}

impl<'a> Lines<'a> {
    /// The lines after the title.
    pub(super) fn of(text: &'a str) -> Result<Self, ForeignSlotsError> {
        let mut lines = Self {
            rest: text,
            line: 0,
        };
        match lines.next() {
            Some(TITLE) => Ok(lines),
            _ => Err(lines.wrong("the title of foreign slots")),
        }
    }

    /// What follows the lines that were read.
    pub(super) const fn rest(&self) -> &'a str {
        self.rest
    }

    pub(super) const fn wrong(&self, want: &'static str) -> ForeignSlotsError {
        ForeignSlotsError::Line {
            line: self.line,
            want,
        }
    }

    pub(super) fn bytes<const N: usize>(
        &mut self,
        name: &str,
        want: &'static str,
    ) -> Result<[u8; N], ForeignSlotsError> {
        let text = self.field(name, want)?;
        decoded(text).ok_or(self.wrong(want))
    }

    pub(super) fn identity(&mut self) -> Result<Identity<'a>, ForeignSlotsError> {
        Ok(Identity {
            nir: self.field("nir", "nir <13 characters and the key>")?,
            birth_date: self.field("birth-date", "birth-date <YYYYMMDD>")?,
            birth_rank: self.field("birth-rank", "birth-rank <1 to 9>")?,
        })
    }

    /// The evaluations, up to the empty line that ends them.
    pub(super) fn evaluations(&mut self) -> Result<Vec<PartialEvaluation>, ForeignSlotsError> {
        let mut answers = Vec::new();
        loop {
            let line = self.next().ok_or(self.wrong("empty"))?;
            if line.is_empty() {
                return Ok(answers);
            }
            if answers.len() == EVALUATIONS_MAX {
                return Err(ForeignSlotsError::TooManyEvaluations);
            }
            answers.push(evaluation(line).ok_or(self.wrong(EVALUATION))?);
        }
    }

    fn next(&mut self) -> Option<&'a str> {
        self.line += 1;
        let (line, rest) = self.rest.split_once('\n')?;
        self.rest = rest;
        Some(line)
    }

    fn field(&mut self, name: &str, want: &'static str) -> Result<&'a str, ForeignSlotsError> {
        let value = self
            .next()
            .and_then(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.ok_or(self.wrong(want))
    }
}

fn decoded<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes = Zeroizing::new(BASE64_STANDARD.decode(text).ok()?);
    bytes.as_slice().try_into().ok()
}

fn evaluation(line: &str) -> Option<PartialEvaluation> {
    let (share, rest) = line.strip_prefix("evaluation ")?.split_once(' ')?;
    let (element, dleq_proof) = rest.split_once(' ')?;
    let index = ShareIndex::new(share.parse().ok()?)?;
    // One spelling: no sign, no leading zero.
    if index.to_string() != share {
        return None;
    }
    Some(PartialEvaluation {
        index,
        elements: vec![PartialElement::from_bytes(&decoded(element)?).ok()?],
        dleq_proof: DleqProof::from_bytes(&decoded(dleq_proof)?).ok()?,
    })
}

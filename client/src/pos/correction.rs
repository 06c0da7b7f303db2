//! What an invoice says otherwise than the claim: lower prices and amounts, line by line.
//!
//! A payer committed to amounts for what was claimed, at the claimed price. So a line may be stated
//! at less, and never at more than the claim reserved of that payer for it: a higher price or amount
//! is another question to the payer, and takes another claim.

use std::fmt;
use std::str::FromStr;

use proto::attestation::ClaimLine;
use proto::identity::{IdentityError, PayerNumber};
use proto::ids::{Cents, IdError};
use proto::lpp::GroupedCode;
use proto::seal::LppCodeCommitment;
use proto::token::SealingSecret;
use thiserror::Error;

/// A line of an invoice: its grouped code, and which one it is of the lines with that code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineName {
    /// The grouped code.
    pub grouped_code: GroupedCode,
    /// From 1, in the order of the counter.
    pub place: usize,
}

/// Another price of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CorrectedPrice {
    /// The line.
    pub line: LineName,
    /// Its price at the counter.
    pub price: Cents,
}

/// Another amount that a payer is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorrectedAmount {
    /// The payer.
    pub payer: PayerNumber,
    /// The line.
    pub line: LineName,
    /// What the payer is asked for.
    pub amount: Cents,
}

/// What is stated otherwise than before; what is not named stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Corrections {
    /// Prices.
    pub prices: Vec<CorrectedPrice>,
    /// Amounts.
    pub amounts: Vec<CorrectedAmount>,
}

/// Why a text is no correction.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CorrectionTextError {
    /// It is not written as a line with a price.
    #[error("must be CODE=EUROS or CODE/PLACE=EUROS, as in VU1/2=90.00")]
    Price,
    /// It is not written as a payer and a line with an amount.
    #[error("must be PAYER:CODE=EUROS or PAYER:CODE/PLACE=EUROS, as in 01:VU1/2=0.03")]
    Amount,
    /// There is no such grouped code.
    #[error("the code must be a grouped code, such as M01")]
    Code,
    /// The place is none.
    #[error("the place must be a number from 1")]
    Place,
    /// The payer's number is none.
    #[error("payer: {0}")]
    Payer(#[from] IdentityError),
    /// The euros are none.
    #[error("euros: {0}")]
    Euros(#[from] IdError),
}

/// Why an invoice cannot be stated so. The line is named, no amount is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CorrectionError {
    /// The invoice has no such line.
    #[error("{line}: the invoice has no such line")]
    UnknownLine {
        /// The line.
        line: LineName,
    },
    /// Nothing of the line was claimed of this payer.
    #[error("{line}: nothing of it was claimed of that payer")]
    NotClaimed {
        /// The line.
        line: LineName,
    },
    /// Whoever it would be stated to has answered for good.
    #[error("{line}: the payer has answered for good, its part stays as it is")]
    Answered {
        /// The line.
        line: LineName,
    },
    /// More than was claimed.
    #[error("{line}: price and amount must be at most what was claimed")]
    AboveClaim {
        /// The line.
        line: LineName,
    },
    /// The payers together would pay more than the price.
    #[error("{line}: what the payers pay together must be at most its price")]
    AbovePrice {
        /// The line.
        line: LineName,
    },
}

impl fmt::Display for LineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.grouped_code.as_str(), self.place)
    }
}

impl FromStr for LineName {
    type Err = CorrectionTextError;

    /// Reads `M01`, which is `M01/1`, or `VU1/2`.
    fn from_str(text: &str) -> Result<Self, CorrectionTextError> {
        let (code, place) = text.split_once('/').unwrap_or((text, "1"));
        let grouped_code = code.parse().map_err(|_| CorrectionTextError::Code)?;
        let place: usize = place.parse().map_err(|_| CorrectionTextError::Place)?;
        (place > 0)
            .then_some(Self {
                grouped_code,
                place,
            })
            .ok_or(CorrectionTextError::Place)
    }
}

impl FromStr for CorrectedPrice {
    type Err = CorrectionTextError;

    /// Reads `M01=110.00` or `VU1/2=90.00`.
    fn from_str(text: &str) -> Result<Self, CorrectionTextError> {
        let (line, price) = text.split_once('=').ok_or(CorrectionTextError::Price)?;
        Ok(Self {
            line: line.parse()?,
            price: price.parse()?,
        })
    }
}

impl FromStr for CorrectedAmount {
    type Err = CorrectionTextError;

    /// Reads `75000001:M01=25.00` or `01:VU1/2=0.03`.
    fn from_str(text: &str) -> Result<Self, CorrectionTextError> {
        let shape = CorrectionTextError::Amount;
        let (payer, rest) = text.split_once(':').ok_or(shape.clone())?;
        let (line, amount) = rest.split_once('=').ok_or(shape)?;
        Ok(Self {
            payer: payer.parse()?,
            line: line.parse()?,
            amount: amount.parse()?,
        })
    }
}

/// What is stated to one payer.
pub(super) struct Part<'s> {
    pub(super) payer: PayerNumber,
    pub(super) secret: &'s SealingSecret,
    /// What was claimed of it, in the order of the counter.
    pub(super) claimed: Vec<ClaimLine>,
    /// What it is asked for: as it was stated last.
    pub(super) stated: Vec<ClaimLine>,
    /// Whether it has answered for good.
    pub(super) answered: bool,
}

impl Part<'_> {
    fn stated(&mut self, commitment: &LppCodeCommitment) -> Option<&mut ClaimLine> {
        let mut lines = self.stated.iter_mut();
        lines.find(|line| line.code_commitment == *commitment)
    }
}

impl Corrections {
    /// Whether nothing is stated otherwise.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.prices.is_empty() && self.amounts.is_empty()
    }

    /// Changes the parts, but for those of payers that have answered for good, and checks that every
    /// line is within what was claimed and within its price.
    pub(super) fn apply(&self, parts: &mut [Part<'_>]) -> Result<(), CorrectionError> {
        let names = Names::of(parts);
        for CorrectedPrice { line, price } in &self.prices {
            let commitment = names.find(*line)?;
            let mut changed = false;
            for part in parts.iter_mut().filter(|part| !part.answered) {
                if let Some(stated) = part.stated(&commitment) {
                    (stated.price, changed) = (*price, true);
                }
            }
            let answered = CorrectionError::Answered { line: *line };
            changed.then_some(()).ok_or(answered)?;
        }
        for asked in &self.amounts {
            let commitment = names.find(asked.line)?;
            let not_claimed = CorrectionError::NotClaimed { line: asked.line };
            let part = parts.iter_mut().find(|part| part.payer == asked.payer);
            let part = part.ok_or(not_claimed.clone())?;
            if part.answered {
                return Err(CorrectionError::Answered { line: asked.line });
            }
            let stated = part.stated(&commitment).ok_or(not_claimed)?;
            stated.amount = asked.amount;
        }
        names
            .0
            .iter()
            .try_for_each(|named| within(named, parts, self))
    }
}

/// Whether one line is within what was claimed and within its price. What nobody changed is not
/// judged: it was so when it was claimed.
fn within(
    (line, commitment): &(LineName, LppCodeCommitment),
    parts: &[Part<'_>],
    corrections: &Corrections,
) -> Result<(), CorrectionError> {
    let prices = corrections.prices.iter().map(|one| one.line);
    let amounts = corrections.amounts.iter().map(|one| one.line);
    if !prices.chain(amounts).any(|changed| changed == *line) {
        return Ok(());
    }
    let (mut paid, mut lowest) = (Cents::default(), None);
    for part in parts {
        let same = |one: &&ClaimLine| one.code_commitment == *commitment;
        let Some(stated) = part.stated.iter().find(same) else {
            continue;
        };
        let claimed = part.claimed.iter().find(same);
        if !claimed.is_some_and(|one| stated.price <= one.price && stated.amount <= one.amount) {
            return Err(CorrectionError::AboveClaim { line: *line });
        }
        paid = paid.plus(stated.amount);
        if !part.answered {
            lowest = Some(lowest.map_or(stated.price, |price: Cents| price.min(stated.price)));
        }
    }
    match lowest {
        Some(price) if paid > price => Err(CorrectionError::AbovePrice { line: *line }),
        _ => Ok(()),
    }
}

/// The lines of an invoice by name, in the order of the counter.
struct Names(Vec<(LineName, LppCodeCommitment)>);

impl Names {
    /// Every part has the lines that its payer pays something of, in the order of the counter; one
    /// line has one commitment in all of them.
    fn of(parts: &[Part<'_>]) -> Self {
        let mut lines: Vec<(GroupedCode, LppCodeCommitment)> = Vec::new();
        for part in parts {
            let mut next = 0;
            for line in &part.claimed {
                let one = (line.grouped_code, line.code_commitment);
                let place = lines.iter().position(|known| *known == one);
                if place.is_none() {
                    lines.insert(next, one);
                }
                next = place.unwrap_or(next) + 1;
            }
        }
        let named = lines.iter().enumerate().map(|(index, (code, commitment))| {
            let before = lines.iter().take(index);
            let place = 1 + before.filter(|(other, _)| other == code).count();
            let name = LineName {
                grouped_code: *code,
                place,
            };
            (name, *commitment)
        });
        Self(named.collect())
    }

    fn find(&self, line: LineName) -> Result<LppCodeCommitment, CorrectionError> {
        let found = self.0.iter().find(|(name, _)| *name == line);
        let found = found.ok_or(CorrectionError::UnknownLine { line })?;
        Ok(found.1)
    }
}

#[cfg(test)]
mod tests {
    use proto::seal::LppCodeSalt;

    use super::*;

    const AMO: &str = "01";
    const AMC: &str = "75000001";

    fn line(code: &str, price: u64, amount: u64, seed: u8) -> ClaimLine {
        let salt = LppCodeSalt::from_bytes([seed; 32]);
        ClaimLine {
            grouped_code: code.parse().unwrap(),
            price: Cents::new(price),
            amount: Cents::new(amount),
            code_commitment: LppCodeCommitment::new("2223342", &salt),
            opening: None,
        }
    }

    fn part<'s>(payer: &str, secret: &'s SealingSecret, lines: &[ClaimLine]) -> Part<'s> {
        Part {
            payer: payer.parse().unwrap(),
            secret,
            claimed: lines.to_vec(),
            stated: lines.to_vec(),
            answered: false,
        }
    }

    /// A frame and two lenses of one code; the mandatory insurer pays nothing of the first lens.
    fn claimed(secret: &SealingSecret) -> Vec<Part<'_>> {
        let amo = [line("M03", 9_500, 3, 1), line("VU1", 3_200, 3, 3)];
        let amc = [
            line("M03", 9_500, 5_000, 1),
            line("VU1", 3_000, 2_000, 2),
            line("VU1", 3_200, 2_000, 3),
        ];
        vec![part(AMO, secret, &amo), part(AMC, secret, &amc)]
    }

    fn corrections(prices: &[&str], amounts: &[&str]) -> Corrections {
        Corrections {
            prices: prices.iter().map(|text| text.parse().unwrap()).collect(),
            amounts: amounts.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    /// Price and amount of each line that the parts state.
    fn stated(parts: &[Part<'_>]) -> Vec<Vec<(u64, u64)>> {
        let lines = parts.iter().map(|part| part.stated.iter());
        let figures = |line: &ClaimLine| (line.price.get(), line.amount.get());
        lines.map(|lines| lines.map(figures).collect()).collect()
    }

    fn applied(
        parts: &mut [Part<'_>],
        prices: &[&str],
        amounts: &[&str],
    ) -> Result<Vec<Vec<(u64, u64)>>, CorrectionError> {
        corrections(prices, amounts).apply(parts)?;
        Ok(stated(parts))
    }

    #[test]
    fn what_is_named_is_stated_otherwise_and_the_rest_stays() {
        let secret = SealingSecret::from_bytes([1; 32]);
        let mut parts = claimed(&secret);
        let changed = applied(&mut parts, &["VU1/2=30.00"], &["75000001:M03=40.00"]).unwrap();
        let amo = vec![(9_500, 3), (3_000, 3)];
        let amc = vec![(9_500, 4_000), (3_000, 2_000), (3_000, 2_000)];
        assert_eq!(changed, [amo, amc]);
        // Once more, from what was stated last: up again, as far as it was claimed.
        let again = applied(&mut parts, &["VU1/2=32.00"], &["75000001:M03=50.00"]).unwrap();
        assert_eq!(again, stated(&claimed(&secret)));
    }

    #[test]
    fn nothing_is_stated_above_the_claim_or_the_price() {
        let secret = SealingSecret::from_bytes([1; 32]);
        let refused = |prices: &[&str], amounts: &[&str]| {
            applied(&mut claimed(&secret), prices, amounts).unwrap_err()
        };
        let line = |text: &str| text.parse::<LineName>().unwrap();
        let above = |text| CorrectionError::AboveClaim { line: line(text) };
        assert_eq!(refused(&["M03=95.01"], &[]), above("M03"));
        assert_eq!(refused(&[], &["75000001:M03=50.01"]), above("M03"));
        assert_eq!(refused(&[], &["01:VU1/2=0.04"]), above("VU1/2"));
        // Both payers together: 50.00 and 0.03.
        let price = CorrectionError::AbovePrice { line: line("M03") };
        assert_eq!(refused(&["M03=50.02"], &[]), price);
        assert!(applied(&mut claimed(&secret), &["M03=50.03"], &[]).is_ok());
        let unknown = |text| CorrectionError::UnknownLine { line: line(text) };
        assert_eq!(refused(&["VU1/3=1.00"], &[]), unknown("VU1/3"));
        assert_eq!(refused(&["M01=1.00"], &[]), unknown("M01"));
        for (amount, named) in [("01:VU1=0.01", "VU1"), ("99:M03=1.00", "M03")] {
            let line = line(named);
            assert_eq!(
                refused(&[], &[amount]),
                CorrectionError::NotClaimed { line }
            );
        }
    }

    #[test]
    fn a_payer_that_has_answered_for_good_is_told_nothing_else() {
        let secret = SealingSecret::from_bytes([1; 32]);
        let mut parts = claimed(&secret);
        parts[0].answered = true;
        let changed = applied(&mut parts, &["M03=94.00"], &[]).unwrap();
        assert_eq!((changed[0][0], changed[1][0]), ((9_500, 3), (9_400, 5_000)));
        let line = "M03".parse().unwrap();
        let answered = Err(CorrectionError::Answered { line });
        assert_eq!(applied(&mut parts, &[], &["01:M03=0.01"]), answered);
        parts[1].answered = true;
        assert_eq!(applied(&mut parts, &["M03=90.00"], &[]), answered);
        // What it was paid counts all the same.
        parts[1].answered = false;
        let price = Err(CorrectionError::AbovePrice { line });
        assert_eq!(applied(&mut parts, &["M03=50.02"], &[]), price);
    }

    #[test]
    fn a_correction_has_one_form_and_names_what_is_wrong() {
        use CorrectionTextError as Wrong;
        let price = |text: &str| text.parse::<CorrectedPrice>();
        assert_eq!(
            price("VU1/2=90.00").unwrap().line,
            LineName {
                grouped_code: "VU1".parse().unwrap(),
                place: 2
            }
        );
        assert_eq!(price("M01"), Err(Wrong::Price));
        assert_eq!(price("2264861=1.00"), Err(Wrong::Code));
        assert_eq!(price("M01/0=1.00"), Err(Wrong::Place));
        assert!(matches!(price("M01=1.000"), Err(Wrong::Euros(_))));
        let amount = |text: &str| text.parse::<CorrectedAmount>();
        assert_eq!(amount("01:M01=0.03").unwrap().amount, Cents::new(3));
        assert_eq!(amount("M01=0.03"), Err(Wrong::Amount));
        assert_eq!(amount("01:M01"), Err(Wrong::Amount));
        assert!(matches!(amount("x:M01=1.00"), Err(Wrong::Payer(_))));
    }
}

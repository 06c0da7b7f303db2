//! The card: who stands at the counter, read from a file or stdin and from nowhere else.
//!
//! Flags are shown to every user of the machine by `ps`, so no identity is ever one.
//!
//! ```toml
//! nir = "2 95 10 99 126 111 93"
//! birth_date = "19951012"
//! birth_rank = "1"            # 1 if left out
//! regime = "01"               # 01, régime général, if left out
//!
//! [[complementary]]           # in the order they pay; none or more
//! payer_number = "11111111"
//! member_number = "AB1234"
//! ```

use std::io::Read as _;
use std::path::Path;

use client::failure::{Failure, FailureKind};
use client::files::{self, FileError};
use client::pos::{Complementary, Insured, InsuredError};
use proto::identity::{IdentityError, Person};
use serde::Deserialize;
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Longest card: six short lines and a comment or two.
const CARD_BYTES_MAX: usize = 4096;

/// Why a card cannot be read. Nothing of it is repeated.
#[derive(Debug, Error)]
pub(super) enum CardError {
    /// The file cannot be read.
    #[error("card: {0}")]
    File(#[from] FileError),
    /// Stdin cannot be read, is not text, or is too long.
    #[error("card: stdin must be at most {CARD_BYTES_MAX} bytes of text")]
    Stdin,
    /// It is not the TOML that it should be.
    #[error("card, line {line}: not a field of a card, or not text in quotes")]
    Toml {
        /// Where.
        line: usize,
    },
    /// A field is wrong.
    #[error("card: {0}")]
    Identity(#[from] IdentityError),
    /// The payers are wrong.
    #[error("card: {0}")]
    Insured(#[from] InsuredError),
}

impl Failure for CardError {
    fn kind(&self) -> FailureKind {
        FailureKind::Malformed
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Toml { .. } | Self::File(FileError::Missing { .. }) => Some(
                "a card has nir, birth_date, birth_rank, regime, and [[complementary]] with \
                 payer_number and member_number",
            ),
            _ => None,
        }
    }
}

#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct Card {
    nir: String,
    birth_date: String,
    #[serde(default = "first")]
    birth_rank: String,
    #[serde(default = "general")]
    regime: String,
    #[serde(default)]
    complementary: Vec<CardContract>,
}

#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct CardContract {
    payer_number: String,
    member_number: String,
}

fn first() -> String {
    "1".to_owned()
}

fn general() -> String {
    "01".to_owned()
}

/// Reads a card from a file, or from stdin if the path is `-`.
pub(super) fn read(path: &Path) -> Result<Insured, CardError> {
    if path != Path::new("-") {
        return parse(&Zeroizing::new(files::read_text(path, CARD_BYTES_MAX)?));
    }
    // Reserved whole at once: a text that grows leaves unwiped copies behind.
    let mut text = Zeroizing::new(String::with_capacity(CARD_BYTES_MAX + 1));
    let most = u64::try_from(CARD_BYTES_MAX).unwrap_or(u64::MAX);
    let read = std::io::stdin().take(most + 1).read_to_string(&mut text);
    match read {
        Ok(length) if length <= CARD_BYTES_MAX => parse(&text),
        _ => Err(CardError::Stdin),
    }
}

fn parse(text: &str) -> Result<Insured, CardError> {
    // The library's own message would show the line with its values.
    let card: Card = toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        CardError::Toml {
            line: before.map_or(1, |before| before.matches('\n').count() + 1),
        }
    })?;
    let person = Person {
        nir: card.nir.parse()?,
        birth_date: card.birth_date.parse()?,
        birth_rank: card.birth_rank.parse()?,
    };
    let contract = |contract: &CardContract| {
        Ok(Complementary {
            payer_number: contract.payer_number.parse()?,
            member_number: contract.member_number.parse()?,
        })
    };
    let complementary = card.complementary.iter().map(contract);
    let complementary = complementary.collect::<Result<_, IdentityError>>()?;
    Ok(Insured::new(person, card.regime.parse()?, complementary)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: &str = "nir = \"2 95 10 99 126 111 93\"\nbirth_date = \"19951012\"\n\
                        [[complementary]]\npayer_number = \"11111111\"\nmember_number = \"ab 12\"\n";

    #[test]
    fn a_card_has_a_person_and_his_payers() {
        let contracts = parse(CARD).unwrap().contracts();
        let payers: Vec<&str> = contracts.iter().map(|c| c.payer_number.as_str()).collect();
        assert_eq!(payers, ["01", "11111111"]);
    }

    #[test]
    fn no_error_repeats_a_value() {
        for (bad, line) in [
            (CARD.replace("\"19951012\"", "19951012"), 2),
            (format!("name = \"SECRET\"\n{CARD}"), 1),
            (CARD.replace("93\"", "93"), 1),
        ] {
            let error = parse(&bad).unwrap_err();
            assert!(
                matches!(error, CardError::Toml { line: at } if at == line),
                "{error}"
            );
            let shown = format!("{error} {error:?}");
            assert!(
                !shown.contains("1995") && !shown.contains("SECRET"),
                "{shown}"
            );
        }
        let error = parse(&CARD.replace("93\"", "94\"")).unwrap_err();
        assert!(matches!(error, CardError::Identity(IdentityError::NirKey)));
    }
}

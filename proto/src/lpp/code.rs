//! The individual LPP code and its check digit.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Digits of an LPP code.
pub const LPP_CODE_BYTES: usize = 7;

/// Why a text is not an LPP code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LppCodeError {
    /// It is not seven digits.
    #[error("an LPP code must be {LPP_CODE_BYTES} digits")]
    Digits,
    /// The last digit does not belong to the six before it: one is mistyped, or two are swapped.
    #[error("the last digit of the LPP code does not match the six before it")]
    CheckDigit,
}

/// The code of one product in the Liste des Produits et Prestations, its check digit verified.
///
/// The last digit is `(2*d1 + 3*d2 + 4*d3 + 5*d4 + 6*d5 + 7*d6) mod 11`, where 10 is written 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LppCode([u8; LPP_CODE_BYTES]);

impl LppCode {
    /// The seven digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII digits get in, through `from_str`.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for LppCode {
    type Err = LppCodeError;

    fn from_str(text: &str) -> Result<Self, LppCodeError> {
        let digits: [u8; LPP_CODE_BYTES] = text
            .as_bytes()
            .try_into()
            .map_err(|_| LppCodeError::Digits)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(LppCodeError::Digits);
        }
        let [number @ .., check] = &digits;
        (check_digit(number) == *check)
            .then_some(Self(digits))
            .ok_or(LppCodeError::CheckDigit)
    }
}

/// The ASCII digit that must follow six ASCII digits.
fn check_digit(number: &[u8; LPP_CODE_BYTES - 1]) -> u8 {
    let weighted = number.iter().zip(2..).map(|(b, w)| u16::from(b - b'0') * w);
    let remainder = weighted.sum::<u16>() % 11;
    b"01234567890"[usize::from(remainder)]
}

impl fmt::Display for LppCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for LppCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LppCode({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Codes of the public list.
    const PUBLISHED: [&str; 12] = [
        "2222124", "2254242", "2264861", "2276870", "2226435", "2209738", "2232252", "2222503",
        "2206987", "2263927", "2201814", "2203316",
    ];

    #[test]
    fn published_codes_are_read_and_print_back() {
        for text in PUBLISHED {
            assert_eq!(text.parse::<LppCode>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn of_the_ten_last_digits_exactly_one_fits() {
        for text in PUBLISHED {
            for digit in '0'..='9' {
                let typed = format!("{}{digit}", &text[..6]);
                let expected = if typed == text {
                    Ok(text)
                } else {
                    Err(LppCodeError::CheckDigit)
                };
                let read = typed.parse::<LppCode>();
                assert_eq!(read.as_ref().map(LppCode::as_str).map_err(|e| *e), expected);
            }
        }
    }

    #[test]
    fn a_remainder_of_ten_is_written_as_zero() {
        // 2 * 5 = 10, and no seven-digit code could end in it.
        assert!("5000000".parse::<LppCode>().is_ok());
    }

    #[test]
    fn anything_but_seven_digits_is_refused() {
        for bad in [
            "",
            "222212",
            "22221240",
            "222212a",
            " 2222124",
            "+222212",
            "22221\u{664}",
        ] {
            assert_eq!(bad.parse::<LppCode>(), Err(LppCodeError::Digits), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn exactly_the_codes_of_the_rule_are_read(number in 0u32..10_000_000) {
            let text = format!("{number:07}");
            let d: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
            let sum = 2 * d[0] + 3 * d[1] + 4 * d[2] + 5 * d[3] + 6 * d[4] + 7 * d[5];
            let expected = match sum % 11 { 10 => 0, other => other };
            prop_assert_eq!(text.parse::<LppCode>().is_ok(), d[6] == expected);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,12}") {
            let _ = text.parse::<LppCode>();
        }
    }
}

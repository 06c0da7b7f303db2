//! The messages of `QuoteService`.

use super::{Salt, SealedPayload, WireError, read, v1, write};
use crate::benefit::NetworkName;
use crate::ids::ContractKey;
use crate::lpp::GroupedCode;
use crate::receipt::Receipt;
use crate::refusal::Reason;

/// Most grouped codes in one request: a claim has at most as many lines.
pub const QUOTE_CODES_MAX: usize = 8;

/// What a till asks its payer's node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteAsked {
    /// The contract.
    pub contract: ContractKey,
    /// 1 to [`QUOTE_CODES_MAX`], ascending.
    pub grouped_codes: Vec<GroupedCode>,
}

/// What a payer's node says to one grouped code; nothing of it is checked yet.
#[derive(Debug, Clone)]
#[allow(
    clippy::large_enum_variant,
    reason = "the large one is the usual one, and eight exist at a time"
)]
pub enum CodeAnswer {
    /// It covers it.
    Covered {
        /// The coverage's entry and its place.
        receipt: Receipt,
        /// Its sealed terms.
        payload: (SealedPayload, Salt),
    },
    /// It does not.
    Refused(Reason),
}

/// What a payer's node says; nothing of it is checked yet.
#[derive(Debug, Clone)]
pub struct QuoteAnswer {
    /// One for each grouped code, in the order asked.
    pub codes: Vec<CodeAnswer>,
    /// Of the networks that the coverages name those that the shop is in, ascending.
    pub networks: Vec<NetworkName>,
}

/// Reads what a caller asks for.
///
/// # Errors
/// The first field that is missing or wrong.
pub fn read_request(request: &v1::QuoteRequest) -> Result<QuoteAsked, WireError> {
    let field = "contract_key";
    let bytes = request.contract_key.as_slice();
    let contract = bytes.try_into().map_err(|_| WireError::Length {
        field,
        got: bytes.len(),
        want: 32,
    })?;
    let field = "grouped_codes";
    let (got, max) = (request.grouped_codes.len(), QUOTE_CODES_MAX);
    if got == 0 {
        return Err(WireError::Missing { field });
    }
    if got > max {
        return Err(WireError::TooMany { field, got, max });
    }
    let codes = request.grouped_codes.iter();
    let codes: Result<Vec<GroupedCode>, _> = codes.map(|code| code.parse()).collect();
    let ascending = codes.ok().filter(|codes| codes.is_sorted_by(|a, b| a < b));
    Ok(QuoteAsked {
        contract: ContractKey::from_bytes(contract),
        grouped_codes: ascending.ok_or(WireError::Format {
            field,
            want: "grouped codes in ascending order, each once",
        })?,
    })
}

/// What a caller asks for, as a message.
#[must_use]
pub fn write_request(asked: &QuoteAsked) -> v1::QuoteRequest {
    let codes = asked.grouped_codes.iter();
    v1::QuoteRequest {
        contract_key: asked.contract.as_bytes().to_vec(),
        grouped_codes: codes.map(|code| code.as_str().to_owned()).collect(),
    }
}

/// Reads an answer.
///
/// # Errors
/// More than [`QUOTE_CODES_MAX`] quotes or networks, or the first field that is missing or wrong.
pub fn read_answer(message: v1::QuoteResponse) -> Result<QuoteAnswer, WireError> {
    let max = QUOTE_CODES_MAX;
    for (field, got) in [
        ("quotes", message.quotes.len()),
        ("networks", message.networks.len()),
    ] {
        if got > max {
            return Err(WireError::TooMany { field, got, max });
        }
    }
    let names = message.networks.iter().map(|name| name.parse());
    let names: Result<Vec<NetworkName>, _> = names.collect();
    let ascending = names.ok().filter(|names| names.is_sorted_by(|a, b| a < b));
    Ok(QuoteAnswer {
        codes: message
            .quotes
            .into_iter()
            .map(read_quote)
            .collect::<Result<_, WireError>>()?,
        networks: ascending.ok_or(WireError::Format {
            field: "networks",
            want: "names of networks in ascending order, each once",
        })?,
    })
}

fn read_quote(quote: v1::CodeQuote) -> Result<CodeAnswer, WireError> {
    use v1::code_quote::Answer;
    match quote.answer.ok_or(WireError::Missing { field: "answer" })? {
        Answer::Refusal(refusal) => Ok(CodeAnswer::Refused(read::reason(refusal.reason)?)),
        Answer::Coverage(coverage) => {
            let missing = |field| WireError::Missing { field };
            let entry = coverage.entry.as_ref().ok_or(missing("entry"))?;
            let payload = coverage.payload.as_ref().ok_or(missing("payload"))?;
            Ok(CodeAnswer::Covered {
                receipt: Receipt {
                    proved: read::proved_entry(entry)?,
                    checkpoint: read::checkpoint(&coverage.checkpoint)?,
                },
                payload: read::payload(payload)?,
            })
        }
    }
}

/// An answer, as a message.
#[must_use]
pub fn write_answer(answer: &QuoteAnswer) -> v1::QuoteResponse {
    v1::QuoteResponse {
        quotes: answer.codes.iter().map(write_quote).collect(),
        networks: answer.networks.iter().map(ToString::to_string).collect(),
    }
}

fn write_quote(answer: &CodeAnswer) -> v1::CodeQuote {
    use v1::code_quote::Answer;
    let answer = match answer {
        CodeAnswer::Refused(reason) => Answer::Refusal(v1::Refusal {
            reason: *reason as i32,
            sentence: reason.french().to_owned(),
            evidence: None,
        }),
        CodeAnswer::Covered {
            receipt,
            payload: (sealed, salt),
        } => Answer::Coverage(v1::SignedCoverage {
            entry: Some(write::proved_entry(&receipt.proved)),
            checkpoint: receipt.checkpoint.to_text(),
            payload: Some(write::payload(sealed, salt)),
        }),
    };
    v1::CodeQuote {
        answer: Some(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(codes: &[&str]) -> v1::QuoteRequest {
        v1::QuoteRequest {
            contract_key: vec![7; 32],
            grouped_codes: codes.iter().map(|code| (*code).to_owned()).collect(),
        }
    }

    #[test]
    fn a_request_reads_back() {
        let asked = read_request(&request(&["M01", "VU1"])).unwrap();
        assert_eq!(asked.contract, ContractKey::from_bytes([7; 32]));
        assert_eq!(write_request(&asked), request(&["M01", "VU1"]));
    }

    #[test]
    fn a_request_names_the_field_that_is_wrong() {
        let field = |request: &v1::QuoteRequest| read_request(request).unwrap_err().field();
        for codes in [
            &["VU1", "M01"][..],
            &["M01", "M01"],
            &["m01"],
            &["X99"],
            &[],
            &["M01"; 9],
        ] {
            assert_eq!(field(&request(codes)), "grouped_codes", "{codes:?}");
        }
        let short = v1::QuoteRequest {
            contract_key: vec![7; 31],
            ..request(&["M01"])
        };
        assert_eq!(field(&short), "contract_key");
    }

    #[test]
    fn a_refusal_reads_back_and_an_empty_answer_is_refused() {
        let answer = QuoteAnswer {
            codes: vec![CodeAnswer::Refused(Reason::ContractEnded)],
            networks: vec!["RESEAU-1".parse().unwrap(), "RESEAU-2".parse().unwrap()],
        };
        let message = write_answer(&answer);
        let read = read_answer(message.clone()).unwrap();
        assert!(matches!(
            read.codes[..],
            [CodeAnswer::Refused(Reason::ContractEnded)]
        ));
        assert_eq!(read.networks, answer.networks);
        for networks in [
            vec!["RESEAU-2", "RESEAU-1"],
            vec!["RESEAU-1"; 2],
            vec!["RESEAU 1"],
            vec!["RESEAU-1"; 9],
        ] {
            let message = v1::QuoteResponse {
                networks: networks.iter().map(ToString::to_string).collect(),
                ..message.clone()
            };
            assert_eq!(read_answer(message).unwrap_err().field(), "networks");
        }
        let empty = v1::QuoteResponse {
            quotes: vec![v1::CodeQuote { answer: None }],
            networks: Vec::new(),
        };
        let missing = WireError::Missing { field: "answer" };
        assert_eq!(read_answer(empty).map(|_| ()), Err(missing));
    }
}

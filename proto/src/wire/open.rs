//! The messages of `LedgerService/Open`.

use super::claims::{OwnEntry, read_own, write_own};
use super::{Salt, SealedPayload, StateAnswer, WireError, read, v1, write};
use crate::checkpoint::SignedCheckpoint;
use crate::receipt::EntryProof;
use crate::signing::PublicKey;

/// Most payers in an answer: a claim rests on seven coverages at most.
pub const PAYERS_MAX: usize = 7;

/// Most coverages in an answer: a claim rests on seven at most.
pub const COVERAGES_MAX: usize = 7;

/// An entry with what is beside it; nothing of it is checked yet.
#[derive(Debug, Clone)]
pub struct OpenAnswer {
    /// The entry and its place in the log.
    pub proved: EntryProof,
    /// Its sealed payload, while it is not erased.
    pub payload: Option<(SealedPayload, Salt)>,
    /// The state of the invoice that it belongs to; `None` for a claim.
    pub invoice: Option<StateAnswer>,
    /// What each payer of the claim answered to the invoice.
    pub settlements: Vec<(PublicKey, StateAnswer)>,
    /// Of a claim, and for its till alone, the coverages that it rests on, in its order.
    pub coverages: Vec<OwnEntry>,
}

/// Reads what a node answers, and the checkpoint that all of it is against.
///
/// # Errors
/// The first field that is missing or wrong.
pub fn read_answer(
    message: &v1::OpenResponse,
) -> Result<(OpenAnswer, SignedCheckpoint), WireError> {
    let missing = |field| WireError::Missing { field };
    for (field, got, max) in [
        ("settlements", message.settlements.len(), PAYERS_MAX),
        ("coverages", message.coverages.len(), COVERAGES_MAX),
    ] {
        if got > max {
            return Err(WireError::TooMany { field, got, max });
        }
    }
    let settlement = |payer: &v1::PayerState| {
        let field = "settlements.payer";
        let (got, want) = (payer.payer.len(), 32);
        let bytes: [u8; 32] = payer
            .payer
            .as_slice()
            .try_into()
            .map_err(|_| WireError::Length { field, got, want })?;
        let key = PublicKey::from_bytes(&bytes).map_err(|_| missing(field))?;
        let state = payer.state.as_ref().ok_or(missing("settlements.state"))?;
        Ok((key, read::state(state)?))
    };
    let answer = OpenAnswer {
        proved: read::proved_entry(message.entry.as_ref().ok_or(missing("entry"))?)?,
        payload: message.payload.as_ref().map(read::payload).transpose()?,
        invoice: message.invoice.as_ref().map(read::state).transpose()?,
        settlements: message
            .settlements
            .iter()
            .map(settlement)
            .collect::<Result<_, WireError>>()?,
        coverages: message
            .coverages
            .iter()
            .map(read_own)
            .collect::<Result<_, WireError>>()?,
    };
    Ok((answer, read::checkpoint(&message.checkpoint)?))
}

/// What a node answers.
#[must_use]
pub fn write_answer(answer: &OpenAnswer, checkpoint: String) -> v1::OpenResponse {
    let settlement = |(payer, state): &(PublicKey, StateAnswer)| v1::PayerState {
        payer: payer.to_bytes().to_vec(),
        state: Some(write::state(state)),
    };
    let payload = answer.payload.as_ref();
    v1::OpenResponse {
        entry: Some(write::proved_entry(&answer.proved)),
        payload: payload.map(|(sealed, salt)| write::payload(sealed, salt)),
        invoice: answer.invoice.as_ref().map(write::state),
        settlements: answer.settlements.iter().map(settlement).collect(),
        checkpoint,
        coverages: answer.coverages.iter().map(write_own).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::example::Ledger;

    #[test]
    fn an_answer_reads_back_and_has_no_more_coverages_than_a_claim() {
        let ledger = Ledger::of(4);
        let own = |index| OwnEntry {
            proved: ledger.proved(index),
            payload: None,
        };
        let answer = OpenAnswer {
            proved: ledger.proved(4),
            payload: None,
            invoice: None,
            settlements: Vec::new(),
            coverages: vec![own(2), own(3)],
        };
        let message = write_answer(&answer, ledger.checkpoint.to_text());
        let (read, _) = read_answer(&message).unwrap();
        assert_eq!(read.coverages, answer.coverages);
        let mut many = message;
        many.coverages = vec![many.coverages[0].clone(); COVERAGES_MAX + 1];
        let field = read_answer(&many).unwrap_err().field();
        assert_eq!(field, "coverages");
    }
}

//! The messages of `PayloadService`.

use super::{Salt, SealedPayload, WireError, read, v1, write};
use crate::checkpoint::SignedCheckpoint;
use crate::ids::LeafIndex;
use crate::receipt::EntryProof;

/// An entry with its place and its payload; nothing of it is checked yet.
#[derive(Debug, Clone)]
pub struct PayloadAnswer {
    /// The entry and its place in the log.
    pub proved: EntryProof,
    /// Its payload and salt, while they are not erased.
    pub payload: Option<(SealedPayload, Salt)>,
    /// What the place is against.
    pub checkpoint: SignedCheckpoint,
}

/// A request for the payload of one entry, as a message.
#[must_use]
pub const fn write_request(index: LeafIndex) -> v1::FetchPayloadRequest {
    v1::FetchPayloadRequest { index: index.get() }
}

/// Reads which entry's payload a caller asks for. Every number is one; the log may be shorter.
#[must_use]
pub const fn read_request(request: &v1::FetchPayloadRequest) -> LeafIndex {
    LeafIndex::new(request.index)
}

/// Reads an answer.
///
/// # Errors
/// The first field that is missing or wrong.
pub fn read_answer(message: &v1::FetchPayloadResponse) -> Result<PayloadAnswer, WireError> {
    let missing = WireError::Missing { field: "entry" };
    Ok(PayloadAnswer {
        proved: read::proved_entry(message.entry.as_ref().ok_or(missing)?)?,
        payload: message.payload.as_ref().map(read::payload).transpose()?,
        checkpoint: read::checkpoint(&message.checkpoint)?,
    })
}

/// An answer, as a message.
#[must_use]
pub fn write_answer(
    proved: &EntryProof,
    payload: Option<&(SealedPayload, Salt)>,
    checkpoint: String,
) -> v1::FetchPayloadResponse {
    v1::FetchPayloadResponse {
        entry: Some(write::proved_entry(proved)),
        payload: payload.map(|(sealed, salt)| write::payload(sealed, salt)),
        checkpoint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::example::Ledger;
    use crate::seal::seal;
    use crate::token::SealingSecret;

    #[test]
    fn an_answer_reads_back_and_needs_its_entry() {
        let ledger = Ledger::of(4);
        let (proved, text) = (ledger.proved(4), ledger.checkpoint.to_text());
        let salt = Salt::from_bytes([9; 32]);
        let sealed = seal(&[(&SealingSecret::from_bytes([1; 32]), b"terms")], &salt).unwrap();
        let payload = (sealed, salt);
        for payload in [Some(&payload), None] {
            let message = write_answer(&proved, payload, text.clone());
            let answer = read_answer(&message).unwrap();
            assert_eq!(answer.proved, proved);
            assert_eq!(answer.payload.as_ref(), payload);
            assert_eq!(answer.checkpoint, ledger.checkpoint);
        }
        let mut bare = write_answer(&proved, None, text);
        bare.entry = None;
        let missing = WireError::Missing { field: "entry" };
        assert_eq!(read_answer(&bare).unwrap_err(), missing);
    }
}

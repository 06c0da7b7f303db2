//! Protobuf messages of `vitrail.v1` and what they turn into. The only file that knows protobuf.
//!
//! A message from outside is never used as it is: [`read`] turns it into the types of this crate
//! or says which field is wrong. Protobuf only carries: nothing is hashed or signed as protobuf.

pub mod access;
pub mod batch;
pub mod ceremony;
pub mod claims;
pub mod lane;
pub mod open;
pub mod quote;
pub mod replication;
pub mod rosters;
pub mod status;
#[cfg(test)]
mod tests;

use thiserror::Error;

use crate::checkpoint::{SignedCheckpoint, SignedCheckpointError};
use crate::entry::{Entry, EntryError};
use crate::hash::Hash;
use crate::ids::{CoverageKey, IdError, LeafIndex, RequestId, SlotKey};
use crate::map::{MapProof, MapProofBytesError};
use crate::merkle::{ConsistencyProof, InclusionProof, ProofError};
use crate::oprf::{
    BlindedElement, DecodeError, DleqProof, ELEMENTS_MAX, PartialElement, PartialEvaluation,
    ShareIndex,
};
use crate::receipt::{EntryProof, Receipt, RefusalReceipt};
use crate::refusal::{Reason, Refusal};
use crate::seal::{self, Salt, SealedPayload};
use crate::signing::PublicKey;

/// The generated messages, clients and servers of `vitrail.v1`.
#[allow(
    missing_docs,
    unused_qualifications,
    clippy::all,
    clippy::cast_possible_truncation,
    clippy::too_many_lines,
    reason = "generated from schema/, where the documentation is"
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/vitrail.v1.rs"));
}

/// The descriptors of the schema: what reflection serves.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vitrail.v1.bin"));

/// Most keys in one lookup: an equipment's slots and coverages of two payers, with room.
pub const LOOKUP_KEYS_MAX: usize = 32;

/// Why a message cannot be read. The variant names the field; nothing of it is quoted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WireError {
    /// A field that must be set is not.
    #[error("{field} is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field has the wrong number of bytes.
    #[error("{field} must be {want} bytes, got {got}")]
    Length {
        /// The field.
        field: &'static str,
        /// Bytes found.
        got: usize,
        /// Bytes needed.
        want: usize,
    },
    /// A list has more items than it may.
    #[error("{field} has {got} items, the limit is {max}")]
    TooMany {
        /// The field.
        field: &'static str,
        /// Items found.
        got: usize,
        /// Items allowed.
        max: usize,
    },
    /// A number is not one of the values of its field.
    #[error("{field} has no value {got}")]
    Value {
        /// The field.
        field: &'static str,
        /// The number found.
        got: i64,
    },
    /// A text is not of the form of its field.
    #[error("{field} must be {want}")]
    Format {
        /// The field.
        field: &'static str,
        /// What it must be.
        want: &'static str,
    },
    /// An entry cannot be read.
    #[error("entry: {0}")]
    Entry(#[from] EntryError),
    /// A request id cannot be read.
    #[error("request_id: {0}")]
    RequestId(#[from] IdError),
    /// A sealed payload or its salt cannot be read.
    #[error("payload: {0}")]
    Payload(#[from] seal::DecodeError),
    /// A blinded element, an evaluation or its proof cannot be read.
    #[error("{field}: {error}")]
    Evaluation {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// An inclusion or consistency proof cannot be read.
    #[error("hashes: {0}")]
    Proof(#[from] ProofError),
    /// A map proof cannot be read.
    #[error("map_proof: {0}")]
    MapProof(#[from] MapProofBytesError),
    /// A checkpoint cannot be read.
    #[error("checkpoint: {0}")]
    Checkpoint(#[from] SignedCheckpointError),
    /// A ceremony's message cannot be read.
    #[error("message: {0}")]
    Ceremony(#[from] crate::dkg::MessageError),
}

impl WireError {
    /// The field at fault, as the schema names it.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Missing { field }
            | Self::Length { field, .. }
            | Self::TooMany { field, .. }
            | Self::Value { field, .. }
            | Self::Format { field, .. }
            | Self::Evaluation { field, .. } => field,
            Self::Entry(_) => "entry",
            Self::RequestId(_) => "request_id",
            Self::Payload(_) => "payload",
            Self::Proof(_) => "hashes",
            Self::MapProof(_) => "map_proof",
            Self::Checkpoint(_) => "checkpoint",
            Self::Ceremony(_) => "message",
        }
    }
}

/// What a till asks to append: the entry and, where it commits to one, its payload.
pub type Append = (Entry, Option<(SealedPayload, Salt)>);

/// A key's state as a node answers it; nothing of it is checked yet.
#[derive(Debug, Clone)]
pub struct StateAnswer {
    /// Presence or absence in the map.
    pub map_proof: MapProof,
    /// The entry that the state names.
    pub entry: Option<EntryProof>,
    /// Its payload, for a coverage.
    pub payload: Option<(SealedPayload, Salt)>,
}

/// What a node answers to an append.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "each variant is the answer it holds")]
#[allow(
    clippy::large_enum_variant,
    reason = "the large one is the usual one, and one exists at a time"
)]
pub enum AppendAnswer {
    Accepted(Receipt),
    Refused {
        reason: Reason,
        evidence: Option<Box<RefusalReceipt>>,
    },
}

/// From messages to the types of this crate.
pub mod read {
    use super::{
        Append, AppendAnswer, BlindedElement, ConsistencyProof, CoverageKey, DleqProof,
        ELEMENTS_MAX, Entry, EntryProof, Hash, InclusionProof, LOOKUP_KEYS_MAX, LeafIndex,
        MapProof, PartialElement, PartialEvaluation, PublicKey, Reason, Receipt, RefusalReceipt,
        RequestId, Salt, SealedPayload, ShareIndex, SignedCheckpoint, SignedCheckpointError,
        SlotKey, StateAnswer, WireError, v1,
    };

    /// Reads an append that the owner of `sender` asks for.
    ///
    /// # Errors
    /// The first field that is missing or wrong.
    pub fn append(request: &v1::AppendRequest, sender: &PublicKey) -> Result<Append, WireError> {
        let entry = Entry::parse_from(&request.entry, sender)?;
        let payload = request.payload.as_ref().map(payload).transpose()?;
        Ok((entry, payload))
    }

    /// Reads a sealed payload with its salt.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn payload(message: &v1::SealedPayload) -> Result<(SealedPayload, Salt), WireError> {
        let parts = SealedPayload::from_bytes(&message.parts)?;
        Ok((
            parts,
            Salt::from_bytes(array("payload.salt", &message.salt)?),
        ))
    }

    /// Reads a lookup: its slot keys and its coverage keys.
    ///
    /// # Errors
    /// A key that is not 32 bytes, or more keys than [`LOOKUP_KEYS_MAX`].
    pub fn lookup(
        request: &v1::LookupRequest,
    ) -> Result<(Vec<SlotKey>, Vec<CoverageKey>), WireError> {
        let got = request.slot_keys.len() + request.coverage_keys.len();
        if got > LOOKUP_KEYS_MAX {
            return Err(WireError::TooMany {
                field: "slot_keys",
                got,
                max: LOOKUP_KEYS_MAX,
            });
        }
        let slots = request.slot_keys.iter().map(|key| array("slot_keys", key));
        let coverages = request
            .coverage_keys
            .iter()
            .map(|key| array("coverage_keys", key));
        Ok((
            slots
                .map(|key| key.map(SlotKey::from_bytes))
                .collect::<Result<_, _>>()?,
            coverages
                .map(|key| key.map(CoverageKey::from_bytes))
                .collect::<Result<_, _>>()?,
        ))
    }

    /// Reads an evaluation's request.
    ///
    /// # Errors
    /// The first field that is missing or wrong.
    pub fn evaluate(
        request: &v1::EvaluateRequest,
    ) -> Result<(RequestId, v1::TokenKind, Vec<BlindedElement>), WireError> {
        let id = RequestId::from_bytes(array("request_id", &request.request_id)?)?;
        if request.kind() == v1::TokenKind::Unspecified {
            return Err(WireError::Value {
                field: "kind",
                got: request.kind.into(),
            });
        }
        let got = request.blinded.len();
        if got == 0 {
            return Err(WireError::Missing { field: "blinded" });
        }
        if got > ELEMENTS_MAX {
            return Err(WireError::TooMany {
                field: "blinded",
                got,
                max: ELEMENTS_MAX,
            });
        }
        let blinded = request.blinded.iter().map(|bytes| {
            let field = "blinded";
            BlindedElement::from_bytes(&array(field, bytes)?)
                .map_err(|error| WireError::Evaluation { field, error })
        });
        Ok((id, request.kind(), blinded.collect::<Result<_, _>>()?))
    }

    /// Reads a node's partial evaluation.
    ///
    /// # Errors
    /// The first field that is missing or wrong.
    pub fn evaluation(message: &v1::EvaluateResponse) -> Result<PartialEvaluation, WireError> {
        let got = message.evaluated.len();
        if got > ELEMENTS_MAX {
            return Err(WireError::TooMany {
                field: "evaluated",
                got,
                max: ELEMENTS_MAX,
            });
        }
        let index = u16::try_from(message.share_index)
            .ok()
            .and_then(ShareIndex::new);
        let value = WireError::Value {
            field: "share_index",
            got: message.share_index.into(),
        };
        let evaluated = message.evaluated.iter().map(|bytes| {
            let field = "evaluated";
            PartialElement::from_bytes(&array(field, bytes)?)
                .map_err(|error| WireError::Evaluation { field, error })
        });
        let field = "dleq_proof";
        let dleq_proof = DleqProof::from_bytes(&array(field, &message.dleq_proof)?);
        Ok(PartialEvaluation {
            index: index.ok_or(value)?,
            elements: evaluated.collect::<Result<_, _>>()?,
            dleq_proof: dleq_proof.map_err(|error| WireError::Evaluation { field, error })?,
        })
    }

    /// Reads the answer to an append of `entry`.
    ///
    /// # Errors
    /// The first field that is missing or wrong.
    pub fn append_answer(
        message: v1::AppendResponse,
        entry: &Entry,
    ) -> Result<AppendAnswer, WireError> {
        use v1::append_response::Answer;
        match message
            .answer
            .ok_or(WireError::Missing { field: "answer" })?
        {
            Answer::Receipt(receipt) => {
                let inclusion = receipt
                    .inclusion
                    .ok_or(WireError::Missing { field: "inclusion" })?;
                Ok(AppendAnswer::Accepted(Receipt {
                    proved: place(entry.clone(), &inclusion)?,
                    checkpoint: checkpoint(&receipt.checkpoint)?,
                }))
            }
            Answer::Refusal(refusal) => {
                let reason = reason(refusal.reason)?;
                let evidence = refusal
                    .evidence
                    .map(|found| evidence(reason, &found, entry));
                Ok(AppendAnswer::Refused {
                    reason,
                    evidence: evidence.transpose()?.map(Box::new),
                })
            }
        }
    }

    fn evidence(
        reason: Reason,
        found: &v1::SlotEvidence,
        refused: &Entry,
    ) -> Result<RefusalReceipt, WireError> {
        let holder = found
            .holder
            .as_ref()
            .ok_or(WireError::Missing { field: "holder" })?;
        Ok(RefusalReceipt {
            reason,
            refused: refused.clone(),
            key_position: found.key_position as usize,
            state: MapProof::from_bytes(&found.map_proof)?,
            holder: proved_entry(holder)?,
            checkpoint: checkpoint(&found.checkpoint)?,
        })
    }

    pub(super) fn reason(number: i32) -> Result<Reason, WireError> {
        let known = u8::try_from(number).ok().and_then(Reason::from_number);
        known.ok_or(WireError::Value {
            field: "reason",
            got: number.into(),
        })
    }

    /// Reads a key's state.
    ///
    /// # Errors
    /// The first field that is missing or wrong.
    pub fn state(message: &v1::State) -> Result<StateAnswer, WireError> {
        Ok(StateAnswer {
            map_proof: MapProof::from_bytes(&message.map_proof)?,
            entry: message.entry.as_ref().map(proved_entry).transpose()?,
            payload: message.payload.as_ref().map(payload).transpose()?,
        })
    }

    /// Reads an entry with its place.
    ///
    /// # Errors
    /// The first field that is missing or wrong.
    pub fn proved_entry(message: &v1::ProvedEntry) -> Result<EntryProof, WireError> {
        let inclusion = message
            .inclusion
            .as_ref()
            .ok_or(WireError::Missing { field: "inclusion" })?;
        place(Entry::parse(&message.entry)?, inclusion)
    }

    fn place(entry: Entry, message: &v1::Inclusion) -> Result<EntryProof, WireError> {
        let hashes = message
            .hashes
            .iter()
            .map(|bytes| hash("inclusion.hashes", bytes));
        let inclusion = InclusionProof::from_hashes(hashes.collect::<Result<_, _>>()?)?;
        Ok(EntryProof {
            entry,
            index: LeafIndex::new(message.index),
            inclusion,
        })
    }

    /// Reads a consistency proof.
    ///
    /// # Errors
    /// A hash that is not 32 bytes, or too many.
    pub fn consistency(hashes: &[Vec<u8>]) -> Result<ConsistencyProof, WireError> {
        let hashes = hashes.iter().map(|bytes| hash("hashes", bytes));
        Ok(ConsistencyProof::from_hashes(
            hashes.collect::<Result<_, _>>()?,
        )?)
    }

    /// Reads a signed checkpoint.
    ///
    /// # Errors
    /// The text is not a C2SP checkpoint of this ledger's form.
    pub fn checkpoint(text: &str) -> Result<SignedCheckpoint, SignedCheckpointError> {
        SignedCheckpoint::parse(text.as_bytes())
    }

    fn hash(field: &'static str, bytes: &[u8]) -> Result<Hash, WireError> {
        array(field, bytes).map(Hash::from_bytes)
    }

    fn array<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], WireError> {
        bytes.try_into().map_err(|_| WireError::Length {
            field,
            got: bytes.len(),
            want: N,
        })
    }
}

/// From the types of this crate to messages.
pub mod write {
    use super::{
        BlindedElement, ConsistencyProof, Entry, EntryProof, InclusionProof, LeafIndex,
        PartialEvaluation, Receipt, Refusal, RefusalReceipt, RequestId, Salt, SealedPayload,
        StateAnswer, v1,
    };

    /// An append.
    #[must_use]
    pub fn append(entry: &Entry, payload: Option<(&SealedPayload, &Salt)>) -> v1::AppendRequest {
        v1::AppendRequest {
            entry: entry.bytes().to_vec(),
            payload: payload.map(|(sealed, salt)| self::payload(sealed, salt)),
        }
    }

    /// A sealed payload with its salt.
    #[must_use]
    pub fn payload(sealed: &SealedPayload, salt: &Salt) -> v1::SealedPayload {
        v1::SealedPayload {
            parts: sealed.to_bytes(),
            salt: salt.as_bytes().to_vec(),
        }
    }

    /// A request for partial evaluations.
    #[must_use]
    pub fn evaluate(
        id: RequestId,
        kind: v1::TokenKind,
        blinded: &[BlindedElement],
    ) -> v1::EvaluateRequest {
        v1::EvaluateRequest {
            request_id: id.as_bytes().to_vec(),
            kind: kind.into(),
            blinded: blinded
                .iter()
                .map(|element| element.to_bytes().to_vec())
                .collect(),
            claim: None,
        }
    }

    /// A node's partial evaluation.
    #[must_use]
    pub fn evaluation(evaluation: &PartialEvaluation) -> v1::EvaluateResponse {
        let PartialEvaluation {
            index,
            elements,
            dleq_proof,
        } = evaluation;
        v1::EvaluateResponse {
            share_index: index.get().into(),
            evaluated: elements
                .iter()
                .map(|element| element.to_bytes().to_vec())
                .collect(),
            dleq_proof: dleq_proof.to_bytes().to_vec(),
        }
    }

    /// The answer that an entry is in the log.
    #[must_use]
    pub fn accepted(
        index: LeafIndex,
        path: &InclusionProof,
        checkpoint: String,
    ) -> v1::AppendResponse {
        let receipt = v1::Receipt {
            inclusion: Some(inclusion(index, path)),
            checkpoint,
        };
        v1::AppendResponse {
            answer: Some(v1::append_response::Answer::Receipt(receipt)),
        }
    }

    /// The answer that an entry was refused.
    #[must_use]
    pub fn refused(refusal: Refusal, evidence: Option<v1::SlotEvidence>) -> v1::AppendResponse {
        let refusal = v1::Refusal {
            reason: refusal.reason as i32,
            sentence: refusal.reason.french().to_owned(),
            evidence,
        };
        v1::AppendResponse {
            answer: Some(v1::append_response::Answer::Refusal(refusal)),
        }
    }

    /// The evidence of a refusal receipt.
    #[must_use]
    pub fn evidence(refusal: &RefusalReceipt) -> v1::SlotEvidence {
        v1::SlotEvidence {
            key_position: u32::try_from(refusal.key_position).unwrap_or(u32::MAX),
            map_proof: refusal.state.to_bytes(),
            holder: Some(proved_entry(&refusal.holder)),
            checkpoint: refusal.checkpoint.to_text(),
        }
    }

    /// The answer that an entry is in the log, from its receipt.
    #[must_use]
    pub fn receipt(receipt: &Receipt) -> v1::AppendResponse {
        let EntryProof {
            index, inclusion, ..
        } = &receipt.proved;
        accepted(*index, inclusion, receipt.checkpoint.to_text())
    }

    /// A key's state.
    #[must_use]
    pub fn state(answer: &StateAnswer) -> v1::State {
        v1::State {
            map_proof: answer.map_proof.to_bytes(),
            entry: answer.entry.as_ref().map(proved_entry),
            payload: answer
                .payload
                .as_ref()
                .map(|(sealed, salt)| payload(sealed, salt)),
        }
    }

    /// An entry with its place.
    #[must_use]
    pub fn proved_entry(proved: &EntryProof) -> v1::ProvedEntry {
        v1::ProvedEntry {
            entry: proved.entry.bytes().to_vec(),
            inclusion: Some(inclusion(proved.index, &proved.inclusion)),
        }
    }

    /// The hashes of a consistency proof.
    #[must_use]
    pub fn consistency(path: &ConsistencyProof) -> Vec<Vec<u8>> {
        path.hashes()
            .iter()
            .map(|hash| hash.as_bytes().to_vec())
            .collect()
    }

    fn inclusion(index: LeafIndex, path: &InclusionProof) -> v1::Inclusion {
        let hashes = path
            .hashes()
            .iter()
            .map(|hash| hash.as_bytes().to_vec())
            .collect();
        v1::Inclusion {
            index: index.get(),
            hashes,
        }
    }
}

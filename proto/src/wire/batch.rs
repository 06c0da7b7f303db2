//! What one place of the engine's log carries, and the cosignatures that members exchange.

use super::replication::{read_entries, write_entry};
use super::{Append, WireError, read, v1};
use crate::batch::{BATCH_ENTRIES_MAX, SignedHeader, content_hash};
use crate::checkpoint::SignedCheckpoint;
use crate::entry::Entry;
use crate::ids::MemberName;
use crate::seal::{Salt, SealedPayload};

/// Most bytes of a record: four times the 256 KiB after which a leader adds no further entry.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;

/// A batch as its leader hands it over; nothing of it is checked yet but that its entries are
/// those that the header names.
#[derive(Debug, Clone)]
pub struct BatchRecord {
    /// Who says that it has signed the header.
    pub leader: MemberName,
    /// What the leader has signed.
    pub header: SignedHeader,
    /// The entries in the order in which they are decided, each with its payload.
    pub entries: Vec<Append>,
    /// The cosigned checkpoint of the state that the batch extends.
    pub before: SignedCheckpoint,
}

impl BatchRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// More than [`RECORD_BYTES_MAX`] bytes or [`BATCH_ENTRIES_MAX`] entries, a field that is
    /// missing or wrong, or entries that the header does not name.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let malformed = WireError::Format {
            field: "record",
            want: "a batch record of at most 1 MiB",
        };
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(malformed);
        }
        let message = decoded::<v1::BatchRecord>(bytes).ok_or(malformed)?;
        let got = message.entries.len();
        if got > BATCH_ENTRIES_MAX {
            return Err(WireError::TooMany {
                field: "entries",
                got,
                max: BATCH_ENTRIES_MAX,
            });
        }
        let entries = read_entries(&message.entries)?;
        let header = read_header(&message.header)?;
        if content_hash(entries.iter().map(|(entry, _)| entry)) != header.claimed().content {
            return Err(WireError::Format {
                field: "entries",
                want: "those that the header names",
            });
        }
        let leader = message.leader.parse().map_err(|_| WireError::Format {
            field: "leader",
            want: "a member's name",
        })?;
        Ok(Self {
            leader,
            header,
            entries,
            before: read::checkpoint(&message.before)?,
        })
    }
}

/// The bytes of a record, which are what the engine orders.
#[must_use]
pub fn record_bytes<'a>(
    header: &SignedHeader,
    leader: &MemberName,
    entries: impl Iterator<Item = (&'a Entry, Option<&'a (SealedPayload, Salt)>)>,
    before: &str,
) -> Vec<u8> {
    let message = v1::BatchRecord {
        header: header.to_bytes(),
        leader: leader.to_string(),
        entries: entries
            .map(|(entry, payload)| write_entry(entry, payload))
            .collect(),
        before: before.to_owned(),
    };
    encoded(&message)
}

/// Reads a signed batch header.
///
/// # Errors
/// The bytes are not one.
pub fn read_header(bytes: &[u8]) -> Result<SignedHeader, WireError> {
    SignedHeader::from_bytes(bytes).map_err(|_| WireError::Format {
        field: "header",
        want: "a signed batch header",
    })
}

/// Reads cosignatures that a member hands over, or answers with.
///
/// # Errors
/// The text is not a checkpoint with cosignatures.
pub fn read_cosigned(text: &str) -> Result<SignedCheckpoint, WireError> {
    Ok(read::checkpoint(text)?)
}

fn encoded(message: &impl prost::Message) -> Vec<u8> {
    message.encode_to_vec()
}

fn decoded<M: prost::Message + Default>(bytes: &[u8]) -> Option<M> {
    M::decode(bytes).ok()
}
